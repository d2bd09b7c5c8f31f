"""A worker's slice of one pool: local requests take from it, and it is renewed as often as the pool allows.

While anything waits, or uses are not reported yet, the worker asks the pool about once a second; while runs are only
carried out, often enough to keep their slots; when it holds nothing, never.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from bisect import insort
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from kernel.errors import AppError, NotFound
from kernel.lazy_dataclass import dataclass
from llmops.capacity.pools import DIMENSIONS, NOTHING, Amounts, NeverFits, Pool, PoolFull
from llmops.capacity.slice_division import LASTS_S, available, expected_wait_s
from llmops.capacity.slice_messages import Grant, Request, State, Want
from llmops.capacity.worker_demand import Demand

log = logging.getLogger(__name__)

_AT_ONCE = 3.0
"""Requests to the pool that a worker may make in a row after a while without any (token bucket)."""
_IN_ORDER_S = 5.0
_IN_ORDER = 2 / 3
_LATE_S = 0.5
"""Timeout of a request to the pool, in seconds; after it, the request is left to the next round."""

Exchange = Callable[[str, Request, float], Awaitable[tuple[Grant, Pool, State]]]
"""Sends a request to the pool of a name, as of a time; raises Unavailable where it may not have taken effect."""


@dataclass(slots=True, eq=False)
class Taken:
    """An amount taken from a pool.

    Attributes:
        share: Share name it is counted under.
        amounts: The amount.
        at: When it was taken, in seconds since the epoch.
        began: Which of the worker's slices it came from, counted from 0.
        waited_s: How long it waited, in seconds.
    """

    share: str
    amounts: Amounts
    at: float
    began: int
    waited_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiting:
    want: Want
    since: float
    future: asyncio.Future[Taken]
    once: bool

    @property
    def key(self) -> float:
        return self.want.key


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that was sent, and the runs under way at that time, by share."""

    request: Request
    running: Mapping[str, int]


class WorkerSlice:
    """One worker's slice of a pool. Bound to one event loop."""

    def __init__(self, pool: Pool, worker: str, exchange: Exchange, now: Callable[[], float]) -> None:
        """Start without a slice.

        Args:
            pool: The pool as last read.
            worker: This worker's random id.
            exchange: Sends requests to the pool.
            now: Returns the time, in seconds since the epoch.
        """
        self.pool = pool
        self.state = State()
        self._worker = worker
        self._exchange = exchange
        self._now = now
        self._held: dict[str, Amounts] = {}
        self._until = 0.0
        self._first_other = math.inf
        self._owed: dict[str, int] = {}
        self._recalled: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._spent: dict[int, dict[str, Amounts]] = {}
        self._ended: list[float] = []
        self._waiting: list[_Waiting] = []
        self._demand = Demand()
        self._began = 0
        self._pending: _Pending | None = None
        self._gives_back = False
        self._number = 0
        self._asked = -math.inf
        self._again_s = 1.0
        self._credit = _AT_ONCE
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether it holds nothing of the pool and nothing waits."""
        return self._task is None or self._task.done()

    def counted(self, need: Amounts) -> Amounts:
        """Return the part of a need that the pool limits."""
        limits = self.pool.limits
        return Amounts(
            need.runs if limits.concurrent_runs is not None else 0,
            need.tokens if limits.tokens_per_minute is not None else 0,
            need.requests if limits.requests_per_minute is not None else 0,
        )

    async def take(self, share: str, need: Amounts, key: float, wait_s: float) -> Taken:
        """Take what is needed once earlier requests are served, and return it.

        Args:
            share: Share name it is counted under.
            need: The amounts needed.
            key: When it came, less its head start, in seconds since the epoch.
            wait_s: Longest wait here, in seconds; 0 for a single request to the pool.

        Raises:
            PoolFull: There was no capacity in that time; `retry_after_s` estimates when there is.
            NeverFits: The need exceeds the whole limit.
        """
        need = self.counted(need)
        self._check(share, need)
        now = self._now()
        if need == NOTHING:
            return Taken(share, need, now, self._began)
        self._demand.add(share, need)
        if not wait_s and self._known_full(share, need, now):
            raise PoolFull(self.pool.name, self.expected_wait_s(Want(key, share, need)))
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(Want(round(key, 3), share, need), now, future, once=not wait_s)
        insort(self._waiting, waiting, key=lambda one: one.key)
        self._serve()
        if waiting.future.done():
            self._go_on()
            return waiting.future.result()
        self._go_on()
        try:
            return await asyncio.wait_for(waiting.future, wait_s or self._again_s + _LATE_S)
        except TimeoutError:
            self._leave(waiting)
            raise PoolFull(self.pool.name, self.expected_wait_s(waiting.want)) from None
        except BaseException:
            self._leave(waiting)
            raise

    def settle(self, taken: Taken, used: Amounts) -> None:
        """Replace the counted tokens and requests of `taken` by what was actually used."""
        difference = self.counted(replace(used, runs=0)) - replace(taken.amounts, runs=0)
        taken.amounts = taken.amounts + difference
        if difference != NOTHING and taken.began == self._began:
            self._spend(taken.share, difference, taken.at)
            self._go_on()

    def release(self, taken: Taken) -> None:
        """Give back the runs of what was taken; the next one here has its slot, unless that is due to somebody else."""
        runs, taken.amounts = taken.amounts.runs, replace(taken.amounts, runs=0)
        if not runs:
            return
        self._running[taken.share] -= runs
        self._ended.append(self._now() - taken.at)
        head = next((one for one in self._waiting if one.want.need.runs and one.want.share == taken.share), None)
        if self._owed.get(taken.share, 0) > 0:
            self._owed[taken.share] -= 1
            self._recalled[taken.share] = max(0, self._recalled.get(taken.share, 0) - 1)
            self._gives_back = True
        elif self._first_other == math.inf or (head is not None and self._may_go_before(head.key)):
            held = self._held.get(taken.share, NOTHING)
            self._held[taken.share] = replace(held, runs=held.runs + runs)
            self._serve()
        else:
            self._gives_back = True
        self._go_on()

    def give_way(self, taken: Taken) -> bool:
        """Give back the slot of a run that goes on, if it is recalled for who has a reserve; return whether it is."""
        if not taken.amounts.runs or self._recalled.get(taken.share, 0) <= 0:
            return False
        self.release(taken)
        return True

    def expected_wait_s(self, want: Want) -> float:
        """Return the estimated seconds until there is capacity, by the state last seen."""
        return max(1.0, expected_wait_s(self.pool, self.state, want, self._now()))

    async def aclose(self) -> None:
        """Release what is not used, and stop."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._demand = Demand()
        if self._held or self._spent or self._gives_back:
            try:
                await self._ask()
            except AppError as error:
                log.warning(
                    "a slice of a pool was not released, and expires: %s",
                    error.code,
                    extra={"event": "pool.not_returned"},
                )

    def _known_full(self, share: str, need: Amounts, now: float) -> bool:
        """Return whether pool and worker were both full a moment ago, so that asking again is pointless."""
        if now - self._asked >= self._again_s:
            return False
        held, free = self._held.get(share, NOTHING), available(self.pool, self.state, share, now)
        return any(need.of(one) > held.of(one) and need.of(one) > free.of(one) for one in DIMENSIONS)

    def _check(self, share: str, need: Amounts) -> None:
        for dimension in DIMENSIONS:
            most = self.pool.most_of(share, dimension)
            if need.of(dimension) > most:
                msg = (
                    f"It may take {need.of(dimension)} {dimension}; the pool {self.pool.name!r} allows its agent "
                    f"{most} in all. Lower max_output_tokens, or raise the limit."
                )
                raise NeverFits(msg)

    def _serve(self) -> None:
        """Serve waiting requests in order; one that does not fit blocks later ones."""
        now = self._now()
        if now > self._until:
            for share, held in self._held.items():
                self._held[share] = replace(held, tokens=0, requests=0)
        blocked: set[tuple[str, str]] = set()
        for waiting in list(self._waiting):
            want = waiting.want
            held = self._held.get(want.share, NOTHING)
            short = [
                (want.share, one)
                for one in DIMENSIONS
                if want.need.of(one) and (want.need.of(one) > held.of(one) or (want.share, one) in blocked)
            ]
            if short:
                blocked.update(short)
                continue
            self._waiting.remove(waiting)
            if waiting.future.done():
                continue
            self._held[want.share] = held - want.need
            self._running[want.share] = self._running.get(want.share, 0) + want.need.runs
            self._spend(want.share, replace(want.need, runs=0), now)
            waiting.future.set_result(Taken(want.share, want.need, now, self._began, now - waiting.since))

    def _may_go_before(self, key: float) -> bool:
        """Return whether a request here may take a slot of this worker before those waiting at other workers.

        It may if it has waited at least a third as long as they, or at most 5 s less: a slot that moves to another
        worker is idle until both have made their requests.
        """
        longest = self._now() - self._first_other
        return key <= self._first_other + max(_IN_ORDER_S, longest * _IN_ORDER)

    def _spend(self, share: str, amounts: Amounts, at: float) -> None:
        if amounts == NOTHING:
            return
        parts = self._spent.setdefault(math.floor(at), {})
        parts[share] = parts.get(share, NOTHING) + amounts

    def _leave(self, waiting: _Waiting) -> None:
        """Stop the wait; what was granted to it meanwhile is released."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        future = waiting.future
        if future.done() and not future.cancelled() and future.exception() is None:
            taken = future.result()
            self.settle(taken, NOTHING)
            self.release(taken)

    def _go_on(self) -> None:
        if self.idle:
            self._demand.since = max(self._demand.since, self._asked)
            self._task = asyncio.create_task(self._work())
        self._wake.set()

    async def _work(self) -> None:
        """Send requests to the pool as long as anything is held, wanted or not reported."""
        while (due := self._due()) is not None:
            self._wake.clear()
            pause = due - self._now()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)
            if (due := self._due()) is None or due > self._now():
                continue
            try:
                await self._ask()
            except NotFound:
                self._forget()
                return
            except AppError as error:
                # What waits learns of it when its time is over; what is held expires by itself.
                log.warning("a request to a pool failed: %s", error.code, extra={"event": "pool.unavailable"})

    def _forget(self) -> None:
        """Drop all state of a deleted pool; waiting runs are retried and then not limited."""
        self._pending, self._held, self._spent = None, {}, {}
        for waiting in self._waiting:
            if not waiting.future.done():
                waiting.future.set_exception(PoolFull(self.pool.name, 1.0))
        self._waiting.clear()

    def _due(self) -> float | None:
        """Return when the next request is due, in seconds since the epoch; None for none."""
        soon = self._asked + max(0.0, 1 - self._credit) * self._again_s
        if self._gives_back:  # somebody waits for it
            return min(soon, self._asked + self._again_s / 2)
        if self._waiting or self._spent or self._pending:
            return soon
        if any(self._running.values()):
            return self._asked + LASTS_S / 3
        if any(held != NOTHING for held in self._held.values()):
            return soon
        return None

    async def _ask(self) -> None:
        """Send a request to the pool; one that may have taken effect is repeated unchanged."""
        now = self._now()
        if now > self._until and (self._pending or any(one != NOTHING for one in self._held.values())):
            # The pool has counted all that was held as used, so its actual use is not reported any more.
            self._began += 1
            self._spent, self._held, self._pending = {}, {}, None
        pending = self._pending or self._request(now)
        credit = self._credit + (now - self._asked) / self._again_s
        self._pending, self._asked, self._credit = pending, now, min(_AT_ONCE, credit) - 1
        grant, self.pool, self.state = await self._exchange(self.pool.name, pending.request, now)
        self._pending = None
        self._until, self._first_other = grant.until, grant.first_other
        self._owed, self._recalled = dict(grant.owed), dict(grant.recalled)
        self._again_s = grant.again_s * random.uniform(1, 1.2)  # noqa: S311 - spreads workers that began together
        for share, held in grant.held.items():
            new = replace(held, runs=max(0, held.runs - pending.running.get(share, 0)))
            self._held[share] = self._held.get(share, NOTHING) + new
        self._serve()
        for waiting in list(self._waiting):
            if waiting.once and waiting.want in pending.request.wants:
                self._waiting.remove(waiting)
                if not waiting.future.done():
                    waiting.future.set_exception(PoolFull(self.pool.name, self.expected_wait_s(waiting.want)))

    def _request(self, now: float) -> _Pending:
        self._demand.next(now)
        likely = self._demand.within(self._again_s)
        running = {share: runs for share, runs in self._running.items() if runs}
        keeps = {share: _least(held, likely.get(share, NOTHING)) for share, held in self._held.items()}
        spent, self._spent = self._spent, {}
        ended, self._ended = self._ended, []
        if self._first_other < math.inf or self._owed:  # others wait for a slot: none is kept for what may come
            keeps = {share: replace(held, runs=0) for share, held in keeps.items()}
        self._gives_back = False
        self._held = {}  # what is not kept is released; nobody here uses it before the pool confirms that
        self._number += 1
        request = Request(
            self._worker,
            self._number,
            {one: keeps.get(one, NOTHING) + Amounts(runs=running.get(one, 0)) for one in {*keeps, *running}},
            spent,
            [one.want for one in self._waiting],
            {share: (one - keeps.get(share, NOTHING)).positive for share, one in likely.items()},
            sum(ended) / len(ended) if ended else 0.0,
        )
        return _Pending(request, running)


def _least(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(*(min(a, b) for a, b in zip(one.parts, other.parts, strict=True)))
