"""Charging what judging an answer takes to the agent that gave it, within the agent's budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from kernel.clock import Clock
from lifecycle.loader.resolver import LiveAgent
from lifecycle.runs.guard import Guard, GuardPolicy
from lifecycle.runs.metering import Meter, charged
from lifecycle.runs.rules import Run
from llmops.budgets.purse import Purse, Treasury
from llmops.spend.ledger import Line
from llmops.spend.rates import RateBook
from llmops.spend.usage import Usage

ATTEMPT = 0
"""The attempt that judging counts as in the ledger: attempts that answer are numbered from 1."""

TRIES = 5
"""How often a judge is asked about an answer before it is given up."""
_CALLS = 100
"""Numbers kept for the model calls of one judgement, well above what Agent Framework's loop makes of one request."""

VERDICT_TOKENS = 4000
"""Tokens that a judge's verdict may take within budgets where the judge does not say, its reasoning included."""

Settle = Callable[[Usage | None], Awaitable[None]]
"""Records what was really used; None where that is not said, so that the call is unmetered, at what was reserved."""


class JudgingCharges:
    """Pays for judges."""

    def __init__(self, treasury: Treasury, rates: RateBook, clock: Clock) -> None:
        self._treasury = treasury
        self._rates = rates
        self._clock = clock

    @asynccontextmanager
    async def of_agent(self, run: Run, judge: LiveAgent, calls: int) -> AsyncIterator[Sequence[Any]]:
        """Provide the middleware by which the judging agent's model calls are paid for.

        Args:
            run: Whose answer is judged.
            judge: The agent that judges.
            calls: The number (`before_calls`) after which this judgement's calls are numbered.
        """
        purse = self._treasury.purse(charged(run), ATTEMPT)
        meter = Meter(
            replace(run, attempt=ATTEMPT),
            judge,
            purse,
            self._rates,
            Guard(GuardPolicy(0, 0).of(judge.spec.runaway)),
            self._treasury.news,
            self._clock,
            usual_output=VERDICT_TOKENS,
            purpose="evaluation",
            calls=calls,
        )
        try:
            yield meter.middleware()
        finally:
            await purse.close()

    @asynccontextmanager
    async def of_service(
        self, run: Run, provider: str, model: str, at_most: Usage, calls: int
    ) -> AsyncIterator[Settle]:
        """Reserve what a service may take to judge, and provide what records what it took.

        Where there is no result, the call stands in the ledger as unsettled, at what was reserved.

        Args:
            run: Whose answer is judged.
            provider: The service.
            model: The model that it uses.
            at_most: What it may take.
            calls: The number (`before_calls`) after which this judgement's call is numbered.

        Raises:
            BudgetBlocked: The agent's budgets do not allow it.
        """
        purse = self._treasury.purse(charged(run), ATTEMPT)
        intent = await self._intent(run, provider, model, at_most, calls + 1)
        await purse.begin(intent)
        line = intent

        async def settle(usage: Usage | None) -> None:
            nonlocal line
            if usage is None:
                line = replace(intent, outcome="unmetered")
                return
            priced = (await self._rates.of(run.workspace)).price(model, usage, intent.at)
            cost, rate = priced.cost_micro_usd, priced.rate
            line = replace(intent, usage=usage, cost_micro_usd=cost, rate=rate, outcome="answered")

        try:
            yield settle
        finally:
            await self._close(purse, line)

    async def _close(self, purse: Purse, line: Line) -> None:
        await purse.record(line)
        await purse.close()

    async def _intent(self, run: Run, provider: str, model: str, at_most: Usage, call: int) -> Line:
        rates, now = await self._rates.of(run.workspace), self._clock()
        priced = rates.at_most(model, at_most, now)
        return Line(
            workspace=run.workspace,
            run_id=run.id,
            attempt=ATTEMPT,
            call=call,
            at=now,
            agent=run.agent,
            session_id=run.session_id,
            user_id=run.user_id or "",
            provider=provider,
            model=model,
            usage=at_most,
            cost_micro_usd=priced.cost_micro_usd,
            rate=priced.rate,
            latency_ms=0,
            purpose="evaluation",
            outcome="unsettled",
        )


def before_calls(judge: int, attempt: int, tries: int) -> int:
    """Return the number after which the calls of a judgement are numbered in the ledger.

    It is made of what was claimed before the judge was asked. So no two judgements of a run, at whatever worker, have a
    call in common, and each call has its own line and reservation.

    Args:
        judge: The judge's place among `JUDGES`, 0 or 1.
        attempt: The attempt that gave the answer, from 1.
        tries: How often the judgement was claimed, from 1 to TRIES.
    """
    return (((attempt - 1) * 2 + judge) * TRIES + tries - 1) * _CALLS
