"""HTTP: sessions and their messages."""

from __future__ import annotations

import asyncio

from bootstrap.services import Services
from kernel.errors import NotFound
from kernel.ids import agent_name, newest_first_key, session_id, user_id
from lifecycle.sessions.rules import Session
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, index, page_token
from triggers.views.base import Page
from triggers.views.sessions import NewSession, SessionView, TurnView


class SessionPage(Page[SessionView]):
    """Sessions, newest first."""


class TurnPage(Page[TurnView]):
    """Messages in order."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of sessions."""

    @api.handle(
        Endpoint(
            "POST",
            "sessions",
            "sessions_create",
            "Start a conversation with an agent. The same `session_id` again returns the same session.",
            body=NewSession,
            returns=SessionView,
            status=201,
            also=200,
            errors=(404, 409),
        )
    )
    async def create(call: Call) -> Reply:
        new: NewSession = call.body
        ident = session_id(new.session_id) if new.session_id is not None else None
        user = user_id(new.user_id) if new.user_id is not None else None
        session, created = await services.intake.start_session(call.workspace, agent_name(new.agent), ident, user)
        return Reply(SessionView.of(session), 201 if created else 200, {"Location": f"/api/sessions/{session.id}"})

    @api.handle(
        Endpoint(
            "GET",
            "sessions",
            "sessions_list",
            "List sessions, newest first.",
            returns=SessionPage,
            query=PAGING | {"agent": "Only with this agent.", "user_id": "Only of this user."},
        )
    )
    async def listing(call: Call) -> Reply:
        agent, user = call.query("agent"), call.query("user_id")
        entries, after = await services.directory.sessions(
            call.workspace,
            agent=agent_name(agent) if agent else None,
            user_id=user_id(user) if user else None,
            limit=call.limit(),
            after=call.cursor(newest_first_key),
        )
        found = await asyncio.gather(
            *(services.conversations.load(call.workspace, entry.session_id) for entry in entries)
        )
        items = [
            SessionView.of(stored.session)
            for entry, stored in zip(entries, found, strict=True)
            if stored.session is not None and entry.is_of(stored.session)
        ]
        return Reply(SessionPage(items=items, next=page_token(after)))

    @api.handle(Endpoint("GET", "sessions/{id}", "sessions_get", "Get a session.", returns=SessionView, errors=(404,)))
    async def get(call: Call) -> Reply:
        return Reply(SessionView.of(await _session(services, call)))

    @api.handle(
        Endpoint(
            "POST",
            "sessions/{id}/end",
            "sessions_end",
            "End a session: it takes no more runs.",
            returns=SessionView,
            errors=(404, 409),
        )
    )
    async def end(call: Call) -> Reply:
        session = await services.session_end.end(call.workspace, session_id(call.route("id")))
        return Reply(SessionView.of(session))

    @api.handle(
        Endpoint(
            "GET",
            "sessions/{id}/messages",
            "sessions_messages",
            "List a session's messages in order.",
            returns=TurnPage,
            query=PAGING,
            errors=(404,),
        )
    )
    async def messages(call: Call) -> Reply:
        session = await _session(services, call)
        first, limit = call.cursor(index) or 0, call.limit()
        turns = await services.conversations.turns(call.workspace, session.id, first, limit)
        after = first + len(turns)
        next_one = after if after < session.turns and turns else None
        return Reply(TurnPage(items=[TurnView.of(turn) for turn in turns], next=page_token(next_one)))


async def _session(services: Services, call: Call) -> Session:
    ident = session_id(call.route("id"))
    stored = await services.conversations.load(call.workspace, ident)
    if stored.session is None:
        raise NotFound(f"There is no session {ident!r}.", code="session_not_found")
    return stored.session
