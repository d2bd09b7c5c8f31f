"""Drift between registry and providers: making a plan, and applying it."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "registry/plan",
        "registry_plan",
        "Compare declarations, records and providers, and store the differences as a plan to apply.",
        returns="PlanView",
        query=PAGING,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "registry/plan/{id}",
        "registry_plan_get",
        "Get a plan, with the outcome of each line since it was applied.",
        returns="PlanView",
        query=PAGING,
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "registry/apply",
        "registry_apply",
        "Apply a plan, or some lines of it, in the background; the plan shows the progress.",
        body="PlanApplication",
        returns="PlanView",
        status=202,
        errors=(404, 409),
        signals=True,
    ),
)
