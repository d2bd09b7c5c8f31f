"""Handlers of events."""

from __future__ import annotations

import json

from kernel.clock import rfc3339
from kernel.errors import InvalidInput
from kernel.event_versions import version_of
from kernel.ids import session_id
from lifecycle.events.catalogue import LOST, chosen_names
from lifecycle.events.stream_cache import NewEvents
from lifecycle.events.streams import SessionStream, Stream, WorkspaceStream
from triggers.http.endpoint import LONGEST_WAIT_S
from triggers.http.handler_call import Call, Reply
from triggers.http.sessions.handlers import visible_session


async def _followed(call: Call, stream: Stream) -> Reply:
    names = call.query("names")
    news = await call.services.conversations.subscribers.follow(
        stream,
        call.header("last-event-id") or call.query("last_event_id"),
        wait_s=_wait(call.query("wait")),
        names=chosen_names(names) if names else None,
        from_now=_from_now(call.query("from")),
    )
    return Reply(event_stream(stream, news), 200, {"Cache-Control": "no-store"}, "text/event-stream")


def event_stream(stream: Stream, news: NewEvents) -> str:
    """Return events in the text/event-stream format (html.spec.whatwg.org/multipage/server-sent-events.html)."""
    parts = ["retry: 250\n\n"]
    if news.expired:
        # Without an id, so that a client that misses what follows gets this again.
        parts.append(f"event: {LOST}\ndata: {{}}\n\n")
    for position, event in news.events:
        data = json.dumps(event.data | {"at": rfc3339(event.at), "v": version_of(event.name)})
        parts.append(f"id: {stream.id_of(position)}\nevent: {event.name}\ndata: {data}\n\n")
    if not news.events:
        parts.append(": nothing new\n\n")
    if any(news.position) and (not news.events or news.events[-1][0] != news.position):
        # An id without data advances the client's position without an event.
        parts.append(f"id: {stream.id_of(news.position)}\n\n")
    return "".join(parts)


def _wait(text: str | None) -> int:
    if text is None:
        return LONGEST_WAIT_S
    if text.isascii() and text.isdigit() and int(text[:9]) <= LONGEST_WAIT_S:
        return int(text)
    rule = f"a number of seconds from 0 to {LONGEST_WAIT_S}"
    raise InvalidInput(f"'wait' is {rule}.", code="invalid_wait", fields={"wait": rule})


def _from_now(text: str | None) -> bool:
    if text not in (None, "now", "start"):
        rule = "'start' or 'now'"
        raise InvalidInput(f"'from' is {rule}.", code="invalid_from", fields={"from": rule})
    return text == "now"


async def sessions_events(call: Call) -> Reply:
    ident = session_id(call.route("id"))
    if call.query("user_id") is not None:
        await visible_session(call)
    return await _followed(call, SessionStream(call.services.conversations.store, call.workspace, ident))


async def events(call: Call) -> Reply:
    return await _followed(call, WorkspaceStream(call.services.events.journal, call.workspace))
