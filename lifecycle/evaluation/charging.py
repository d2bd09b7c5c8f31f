"""Charging what judging an answer takes to the agent that gave it, within the agent's budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from kernel.clock import Clock
from lifecycle.loader.resolver import LiveAgent
from lifecycle.runs.endings import calls_of
from lifecycle.runs.guard import Guard, GuardPolicy
from lifecycle.runs.metering import Meter, charged
from lifecycle.runs.rules import Run
from llmops.budgets.purse import Treasury
from llmops.facts.model import AttemptFact, Attribution, Ending, Timing
from llmops.facts.store import Facts
from llmops.spend.ledger import Line
from llmops.spend.rates import RateBook
from llmops.spend.usage import Usage

ATTEMPT = 0
"""The attempt that judging counts as in the ledger: attempts that answer are numbered from 1."""

JUDGE = "judge"
"""The judge that is an agent."""

VERDICT_TOKENS = 4000
"""Tokens that a judge's verdict may take within budgets where the judge does not say, its reasoning included."""

Settle = Callable[[Usage], Awaitable[None]]
"""Records what was really used."""


class JudgingCharges:
    """Pays for judges."""

    def __init__(self, treasury: Treasury, facts: Facts, rates: RateBook, clock: Clock) -> None:
        self._treasury = treasury
        self._facts = facts
        self._rates = rates
        self._clock = clock

    @asynccontextmanager
    async def of_agent(self, run: Run, judge: LiveAgent) -> AsyncIterator[Sequence[Any]]:
        """Provide the middleware by which the judging agent's model calls are paid for."""
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
            calls=await self._latest_call(run),
        )
        try:
            yield meter.middleware()
        finally:
            await purse.close()
            await self._note(run, JUDGE, meter.lines)

    @asynccontextmanager
    async def of_service(self, run: Run, provider: str, model: str, at_most: Usage) -> AsyncIterator[Settle]:
        """Reserve what a service may take to judge, and provide what records what it took.

        Where that is never told, the call stands in the ledger as unsettled, at what was reserved.

        Raises:
            BudgetBlocked: The agent's budgets do not allow it.
        """
        purse = self._treasury.purse(charged(run), ATTEMPT)
        intent = await self._intent(run, provider, model, at_most)
        await purse.begin(intent)
        line = intent

        async def settle(usage: Usage) -> None:
            nonlocal line
            priced = (await self._rates.of(run.workspace)).price(model, usage, intent.at)
            cost, rate = priced.cost_micro_usd, priced.rate
            line = replace(intent, usage=usage, cost_micro_usd=cost, rate=rate, outcome="answered")

        try:
            yield settle
        finally:
            line = await purse.record(line)
            await purse.close()
            await self._note(run, provider, [line])

    async def _note(self, run: Run, judge: str, lines: Sequence[Line]) -> None:
        """Write what a try to hear a judge took, beside the fact of the answer."""
        if lines:
            await self._facts.record(judging_of(run, judge, lines))

    async def _intent(self, run: Run, provider: str, model: str, at_most: Usage) -> Line:
        rates, now = await self._rates.of(run.workspace), self._clock()
        return Line(
            workspace=run.workspace,
            run_id=run.id,
            attempt=ATTEMPT,
            call=await self._latest_call(run) + 1,
            at=now,
            agent=run.agent,
            session_id=run.session_id,
            user_id=run.user_id or "",
            provider=provider,
            model=model,
            usage=at_most,
            cost_micro_usd=rates.at_most(model, at_most, now),
            rate=rates.price(model, at_most, now).rate,
            latency_ms=0,
            purpose="evaluation",
            outcome="unsettled",
        )

    async def _latest_call(self, run: Run) -> int:
        first = (run.finished_at or run.created_at).date()
        return await self._treasury.ledger.latest_call(run.workspace, run.id, ATTEMPT, first, self._clock().date())


def judging_of(run: Run, judge: str, lines: Sequence[Line]) -> AttemptFact:
    """Return the fact of a judge's calls about the answer of a run."""
    ended = run.finished_at or run.created_at
    failed = any(line.outcome in ("refused", "unsettled") for line in lines)
    return AttemptFact(
        Attribution(run.workspace, run.agent, run.session_id, run.id, run.user_id or "", run.version or ""),
        run.attempt,
        Timing(run.created_at, run.started_at, run.started_at, ended),
        Ending.FAILED if failed else Ending.SUCCEEDED,
        calls_of(lines),
        judge=judge,
    )
