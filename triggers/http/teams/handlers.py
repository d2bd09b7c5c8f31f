"""Handlers of teams and of people in conversations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidInput
from kernel.ids import agent_name, new_id, parse_run_id, run_id, session_id, team_name
from lifecycle.conversations.run_request import check
from triggers.http.caller_identity import person_of
from triggers.http.handler_call import Call, Reply, at, index, page_token
from triggers.http.runs.handlers import wait_of
from triggers.http.runs.views import RunView
from triggers.http.sessions.views import SessionView
from triggers.http.teams.views import (
    HandoffBody,
    InboxPage,
    ReplyBody,
    ReturnBody,
    TeamPage,
    TeamStatusView,
    TeamVersionPage,
    TeamVersionView,
    TeamView,
    WaitingView,
)

if TYPE_CHECKING:
    from lifecycle.conversations.run_request import RunRequest
    from lifecycle.teams.person_actions import Caller

_POSITION = re.compile(r"[0-9]{20}![^!%]{1,128}")


async def teams_list(call: Call) -> Reply:
    found, after = await call.services.teams.store.list(call.workspace, call.limit(), call.cursor(team_name))
    return Reply(TeamPage(items=[TeamView.from_item(item) for item in found], next=page_token(after)))


async def teams_get(call: Call) -> Reply:
    item = await call.services.teams.store.get(call.workspace, team_name(call.route("name")))
    return Reply(TeamView.from_item(item), headers={"ETag": item.etag})


async def teams_put(call: Call) -> Reply:
    name = team_name(call.route("name"))
    item, new = await call.services.teams.store.put(call.workspace, name, call.body, call.header("if-match"))
    headers = {"ETag": item.etag} | (at("teams", name) if new else {})
    return Reply(TeamView.from_item(item), 201 if new else 200, headers)


async def teams_delete(call: Call) -> Reply:
    await call.services.teams.store.delete(call.workspace, team_name(call.route("name")), call.header("if-match"))
    return Reply(status=204)


async def teams_versions(call: Call) -> Reply:
    name, before = team_name(call.route("name")), call.cursor(index)
    found, earlier = await call.services.teams.store.versions(call.workspace, name, call.limit(), before)
    if not found and before is None:
        await call.services.teams.store.get(call.workspace, name)  # raises where there is no such team
    items = [TeamVersionView.from_item(item) for item in found]
    return Reply(TeamVersionPage(items=items, next=page_token(earlier)))


async def teams_status(call: Call) -> Reply:
    status = await call.services.teams.status.of(call.workspace, team_name(call.route("name")))
    return Reply(TeamStatusView.from_status(status))


async def teams_submit(call: Call) -> Reply:
    name = team_name(call.route("name"))
    request: RunRequest = call.body
    check(request, call.services.core.settings.max_query_bytes)
    key = call.header("idempotency-key")
    ident = run_id(call.workspace, key) if key else new_id()
    wait_s = wait_of(call.header("prefer"))
    accepted = await call.services.runs.submission.submit_to_team(
        call.workspace, name, request, ident, call.signals, call.queue.send
    )
    run = await call.services.runs.queries.finished(accepted.run, wait_s) if wait_s else accepted.run
    headers = {"Location": f"/api/runs/{run.id}"}
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s}"
    return Reply(RunView.of(run), 200 if run.finished else 202, headers)


async def inbox_list(call: Call) -> Reply:
    team, member = call.query("team"), call.query("member")
    for name, check_name in ((team, team_name), (member, agent_name)):
        if name is not None:
            check_name(name)
    found, after = await call.services.teams.inbox.page(call.workspace, call.limit(), call.cursor(_position))
    items = [WaitingView.from_session(waiting.session) for waiting in found]
    wanted = [item for item in items if team in (None, item.team) and member in (None, item.member)]
    return Reply(InboxPage(items=wanted, next=page_token(after)), headers={"Cache-Control": "no-store"})


async def sessions_handoff(call: Call) -> Reply:
    from lifecycle.teams.handoff import HandoffRequest  # noqa: PLC0415 - cold start
    from lifecycle.teams.member_routing import Wanted  # noqa: PLC0415 - cold start

    body: HandoffBody = call.body
    if body.target is not None and body.target_specialization is not None:
        msg = "Say either target or target_specialization."
        raise InvalidInput(msg, code="ambiguous_target", fields={"/target_specialization": msg})
    context = None if body.preserve_full_context is None else ("full" if body.preserve_full_context else "none")
    request = HandoffRequest(
        Wanted(body.target, body.target_specialization),
        "operator",
        body.reason,
        tuple(body.facts),
        tuple(body.open_questions),
        body.urgency,
        context,
    )
    ident = session_id(call.route("id"))
    session = await call.services.teams.handoffs.hand_over(call.workspace, ident, request, call.queue.send)
    return Reply(SessionView.of(session))


async def sessions_claim(call: Call) -> Reply:
    ident = session_id(call.route("id"))
    return Reply(SessionView.of(await call.services.teams.people.claim(call.workspace, ident, _caller(call))))


async def sessions_release(call: Call) -> Reply:
    ident = session_id(call.route("id"))
    return Reply(SessionView.of(await call.services.teams.people.release(call.workspace, ident, _caller(call))))


async def sessions_reply(call: Call) -> Reply:
    body: ReplyBody = call.body
    ident = session_id(call.route("id"))
    people = call.services.teams.people
    run = parse_run_id(body.run_id) if body.run_id is not None else None
    return Reply(RunView.of(await people.reply(call.workspace, ident, _caller(call), body.text, run)))


async def sessions_return(call: Call) -> Reply:
    from lifecycle.teams.handoff import HandoffRequest  # noqa: PLC0415 - cold start
    from lifecycle.teams.member_routing import Wanted  # noqa: PLC0415 - cold start

    body: ReturnBody = call.body
    wanted = Wanted(body.target)
    note = HandoffRequest(wanted, "person", body.reason, tuple(body.facts), tuple(body.open_questions))
    ident = session_id(call.route("id"))
    people = call.services.teams.people
    session = await people.return_(call.workspace, ident, _caller(call), wanted, note, call.queue.send)
    return Reply(SessionView.of(session))


def _caller(call: Call) -> Caller:
    """Return the person at the inbox: the signed-in one, or, with a function key, the one that the request names.

    Raises:
        InvalidInput: Neither sign-in nor the request names a person (code `person_not_named`).
    """
    from lifecycle.teams.person_actions import Caller  # noqa: PLC0415 - cold start

    headers = {name.lower(): value for name, value in call.request.headers.items()}
    person = person_of(headers, call.services.core.settings)
    if call.services.core.settings.auth_mode == "entra":
        return Caller(person.name, person.ids)
    if not (name := call.body.by or person.name):
        msg = "A function key identifies nobody: name the person in `by`."
        raise InvalidInput(msg, code="person_not_named", fields={"/by": "who acts"})
    return Caller(name)


def _position(value: Any) -> str:
    if not isinstance(value, str) or not _POSITION.fullmatch(value):
        msg = "no position"
        raise ValueError(msg)
    return value
