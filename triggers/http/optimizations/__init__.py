"""Savings proposals based on facts, and what-if replays."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint(
        "POST",
        "optimizations",
        "optimizations_find",
        "Propose savings, based on the facts of the last days; nothing is changed.",
        body="OptimizationBody",
        returns="OptimizationView",
        status=201,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "optimizations",
        "optimizations_list",
        "List optimizations, newest first.",
        returns="OptimizationPage",
        query=PAGING,
    ),
    Endpoint(
        "GET",
        "optimizations/{id}",
        "optimizations_get",
        "Get an optimization; a week after a proposal was applied, with its actual saving.",
        returns="OptimizationView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "optimizations/{id}/apply",
        "optimizations_apply",
        "Apply some proposals; one that is applied already is not applied again.",
        body="ApplyBody",
        returns="OptimizationView",
        errors=(404, 409),
        signals=True,
    ),
    Endpoint(
        "POST",
        "what-if",
        "what_if",
        "What-if: recompute recorded facts under other prices, budgets or limits; no model is called.",
        body="OtherTermsBody",
        returns="ReplayedHistoryView",
    ),
)
