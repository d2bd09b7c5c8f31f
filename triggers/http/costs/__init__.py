"""Costs, and a workspace's own prices."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, choice, days

ENDPOINTS = (
    Endpoint("GET", "prices", "prices_list", "List rates of your own.", returns="PricePage", query=PAGING),
    Endpoint("GET", "prices/{name}", "prices_get", "Get a rate of your own.", returns="PriceView", errors=(404,)),
    Endpoint(
        "PUT",
        "prices/{name}",
        "prices_put",
        "Price a model, a deployment or a provider's tool at a rate of your own.",
        body="PriceBody",
        returns="PriceView",
        also=201,
        errors=(412,),
    ),
    Endpoint(
        "DELETE",
        "prices/{name}",
        "prices_delete",
        "Delete a rate of your own; the public price applies again.",
        status=204,
        errors=(404, 412),
    ),
    Endpoint(
        "GET",
        "costs",
        "costs",
        "Get the costs of some days, up to now.",
        returns="CostsView",
        query=days("today")
        | {
            "group_by": choice(
                "What to group by; default agent. Purposes are answer and evaluation; by session, at most 7 days.",
                *("agent", "model", "provider", "user", "purpose", "day", "session"),
            ),
            "split_by": choice(
                "With group_by=day: what to split each day by: the 9 most expensive over all days, the rest as `*`.",
                *("agent", "model", "provider", "user", "purpose"),
            ),
        },
    ),
)
