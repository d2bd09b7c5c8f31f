"""Plans at the edge: pages, cursors and bodies."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from lifecycle.specs.spec import AgentSpec
from tests.triggers.conftest import Edge, request
from triggers.http import drift
from triggers.http.handler_call import page_token

AGENTS = 230


class Plans:
    """The functions of plans, over services in memory with agents that were never used."""

    def __init__(self) -> None:
        self._edge = Edge(drift)
        self.services = self._edge.services

    async def declare(self, count: int) -> None:
        for number in range(count):
            spec = AgentSpec(model="gpt-5-mini", instructions=str(number))
            await self.services.agents.catalog.declare("default", f"a{number:03d}", spec)

    async def get(self, plan_id: str | None = None, **params: str) -> func.HttpResponse:
        if plan_id is None:
            return await self._edge("registry_plan", request(method="GET", params=params))
        asked = request(method="GET", params=params, route={"id": plan_id})
        return await self._edge("registry_plan_get", asked)

    async def apply(self, body: Any) -> func.HttpResponse:
        return await self._edge("registry_apply", request(body))


def content(response: func.HttpResponse) -> Any:
    return json.loads(response.get_body())


async def test_a_long_plan_is_read_and_applied_in_pages() -> None:
    """Every line comes once, whichever of the two addresses the cursor is taken to; apply answers with a page, too."""
    edge = Plans()
    await edge.declare(AGENTS)
    first = content(await edge.get(limit="100"))
    second = content(await edge.get(limit="100", next=first["next"]))
    third = content(await edge.get(first["id"], limit="100", next=second["next"]))

    agents = [line["agent"] for page in (first, second, third) for line in page["items"]]
    assert agents == [f"a{number:03d}" for number in range(AGENTS)]
    assert {page["id"] for page in (first, second, third)} == {first["id"]}
    assert (first["total"], first["counts"], third["next"]) == (AGENTS, {"create": AGENTS}, None)

    applied = await edge.apply({"plan_id": first["id"]})
    page = content(applied)
    rest = content(await edge.get(first["id"], limit="200", next=page["next"]))
    assert (applied.status_code, applied.headers["Location"]) == (202, f"/api/registry/plan/{first['id']}")
    assert [line["outcome"] for line in page["items"]] == ["sent"] * 200
    assert [line["outcome"] for line in rest["items"]] == ["done"] * (AGENTS - 200)
    assert content(await edge.get())["total"] == 0


async def test_lines_are_chosen_by_the_numbers_that_the_plan_shows() -> None:
    """The answer is these lines; a number that there is not is named."""
    edge = Plans()
    await edge.declare(3)
    plan = content(await edge.get())
    assert [line["number"] for line in plan["items"]] == [0, 1, 2]

    applied = content(await edge.apply({"plan_id": plan["id"], "lines": [2]}))
    assert [(line["agent"], line["outcome"]) for line in applied["items"]] == [("a002", "sent")]
    assert [line["outcome"] for line in content(await edge.get(plan["id"]))["items"]] == ["planned"] * 2 + ["done"]
    refused = await edge.apply({"plan_id": plan["id"], "lines": [0, 3]})
    assert (refused.status_code, content(refused)["code"]) == (400, "unknown_plan_line")


@pytest.mark.parametrize(
    "value", [5, "x", "x/1", None, ["a"], "0193aaaa-0000-7000-8000-00000000000z/1", "latest/0", "../1"]
)
async def test_a_cursor_of_something_else_is_refused(value: Any) -> None:
    """Whatever it is, the answer is 400 and no plan is made."""
    edge = Plans()
    refused = await edge.get(next=page_token(value) or "bnVsbA==")

    assert (refused.status_code, content(refused)["code"]) == (400, "invalid_next")
    assert await edge.services.drift.plans.latest("default") is None


async def test_a_cursor_of_a_plan_that_is_gone_is_not_found() -> None:
    """It looks like one of ours, so it is the plan that is missing."""
    edge = Plans()
    gone = await edge.get(next=page_token("0193aaaa-0000-7000-8000-000000000001/50") or "")

    assert (gone.status_code, content(gone)["code"]) == (404, "plan_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_input"),
        ({"plan_id": ""}, 400, "invalid_input"),
        ({"plan_id": "0193aaaa-0000-7000-8000-000000000001", "destructive": "maybe"}, 400, "invalid_input"),
        ({"plan_id": "0193aaaa-0000-7000-8000-000000000001", "force": True}, 400, "invalid_input"),
        ({"plan_id": "0193aaaa-0000-7000-8000-000000000001", "lines": []}, 400, "invalid_input"),
        ({"plan_id": "0193aaaa-0000-7000-8000-000000000001", "lines": [-1]}, 400, "invalid_input"),
        ({"plan_id": "0193aaaa-0000-7000-8000-000000000001", "lines": list(range(201))}, 400, "invalid_input"),
        ({"plan_id": "latest"}, 404, "plan_not_found"),
        ({"plan_id": "0193aaaa-0000-7000-8000-000000000001"}, 404, "plan_not_found"),
    ],
)
async def test_a_wrong_body_applies_nothing(body: Any, status: int, code: str) -> None:
    """What is missing or unknown is said."""
    edge = Plans()
    await edge.declare(1)
    refused = await edge.apply(body)

    assert (refused.status_code, content(refused)["code"]) == (status, code)
    assert (await edge.services.agents.catalog.get("default", "a000")).record is None
