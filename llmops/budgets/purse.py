"""What one attempt at a run spends: every call is noted before it is made and recorded after it, within its budgets."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from kernel.clock import Clock
from kernel.errors import Unavailable
from llmops.budgets.accounts import Accounts
from llmops.budgets.book import Book
from llmops.budgets.holds import Ask, Hold, Settled
from llmops.budgets.news import BudgetNews
from llmops.budgets.rules import Amounts, Applied, BudgetBlocked, Charged, Refusal, applying, percent, says
from llmops.spend.ledger import Ledger, Line, unsettled

log = logging.getLogger(__name__)

UNPRICED = "model_unpriced"
"""Why a run waits whose model has no known price, where a budget is in USD."""


@dataclass(frozen=True, slots=True)
class Treasury:
    """What all purses draw on.

    Attributes:
        book: The budgets.
        accounts: What is spent and reserved of them.
        ledger: Where calls are recorded.
        news: Tells what happens.
        clock: Tells the time.
        hold_for: How long a call may stay unsettled; longer than any attempt.
        wait_for: How long a call waits for others' reservations to be given back.
        longest_call: The wall time reserved for a call and the tools after it.
    """

    book: Book
    accounts: Accounts
    ledger: Ledger
    news: BudgetNews
    clock: Clock
    hold_for: timedelta
    wait_for: timedelta
    longest_call: timedelta

    def purse(self, who: Charged, attempt: int) -> Purse:
        """Return the purse of an attempt."""
        return Purse(self, who, attempt)

    async def free(self, workspace: str, run_id: str | None = None, before_attempt: int = 0) -> int:
        """Settle reservations that have expired, or those of a run's earlier attempts, and return how many.

        Each is settled as what the ledger knows of its call; where that is nothing, at its estimate.
        """
        now = self.clock()
        count = 0
        async for hold in self.accounts.holds(workspace, run_id):
            if hold.until <= now or hold.intent.attempt < before_attempt:
                line = await self.ledger.record(unsettled(hold.intent))
                await self.accounts.change(workspace, Settled(hold, spent_of(line, hold.amounts.ms)), None)
                count += 1
        return count


class Purse:
    """Pays for the model calls of one attempt, one after the other.

    A call that budgets apply to is noted by its reservation, any other one in the ledger. What a call leaves of its
    reservation is given back with the next call's, in one transaction, or by `close`.

    Attributes:
        until: Until when (`time.monotonic`) the wall time lasts that is reserved; None when it is not limited.
    """

    def __init__(self, treasury: Treasury, who: Charged, attempt: int) -> None:
        self._treasury = treasury
        self._who = who
        self._attempt = attempt
        self._hold: Hold | None = None
        self._line: Line | None = None
        self._began = 0.0
        self._noted = False
        self.until: float | None = None

    @property
    def out_of_time(self) -> bool:
        """Whether the wall time is over that a budget had left."""
        if self._hold is None or self.until is None or time.monotonic() < self.until:
            return False
        return self._hold.amounts.ms < round(self._treasury.longest_call.total_seconds() * 1000)

    async def take_over(self, first: date) -> None:
        """Record what earlier attempts of the run, whose workers died, have left unsettled since that day."""
        who, parts = self._who, self._treasury
        await parts.ledger.give_up(who.workspace, who.run_id, self._attempt, first, parts.clock().date())
        if await parts.book.of(who.workspace):
            await parts.free(who.workspace, who.run_id, self._attempt)

    async def limits(self, *, anew: bool = False) -> Sequence[Applied]:
        """Return the limits that the run's calls have to keep."""
        parts = self._treasury
        return applying(await parts.book.of(self._who.workspace, anew=anew), self._who, parts.clock())

    async def percent(self) -> int:
        """Return how much is spent of the limit that is nearest to its end, in percent; 0 without limits."""
        limits = await self.limits()
        keys = list(dict.fromkeys(each.counter for each in limits))
        counters = await self._treasury.accounts.counters(self._who.workspace, keys)
        return max((percent(each, counters) for each in limits), default=0)

    async def begin(self, intent: Line) -> None:
        """Note that the call is about to be made, and reserve what it may come to.

        Args:
            intent: The call at its estimate: the most that it may take and cost.

        Raises:
            BudgetBlocked: A budget does not allow it.
            Unavailable: It cannot be noted.
        """
        limits = await self.limits()
        if not limits:
            await self.close()
            await self._treasury.ledger.begin(intent, self._treasury.clock() + self._treasury.hold_for)
            self._noted = True
            return
        if intent.cost_micro_usd is None and any(each.limit.unit == "usd" for each in limits):
            msg = f"The model {intent.model!r} has no known price, so that no budget in USD can hold; give it a price."
            raise BudgetBlocked(msg, code=UNPRICED)
        need = replace(reserve_for(intent), ms=round(self._treasury.longest_call.total_seconds() * 1000))
        self._hold = await self._reserved(intent, need, limits)
        self._began = time.monotonic()
        limited = any(each.limit.unit == "seconds" for each in limits)
        self.until = self._began + self._hold.amounts.ms / 1000 if limited else None

    async def record(self, line: Line) -> Line:
        """Record what became of the call that was begun, and return the line that stands in the ledger."""
        self._line = await self._treasury.ledger.record(line, begun=self._noted)
        self._noted = False
        return self._line

    async def close(self) -> None:
        """Give back what is reserved and was not spent; if that fails, the reservation expires.

        The answer is paid for and is not lost over it.
        """
        if (settled := self._settled()) is None:
            return
        try:
            outcome = await self._treasury.accounts.change(self._who.workspace, settled, None)
            self._hold = self._line = None
            limits = await self.limits()
        except Unavailable as error:
            log.warning("a reservation is left to expire: %s", error.code, extra={"event": "budget.left_over"})
            return
        known = [each for each in limits if each.counter in outcome.counters]
        await self._treasury.news.thresholds(self._who.workspace, known, outcome.counters, self._treasury.clock())

    async def _reserved(self, intent: Line, need: Amounts, limits: Sequence[Applied]) -> Hold:
        parts, workspace = self._treasury, self._who.workspace
        give_up = time.monotonic() + parts.wait_for.total_seconds()
        settled, looked = self._settled(), False
        while True:
            ask = Ask(intent, need, limits, parts.clock() + parts.hold_for)
            outcome = await parts.accounts.change(workspace, settled, ask)
            if settled is not None:
                settled = self._hold = self._line = None
            known = [each for each in limits if each.counter in outcome.counters]
            await parts.news.thresholds(workspace, known, outcome.counters, parts.clock())
            if outcome.hold is not None:
                return outcome.hold
            if not looked:  # they may just have been raised
                looked, limits = True, await self.limits(anew=True)
                await parts.free(workspace)
                continue
            full = [refusal for refusal in outcome.refusals if refusal.full]
            if full or time.monotonic() >= give_up:
                raise blocked(full or outcome.refusals)
            await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - spreads those who wait

    def _settled(self) -> Settled | None:
        """Return the last call's reservation with what was spent of it; None when there is none to settle.

        One whose call could not be recorded stays: whoever finds it expired records the call.
        """
        if self._hold is None or self._line is None:
            return None
        return Settled(self._hold, spent_of(self._line, round((time.monotonic() - self._began) * 1000)))


def reserve_for(intent: Line) -> Amounts:
    """Return what a call at its estimate may take, but for its time."""
    return Amounts(1, intent.usage.input_tokens + intent.usage.output_tokens, intent.cost_micro_usd or 0)


def blocked(refusals: Sequence[Refusal]) -> BudgetBlocked:
    """Return the error of a call that these limits do not allow."""
    return BudgetBlocked(says(refusals[0]), refusals=refusals)


def spent_of(line: Line, ms: int) -> Amounts:
    """Return what a line in the ledger comes to, for counters."""
    spend = line.spend
    return Amounts(spend.calls, spend.input_tokens + spend.output_tokens, spend.cost_micro_usd, ms)
