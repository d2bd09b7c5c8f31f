"""Savings: proposals that rest on facts, and what history would have been under other terms."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint(
        "POST",
        "optimizations",
        "optimizations_find",
        "Find what could cost less, by the facts of the last days; nothing is changed.",
        body="OptimizationBody",
        returns="OptimizationView",
        status=201,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "optimizations",
        "optimizations_list",
        "List what was found, newest first.",
        returns="OptimizationPage",
        query=PAGING,
    ),
    Endpoint(
        "GET",
        "optimizations/{id}",
        "optimizations_get",
        "Get what was found, and a week after a proposal was applied what it has really saved.",
        returns="OptimizationView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "optimizations/{id}/apply",
        "optimizations_apply",
        "Make the changes of some proposals, each once.",
        body="ApplyBody",
        returns="OptimizationView",
        errors=(404, 409),
        signals=True,
    ),
    Endpoint(
        "POST",
        "what-if",
        "what_if",
        "Say what recorded history would have been under other terms; no model is called.",
        body="OtherTermsBody",
        returns="ReplayedHistoryView",
    ),
)
