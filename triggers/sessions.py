"""HTTP: sessions and their messages."""

from __future__ import annotations

from bootstrap.services import Services
from kernel.errors import InvalidInput, NotFound
from kernel.ids import agent_name, newest_first_key, session_id, user_id
from lifecycle.conversations.session import Session, SessionState
from lifecycle.runs.queue import RunQueue
from lifecycle.sessions.list import Filter
from lifecycle.sessions.transcript import transcript_of
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, index, page_token
from triggers.views.base import Page
from triggers.views.sessions import (
    NewSession,
    ReceiptView,
    SessionView,
    TranscriptView,
    TurnView,
    UserReceiptView,
)
from triggers.views.transcripts import as_markdown, as_view, export_format

_STATES = tuple(state.value for state in SessionState if state is not SessionState.ERASED)
FOR_USER = {"user_id": "The user it is done for: another user's session is not found."}


class SessionPage(Page[SessionView]):
    """Sessions, newest first."""


class TurnPage(Page[TurnView]):
    """Messages in order."""


def register(api: Api, services: Services, queue: RunQueue) -> None:
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
        from lifecycle.sessions.start import Wish  # noqa: PLC0415 - cold start

        new: NewSession = call.body
        ident = session_id(new.session_id) if new.session_id is not None else None
        user = user_id(new.user_id) if new.user_id is not None else None
        wish = Wish(user, new.limits.limits(), new.preferences, new.pin_version, new.priority)
        session, created = await services.session_start.start(call.workspace, agent_name(new.agent), ident, wish)
        return Reply(SessionView.of(session), 201 if created else 200, {"Location": f"/api/sessions/{session.id}"})

    @api.handle(
        Endpoint(
            "GET",
            "sessions",
            "sessions_list",
            "List sessions, newest first. A page of a `state` can be short, even empty, while there is a `next`.",
            returns=SessionPage,
            query=PAGING
            | {
                "agent": "Only with this agent.",
                "user_id": "Only of this user.",
                "state": f"Only in this state: {', '.join(_STATES)}.",
            },
        )
    )
    async def listing(call: Call) -> Reply:
        agent, user = call.query("agent"), call.query("user_id")
        wanted = Filter(agent_name(agent) if agent else None, user_id(user) if user else None, _state(call))
        found, after = await services.session_list.page(
            call.workspace, wanted, call.limit(), call.cursor(newest_first_key)
        )
        return Reply(SessionPage(items=[SessionView.of(session) for session in found], next=page_token(after)))

    @api.handle(
        Endpoint(
            "GET", "sessions/{id}", "sessions_get", "Get a session.", returns=SessionView, query=FOR_USER, errors=(404,)
        )
    )
    async def get(call: Call) -> Reply:
        return Reply(SessionView.of(await visible_session(services, call)))

    @api.handle(
        Endpoint(
            "POST",
            "sessions/{id}/pause",
            "sessions_pause",
            "Pause a session: the run under way is finished, those after it are kept until it is resumed.",
            returns=SessionView,
            query=FOR_USER,
            errors=(404, 409),
        )
    )
    async def pause(call: Call) -> Reply:
        session = await visible_session(services, call)
        return Reply(SessionView.of(await services.session_pause.pause(call.workspace, session.id)))

    @api.handle(
        Endpoint(
            "POST",
            "sessions/{id}/resume",
            "sessions_resume",
            "Resume a session that is paused or waits: the runs it kept are queued, in order.",
            returns=SessionView,
            query=FOR_USER,
            errors=(404, 409),
        )
    )
    async def resume(call: Call) -> Reply:
        session = await visible_session(services, call)
        return Reply(SessionView.of(await services.session_pause.resume(call.workspace, session.id, queue.send)))

    @api.handle(
        Endpoint(
            "POST",
            "sessions/{id}/end",
            "sessions_end",
            "End a session: it takes no more runs.",
            returns=SessionView,
            query=FOR_USER,
            errors=(404, 409),
        )
    )
    async def end(call: Call) -> Reply:
        session = await visible_session(services, call)
        return Reply(SessionView.of(await services.session_end.end(call.workspace, session.id)))

    @api.handle(
        Endpoint(
            "DELETE",
            "sessions/{id}",
            "sessions_erase",
            "Erase a session with all that was said in it, also at the provider: 200 once that is done, 202 before.",
            returns=ReceiptView,
            also=202,
            query=FOR_USER,
            errors=(404,),
        )
    )
    async def erase(call: Call) -> Reply:
        ident = await _erasable(services, call)
        receipt = await services.session_erasure.erase(call.workspace, ident)
        names = ReceiptView.model_fields.keys() - {"session_id", "kept"}
        view = ReceiptView.model_validate({name: getattr(receipt, name) for name in names} | {"session_id": ident})
        return Reply(view, 200 if receipt.completed_at else 202)

    @api.handle(
        Endpoint(
            "DELETE",
            "users/{user_id}",
            "users_erase",
            "Erase a user: sessions, preferences, and the id wherever it was noted: 200 once that is done, 202 before.",
            returns=UserReceiptView,
            also=202,
        )
    )
    async def erase_user(call: Call) -> Reply:
        who = user_id(call.route("user_id"))
        receipt = await services.user_erasure.erase(call.workspace, who)
        view = UserReceiptView(
            user_id=who,
            requested_at=receipt.requested_at,
            completed_at=receipt.completed_at,
            sessions=receipt.sessions,
            runs=receipt.runs,
        )
        return Reply(view, 200 if receipt.completed_at else 202)

    @api.handle(
        Endpoint(
            "GET",
            "sessions/{id}/messages",
            "sessions_messages",
            "List a session's messages in order.",
            returns=TurnPage,
            query=PAGING | FOR_USER,
            errors=(404,),
        )
    )
    async def messages(call: Call) -> Reply:
        session = await visible_session(services, call)
        first, limit = call.cursor(index) or 0, call.limit()
        turns = await services.conversations.turns(call.workspace, session.id, first, limit)
        after = first + len(turns)
        next_one = after if after < session.turns and turns else None
        return Reply(TurnPage(items=[TurnView.of(turn) for turn in turns], next=page_token(next_one)))

    @api.handle(
        Endpoint(
            "GET",
            "sessions/{id}/export",
            "sessions_export",
            "Export a session as a whole, as JSON or as Markdown.",
            returns=TranscriptView,
            formats=("text/markdown",),
            query=FOR_USER | {"format": "`json` (default) or `markdown`, which answers `text/markdown`."},
            errors=(404, 413),
        )
    )
    async def export(call: Call) -> Reply:
        wanted = export_format(call.query("format"))
        found = await transcript_of(services.conversations, await visible_session(services, call))
        name = f'attachment; filename="session-{found.session.id}.{"md" if wanted == "markdown" else "json"}"'
        headers = {"Content-Disposition": name}
        if wanted == "markdown":
            return Reply(as_markdown(found), 200, headers, "text/markdown")
        return Reply(as_view(found), 200, headers)


def _state(call: Call) -> SessionState | None:
    text = call.query("state")
    if text is None:
        return None
    if text not in _STATES:
        rule = f"one of: {', '.join(_STATES)}"
        raise InvalidInput(f"'state' is {rule}.", code="invalid_state", fields={"state": rule})
    return SessionState(text)


async def visible_session(services: Services, call: Call) -> Session:
    """Return the session that the call names.

    Raises:
        NotFound: There is none, it is erased, or it is another user's than the one the call is for.
    """
    ident = session_id(call.route("id"))
    session = (await services.conversations.load(call.workspace, ident)).session
    if session is None or session.state is SessionState.ERASED or not _is_for(call, session):
        raise _not_found(ident)
    return session


async def _erasable(services: Services, call: Call) -> str:
    """Return the id of a session that the caller may erase, or has erased."""
    ident = session_id(call.route("id"))
    session = (await services.conversations.load(call.workspace, ident)).session
    if session is None or not (session.state is SessionState.ERASED or _is_for(call, session)):
        raise _not_found(ident)
    return ident


def _is_for(call: Call, session: Session) -> bool:
    user = call.query("user_id")
    return user is None or session.user_id in (None, user)


def _not_found(ident: str) -> NotFound:
    return NotFound(f"There is no session {ident!r}.", code="session_not_found")
