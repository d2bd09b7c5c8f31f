"""HTTP: events of a session and of a workspace, as server-sent events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kernel.clock import rfc3339
from kernel.errors import InvalidInput
from kernel.ids import session_id
from lifecycle.events.catalogue import LOST, chosen_names
from lifecycle.events.streams import SessionStream, WorkspaceStream
from triggers.api import Endpoint, Reply
from triggers.sessions import FOR_USER, visible_session

if TYPE_CHECKING:
    from bootstrap.services import Services
    from lifecycle.events.streams import Stream
    from lifecycle.events.tail import News
    from triggers.api import Api, Call

LONGEST_WAIT_S = 25
_FOLLOWING = {
    "last_event_id": "The last event read, for clients that cannot send the header `Last-Event-ID`, which wins.",
    "names": "Only these events, like `run.stage,agent.*`.",
    "from": "Without a last event: `start` (default) begins with the oldest one kept, `now` with the next one.",
    "wait": f"How many seconds to wait for an event, 0-{LONGEST_WAIT_S} (default).",
}


def register(api: Api, services: Services) -> None:
    """Add the endpoints of events."""

    @api.handle(
        Endpoint(
            "GET",
            "sessions/{id}/events",
            "sessions_events",
            "Follow a session as server-sent events: answers when there is news after `Last-Event-ID`, or after 25 s.",
            mimetype="text/event-stream",
            query=FOR_USER | _FOLLOWING,
            errors=(404,),
        )
    )
    async def of_session(call: Call) -> Reply:
        ident = session_id(call.route("id"))
        if call.query("user_id") is not None:
            await visible_session(services, call)
        return await _followed(services, call, SessionStream(services.conversations, call.workspace, ident))

    @api.handle(
        Endpoint(
            "GET",
            "events",
            "events",
            "Follow the workspace as server-sent events, as `sessions/{id}/events` follows a session.",
            mimetype="text/event-stream",
            query=_FOLLOWING,
        )
    )
    async def of_workspace(call: Call) -> Reply:
        return await _followed(services, call, WorkspaceStream(services.journal, call.workspace))


async def _followed(services: Services, call: Call, stream: Stream) -> Reply:
    names = call.query("names")
    news = await services.followers.follow(
        stream,
        call.header("last-event-id") or call.query("last_event_id"),
        wait_s=_wait(call.query("wait")),
        names=chosen_names(names) if names else None,
        from_now=_from_now(call.query("from")),
    )
    return Reply(event_stream(stream, news), 200, {"Cache-Control": "no-store"}, "text/event-stream")


def event_stream(stream: Stream, news: News) -> str:
    """Return the news in the text/event-stream format (html.spec.whatwg.org/multipage/server-sent-events.html)."""
    parts = ["retry: 250\n\n"]
    if news.expired:
        # Without an id: whoever does not get what follows is told again.
        parts.append(f"event: {LOST}\ndata: {{}}\n\n")
    for position, event in news.events:
        data = json.dumps(event.data | {"at": rfc3339(event.at)})
        parts.append(f"id: {stream.id_of(position)}\nevent: {event.name}\ndata: {data}\n\n")
    if not news.events:
        parts.append(": nothing new\n\n")
    if any(news.position) and (not news.events or news.events[-1][0] != news.position):
        # An id without data moves the reader on and is no event to it.
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
