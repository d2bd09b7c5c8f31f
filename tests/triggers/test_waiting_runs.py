"""The list of runs that wait for a budget."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from kernel.ids import new_id
from kernel.tables import Row, Upsert
from lifecycle.conversations.run import Run, RunError, RunInput, RunState, Times
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_change import ConversationChange
from llmops.budgets.budget_rules import Amounts, CostAttribution
from llmops.budgets.waiting_run_index import BudgetWait
from tests.lifecycle.doubles import NOW
from tests.triggers.conftest import Edge, request
from triggers.http import budgets

MANY = 7


async def waiting(edge: Edge, number: int, state: RunState = RunState.WAITING) -> str:
    """Store a run that waits, or did, with its entry, and return its id."""
    run_id, name = new_id(), f"s{number}"
    error = RunError("budget_exceeded", "No room.")
    run = Run(run_id, "default", name, "a", RunInput(f"Question {number} " + "x" * 1000, 1, "ada"), Times(NOW))
    run = replace(run, state=state, result=replace(run.result, error=error))
    session = Session("default", name, "a", "ada", NOW, NOW)
    store = edge.services.conversations.store
    await store.update("default", name, run_id, lambda _: ConversationChange(session, run))
    who = CostAttribution("default", "a", name, run_id, "ada")
    await edge.services.budgets.waits.enter(BudgetWait(who, "budget_exceeded", Amounts(1), "m"))
    return run_id


async def listed(edge: Edge, **params: str) -> Any:
    return json.loads((await edge("usage_waiting", request(method="GET", params=params))).get_body())


async def test_runs_that_wait_are_listed_in_pages_with_why() -> None:
    """Those asked first at the top; long questions are cut."""
    edge = Edge(budgets)
    ids = [await waiting(edge, number) for number in range(MANY)]
    found, after = [], {}
    while True:
        page = await listed(edge, limit="3", **after)
        found += page["items"]
        if page["next"] is None:
            break
        after = {"next": page["next"]}

    assert [item["id"] for item in found] == sorted(ids)
    first = next(item for item in found if item["session_id"] == "s0")
    assert (first["agent"], first["user_id"], first["code"]) == ("a", "ada", "budget_exceeded")
    assert (first["detail"], first["cost_micro_usd"]) == ("No room.", 0)
    assert first["query"].startswith("Question 0 ")
    assert len(first["query"]) == 300


async def test_an_entry_that_cannot_be_read_is_passed_over() -> None:
    """The pages go on behind it."""
    edge = Edge(budgets)
    ids = sorted([await waiting(edge, number) for number in range(3)])
    damaged = Row("default", f"wait!{ids[1]}", {"wait": "{"})
    await edge.services.core.tables.commit("budgets", [Upsert(damaged)])
    first = await listed(edge, limit="2")
    second = await listed(edge, limit="2", next=first["next"])

    assert [[item["id"] for item in page["items"]] for page in (first, second)] == [[ids[0]], [ids[2]]]
    assert second["next"] is None


async def test_one_that_has_gone_on_is_left_out() -> None:
    """Its entry may stay a while longer."""
    edge = Edge(budgets)
    await waiting(edge, 0, RunState.SUCCEEDED)
    still = await waiting(edge, 1)

    assert [item["id"] for item in (await listed(edge))["items"]] == [still]


async def test_a_cursor_of_something_else_is_refused() -> None:
    """Whatever it is."""
    edge = Edge(budgets)
    refused = await edge("usage_waiting", request(method="GET", params={"next": "bnVsbA=="}))

    assert (refused.status_code, json.loads(refused.get_body())["code"]) == (400, "invalid_next")
