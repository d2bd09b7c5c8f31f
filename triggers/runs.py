"""HTTP: runs."""

from __future__ import annotations

import re
from typing import Any

from bootstrap.services import Services
from kernel.errors import InvalidInput
from kernel.ids import agent_name, new_id, parse_run_id, run_id, session_id, user_id
from lifecycle.conversations.run import RunState
from lifecycle.conversations.submission import RunRequest, check
from lifecycle.runs.list import RunFilter
from lifecycle.runs.queue import RunQueue
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, index, page_token
from triggers.views.base import Page
from triggers.views.runs import RunView

LONGEST_WAIT_S = 25
_FILTERS = {
    "state": "Only runs in this state …",
    "agent": "… of this agent …",
    "session": "… in this session …",
    "user": "… and of this user.",
}
_KEY = re.compile(r"[0-9a-f]{12}![0-9a-f-]{36}")
_PREFERENCE = re.compile(r'\s*wait\s*(?:=\s*"?([^";]*)"?\s*)?(?:;.*)?', re.IGNORECASE)


class RunPage(Page[RunView]):
    """Runs, newest first."""


def register(api: Api, services: Services, queue: RunQueue) -> None:
    """Add the endpoints of runs."""

    @api.handle_with_signals(
        Endpoint(
            "POST",
            "agents/{name}/runs",
            "runs_submit",
            "Ask an agent: 202 once the run is queued; with `Prefer: wait=N`, 200 if it ends within N seconds.",
            body=RunRequest,
            returns=RunView,
            status=202,
            also=200,
            errors=(404, 409, 413),
            creates=True,
        )
    )
    async def submit(call: Call) -> Reply:
        name = agent_name(call.route("name"))
        request: RunRequest = call.body
        check(request, services.settings.max_query_bytes)
        key = call.header("idempotency-key")
        ident = run_id(call.workspace, key) if key else new_id()
        wait_s = wait_of(call.header("prefer"))
        accepted = await services.intake.submit(call.workspace, name, request, ident, call.signals, queue.send)
        run = await services.desk.finished(accepted.run, wait_s) if wait_s else accepted.run
        headers = {"Location": f"/api/runs/{run.id}"}
        if wait_s:
            headers["Preference-Applied"] = f"wait={wait_s}"
        return Reply(RunView.of(run), 200 if run.finished else 202, headers)

    @api.handle(
        Endpoint(
            "GET",
            "runs",
            "runs_list",
            "List runs, newest first, in a page those in flight before others; of long texts, the beginning. A page of "
            "a `state` can be short, even empty, while there is a `next`.",
            returns=RunPage,
            query=PAGING | _FILTERS,
        )
    )
    async def listing(call: Call) -> Reply:
        agent, user, session = call.query("agent"), call.query("user"), call.query("session")
        wanted = RunFilter(
            state_named(call.query("state")), agent_name(agent) if agent else None, user_id(user) if user else None
        )
        after: str | int | None
        if session:
            of = session_id(session)
            found, after = await services.run_list.of_session(
                call.workspace, of, wanted, call.limit(), call.cursor(index)
            )
        else:
            found, after = await services.run_list.page(call.workspace, wanted, call.limit(), call.cursor(_key))
        return Reply(RunPage(items=[RunView.of(run) for run in found], next=page_token(after)))

    @api.handle(Endpoint("GET", "runs/{run_id}", "runs_get", "Get a run.", returns=RunView, errors=(404,)))
    async def get(call: Call) -> Reply:
        return Reply(RunView.of(await services.desk.get(call.workspace, parse_run_id(call.route("run_id")))))

    @api.handle(
        Endpoint(
            "POST",
            "runs/{run_id}/cancel",
            "runs_cancel",
            "Cancel a run: at once while it is queued, at the next opportunity while it is running.",
            returns=RunView,
            status=202,
            also=200,
            errors=(404,),
        )
    )
    async def cancel(call: Call) -> Reply:
        run = await services.desk.cancel(call.workspace, parse_run_id(call.route("run_id")))
        return Reply(RunView.of(run), 200 if run.finished else 202)


def state_named(text: str | None) -> RunState | None:
    """Return the state of a run that is named; None for any.

    Raises:
        InvalidInput: There is none of that name.
    """
    if text is None:
        return None
    try:
        return RunState(text)
    except ValueError:
        rule = f"one of {', '.join(RunState)}"
        raise InvalidInput(f"'state' is {rule}.", code="invalid_state", fields={"state": rule}) from None


def _key(value: Any) -> str:
    if not _KEY.fullmatch(value):
        msg = "no position"
        raise ValueError(msg)
    return value


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
