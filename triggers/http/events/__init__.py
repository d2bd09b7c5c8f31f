"""Events of a session and of a workspace, as server-sent events."""

from __future__ import annotations

from triggers.http.endpoint import FOR_USER, LONGEST_WAIT_S, Endpoint, Parameter, choice

_FOLLOWING = {
    "last_event_id": Parameter(
        "The last event read, for clients that cannot send the header `Last-Event-ID`, which takes precedence.",
    ),
    "names": Parameter("Only these events, for example `run.stage,agent.*`."),
    "from": choice(
        "Without a last event: `start` (default) begins with the oldest event kept, `now` with the next one.",
        "start",
        "now",
    ),
    "wait": Parameter(
        f"How many seconds to wait for an event, 0-{LONGEST_WAIT_S} (default).",
        {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_S, "default": LONGEST_WAIT_S},
    ),
}

ENDPOINTS = (
    Endpoint(
        "GET",
        "sessions/{id}/events",
        "sessions_events",
        "Follow a session as server-sent events: responds when there are events after `Last-Event-ID`, or after 25 s.",
        mimetype="text/event-stream",
        query=FOR_USER | _FOLLOWING,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "events",
        "events",
        "Follow the workspace as server-sent events, as `sessions/{id}/events` follows a session.",
        mimetype="text/event-stream",
        query=_FOLLOWING,
    ),
)
