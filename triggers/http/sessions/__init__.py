"""Sessions and their messages."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, FOR_USER, PAGING, TEXT_ID, Endpoint, Parameter, choice

SESSION_STATES = ("started", "active", "paused", "waiting", "ended")
"""States a list can be filtered by; erased sessions are in no list."""


ENDPOINTS = (
    Endpoint(
        "POST",
        "sessions/{id}/unpin",
        "sessions_unpin",
        "Unpin a session from its version: it continues with the agent's current declaration.",
        returns="SessionView",
        query=FOR_USER,
        errors=(404, 409),
    ),
    Endpoint(
        "POST",
        "sessions",
        "sessions_create",
        "Start a conversation with an agent. The same `session_id` again returns the same session.",
        body="NewSession",
        returns="SessionView",
        status=201,
        also=200,
        errors=(404, 409, 429),
        creates=True,
    ),
    Endpoint(
        "GET",
        "sessions",
        "sessions_list",
        "List sessions, newest first. With `state`, a page can be short or empty although there is a `next`.",
        returns="SessionPage",
        query=PAGING
        | {
            "agent": Parameter("Only with this agent.", AGENT_NAME),
            "user_id": Parameter("Only of this user.", TEXT_ID),
            "state": choice("Only in this state.", *SESSION_STATES),
        },
    ),
    Endpoint(
        "GET", "sessions/{id}", "sessions_get", "Get a session.", returns="SessionView", query=FOR_USER, errors=(404,)
    ),
    Endpoint(
        "POST",
        "sessions/{id}/pause",
        "sessions_pause",
        "Pause a session: the run under way is finished, later ones wait until it is resumed.",
        returns="SessionView",
        query=FOR_USER,
        errors=(404, 409),
    ),
    Endpoint(
        "POST",
        "sessions/{id}/resume",
        "sessions_resume",
        "Resume a paused or waiting session: its waiting runs are queued, in order.",
        returns="SessionView",
        query=FOR_USER,
        errors=(404, 409),
    ),
    Endpoint(
        "POST",
        "sessions/{id}/end",
        "sessions_end",
        "End a session: it takes no more runs.",
        returns="SessionView",
        query=FOR_USER,
        errors=(404, 409),
    ),
    Endpoint(
        "DELETE",
        "sessions/{id}",
        "sessions_erase",
        "Erase a session with all its texts, also at the provider: 200 once that is done, 202 before.",
        returns="ReceiptView",
        also=202,
        query=FOR_USER,
        errors=(404,),
    ),
    Endpoint(
        "DELETE",
        "users/{user_id}",
        "users_erase",
        "Erase a user: sessions, preferences, and the id wherever it is stored: 200 once that is done, 202 before.",
        returns="UserReceiptView",
        also=202,
    ),
    Endpoint(
        "GET",
        "sessions/{id}/messages",
        "sessions_messages",
        "List a session's messages in order.",
        returns="TurnPage",
        query=PAGING | FOR_USER,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "sessions/{id}/export",
        "sessions_export",
        "Export a session as a whole, as JSON or as Markdown.",
        returns="TranscriptView",
        formats=("text/markdown",),
        query=FOR_USER | {"format": choice("Format; default json.", "json", "markdown")},
        errors=(404, 413),
    ),
)
