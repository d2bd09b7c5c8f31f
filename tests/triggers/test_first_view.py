"""What the web app's first page asks for reads as much with many sessions as with some."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kernel.ids import new_id
from kernel.tables import Insert
from lifecycle.conversations.changes import ConversationChange
from lifecycle.conversations.long_texts import LongTexts
from lifecycle.conversations.rows import TABLE, SessionRows
from lifecycle.conversations.run import Run, RunInput, RunState, Times
from lifecycle.conversations.session import Session
from llmops.budgets.rules import Amounts, CostAttribution
from llmops.budgets.waits import BudgetWait
from tests.lifecycle.doubles import NOW, CountingTables
from tests.triggers.conftest import Edge, request
from triggers.http import alerts, approvals, budgets, sessions, teams

SOME, MANY = 50, 1000
ASKED = ("sessions", "usage_waiting", "alerts_fired", "approvals_list", "inbox_list")
SHOWN = 25
"""The latest sessions that the first page asks for."""


async def store(edge: Edge, first: int, last: int) -> None:
    """Store sessions of these numbers, one a second."""
    rows = SessionRows(LongTexts(edge.services.core.texts))
    for number in range(first, last):
        at = NOW + timedelta(seconds=number)
        session = Session("default", f"s{number}", "a", "ada", at, at)
        await edge.services.conversations.directory.enter_session(session)
        await edge.services.core.tables.commit(TABLE, [Insert(rows.session_row(session, ""))])


async def looked(edge: Edge, tables: CountingTables) -> tuple[dict[str, Any], Counter[str]]:
    """Return what each request answers, and all table requests that it took."""
    tables.reset()
    answers: dict[str, Any] = {}
    for name in ASKED:
        params = {"limit": str(SHOWN)} if name == "sessions" else {"limit": "50"}
        answers[name] = json.loads((await edge(name, request(method="GET", params=params))).get_body())["items"]
    return answers, Counter(tables.operations)


async def test_the_first_page_reads_as_much_with_many_sessions_and_finds_the_oldest_that_waits() -> None:
    tables = CountingTables()
    edge = Edge(alerts, approvals, budgets, sessions, teams, tables=tables)
    run_id = new_id()
    oldest = Session("default", "oldest", "a", "ada", NOW, NOW)
    run = replace(Run(run_id, "default", "oldest", "a", RunInput("?", 1), Times(NOW)), state=RunState.WAITING)
    await edge.services.conversations.store.update(
        "default", "oldest", run_id, lambda _: ConversationChange(oldest, run)
    )
    who = CostAttribution("default", "a", "oldest", run_id)
    await edge.services.budgets.waits.enter(BudgetWait(who, "budget_exceeded", Amounts(1), "m"))
    await store(edge, 0, SOME)
    await looked(edge, tables)  # the first request also looks at what to preload
    _, some = await looked(edge, tables)
    await store(edge, SOME, MANY)
    found, many = await looked(edge, tables)

    assert many == some
    assert many[f"get {TABLE}"] <= SHOWN + 1
    assert [item["id"] for item in found["sessions"][:2]] == [f"s{MANY - 1}", f"s{MANY - 2}"]
    assert [item["session_id"] for item in found["usage_waiting"]] == ["oldest"]
