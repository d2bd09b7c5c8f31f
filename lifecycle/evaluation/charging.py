"""Charging what judging an answer takes to the agent that gave it, within the agent's budgets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
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
from llmops.spend.rate_store import RateStore
from llmops.spend.usage import Usage

ATTEMPT = 0
"""The attempt that reservations for judging belong to: attempts that answer are numbered from 1."""

JUDGE = "judge"
"""The judge that is an agent."""
TRIES = 5
"""How often a judge is asked about an answer before it is given up."""
_CALLS = 100
"""Numbers kept for the model calls of one judgement, well above what Agent Framework's loop makes of one request."""

JUDGING_LASTS = timedelta(minutes=5)
"""How long a judge's tools may expect to have."""

VERDICT_TOKENS = 4000
"""Tokens that a judge's verdict may take within budgets where the judge does not say, its reasoning included."""

Settle = Callable[[Usage | None], Awaitable[None]]
"""Records what was really used; None where that is not said, so that the call is unmetered, at what was reserved."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One try to ask a judge, which its worker alone makes.

    Attributes:
        before: The number (`before_calls`) after which its model calls are numbered.
        note: Notes its calls where others find them when this worker dies, the last of which is about to be made.
            Raises Unavailable; the call must not be made then.
    """

    before: int
    note: Callable[[Sequence[Call]], Awaitable[None]]

    async def calling(self, calls: Sequence[Call], following: Call) -> None:
        """Note the calls that are settled, and the one that is about to be made, at its estimate."""
        await self.note((*calls, following))


class JudgingCharges:
    """Pays for judges."""

    def __init__(self, budgets: BudgetService, facts: Facts, rates: RateStore, clock: Clock) -> None:
        self._budgets = budgets
        self._facts = facts
        self._rates = rates
        self._clock = clock

    @asynccontextmanager
    async def of_agent(self, run: Run, judge: LiveAgent, judgement: Judgement) -> AsyncGenerator[Sequence[Any]]:
        """Provide the middleware by which the judging agent's model calls are paid for."""
        budget = self._budgets.of(charged(run), ATTEMPT)
        guard = GuardPolicy(0, 0).of(judge.spec.runaway)
        policy = MeterPolicy(guard, VERDICT_TOKENS, first=judgement.before + 1)
        meter = CallMeter(run.workspace, judge, budget, self._rates, judgement, self._clock, policy)
        try:
            calls = ToolCalls(meter, run, judge.version.version, ToolRules(), self._clock, JUDGING_LASTS, resumed=False)
            yield [*meter.middleware(), calls.middleware()]
        finally:
            metered = meter.totals
            # First: a reservation whose worker dies is settled as what is recorded.
            await self.record(run, JUDGE, (*metered.calls, metered.open) if metered.open else metered.calls)
            await budget.close()

    @asynccontextmanager
    async def of_service(
        self, run: Run, provider: str, model: str, at_most: Usage, judgement: Judgement
    ) -> AsyncGenerator[Settle]:
        """Reserve what a service may take to judge, and provide what records what it took.

        Where there is no result, the call is unsettled, at what was reserved.

        Args:
            run: Whose answer is judged.
            provider: The service.
            model: The model that it uses.
            at_most: What it may take.
            judgement: The try to ask it.

        Raises:
            BudgetBlocked: The agent's budgets do not allow it.
        """
        budget = self._budgets.of(charged(run), ATTEMPT)
        rates, now = await self._rates.of(run.workspace), self._clock()
        priced = rates.at_most(model, at_most, now)
        intent = call = Call(
            number=judgement.before + 1,
            at=now,
            provider=provider,
            model=model,
            usage=at_most,
            cost_micro_usd=priced.cost_micro_usd,
            rate=priced.rate,
            outcome="unsettled",
        )
        await budget.begin(intent)
        try:
            await judgement.note((intent,))
        except BaseException:
            budget.record(replace(intent, usage=Usage(), cost_micro_usd=0, outcome="refused"))  # it is never made
            await budget.close()
            raise

        async def settle(usage: Usage | None) -> None:
            nonlocal call
            if usage is None:
                call = replace(intent, outcome="unmetered")
                return
            priced = (await self._rates.of(run.workspace)).price(model, usage, intent.at)
            cost, rate = priced.cost_micro_usd, priced.rate
            call = replace(intent, usage=usage, cost_micro_usd=cost, rate=rate, outcome="answered")

        try:
            yield settle
        finally:
            await self.record(run, provider, [call])
            budget.record(call)
            await budget.close()

    async def record(self, run: Run, judge: str, calls: Sequence[Call]) -> None:
        """Write what a try to ask a judge took, beside the fact of the answer; doing so again changes nothing."""
        if calls:
            await self._facts.record(judging_of(run, judge, calls))


def before_calls(judge: int, attempt: int, tries: int) -> int:
    """Return the number after which the calls of a judgement are numbered.

    It is made of what was claimed before the judge was asked. So no two judgements of a run, at whatever worker, have a
    call in common, and each call has its own fact and reservation.

    Args:
        judge: The judge's place among `JUDGES`, 0 or 1.
        attempt: The attempt that gave the answer, from 1.
        tries: How often the judgement was claimed, from 1 to TRIES.
    """
    return (((attempt - 1) * 2 + judge) * TRIES + tries - 1) * _CALLS


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
