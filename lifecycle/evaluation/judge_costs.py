"""Charges the cost of judging an answer to the agent that gave it, within the agent's budgets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass
from lifecycle.runs.call_metering import CallMeter, MeterPolicy, charged
from lifecycle.runs.runaway_guard import GuardPolicy
from lifecycle.runs.tool_calls import ToolCalls, ToolRules
from llmops.facts.attempt_fact import AttemptFact, Attribution, Call, Ending, Timing
from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.run import Run
    from lifecycle.loader.agent_resolver import LiveAgent
    from llmops.budgets.call_budget import BudgetService
    from llmops.facts.fact_store import Facts
    from llmops.spend.rate_store import RateStore

ATTEMPT = 0
"""Attempt number for judges' reservations: attempts that answer are numbered from 1."""

JUDGE = "judge"
"""Name of the judge that is an agent of the workspace."""
TRIES = 5
"""How often a judge is asked about an answer before it is given up."""
_CALLS = 100
"""Numbers reserved for the model calls of one judgement; far more than Agent Framework makes for one request."""

JUDGING_LASTS = timedelta(minutes=5)
"""Time limit for the tools of a judging agent."""

VERDICT_TOKENS = 4000
"""Tokens reserved for a judge's verdict, with its reasoning, if its spec has no limit."""

Settle = Callable[[Usage | None], Awaitable[None]]
"""Records the actual usage; None for unknown usage, so that the call is booked as unmetered at its reservation."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One try of asking a judge, claimed by one worker.

    Attributes:
        before: Its model calls are numbered from this number + 1 (`before_calls`).
        note: Stores its calls, so that they are accounted for if the worker dies; the last one is about to be made.
            Raises Unavailable; then the call must not be made.
    """

    before: int
    note: Callable[[Sequence[Call]], Awaitable[None]]

    async def calling(self, calls: Sequence[Call], following: Call) -> None:
        """Store the settled calls, and the one that is about to be made, at its estimate."""
        await self.note((*calls, following))


class JudgingCharges:
    """Charges for judges' calls."""

    def __init__(self, budgets: BudgetService, facts: Facts, rates: RateStore, clock: Clock) -> None:
        self._budgets = budgets
        self._facts = facts
        self._rates = rates
        self._clock = clock

    @asynccontextmanager
    async def of_agent(self, run: Run, judge: LiveAgent, judgement: Judgement) -> AsyncGenerator[Sequence[Any]]:
        """Provide the middleware that reserves and records the judging agent's model calls."""
        budget = self._budgets.of(charged(run), ATTEMPT)
        guard = GuardPolicy(0, 0).of(judge.spec.runaway)
        policy = MeterPolicy(guard, VERDICT_TOKENS, first=judgement.before + 1)
        meter = CallMeter(run.workspace, judge, budget, self._rates, judgement, self._clock, policy)
        try:
            calls = ToolCalls(meter, run, judge.version.version, ToolRules(), self._clock, JUDGING_LASTS, resumed=False)
            yield [*meter.middleware(), calls.middleware()]
        finally:
            metered = meter.totals
            # Before anything else: a reservation whose worker died is settled at what was recorded.
            await self.record(run, JUDGE, (*metered.calls, metered.open) if metered.open else metered.calls)
            await budget.close()

    @asynccontextmanager
    async def of_service(
        self, run: Run, provider: str, model: str, at_most: Usage, judgement: Judgement
    ) -> AsyncGenerator[Settle]:
        """Reserve what a judging service may use, and provide the function that records what it used.

        If that is not called, the call is booked as unsettled, at its reservation.

        Args:
            run: The run whose answer is judged.
            provider: The service.
            model: The model that it uses.
            at_most: The most it may use.
            judgement: The present try.

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
            budget.record(replace(intent, usage=Usage(), cost_micro_usd=0, outcome="refused"))  # the call is not made
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
        """Store the calls of a try beside the fact of the answer. Idempotent."""
        if calls:
            await self._facts.record(judging_of(run, judge, calls))


def before_calls(judge: int, attempt: int, tries: int) -> int:
    """Return the number after which the calls of a judgement are numbered.

    It is derived from what was claimed before the judge is asked, so no two judgements of a run share a number, and
    each call has its own fact and reservation.

    Args:
        judge: The judge's index in `JUDGES`.
        attempt: Number of the attempt that answered, from 1.
        tries: How often the judgement was claimed, 1 to TRIES.
    """
    return (((attempt - 1) * 2 + judge) * TRIES + tries - 1) * _CALLS


def judging_of(run: Run, judge: str, calls: Sequence[Call]) -> AttemptFact:
    """Return the fact of a judge's calls for the answer of a run."""
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
