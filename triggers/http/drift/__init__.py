"""Drift: plan and apply."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint(
        "GET",
        "registry/plan",
        "registry_plan",
        "Compare what is declared, recorded and at the providers, and keep what differs as a plan to apply.",
        returns="PlanView",
        query=PAGING,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "registry/plan/{id}",
        "registry_plan_get",
        "Get a plan, with what has become of each line since it was applied.",
        returns="PlanView",
        query=PAGING,
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "registry/apply",
        "registry_apply",
        "Have the agents' actors do what a plan, or some lines of it, say; the plan itself tells how far they are.",
        body="PlanApplication",
        returns="PlanView",
        status=202,
        errors=(404, 409),
        signals=True,
    ),
)
