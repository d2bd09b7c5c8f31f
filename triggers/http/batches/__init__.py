"""Batches of runs."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, PAGING, Endpoint, Parameter

JSON_LINES = "application/jsonl"

ENDPOINTS = (
    Endpoint(
        "POST",
        "batches",
        "batches_create",
        "Submit many runs as one: a run request a line, with `agent` and `id` where wanted; at most 10,000 lines.",
        raw=JSON_LINES,
        returns="BatchView",
        status=202,
        query={
            "agent": Parameter("The agent that lines ask which name none.", AGENT_NAME),
            "max_cost_usd": Parameter(
                "What the batch may cost, in USD: no more runs are submitted once it is reached.",
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000},
            ),
        },
        errors=(409,),
        creates=True,
    ),
    Endpoint("GET", "batches", "batches_list", "List batches, newest first.", returns="BatchPage", query=PAGING),
    Endpoint("GET", "batches/{id}", "batches_get", "Say how far a batch is.", returns="BatchView", errors=(404,)),
    Endpoint(
        "GET",
        "batches/{id}/results",
        "batches_results",
        "Read what came of a batch's runs, a JSON object a line, in the order they were posted; "
        "a `Link` header leads to the next page.",
        returns="BatchResultLine",
        mimetype=JSON_LINES,
        query=PAGING,
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "batches/{id}/cancel",
        "batches_cancel",
        "Submit no more of a batch, and cancel what is on its way.",
        returns="BatchView",
        status=202,
        also=200,
        errors=(404,),
    ),
)
