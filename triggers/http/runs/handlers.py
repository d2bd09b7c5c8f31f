"""Handlers of runs."""

from __future__ import annotations

import re

from kernel.errors import InvalidInput
from kernel.ids import agent_name, new_id, parse_run_id, run_id
from lifecycle.conversations.submission import RunRequest, check
from triggers.http.call import Call, Reply, index, page_token
from triggers.http.endpoint import LONGEST_WAIT_S
from triggers.http.runs.views import DeadLetterPage, DeadLetterView, RedrivenView, RunView

_PREFERENCE = re.compile(r'\s*wait\s*(?:=\s*"?([^";]*)"?\s*)?(?:;.*)?', re.IGNORECASE)


def wait_of(prefer: str | None) -> int:
    """Return how many seconds `Prefer: wait=N` (RFC 7240 §4.3) asks to wait, at most LONGEST_WAIT_S; 0 without it.

    Raises:
        InvalidInput: The preference is there but is no number.
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
    run = await call.services.run_resume.resume(call.workspace, run_id, call.queue.send, call.caller)
    return Reply(RunView.of(run), 202, {"Location": f"/api/runs/{run.id}"})


async def dead_letters_list(call: Call) -> Reply:
    letters, after = await call.services.dead_letters(call.queue).list(
        call.workspace, call.limit(), call.cursor(index) or 0
    )
    items = [DeadLetterView.of(letter) for letter in letters]
    return Reply(DeadLetterPage(items=items, next=page_token(after)))


async def dead_letters_redrive(call: Call) -> Reply:
    text = call.route("id")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidInput("A dead letter's id is a number.", code="invalid_dead_letter_id")
    submission = await call.services.dead_letters(call.queue).redrive(call.workspace, int(text))
    view = RedrivenView(run_id=submission.run_id, session_id=submission.session_id, agent=submission.agent)
    return Reply(view, 202, {"Location": f"/api/runs/{view.run_id}"})


async def runs_submit(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    request: RunRequest = call.body
    check(request, call.services.settings.max_query_bytes)
    key = call.header("idempotency-key")
    ident = run_id(call.workspace, key) if key else new_id()
    wait_s = wait_of(call.header("prefer"))
    accepted = await call.services.intake.submit(call.workspace, name, request, ident, call.signals, call.queue.send)
    run = await call.services.desk.finished(accepted.run, wait_s) if wait_s else accepted.run
    headers = {"Location": f"/api/runs/{run.id}"}
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s}"
    return Reply(RunView.of(run), 200 if run.finished else 202, headers)


async def runs_get(call: Call) -> Reply:
    return Reply(RunView.of(await call.services.desk.get(call.workspace, parse_run_id(call.route("run_id")))))


async def runs_cancel(call: Call) -> Reply:
    run = await call.services.desk.cancel(call.workspace, parse_run_id(call.route("run_id")))
    return Reply(RunView.of(run), 200 if run.finished else 202)
