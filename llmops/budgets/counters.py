"""Counters and reservations: reserve in all counters or none, settle, and release what dead workers left.

Table `budgets`, partition workspace, beside the budgets (`llmops.budgets.store`):
`count!{counter}`                what was spent, and what is reserved;
`held!{run}!{attempt}!{call}`    a reservation: how much, in which counters, until when, and the call that it
                                 is for;
`turn!{process}`                 a process that waits for its turn at the counters, with the time since when.
A reservation and its counters change in one transaction, guarded by the counters' ETags. Concurrent requests of one
process share a transaction, so that only different processes can collide.

A process that loses such a collision must read the counters before it tries again, while the winner, which knows them,
can commit again at once. `llmops.budgets.counter_turns` keeps the first from starving.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable
from kernel.errors import Unavailable
from kernel.tables import MAX_WRITES, Delete, Insert, Row, RowChanged, RowExists, Span, Tables, Write, every, put
from llmops.budgets.budget_rules import Amounts, Counter, Refusal, granted
from llmops.budgets.counter_turns import Turns
from llmops.budgets.reservations import Reservation, ReservationRequest, ReservationResult, Settlement
from llmops.budgets.store import TABLE

if TYPE_CHECKING:
    from kernel.clock import Clock

_CONFLICTS_BEFORE_GIVING_UP = 40
_CONFLICTS_BEFORE_QUEUEING = 2
_LONGEST_PAUSE_S = 0.02
"""Longest pause of a process before it tries again after a collision with another process, in seconds."""
_KNOWN_AT_MOST = 5000


@dataclass(slots=True, eq=False)
class _Request:
    """One caller's request within a shared transaction, and the future that its result is set on."""

    settled: Settlement | None
    ask: ReservationRequest | None
    future: asyncio.Future[ReservationResult]
    in_doubt: bool = False  # a commit with this request failed, and may have taken effect all the same

    @property
    def counters(self) -> set[str]:
        asked = self.ask.counters if self.ask else ()
        return {*asked, *(self.settled.hold.counters if self.settled else ())}


@dataclass(slots=True)
class _Plan:
    """The writes and the result of one request within a transaction."""

    request: _Request
    writes: list[Write] = field(default_factory=list[Write])
    hold: Reservation | None = None
    refusals: Sequence[Refusal] = ()


@dataclass(slots=True)
class _Workspace:
    """The pending requests of one workspace in this process, and its counters as last read."""

    turns: Turns
    requests: list[_Request] = field(default_factory=list[_Request])
    known: dict[str, tuple[Counter, str]] = field(default_factory=dict[str, tuple[Counter, str]])
    worker: asyncio.Task[None] | None = None


_HOLD = JsonCodec(Reservation)
_COUNTER = JsonCodec(Counter)


class BudgetCounters:
    """Reserves and settles amounts in counters. Bound to one event loop."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._workspaces: dict[str, _Workspace] = {}

    async def change(
        self, workspace: str, settled: Settlement | None, ask: ReservationRequest | None
    ) -> ReservationResult:
        """Settle one reservation and make another, either of which may be None, in one transaction.

        A reservation that is settled or expired already is left as it is. A refused new reservation does not prevent
        the other from being settled.

        Raises:
            Unavailable: Others kept changing the counters, or the store cannot be reached; it may have taken effect.
        """
        request = _Request(settled, ask, asyncio.get_running_loop().create_future())
        self._enter(workspace, request)
        try:
            return await request.future
        except asyncio.CancelledError:
            future = request.future
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(workspace, future.result().hold)
            raise

    async def counters(self, workspace: str, keys: Sequence[str]) -> dict[str, Counter]:
        """Return the stored counters by key; one that does not exist yet is returned empty."""
        rows = await asyncio.gather(*(self._tables.get(TABLE, workspace, f"count!{key}") for key in keys))
        return {key: _counter(row) for key, row in zip(keys, rows, strict=True)}

    async def reservations(self, workspace: str, run_id: str | None = None) -> AsyncIterator[Reservation]:
        """Yield the workspace's reservations, or those of one run."""
        prefix = "held!" if run_id is None else f"held!{run_id}!"
        rows = every(self._tables, TABLE, Span.prefix(workspace, prefix))
        async for hold in all_readable(rows, lambda row: _HOLD.load(row.text("hold")), "reservation"):
            yield hold

    async def forget(self, workspace: str, untouched_since: datetime) -> int:
        """Delete counters of runs, sessions, days and months not changed since then; return how many."""
        count = 0
        async for row in every(self._tables, TABLE, Span.prefix(workspace, "count!")):
            touched = row.moment("touched")
            over = touched is not None and touched < untouched_since and not row.key.endswith("!total")
            if over and _counter(row).reserved == Amounts():
                try:
                    await self._tables.commit(TABLE, [Delete(workspace, row.key, row.etag)])
                except RowChanged:
                    continue
                count += 1
        return count

    def _enter(self, workspace: str, request: _Request) -> None:
        state = self._workspaces.get(workspace)
        if state is None:
            state = self._workspaces[workspace] = _Workspace(Turns(self._tables, TABLE, workspace, self._clock))
        state.requests.append(request)
        if state.worker is None or state.worker.done():
            # A task of its own: a caller that is cancelled must not take the others' requests with it.
            state.worker = asyncio.create_task(self._work(workspace, state))

    def _give_back(self, workspace: str, hold: Reservation | None) -> None:
        """Release the reservation of a caller that was cancelled meanwhile: its call will not be made."""
        if hold is not None:
            future: asyncio.Future[ReservationResult] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_seen)
            self._enter(workspace, _Request(Settlement(hold, Amounts()), None, future))

    async def _work(self, workspace: str, state: _Workspace) -> None:
        while state.requests:
            batch = _fitting(state.requests)
            del state.requests[: len(batch)]
            try:
                plans = await self._served(workspace, state, batch)
            except BaseException as error:  # noqa: BLE001 - reaches everybody who waits for it
                state.known.clear()
                for request in batch:
                    if not request.future.done():
                        request.future.set_exception(error)
                continue
            for plan in plans:
                if not plan.request.future.done():
                    seen = {key: state.known[key][0] for key in plan.request.counters}
                    plan.request.future.set_result(ReservationResult(plan.hold, plan.refusals, seen))
                else:
                    self._give_back(workspace, plan.hold)
            if len(state.known) > _KNOWN_AT_MOST:
                state.known.clear()

    async def _served(self, workspace: str, state: _Workspace, batch: Sequence[_Request]) -> Sequence[_Plan]:
        """Commit the requests of a batch and return the outcome of each."""
        if await state.turns.given_way():
            state.known.clear()  # others have changed the counters meanwhile
        keys = set[str]().union(*(request.counters for request in batch))
        fresh: set[str] = set()
        lost = False
        for tries in range(_CONFLICTS_BEFORE_GIVING_UP):
            read, stored = await asyncio.gather(
                self._read(workspace, state, keys), self._stored_reservations(workspace, batch)
            )
            fresh |= read
            counters = {key: state.known[key][0] for key in keys}
            ended: set[str] = set()
            plans = [_planned(workspace, request, counters, stored, ended) for request in batch]
            refused = set[str]().union(*(plan.request.counters for plan in plans if plan.refusals))
            if stale := refused - fresh:
                # Before anybody is refused, counters are read again: others may have settled or released since.
                for key in stale:
                    del state.known[key]
                continue
            try:
                await self._commit(workspace, state, counters, plans)
            except (RowChanged, RowExists, Unavailable) as error:
                if isinstance(error, Unavailable) and lost:
                    raise
                # Look up whether it took effect; otherwise the reservation of a call that is never made would be
                # charged.
                lost = lost or isinstance(error, Unavailable)
                for request in batch:
                    request.in_doubt = True
                for key in keys:
                    state.known.pop(key, None)
                if tries + 1 >= _CONFLICTS_BEFORE_QUEUEING:
                    await state.turns.wait()
                else:
                    await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - spreads writers
                continue
            await state.turns.done()
            return plans
        msg = "The budgets are being used by too many at once; try again."
        raise Unavailable(msg, code="budget_busy", retry_after_s=1)

    async def _read(self, workspace: str, state: _Workspace, keys: set[str]) -> set[str]:
        """Read the counters that are not known yet, and return their keys."""
        missing = sorted(keys - state.known.keys())
        rows = await asyncio.gather(*(self._tables.get(TABLE, workspace, f"count!{key}") for key in missing))
        for key, row in zip(missing, rows, strict=True):
            state.known[key] = (_counter(row), row.etag if row else "")
        return set(missing)

    async def _stored_reservations(self, workspace: str, batch: Sequence[_Request]) -> Mapping[str, Reservation]:
        """Return those reservations that exist, of the ones a commit in doubt may have made or ended."""
        in_doubt = [request for request in batch if request.in_doubt]
        wanted = {request.settled.hold.key for request in in_doubt if request.settled}
        wanted |= {request.ask.intent.key for request in in_doubt if request.ask}
        rows = await asyncio.gather(*(self._tables.get(TABLE, workspace, key) for key in wanted))
        return {row.key: _HOLD.load(row.text("hold")) for row in rows if row}

    async def _commit(
        self, workspace: str, state: _Workspace, counters: Mapping[str, Counter], plans: Sequence[_Plan]
    ) -> None:
        now = self._clock()
        writes: list[Write] = []
        changed = [key for key, counter in counters.items() if counter != state.known[key][0]]
        for key in changed:
            values = {"counter": _COUNTER.dump(counters[key]), "touched": now}
            row = Row(workspace, f"count!{key}", values, state.known[key][1])
            writes.append(put(row))
        writes += [write for plan in plans for write in plan.writes]
        if writes:
            etags = await self._tables.commit(TABLE, writes)
            for key, etag in zip(changed, etags, strict=False):
                state.known[key] = (counters[key], etag)


def _planned(
    workspace: str, request: _Request, counters: dict[str, Counter], stored: Mapping[str, Reservation], ended: set[str]
) -> _Plan:
    """Apply a request to the counters, and return the other writes it needs.

    Args:
        workspace: The workspace.
        request: The request.
        counters: The counters; changed here.
        stored: The existing reservations of requests in doubt.
        ended: The reservations that this transaction settles already; added to here, because two callers may release
            the
            same one.
    """
    plan = _Plan(request)
    settled, ask = request.settled, request.ask
    over = settled and (settled.hold.key in ended or (request.in_doubt and settled.hold.key not in stored))
    if settled and not over:
        ended.add(settled.hold.key)
        for key in settled.hold.counters:
            old = counters[key]
            counters[key] = Counter(old.spent + settled.spent, old.reserved - settled.hold.amounts)
        plan.writes.append(Delete(workspace, settled.hold.key))
    if ask is None or request.future.done():
        return plan
    if request.in_doubt and (made := stored.get(ask.intent.key)):
        plan.hold = made
        return plan
    amounts, plan.refusals = granted(ask.need, ask.limits, counters)
    if not plan.refusals:
        hold = plan.hold = Reservation(ask.intent, amounts, ask.counters, ask.until)
        for key in hold.counters:
            old = counters[key]
            counters[key] = Counter(old.spent, old.reserved + amounts)
        plan.writes.append(Insert(Row(workspace, hold.key, {"hold": _HOLD.dump(hold)})))
    return plan


def _seen(future: asyncio.Future[ReservationResult]) -> None:
    """Retrieve the exception of a request that no caller awaits; its reservation expires instead."""
    if not future.cancelled():
        future.exception()


def _fitting(requests: Sequence[_Request]) -> Sequence[_Request]:
    """Return the longest prefix of the requests that fits in one transaction."""
    keys: set[str] = set()
    for count, request in enumerate(requests):
        keys |= request.counters
        if count and len(keys) + 2 * (count + 1) > MAX_WRITES:
            return requests[:count]
    return list(requests)


def _counter(row: Row | None) -> Counter:
    return _COUNTER.load(row.text("counter")) if row else Counter()
