"""Pools: agents that share limits, and what is used of them and of workers."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, Parameter, days

_HOURS = Parameter("How far back.", {"type": "integer", "minimum": 1, "maximum": 720, "default": 24})

ENDPOINTS = (
    Endpoint("GET", "pools", "pools_list", "List pools by name.", returns="PoolPage", query=PAGING),
    Endpoint(
        "GET", "pools/{name}", "pools_get", "Get a pool, and how much of it is used.", returns="PoolView", errors=(404,)
    ),
    Endpoint(
        "PUT",
        "pools/{name}",
        "pools_put",
        "Declare a pool; workers keep to it within BUDGET_TRUST_S.",
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
        "What the pool's agents spent, by agent; as the pool is now.",
        returns="triggers.http.costs.views:CostsView",
        query=days("today"),
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "resources",
        "resources",
        "What workers use of memory and CPU, how full pools are, and whether that is much.",
        returns="ResourceUseView",
    ),
    Endpoint(
        "GET",
        "resources/history",
        "resources_history",
        "The same by the hour, of workspaces that have pools; kept for 30 days.",
        returns="ResourceHistoryView",
        query={"hours": _HOURS},
    ),
)
