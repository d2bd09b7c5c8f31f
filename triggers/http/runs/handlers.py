"""Handlers of runs."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from kernel.errors import InvalidInput
from kernel.ids import agent_name, new_id, parse_run_id, run_id, session_id, user_id
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import RunRequest, Submission, check
from lifecycle.runs.run_queries import RunFilter
from triggers.http.days import day
from triggers.http.endpoint import LONGEST_WAIT_S
from triggers.http.handler_call import Call, Reply, index, page_token
from triggers.http.runs.views import (
    DeadLetterPage,
    DeadLetterView,
    FeedbackBody,
    RedrivenView,
    RunPage,
    RunView,
    StepPage,
    StepView,
)

_KEY = re.compile(r"[0-9a-f]{12}![0-9a-f-]{36}")
_PREFERENCE = re.compile(r'\s*wait\s*(?:=\s*"?([^";]*)"?\s*)?(?:;.*)?', re.IGNORECASE)


def wait_of(prefer: str | None) -> int:
    """Return the seconds of `Prefer: wait=N` (RFC 7240 §4.3), at most LONGEST_WAIT_S; 0 without it.

    Raises:
        InvalidInput: The preference is given without a number.
    """
    found = next(filter(None, map(_PREFERENCE.fullmatch, (prefer or "").split(","))), None)
    if found is None:
        return 0
    text = (found[1] or "").strip()
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput("Prefer: wait=N takes whole seconds.", code="invalid_prefer", fields={"Prefer": "wait=N"})
    return min(int(text[:9]), LONGEST_WAIT_S)


async def runs_resume(call: Call) -> Reply:
    run_id = parse_run_id(call.route("run_id"))
    run = await call.services.runs.resume.resume(call.workspace, run_id, call.queue.send, call.caller)
    return Reply(RunView.of(run), 202, {"Location": f"/api/runs/{run.id}"})


async def dead_letters_list(call: Call) -> Reply:
    letters, after = await call.services.runs.dead_letters(call.queue).list(
        call.workspace, call.limit(), call.cursor(_position)
    )
    items = [DeadLetterView.of(letter) for letter in letters]
    return Reply(DeadLetterPage(items=items, next=page_token(after)))


async def dead_letters_redrive(call: Call) -> Reply:
    submission = await call.services.runs.dead_letters(call.queue).redrive(call.workspace, _letter_id(call))
    agent = submission.agent if isinstance(submission, Submission) else None
    view = RedrivenView(run_id=submission.run_id, session_id=submission.session_id, agent=agent)
    return Reply(view, 202, {"Location": f"/api/{'runs' if agent else 'workflow-runs'}/{view.run_id}"})


async def dead_letters_discard(call: Call) -> Reply:
    await call.services.runs.dead_letters(call.queue).discard(call.workspace, _letter_id(call), call.caller)
    return Reply(status=204)


def _letter_id(call: Call) -> str:
    text = call.route("id")
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return text
    try:
        return parse_run_id(text)
    except InvalidInput:
        msg = "A dead letter's id is a run's id or a number."
        raise InvalidInput(msg, code="invalid_dead_letter_id") from None


def _position(value: Any) -> str | int:
    if isinstance(value, str) and _KEY.fullmatch(value):
        return value
    return index(value)


def _key(value: Any) -> str:
    if not _KEY.fullmatch(value):
        msg = "no position"
        raise ValueError(msg)
    return value


async def runs_list(call: Call) -> Reply:
    state, agent, session, user = (call.query(name) for name in ("state", "agent", "session", "user"))
    first, last = day(call.query("from"), "from"), day(call.query("to"), "to")
    if first is not None and last is not None and first > last:
        raise InvalidInput("'from' is after 'to'.", code="invalid_range", fields={"from": "must not be after 'to'"})
    wanted = RunFilter(
        state_named(state),
        agent_name(agent) if agent is not None else None,
        user_id(user) if user is not None else None,
        _midnight(first),
        _midnight(last, days=1),
    )
    after: str | int | None
    if session is not None:
        of = session_id(session)
        found, after = await call.services.runs.list.of_session(
            call.workspace, of, wanted, call.limit(), call.cursor(index)
        )
    else:
        found, after = await call.services.runs.list.page(call.workspace, wanted, call.limit(), call.cursor(_key))
    return Reply(RunPage(items=[RunView.of(run) for run in found], next=page_token(after)))


def _midnight(of: date | None, days: int = 0) -> datetime | None:
    """Return the start of a UTC day, plus so many days; None for None."""
    return None if of is None else datetime.combine(of, time(), UTC) + timedelta(days=days)


def state_named(text: str | None) -> RunState | None:
    """Return the run state of that name; None for None.

    Raises:
        InvalidInput: There is no such state.
    """
    if text is None:
        return None
    try:
        return RunState(text)
    except ValueError:
        rule = f"one of {', '.join(RunState)}"
        raise InvalidInput(f"'state' is {rule}.", code="invalid_state", fields={"state": rule}) from None


async def runs_submit(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    request: RunRequest = call.body
    check(request, call.services.core.settings.max_query_bytes)
    if request.callback is not None:
        await call.services.notifications.targets.check(request.callback)
    key = call.header("idempotency-key")
    ident = run_id(call.workspace, key) if key else new_id()
    wait_s = wait_of(call.header("prefer"))
    accepted = await call.services.runs.submission.submit(
        call.workspace, name, request, ident, call.signals, call.queue.send
    )
    run = await call.services.runs.queries.finished(accepted.run, wait_s) if wait_s else accepted.run
    headers = {"Location": f"/api/runs/{run.id}"}
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s}"
    return Reply(RunView.of(run), 200 if run.finished else 202, headers)


async def runs_feedback(call: Call) -> Reply:
    body: FeedbackBody = call.body
    run = await call.services.runs.queries.get(call.workspace, parse_run_id(call.route("run_id")))
    return Reply(
        RunView.of(await call.services.runs.feedback.give(run, helpful=body.helpful, comment=body.comment or ""))
    )


async def runs_get(call: Call) -> Reply:
    return Reply(RunView.of(await call.services.runs.queries.get(call.workspace, parse_run_id(call.route("run_id")))))


async def runs_steps(call: Call) -> Reply:
    found = await call.services.runs.steps.of(call.workspace, parse_run_id(call.route("run_id")))
    return Reply(StepPage(items=[StepView.of(step) for step in found], next=None))


async def runs_cancel(call: Call) -> Reply:
    run_id = parse_run_id(call.route("run_id"))
    run = await call.services.runs.cancel.cancel(call.workspace, run_id, call.queue.send)
    return Reply(RunView.of(run), 200 if run.finished else 202)
