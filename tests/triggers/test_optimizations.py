"""Savings over HTTP: the calls that a proposal names do what it says, and what makes no sense is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from lifecycle.specs.spec import AgentSpec
from llmops.spend.pricing import Rate
from llmops.spend.usage import Usage
from tests.llmops.conftest import call, fact
from tests.triggers.conftest import Edge, request
from triggers.http import agents, optimizations

DEAR, CHEAP = Rate("dear", Decimal(10), Decimal(20)), Rate("cheap", Decimal(1), Decimal(2))


async def edge() -> Edge:
    """Return the endpoints over an app whose agent has answered with two models."""
    made = Edge(agents, optimizations)
    services = made.services
    for rate in (DEAR, CHEAP):
        await services.budgets.rates.put("default", rate, None)
    await services.agents.administration.declare("default", "bot", AgentSpec(model="dear", pinned=True), made.signals)
    rates = await services.budgets.rates.of("default")
    for number in range(60):
        model, at = ("dear", "cheap")[number % 2], services.core.clock() - timedelta(days=number % 5)
        usage = Usage(input_tokens=100, output_tokens=50)
        one = replace(call(1), model=model, usage=usage, at=at)
        one = replace(one, cost_micro_usd=rates.price(model, usage, at).cost_micro_usd)
        await services.spend.facts.record(replace(fact(f"run-{number}", at=at, quality=80), calls=(one,)))
    return made


def said(answer: Any) -> Any:
    return json.loads(answer.get_body())


async def made(over: Edge, named: dict[str, Any]) -> int:
    """Make a call that an answer names, and return its status."""
    *_, name, verb = named["path"].split("/") if named["method"] == "POST" else (*named["path"].split("/"), "item")
    headers = {"If-Match": named["if_match"]} if named["if_match"] else {}
    function = "agents_item" if named["method"] == "PUT" else f"agents_{verb}"
    asked = request(named["body"] or b"", method=named["method"], headers=headers, route={"name": name})
    return (await over(function, asked)).status_code


async def test_a_proposal_names_the_calls_that_make_and_undo_it() -> None:
    """Called by hand they do what `apply` does: the other model, all else as it was, and back again."""
    over = await edge()
    found = await over("optimizations", request({"target_cost_reduction": 10}))
    one = next(each for each in said(found)["proposals"] if each["kind"] == "cheaper_model")

    assert found.headers["Location"] == f"/api/optimizations/{said(found)['id']}"
    assert (one["recommended"], said(found)["target_reached"]) == (True, True)
    assert await made(over, one["change"]["call"]) == 200
    changed = (await over.services.agents.catalog.get("default", "bot")).declaration.spec
    assert await made(over, one["change"]["undo"]) == 200
    undone = (await over.services.agents.catalog.get("default", "bot")).declaration.spec
    assert (changed.model, changed.pinned, undone.model) == ("cheap", True, "dear")


async def test_a_proposal_is_applied_once_and_says_when_it_is_measured() -> None:
    over = await edge()
    found = said(await over("optimizations", request({})))
    route = {"id": found["id"]}

    applied = await over("optimizations_apply", request({"proposals": ["cheaper_model:bot"]}, route=route))
    again = await over("optimizations_apply", request({"proposals": ["cheaper_model:bot"]}, route=route))
    read = await over("optimizations_get", request(method="GET", route=route))
    listed = await over("optimizations", request(method="GET"))

    assert (applied.status_code, again.status_code) == (200, 200)
    one = next(each for each in said(read)["proposals"] if each["kind"] == "cheaper_model")
    assert one["applied"]["revision"] == 2
    assert one["applied"]["measured"] is None
    assert said(again) == said(applied) == said(read)
    assert [each["id"] for each in said(listed)["items"]] == [found["id"]]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"kind": "prices"}, "needs model or prices"),
        ({"kind": "budget", "limit": 0}, "greater than 0"),
        ({"kind": "budget", "unit": "calls", "limit": 1.5}, "whole number"),
        ({"kind": "ttl"}, "needs idle_after_s"),
        ({"kind": "pool", "concurrency": 0}, "greater than or equal to 1"),
        ({"kind": "pool", "concurrency": 2, "capacity": 3}, "capacity means nothing to pool"),
        ({"kind": "cache", "capacity": 3, "agent": "bot"}, "agent means nothing to cache"),
        ({"kind": "pool", "concurrency": 2, "days": 400}, "less than or equal to 30"),
        ({"kind": "horoscope"}, "prices"),
    ],
)
async def test_terms_that_make_no_sense_are_refused(body: dict[str, Any], named: str) -> None:
    """By their place, with what would do."""
    answer = await (await edge())("what_if", request(body))

    assert answer.status_code == 400
    assert named in json.dumps(said(answer))


async def test_a_budget_that_would_have_held_stops_nothing() -> None:
    """A limit in USD above all that was spent; one below it stops the rest."""
    over = await edge()
    ample = said(await over("what_if", request({"kind": "budget", "limit": 1, "period": "total"})))["figures"]
    scarce = said(await over("what_if", request({"kind": "budget", "limit": "0.01", "period": "total"})))["figures"]

    assert (ample["runs_that_would_wait"], ample["would_cost_micro_usd"]) == (0, ample["cost_micro_usd"])
    assert scarce["runs_that_would_wait"] > 0
    assert scarce["would_cost_micro_usd"] <= 10_000
