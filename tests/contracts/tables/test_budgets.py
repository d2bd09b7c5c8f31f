"""Reservations over both implementations: workers with pictures of their own, some dying, never pass the cap."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from datetime import timedelta

from kernel.errors import Unavailable
from kernel.tables import Tables
from llmops.budgets.budget_rules import Amounts, AppliedLimit, Limit
from llmops.budgets.counters import BudgetCounters
from llmops.budgets.reservations import ReservationRequest, Settlement
from tests.lifecycle.doubles import NOW, Crash, Fate, FatefulTables, ManualClock
from tests.llmops.conftest import intent

CAP = 600
LIMITS = [
    AppliedLimit(scope, Limit("tokens", "total", CAP), f"{scope}!total", None) for scope in ("workspace", "agent:bot")
]


async def test_workers_that_die_never_spend_more_than_the_cap(tables: Tables) -> None:
    """What was really spent is at most what the counters hold, and these are the same in both scopes."""
    workspace, clock, dice = f"w{uuid.uuid4().hex[:16]}", ManualClock(), random.Random(7)

    async def work(worker: int) -> int:
        spent = 0
        fate = Fate(dice.randrange(4, 14), dice.random() < 0.5) if worker % 2 else Fate()
        accounts = BudgetCounters(FatefulTables(tables, fate), clock)
        with contextlib.suppress(Crash, Unavailable):
            for call in range(1, 9):
                ask = ReservationRequest(
                    intent(f"run-{worker}", call=call), Amounts(1, 40), LIMITS, NOW + timedelta(minutes=1)
                )
                hold = (await accounts.change(workspace, None, ask)).hold
                if hold is None:
                    break
                used = dice.randrange(20, 41)
                spent += used
                await accounts.change(workspace, Settlement(hold, Amounts(1, used)), None)
        return spent

    spent = sum(await asyncio.gather(*map(work, range(8))))
    accounts = BudgetCounters(tables, clock)
    async for hold in accounts.reservations(workspace):
        await accounts.change(workspace, Settlement(hold, hold.amounts), None)
    counters = await accounts.counters(workspace, [each.counter for each in LIMITS])

    assert len(set(counters.values())) == 1
    counter = counters["workspace!total"]
    assert (counter.reserved, spent <= counter.spent.tokens <= CAP) == (Amounts(), True)
    assert counter.spent.tokens > CAP / 2
