"""What became of runs' callbacks."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, choice

ENDPOINTS = (
    Endpoint(
        "GET",
        "callbacks",
        "callbacks_list",
        "List what became of runs' callbacks, newest run first; those that were not tried yet are not among them.",
        returns="CallbackPage",
        query={"state": choice("Only those that stand so.", "retrying", "delivered", "failed"), **PAGING},
    ),
    Endpoint(
        "GET",
        "runs/{run_id}/callback",
        "runs_callback",
        "Say what became of a run's callback; not found until it was tried once.",
        returns="CallbackView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "runs/{run_id}/callback/redeliver",
        "runs_callback_redeliver",
        "Send the callback of a run that has ended once more, whatever became of it before.",
        status=202,
        errors=(404, 409),
    ),
)
