"""The budget of one attempt: each model call is reserved before it is made and settled after it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from kernel.clock import Clock
from kernel.errors import Unavailable
from kernel.lazy_dataclass import dataclass
from llmops.budgets.budget_events import BudgetEvents
from llmops.budgets.budget_rules import (
    Amounts,
    AppliedLimit,
    BudgetBlocked,
    CostAttribution,
    Refusal,
    applying,
    percent,
    refusal_text,
)
from llmops.budgets.counters import BudgetCounters
from llmops.budgets.reservations import Intent, Reservation, ReservationRequest, Settlement
from llmops.budgets.store import BudgetStore
from llmops.capacity.admission import Admission, AdmissionRequest, Capacity
from llmops.facts.attempt_fact import Call

log = logging.getLogger(__name__)

UNPRICED = "model_unpriced"
"""Error code of a run that waits because its model has no known price although a budget is in USD."""

Recorded = Callable[[Intent], Awaitable[Call | None]]
"""Returns a call as recorded with its run or in its fact; None if none is recorded."""


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """Settings of reservations.

    Attributes:
        hold_for: How long a reservation lasts unless it is settled; longer than any attempt.
        wait_for: How long a call waits for others' reservations to be released.
        longest_call: Wall time reserved for a call and the tools after it.
    """

    hold_for: timedelta
    wait_for: timedelta
    longest_call: timedelta


@dataclass(frozen=True, slots=True)
class BudgetService:
    """What the budgets of all attempts share.

    Attributes:
        budgets: The declared budgets.
        counters: What is spent and reserved.
        recorded: Returns the recorded outcome of a call.
        events: Publishes budget events.
        clock: Returns the current time.
        policy: Settings of reservations.
        capacity: The capacity pools of agents; None for none.
    """

    budgets: BudgetStore
    counters: BudgetCounters
    recorded: Recorded
    events: BudgetEvents
    clock: Clock
    policy: BudgetPolicy
    capacity: Capacity | None = None

    def of(self, who: CostAttribution, attempt: int, admission: Admission | None = None) -> CallBudget:
        """Return the budget of an attempt; with `admission`, its calls also take capacity from that pool."""
        return CallBudget(self, who, attempt, admission)

    async def admission(self, claim: AdmissionRequest) -> Admission | None:
        """Return the attempt's admission to its agent's pool; None where the agent has no pool."""
        return await self.capacity.admission(claim) if self.capacity is not None else None

    async def free(
        self, workspace: str, run_id: str | None = None, before_attempt: int = 0, *, judges: bool = True
    ) -> int:
        """Settle expired reservations, or those of a run's earlier attempts, and return how many were settled.

        Each is settled at the recorded cost of its call, or at its estimate if nothing is recorded.

        Args:
            workspace: The workspace.
            run_id: The run; None for all runs.
            before_attempt: Reservations of attempts before this one are settled even if not expired.
            judges: Whether to include those of judges of the run's answer (attempt 0).
        """
        now = self.clock()
        count = 0
        async for hold in self.counters.reservations(workspace, run_id):
            first = 0 if judges else 1
            if hold.until <= now or first <= hold.intent.attempt < before_attempt:
                call = await self.recorded(hold.intent) or replace(hold.intent.call, outcome="unsettled")
                await self.counters.change(workspace, Settlement(hold, spent_of(call, hold.amounts.ms)), None)
                count += 1
        return count


class CallBudget:
    """Reserves and settles the model calls of one attempt, one after the other.

    The unspent part of a reservation is released with the next reservation, in one transaction, or by `close`.

    Attributes:
        until: When the reserved wall time runs out (`time.monotonic`); None when it is not limited.
    """

    def __init__(
        self, service: BudgetService, who: CostAttribution, attempt: int, admission: Admission | None = None
    ) -> None:
        self._service = service
        self._admission = admission
        self._who = who
        self._attempt = attempt
        self._hold: Reservation | None = None
        self._call: Call | None = None
        self._began = 0.0
        self.until: float | None = None

    @property
    def out_of_time(self) -> bool:
        """Whether the remaining wall time of a budget is used up."""
        if self._hold is None or self.until is None or time.monotonic() < self.until:
            return False
        return self._hold.amounts.ms < round(self._service.policy.longest_call.total_seconds() * 1000)

    async def take_over(self) -> None:
        """Settle what earlier attempts of the run left reserved when their workers died."""
        if await self._service.budgets.of(self._who.workspace):
            await self._service.free(self._who.workspace, self._who.run_id, self._attempt)

    async def limits(self, *, refresh: bool = False) -> Sequence[AppliedLimit]:
        """Return the limits that apply to the run's calls."""
        service = self._service
        return applying(await service.budgets.of(self._who.workspace, refresh=refresh), self._who, service.clock())

    async def percent(self) -> int:
        """Return the spent share of the limit that is nearest to exhaustion, in percent; 0 without limits."""
        limits = await self.limits()
        keys = list(dict.fromkeys(each.counter for each in limits))
        counters = await self._service.counters.counters(self._who.workspace, keys)
        return max((percent(each, counters) for each in limits), default=0)

    async def degraded(self, step: str, spent_percent: int, model: str | None) -> None:
        """Publish that the agent moves to a degradation step."""
        await self._service.events.degraded(self._who, step, spent_percent, model, self._service.clock())

    async def enter(self) -> None:
        """Take a slot of the agent's pool, if it has one.

        Raises:
            PoolFull: No slot is free now; the run is to be retried later.
            PoolRefused: No slot is free, and the pool rejects at once.
        """
        if self._admission is not None:
            await self._admission.enter()

    async def begin(self, call: Call) -> None:
        """Reserve the estimated cost of a call; does nothing where no pool and no budget applies.

        Args:
            call: The call at its estimate: the most that it may take and cost.

        Raises:
            BudgetBlocked: A budget does not allow the call.
            PoolFull: The agent's pool has no capacity for the call now.
            PoolRefused: The pool has no capacity, and rejects at once.
            NeverFits: The call needs more than the pool's whole limit.
            Unavailable: The reservation could not be written.
        """
        if self._admission is None:
            await self._begin(call)
            return
        await self._admission.begin(
            reserve_for(call).tokens
        )  # before money is reserved that others could spend meanwhile
        try:
            await self._begin(call)
        except BaseException:
            self._admission.record(0, 0)
            raise

    async def _begin(self, call: Call) -> None:
        limits = await self.limits()
        if not limits:
            await self._give_back()
            return
        if call.cost_micro_usd is None and any(each.limit.unit == "usd" for each in limits):
            msg = f"The model {call.model!r} has no known price, so that no budget in USD can hold; give it a price."
            raise BudgetBlocked(msg, code=UNPRICED)
        longest = self._service.policy.longest_call
        need = replace(reserve_for(call), ms=round(longest.total_seconds() * 1000))
        self._hold = await self._reserved(Intent(self._who, self._attempt, call), need, limits)
        self._began = time.monotonic()
        limited = any(each.limit.unit == "seconds" for each in limits)
        self.until = self._began + self._hold.amounts.ms / 1000 if limited else None

    def record(self, call: Call) -> None:
        """Record the outcome of the call that `begin` reserved; the next reservation, or `close`, settles it."""
        self._call = call
        if self._admission is not None:
            usage = call.usage
            self._admission.record(usage.input_tokens + usage.output_tokens)

    async def close(self) -> None:
        """Release what is reserved and not spent; if that fails, the reservation expires.

        A failure is logged, not raised: the answer is paid for and must not be lost.
        """
        await self._give_back()

    def leave(self) -> None:
        """Release the slot of the agent's pool: this attempt makes no more model calls."""
        if self._admission is not None:
            self._admission.close()

    async def _give_back(self) -> None:
        if (settled := self._settled()) is None:
            return
        service = self._service
        try:
            outcome = await service.counters.change(self._who.workspace, settled, None)
            self._hold = self._call = None
            limits = await self.limits()
        except Unavailable as error:
            log.warning(
                "a reservation was not released, and expires: %s", error.code, extra={"event": "budget.left_over"}
            )
            return
        known = [each for each in limits if each.counter in outcome.counters]
        await service.events.thresholds(self._who.workspace, known, outcome.counters, service.clock())

    async def _reserved(self, intent: Intent, need: Amounts, limits: Sequence[AppliedLimit]) -> Reservation:
        service, workspace = self._service, self._who.workspace
        give_up = time.monotonic() + service.policy.wait_for.total_seconds()
        settled, looked = self._settled(), False
        while True:
            ask = ReservationRequest(intent, need, limits, service.clock() + service.policy.hold_for)
            outcome = await service.counters.change(workspace, settled, ask)
            if settled is not None:
                settled = self._hold = self._call = None
            known = [each for each in limits if each.counter in outcome.counters]
            await service.events.thresholds(workspace, known, outcome.counters, service.clock())
            if outcome.hold is not None:
                return outcome.hold
            if not looked:  # the limits may just have been raised
                looked, limits = True, await self.limits(refresh=True)
                await service.free(workspace)
                continue
            full = [refusal for refusal in outcome.refusals if refusal.full]
            if full or time.monotonic() >= give_up:
                raise blocked(full or outcome.refusals)
            await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - spreads those who wait

    def _settled(self) -> Settlement | None:
        """Return the settlement of the last call's reservation; None if there is none.

        Its wall time is that of the call and of what came after it until now: tools, up to the next call. A reservation
        whose call has no known outcome is kept until it expires.
        """
        if self._hold is None or self._call is None:
            return None
        return Settlement(self._hold, spent_of(self._call, round((time.monotonic() - self._began) * 1000)))


def reserve_for(call: Call) -> Amounts:
    """Return the amounts to reserve for a call at its estimate, without wall time."""
    return Amounts(1, call.usage.input_tokens + call.usage.output_tokens, call.cost_micro_usd or 0)


def blocked(refusals: Sequence[Refusal]) -> BudgetBlocked:
    """Return the error for a call that these limits refuse."""
    return BudgetBlocked(refusal_text(refusals[0]), refusals=refusals)


def spent_of(call: Call, ms: int) -> Amounts:
    """Return the amounts that a call spent."""
    spend = call.spend
    return Amounts(spend.calls, spend.input_tokens + spend.output_tokens, spend.cost_micro_usd, ms)
