"""Capacity pools, and resource use of pools and workers."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, Parameter, days

_HOURS = Parameter("How far back.", {"type": "integer", "minimum": 1, "maximum": 720, "default": 24})

ENDPOINTS = (
    Endpoint("GET", "pools", "pools_list", "List pools by name.", returns="PoolPage", query=PAGING),
    Endpoint("GET", "pools/{name}", "pools_get", "Get a pool and its usage.", returns="PoolView", errors=(404,)),
    Endpoint(
        "PUT",
        "pools/{name}",
        "pools_put",
        "Set a pool; it applies in all workers within BUDGET_TRUST_S.",
        body="PoolBody",
        returns="PoolView",
        also=201,
        errors=(409, 412),
    ),
    Endpoint("DELETE", "pools/{name}", "pools_delete", "Delete a pool.", status=204, errors=(404, 409, 412)),
    Endpoint(
        "GET",
        "pools/{name}/costs",
        "pools_costs",
        "Get the costs of the pool's present agents, by agent.",
        returns="triggers.http.costs.views:CostsView",
        query=days("today"),
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "resources",
        "resources",
        "Get workers' memory and CPU use and pools' usage, each with a level (ok, warning, critical).",
        returns="ResourceUseView",
    ),
    Endpoint(
        "GET",
        "resources/history",
        "resources_history",
        "Get resource use by hour, in workspaces with pools; kept for 30 days.",
        returns="ResourceHistoryView",
        query={"hours": _HOURS},
    ),
)
