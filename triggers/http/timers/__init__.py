"""The app's timers: their status, and running one now."""

from __future__ import annotations

from triggers.http.endpoint import Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "timers",
        "timers_list",
        "List the app's timers: when each runs, and when it last succeeded and failed.",
        returns="TimerPage",
        errors=(403,),
    ),
    Endpoint(
        "POST",
        "timers/{name}/run",
        "timers_run",
        "Run a timer now, for all workspaces, and wait for its end.",
        returns="TimerRunView",
        errors=(403, 404),
        signals=True,
    ),
)
