"""Pools and scaling over HTTP: what makes no sense is refused by a stable code and changes nothing, 429 says when."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lifecycle.specs.spec import AgentSpec
from llmops.capacity.admission import AdmissionRequest
from tests.lifecycle.doubles import MemoryQueue
from tests.llmops.conftest import fact
from tests.triggers.conftest import Edge, request
from triggers.http import agents, pools, runs, scaling

ONE = {"concurrent_runs": 1}


def said(answer: Any) -> Any:
    return json.loads(answer.get_body())


async def put(edge: Edge, name: str, body: dict[str, Any]) -> Any:
    return await edge("pools_item", request(body, method="PUT", route={"name": name}))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"agents": ["bot"], "limits": {"concurrent_runs": 0}}, 400, "invalid_input"),
        ({"agents": ["bot"], "limits": {"tokens_per_minute": 0}}, 400, "invalid_input"),
        ({"agents": ["bot"], "limits": {}}, 400, "invalid_pool"),
        ({"agents": ["bot"]}, 400, "invalid_input"),
        ({"limits": ONE}, 400, "invalid_pool"),
        (
            {"agents": ["bot", "b"], "limits": ONE, "shares": {"bot": {"min": 0.6}, "b": {"min": 0.5}}},
            400,
            "invalid_pool",
        ),
        ({"agents": ["bot"], "limits": ONE, "shares": {"bot": {"min": 0.6, "max": 0.5}}}, 400, "invalid_pool"),
        ({"agents": ["bot"], "limits": ONE, "when_full": "spill"}, 400, "invalid_pool"),
        ({"agents": ["bot"], "limits": ONE, "when_full": "spill", "spill_to": "bad"}, 400, "invalid_pool"),
        ({"agents": ["taken"], "limits": ONE}, 409, "agent_in_two_pools"),
        ({"agents": ["bot"], "limits": {"memory_mb": 8192}}, 400, "pool_limit_not_enforceable"),
        ({"agents": ["bot"], "limits": ONE, "weights": {"cost": 0.1}}, 400, "pool_limit_not_enforceable"),
        ({"agents": ["bot"], "limits": ONE, "scaling": {"min_instances": 2}}, 400, "pool_limit_not_enforceable"),
        ({"agents": ["bot"], "limits": ONE, "monitoring": {"interval": 15}}, 400, "pool_limit_not_enforceable"),
        ({"agents": ["bot"], "limits": ONE, "thresholds": {"cpu": 0}}, 400, "invalid_pool"),
        ({"agents": ["bot"], "limits": ONE, "strategy": "bold"}, 400, "invalid_input"),
    ],
)
async def test_a_pool_that_cannot_hold_is_refused(body: dict[str, Any], status: int, code: str) -> None:
    edge = Edge(pools)
    await put(edge, "other", {"agents": ["taken"], "limits": ONE})
    answer = await put(edge, "bad", body)
    read = await edge("pools_item", request(method="GET", route={"name": "bad"}))

    assert (answer.status_code, said(answer)["code"]) == (status, code)
    assert (read.status_code, said(read)["code"]) == (404, "pool_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {"min_instances": 5, "max_instances": 4},
        {"up": 0.3, "down": 0.8},
        {"max_instances": 0},
        {"http_concurrency": 0},
        {"concurrency": 0},
        {"cooldown_s": -1},
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    edge = Edge(scaling)
    before = said(await edge("scaling_policy", request(method="GET")))
    answer = await edge("scaling_policy", request(body, method="PUT"))
    after = said(await edge("scaling_policy", request(method="GET")))

    assert (answer.status_code, after) == (400, before)
    assert said(answer)["code"] in ("invalid_input", "invalid_scaling_policy")


async def test_a_pool_that_refuses_answers_429_and_says_when() -> None:
    edge = Edge(agents, pools, runs, queue=MemoryQueue())
    services = edge.services
    await services.agents.administration.declare("default", "bot", AgentSpec(model="m"), edge.signals)
    await put(edge, "p", {"agents": ["bot"], "limits": ONE, "when_full": "refuse"})
    first = await edge("runs_submit", request({"query": "One?"}, route={"name": "bot"}))
    room = await services.capacity.admission.admission(AdmissionRequest("default", "bot"))
    assert room is not None
    await room.enter()
    second = await edge("runs_submit", request({"query": "Two?"}, route={"name": "bot"}))
    room.close()
    await services.aclose()

    assert first.status_code == 202
    assert (second.status_code, said(second)["code"]) == (429, "pool_full")
    assert int(second.headers["Retry-After"]) >= 1


async def test_what_a_pool_costs_is_what_its_agents_have_spent() -> None:
    """By name or by label, and of nobody else."""
    edge = Edge(pools)
    services = edge.services
    for name, labels in (("named", {}), ("labelled", {"team": "a"}), ("other", {})):
        spec = AgentSpec(model="m", labels=labels)
        await services.agents.administration.declare("default", name, spec, edge.signals)
        made = fact(f"run-{name}", agent=name, at=services.core.clock())
        await services.spend.facts.record(replace(made, calls=made.calls[:1]))
    await services.spend.daily_costs.aggregate(services.core.clock())
    await put(edge, "p", {"agents": ["named"], "labels": {"team": "a"}, "limits": ONE})
    answer = said(await edge("pools_costs", request(method="GET", route={"name": "p"})))

    assert {group["name"] for group in answer["groups"]} == {"named", "labelled"}
    assert answer["total"]["cost_micro_usd"] == sum(group["spend"]["cost_micro_usd"] for group in answer["groups"]) > 0
