"""Charging what judging an answer takes to the agent that gave it, within the agent's budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kernel.clock import Clock
from lifecycle.conversations.run import Run
from lifecycle.loader.resolver import LiveAgent
from lifecycle.runs.guard import GuardPolicy
from lifecycle.runs.metering import CallMeter, MeterPolicy, charged
from lifecycle.runs.tool_calls import ToolCalls, ToolRules
from llmops.budgets.call_budget import BudgetService
from llmops.facts.model import AttemptFact, Attribution, Call, Ending, Timing
from llmops.facts.store import Facts
from llmops.spend.ledger import Ledger, Line
from llmops.spend.rates import RateBook
from llmops.spend.usage import Usage

ATTEMPT = 0
"""The attempt that judging counts as in the ledger: attempts that answer are numbered from 1."""

JUDGE = "judge"
"""The judge that is an agent."""

JUDGING_LASTS = timedelta(minutes=5)
"""How long a judge's tools may expect to have."""

VERDICT_TOKENS = 4000
"""Tokens that a judge's verdict may take within budgets where the judge does not say, its reasoning included."""

Settle = Callable[[Usage], Awaitable[None]]
"""Records what was really used."""


class JudgingCharges:
    """Pays for judges."""

    def __init__(self, budgets: BudgetService, facts: Facts, rates: RateBook, ledger: Ledger, clock: Clock) -> None:
        self._budgets = budgets
        self._facts = facts
        self._rates = rates
        self._ledger = ledger
        self._clock = clock

    @asynccontextmanager
    async def of_agent(self, run: Run, judge: LiveAgent) -> AsyncIterator[Sequence[Any]]:
        """Provide the middleware by which the judging agent's model calls are paid for."""
        budget = self._budgets.of(charged(run), ATTEMPT)
        notes = _Noted(self._ledger, run, self._clock)
        guard = GuardPolicy(0, 0).of(judge.spec.runaway)
        policy = MeterPolicy(guard, VERDICT_TOKENS, first=await self._latest_call(run) + 1)
        meter = CallMeter(run.workspace, judge, budget, self._rates, notes, self._clock, policy)
        try:
            calls = ToolCalls(meter.guard, run, judge.version.version, ToolRules(), self._clock, JUDGING_LASTS)
            yield [*meter.middleware(), calls.middleware()]
        finally:
            await notes.settled(meter.metered.calls)
            await budget.close()
            await self._note(run, JUDGE, meter.metered.calls)

    @asynccontextmanager
    async def of_service(self, run: Run, provider: str, model: str, at_most: Usage) -> AsyncIterator[Settle]:
        """Reserve what a service may take to judge, and provide what records what it took.

        Where that is never told, the call stands in the ledger as unsettled, at what was reserved.

        Raises:
            BudgetBlocked: The agent's budgets do not allow it.
        """
        budget, notes = self._budgets.of(charged(run), ATTEMPT), _Noted(self._ledger, run, self._clock)
        rates, now = await self._rates.of(run.workspace), self._clock()
        intent = call = Call(
            number=await self._latest_call(run) + 1,
            at=now,
            provider=provider,
            model=model,
            usage=at_most,
            cost_micro_usd=rates.at_most(model, at_most, now),
            rate=rates.price(model, at_most, now).rate,
            outcome="unsettled",
        )
        await budget.begin(intent)
        await notes.calling((), intent)

        async def settle(usage: Usage) -> None:
            nonlocal call
            priced = (await self._rates.of(run.workspace)).price(model, usage, intent.at)
            cost, rate = priced.cost_micro_usd, priced.rate
            call = replace(intent, usage=usage, cost_micro_usd=cost, rate=rate, outcome="answered")

        try:
            yield settle
        finally:
            await notes.settled([call])
            budget.record(call)
            await budget.close()
            await self._note(run, provider, [call])

    async def _note(self, run: Run, judge: str, calls: Sequence[Call]) -> None:
        """Write what a try to ask a judge took, beside the fact of the answer."""
        if calls:
            await self._facts.record(judging_of(run, judge, calls))

    async def _latest_call(self, run: Run) -> int:
        first = (run.finished_at or run.created_at).date()
        return await self._ledger.latest_call(run.workspace, run.id, ATTEMPT, first, self._clock().date())


class _Noted:
    """Notes a judge's calls in the ledger before they are made, and what came of them."""

    def __init__(self, ledger: Ledger, run: Run, clock: Clock) -> None:
        self._ledger = ledger
        self._run = run
        self._clock = clock

    async def calling(self, calls: Sequence[Call], following: Call) -> None:
        """Record the calls that are settled, and note the one that is about to be made."""
        await self.settled(calls)
        await self._ledger.begin(self._line(following), self._clock() + timedelta(hours=1))

    async def settled(self, calls: Sequence[Call]) -> None:
        """Record calls; one that is recorded already stays as it is."""
        for call in calls:
            await self._ledger.record(self._line(call), begun=True)

    def _line(self, call: Call) -> Line:
        run = self._run
        return Line(
            workspace=run.workspace,
            run_id=run.id,
            attempt=ATTEMPT,
            call=call.number,
            at=call.at,
            agent=run.agent,
            session_id=run.session_id,
            user_id=run.user_id or "",
            provider=call.provider,
            model=call.model,
            usage=call.usage,
            cost_micro_usd=call.cost_micro_usd,
            rate=call.rate,
            latency_ms=call.latency_ms,
            purpose="evaluation",
            outcome="answered" if call.outcome == "unmetered" else call.outcome,
            tool_micro_usd=call.tool_micro_usd,
        )


def judging_of(run: Run, judge: str, calls: Sequence[Call]) -> AttemptFact:
    """Return the fact of a judge's calls about the answer of a run."""
    ended = run.finished_at or run.created_at
    failed = any(call.outcome in ("refused", "unsettled") for call in calls)
    return AttemptFact(
        Attribution(run.workspace, run.agent, run.session_id, run.id, run.user_id or "", run.version or ""),
        run.attempt,
        Timing(run.created_at, run.started_at, run.started_at, ended),
        Ending.FAILED if failed else Ending.SUCCEEDED,
        tuple(calls),
        judge=judge,
    )
