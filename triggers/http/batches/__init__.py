"""Batches of runs."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, PAGING, Endpoint, Parameter

JSON_LINES = "application/jsonl"

ENDPOINTS = (
    Endpoint(
        "POST",
        "batches",
        "batches_create",
        "Submit a batch of runs: one run request per line, optionally with `agent` and `id`; at most 10,000 lines.",
        raw=JSON_LINES,
        returns="BatchView",
        status=202,
        query={
            "agent": Parameter("The agent for lines that name none.", AGENT_NAME),
            "max_cost_usd": Parameter(
                "Cost limit of the batch, in USD: once it is reached, no more runs are submitted.",
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000},
            ),
        },
        errors=(409,),
        creates=True,
    ),
    Endpoint("GET", "batches", "batches_list", "List batches, newest first.", returns="BatchPage", query=PAGING),
    Endpoint("GET", "batches/{id}", "batches_get", "Get the progress of a batch.", returns="BatchView", errors=(404,)),
    Endpoint(
        "GET",
        "batches/{id}/results",
        "batches_results",
        "Get the results of a batch, one JSON object per line, in the order submitted; "
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
        "Cancel a batch: no more runs are submitted, and those under way are cancelled.",
        returns="BatchView",
        status=202,
        also=200,
        errors=(404,),
    ),
)
