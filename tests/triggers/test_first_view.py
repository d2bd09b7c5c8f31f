"""What the web app's first page asks for reads as much with many sessions as with some."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from kernel.ids import new_id
from lifecycle.conversations.run import Run, RunInput, RunState, Times
from lifecycle.conversations.run_and_session_indexes import RunPlace
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_change import ConversationChange
from llmops.budgets.budget_rules import Amounts, CostAttribution
from llmops.budgets.waiting_run_index import BudgetWait
from llmops.facts.fact_store import SHARDS
from tests.lifecycle.doubles import NOW, CountingTables, MemoryQueue
from tests.triggers.conftest import Edge, request
from triggers.http import alerts, approvals, budgets, costs, events, reports, runs, sessions, system, teams

SOME, MANY = 30, 120
SHOWN = 12
"""The latest runs that the first page asks for."""
LISTED = {"limit": "50"}
ASKED = {
    "analytics": {},
    "costs": {"group_by": "day"},
    "reports_list": {"period": "month", "limit": "1"},
    "runs_list": {"limit": str(SHOWN)},
    "events": {"wait": "0", "from": "now"},
    "usage_waiting": LISTED,
    "alerts_fired": LISTED,
    "approvals_list": LISTED,
    "inbox_list": LISTED,
    "sessions": {"limit": "2"},
}
"""What the page asks for, and the list of sessions."""
MOST_OF_ANALYTICS = 54
EVENTS = 8
MOST_READS = 106
"""Of tables, for all of it; the days that are still open, at most two before today, take 16 more each."""


async def store(edge: Edge, first: int, last: int) -> None:
    """Store sessions of these numbers with a run each, one a second."""
    conversations = edge.services.conversations
    for number in range(first, last):
        at, run_id = NOW + timedelta(seconds=number), new_id()
        session = Session("default", f"s{number}", "a", "ada", at, at)
        run = replace(Run(run_id, "default", session.id, "a", RunInput("?", 1), Times(at)), state=RunState.SUCCEEDED)
        await conversations.directory.enter_session(session)
        await conversations.directory.claim_run("default", run_id, RunPlace(session.id, "a", ""))
        await conversations.store.update("default", session.id, run_id, partial(made, session, run))


def made(session: Session, run: Run, _: object) -> ConversationChange:
    """Return the change that stores a session with a run."""
    return ConversationChange(session, run)


async def looked(edge: Edge, tables: CountingTables) -> tuple[dict[str, Any], dict[str, Counter[str]]]:
    """Return what each request answers, and the table requests that it took."""
    answers: dict[str, Any] = {}
    taken: dict[str, Counter[str]] = {}
    for name, params in ASKED.items():
        tables.reset()
        reply = await edge(name, request(method="GET", params=dict(params)))
        assert reply.status_code == 200, name
        taken[name] = Counter(tables.operations)
        answers[name] = json.loads(reply.get_body()) if reply.mimetype == "application/json" else None
    return answers, taken


async def test_the_first_page_reads_as_much_with_many_sessions_and_finds_the_oldest_that_waits() -> None:
    """And not much: each part of it is read once, whatever is made of it."""
    tables = CountingTables()
    edge = Edge(
        *(alerts, approvals, budgets, costs, events, reports, runs, sessions, system, teams),
        tables=tables,
        queue=MemoryQueue(),
        clock=lambda: NOW + timedelta(hours=2),  # not in a day's first hour, when the last one is of the day before
    )
    run_id = new_id()
    oldest = Session("default", "oldest", "a", "ada", NOW, NOW)
    waiting = replace(Run(run_id, "default", "oldest", "a", RunInput("?", 1), Times(NOW)), state=RunState.WAITING)
    await edge.services.conversations.store.update("default", "oldest", run_id, partial(made, oldest, waiting))
    who = CostAttribution("default", "a", "oldest", run_id)
    await edge.services.budgets.waits.enter(BudgetWait(who, "budget_exceeded", Amounts(1), "m"))
    await store(edge, 0, SOME)
    await looked(edge, tables)  # the first request also looks at what to preload
    _, some = await looked(edge, tables)
    await store(edge, SOME, MANY)
    found, many = await looked(edge, tables)

    for each in (some, many):
        assert each.pop("events").total() <= EVENTS, "the events' ends are known for a moment, and then read again"
    assert many == some
    assert sum(many["analytics"].values()) <= MOST_OF_ANALYTICS
    assert many["analytics"]["query facts"] == 3 * SHARDS, "what is spent, what was done, what is not added up yet"
    assert sum(taken.total() for name, taken in many.items() if name != "sessions") + EVENTS <= MOST_READS
    assert [item["id"] for item in found["sessions"]["items"]] == [f"s{MANY - 1}", f"s{MANY - 2}"]
    assert [item["session_id"] for item in found["usage_waiting"]["items"]] == ["oldest"]
