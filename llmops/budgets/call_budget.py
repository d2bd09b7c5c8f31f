"""What the model calls of one attempt may spend: each is reserved before it is made, and settled after it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from kernel.clock import Clock
from kernel.errors import Unavailable
from llmops.budgets.counters import BudgetCounters
from llmops.budgets.events import BudgetEvents
from llmops.budgets.reservations import Intent, Reservation, ReservationRequest, Settlement
from llmops.budgets.rules import (
    Amounts,
    AppliedLimit,
    BudgetBlocked,
    CostAttribution,
    Refusal,
    applying,
    percent,
    refusal_text,
)
from llmops.budgets.store import BudgetStore
from llmops.capacity.admission import Capacity, Room, RoomRequest
from llmops.facts.model import Call

log = logging.getLogger(__name__)

UNPRICED = "model_unpriced"
"""Why a run waits whose model has no known price, where a budget is in USD."""

Recorded = Callable[[Intent], Awaitable[Call | None]]
"""Returns a call as it is recorded with its run or in its fact; None where nothing is known of it."""


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """How calls are reserved.

    Attributes:
        hold_for: How long a call may stay unsettled; longer than any attempt.
        wait_for: How long a call waits for others' reservations to be given back.
        longest_call: The wall time reserved for a call and the tools after it.
    """

    hold_for: timedelta
    wait_for: timedelta
    longest_call: timedelta


@dataclass(frozen=True, slots=True)
class BudgetService:
    """What the budgets of all attempts draw on.

    Attributes:
        budgets: The budgets.
        counters: What is spent and reserved of them.
        recorded: Says what came of a call.
        events: Publishes what happens.
        clock: Tells the time.
        policy: How calls are reserved.
        capacity: The pools of agents; None for none.
    """

    budgets: BudgetStore
    counters: BudgetCounters
    recorded: Recorded
    events: BudgetEvents
    clock: Clock
    policy: BudgetPolicy
    capacity: Capacity | None = None

    def of(self, who: CostAttribution, attempt: int, room: Room | None = None) -> CallBudget:
        """Return the budget of an attempt; its calls also take room from the pool, if one is given."""
        return CallBudget(self, who, attempt, room)

    async def room(self, claim: RoomRequest) -> Room | None:
        """Return the room of an attempt in its agent's pool; None where it has none."""
        return await self.capacity.room(claim) if self.capacity is not None else None

    async def free(
        self, workspace: str, run_id: str | None = None, before_attempt: int = 0, *, judges: bool = True
    ) -> int:
        """Settle reservations that have expired, or those of a run's earlier attempts, and return how many.

        Each is settled at what its call is recorded to have spent; if nothing is recorded, at its estimate.

        Args:
            workspace: The workspace.
            run_id: The run; None for all.
            before_attempt: The attempt before which all are settled, expired or not.
            judges: Whether those of judges of the run's answer (attempt 0) are among them.
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

    What a call leaves of its reservation is given back with the next call's, in one transaction, or by `close`.

    Attributes:
        until: When the reserved wall time runs out (`time.monotonic`); None when it is not limited.
    """

    def __init__(self, service: BudgetService, who: CostAttribution, attempt: int, room: Room | None = None) -> None:
        self._service = service
        self._room = room
        self._who = who
        self._attempt = attempt
        self._hold: Reservation | None = None
        self._call: Call | None = None
        self._began = 0.0
        self._ms = 0
        self.until: float | None = None

    @property
    def out_of_time(self) -> bool:
        """Whether the wall time that a budget had left is used up."""
        if self._hold is None or self.until is None or time.monotonic() < self.until:
            return False
        return self._hold.amounts.ms < round(self._service.policy.longest_call.total_seconds() * 1000)

    async def take_over(self) -> None:
        """Settle what earlier attempts of the run, whose workers died, have left reserved."""
        if await self._service.budgets.of(self._who.workspace):
            await self._service.free(self._who.workspace, self._who.run_id, self._attempt)

    async def limits(self, *, refresh: bool = False) -> Sequence[AppliedLimit]:
        """Return the limits that the run's calls have to keep."""
        service = self._service
        return applying(await service.budgets.of(self._who.workspace, refresh=refresh), self._who, service.clock())

    async def percent(self) -> int:
        """Return how much is spent of the limit that is nearest to its end, in percent; 0 without limits."""
        limits = await self.limits()
        keys = list(dict.fromkeys(each.counter for each in limits))
        counters = await self._service.counters.counters(self._who.workspace, keys)
        return max((percent(each, counters) for each in limits), default=0)

    async def degraded(self, step: str, spent_percent: int, model: str | None) -> None:
        """Publish that the agent takes a degradation step."""
        await self._service.events.degraded(self._who, step, spent_percent, model, self._service.clock())

    async def enter(self) -> None:
        """Take a slot of the agent's pool, where it has one.

        Raises:
            PoolFull: There is none yet.
            PoolRefused: There is none, and the pool refuses what does not fit at once.
        """
        if self._room is not None:
            await self._room.enter()

    async def begin(self, call: Call) -> None:
        """Reserve what the call may come to; nothing where no pool and no budget applies to it.

        Args:
            call: The call at its estimate: the most that it may take and cost.

        Raises:
            BudgetBlocked: A budget does not allow it.
            PoolFull: There is no room for it in the agent's pool yet.
            PoolRefused: There is none, and the pool refuses what does not fit at once.
            NeverFits: The pool never has so much.
            Unavailable: It cannot be reserved.
        """
        if self._room is None:
            await self._begin(call)
            return
        await self._room.begin(reserve_for(call).tokens)  # before money is held that others could spend meanwhile
        try:
            await self._begin(call)
        except BaseException:
            self._room.record(0, 0)
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
        """Note what came of the call that was begun; its reservation is settled as that with the next one, or last."""
        self._call, self._ms = call, round((time.monotonic() - self._began) * 1000)
        if self._room is not None:
            usage = call.usage
            self._room.record(usage.input_tokens + usage.output_tokens)

    async def close(self) -> None:
        """Give back what is reserved and was not spent; if that fails, the reservation expires.

        The answer is paid for and is not lost over it.
        """
        await self._give_back()

    def leave(self) -> None:
        """Give back the slot of the agent's pool: nothing is asked of the model any more."""
        if self._room is not None:
            self._room.close()

    async def _give_back(self) -> None:
        if (settled := self._settled()) is None:
            return
        service = self._service
        try:
            outcome = await service.counters.change(self._who.workspace, settled, None)
            self._hold = self._call = None
            limits = await self.limits()
        except Unavailable as error:
            log.warning("a reservation is left to expire: %s", error.code, extra={"event": "budget.left_over"})
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
            if not looked:  # they may just have been raised
                looked, limits = True, await self.limits(refresh=True)
                await service.free(workspace)
                continue
            full = [refusal for refusal in outcome.refusals if refusal.full]
            if full or time.monotonic() >= give_up:
                raise blocked(full or outcome.refusals)
            await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - spreads those who wait

    def _settled(self) -> Settlement | None:
        """Return the last call's reservation with what was spent of it; None when there is none to settle.

        A reservation whose call's outcome is unknown stays until it expires.
        """
        if self._hold is None or self._call is None:
            return None
        return Settlement(self._hold, spent_of(self._call, self._ms))


def reserve_for(call: Call) -> Amounts:
    """Return what a call at its estimate may take, but for its time."""
    return Amounts(1, call.usage.input_tokens + call.usage.output_tokens, call.cost_micro_usd or 0)


def blocked(refusals: Sequence[Refusal]) -> BudgetBlocked:
    """Return the error of a call that these limits do not allow."""
    return BudgetBlocked(refusal_text(refusals[0]), refusals=refusals)


def spent_of(call: Call, ms: int) -> Amounts:
    """Return what a call came to, for counters."""
    spend = call.spend
    return Amounts(spend.calls, spend.input_tokens + spend.output_tokens, spend.cost_micro_usd, ms)
