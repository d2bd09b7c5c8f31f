"""Handlers of sessions."""

from __future__ import annotations

import re

from kernel.errors import InvalidInput, NotFound
from kernel.ids import agent_name, newest_first_key, session_id, session_of_key, user_id
from lifecycle.conversations.session import Session, SessionState
from lifecycle.sessions.list import Filter
from lifecycle.sessions.transcript import transcript_of
from triggers.http.handler_call import Call, Reply, at, index, page_token
from triggers.http.sessions import SESSION_STATES
from triggers.http.sessions.transcripts import as_markdown, as_view, export_format
from triggers.http.sessions.views import (
    NewSession,
    ReceiptView,
    SessionPage,
    SessionView,
    TurnPage,
    TurnView,
    UserReceiptView,
)


def _state(call: Call) -> SessionState | None:
    text = call.query("state")
    if text is None:
        return None
    if text not in SESSION_STATES:
        rule = f"one of: {', '.join(SESSION_STATES)}"
        raise InvalidInput(f"'state' is {rule}.", code="invalid_state", fields={"state": rule})
    return SessionState(text)


async def visible_session(call: Call) -> Session:
    """Return the session that the call names.

    Raises:
        NotFound: There is none, it is erased, or it belongs to another user than the call's.
    """
    ident = session_id(call.route("id"))
    session = (await call.services.conversations.store.load(call.workspace, ident)).session
    if session is None or session.state is SessionState.ERASED or not _is_for(call, session):
        raise _not_found(ident)
    return session


async def _erasable(call: Call) -> str:
    """Return the id of a session that the caller may erase or has erased.

    Raises:
        NotFound: There is no such session for the caller.
    """
    ident = session_id(call.route("id"))
    session = await call.services.sessions.erasure.known(call.workspace, ident)
    if session is None or not (session.state is SessionState.ERASED or _is_for(call, session)):
        raise _not_found(ident)
    return ident


def _is_for(call: Call, session: Session) -> bool:
    user = call.query("user_id")
    return user is None or session.user_id in (None, user)


def _not_found(ident: str) -> NotFound:
    return NotFound(f"There is no session {ident!r}.", code="session_not_found")


_UNSAFE = re.compile(r"[^A-Za-z0-9_.@-]")


async def sessions_unpin(call: Call) -> Reply:
    found = await visible_session(call)
    session = await call.services.conversations.pins.unpin(call.workspace, found.id)
    return Reply(SessionView.of(session))


async def sessions_create(call: Call) -> Reply:
    from lifecycle.sessions.start import SessionOptions  # noqa: PLC0415 - cold start

    new: NewSession = call.body
    key = call.header("idempotency-key")
    ident = session_of_key(call.workspace, key) if key else None
    if new.session_id is not None:  # which is a key itself
        ident = session_id(new.session_id)
    user = user_id(new.user_id) if new.user_id is not None else None
    options = SessionOptions(user, new.limits.limits(), new.preferences, new.pin_version, new.priority)
    session, created = await call.services.sessions.start.start(call.workspace, agent_name(new.agent), ident, options)
    return Reply(SessionView.of(session), 201 if created else 200, at("sessions", session.id))


async def sessions_list(call: Call) -> Reply:
    agent, user = call.query("agent"), call.query("user_id")
    wanted = Filter(agent_name(agent) if agent else None, user_id(user) if user else None, _state(call))
    found, after = await call.services.sessions.list.page(
        call.workspace, wanted, call.limit(), call.cursor(newest_first_key)
    )
    return Reply(SessionPage(items=[SessionView.of(session) for session in found], next=page_token(after)))


async def sessions_get(call: Call) -> Reply:
    return Reply(SessionView.of(await visible_session(call)))


async def sessions_pause(call: Call) -> Reply:
    session = await visible_session(call)
    return Reply(SessionView.of(await call.services.conversations.pause.pause(call.workspace, session.id)))


async def sessions_resume(call: Call) -> Reply:
    session = await visible_session(call)
    return Reply(
        SessionView.of(await call.services.conversations.pause.resume(call.workspace, session.id, call.queue.send))
    )


async def sessions_end(call: Call) -> Reply:
    session = await visible_session(call)
    return Reply(SessionView.of(await call.services.sessions.end.end(call.workspace, session.id)))


async def sessions_erase(call: Call) -> Reply:
    ident = await _erasable(call)
    receipt = await call.services.sessions.erasure.erase(call.workspace, ident)
    view = ReceiptView.of(receipt, session_id=ident)
    return Reply(view, 200 if receipt.completed_at else 202)


async def users_erase(call: Call) -> Reply:
    who = user_id(call.route("user_id"))
    receipt = await call.services.sessions.user_erasure.erase(call.workspace, who)
    return Reply(UserReceiptView.of(receipt, user_id=who), 200 if receipt.completed_at else 202)


async def sessions_messages(call: Call) -> Reply:
    session = await visible_session(call)
    first, limit = call.cursor(index) or 0, call.limit()
    turns = await call.services.conversations.store.turns(call.workspace, session.id, first, limit)
    after = first + len(turns)
    next_one = after if after < session.turns and turns else None
    return Reply(TurnPage(items=[TurnView.of(turn) for turn in turns], next=page_token(next_one)))


async def sessions_export(call: Call) -> Reply:
    wanted = export_format(call.query("format"))
    found = await transcript_of(call.services.conversations.store, await visible_session(call))
    ending = "md" if wanted == "markdown" else "json"
    safe = _UNSAFE.sub("_", found.session.id)
    name = f'attachment; filename="session-{safe}.{ending}"'
    headers = {"Content-Disposition": name}
    if wanted == "markdown":
        return Reply(as_markdown(found), 200, headers, "text/markdown")
    return Reply(as_view(found), 200, headers)
