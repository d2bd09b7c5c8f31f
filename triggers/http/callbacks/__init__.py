"""The delivery of runs' callbacks."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, choice

ENDPOINTS = (
    Endpoint(
        "GET",
        "callbacks",
        "callbacks_list",
        "List deliveries of runs' callbacks, newest run first; callbacks not yet attempted are left out.",
        returns="CallbackPage",
        query={"state": choice("Only in this state.", "retrying", "delivered", "failed"), **PAGING},
    ),
    Endpoint(
        "GET",
        "runs/{run_id}/callback",
        "runs_callback",
        "Get the delivery of a run's callback; 404 before the first attempt.",
        returns="CallbackView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "runs/{run_id}/callback/redeliver",
        "runs_callback_redeliver",
        "Send the callback of an ended run again, whether or not it was delivered.",
        status=202,
        errors=(404, 409),
    ),
)
