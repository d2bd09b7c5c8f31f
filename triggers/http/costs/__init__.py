"""Costs, and prices of your own."""

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
        "Go back to the public price.",
        status=204,
        errors=(404, 412),
    ),
    Endpoint(
        "GET",
        "costs",
        "costs",
        "What was spent, up to this moment.",
        returns="CostsView",
        query=days("today")
        | {
            "group_by": choice(
                "What to group by; agent unless given. Purposes are answer and evaluation; by session, 7 days at most.",
                *("agent", "model", "provider", "user", "purpose", "day", "session"),
            ),
            "split_by": choice(
                "With group_by=day: what each day is split by, the 9 dearest of all days and the others as `*`.",
                *("agent", "model", "provider", "user", "purpose"),
            ),
        },
    ),
)
