"""Counters and reservations: reserve in every counter or in none, settle, and free what the dead have left.

Table `budgets`, partition workspace, beside the budgets (`llmops.budgets.book`):
`count!{counter}`                what was spent, and what is reserved;
`held!{run}!{attempt}!{call}`    a reservation: how much, in which counters, until when, and the call that it
                                 is for;
`turn!{process}`                 a process that waits for its turn at the counters, and since when.
A reservation and its counters change in one transaction, guarded by the counters' ETags. What one process wants at the
same time goes into one transaction, so that its own calls do not collide; only processes with each other do.

A process that has lost the counters to another one must read them before it can try again; the other one, which knows
them, commits again meanwhile, so that the first would never get through (`llmops.budgets.turns` is what it does then).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kernel.clock import Clock
from kernel.codec import JsonCodec, all_readable
from kernel.errors import Unavailable
from kernel.tables import (
    MAX_WRITES,
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Span,
    Tables,
    Write,
    every,
)
from llmops.budgets.book import TABLE
from llmops.budgets.holds import Ask, Hold, Outcome, Settled
from llmops.budgets.rules import Amounts, Counter, Refusal, granted
from llmops.budgets.turns import Turns

_CONFLICTS_BEFORE_GIVING_UP = 40
_CONFLICTS_BEFORE_QUEUEING = 2
_LONGEST_PAUSE_S = 0.02
"""Longest pause of a process that lost the counters to another one before it tries again."""
_KNOWN_AT_MOST = 5000


@dataclass(slots=True, eq=False)
class _Wish:
    """What one caller wants of one transaction, and where it learns what came of it."""

    settled: Settled | None
    ask: Ask | None
    future: asyncio.Future[Outcome]
    in_doubt: bool = False  # a commit that held it has failed, and may have taken place all the same

    @property
    def counters(self) -> set[str]:
        asked = self.ask.counters if self.ask else ()
        return {*asked, *(self.settled.hold.counters if self.settled else ())}


@dataclass(slots=True)
class _Plan:
    """What a transaction does for one wish."""

    wish: _Wish
    writes: list[Write] = field(default_factory=list[Write])
    hold: Hold | None = None
    refusals: Sequence[Refusal] = ()


@dataclass(slots=True)
class _Desk:
    """One workspace's wishes in this process, and its counters as last seen."""

    turns: Turns
    wishes: list[_Wish] = field(default_factory=list[_Wish])
    known: dict[str, tuple[Counter, str]] = field(default_factory=dict[str, tuple[Counter, str]])
    worker: asyncio.Task[None] | None = None


_HOLD = JsonCodec(Hold)
_COUNTER = JsonCodec(Counter)


class Accounts:
    """Reserves and settles. Belongs to one event loop."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._desks: dict[str, _Desk] = {}

    async def change(self, workspace: str, settled: Settled | None, ask: Ask | None) -> Outcome:
        """Settle one reservation and make another one, either of which may be left out, in one transaction.

        A reservation that is settled already, or expired, stays as it is. A refused one does not keep the other from
        being settled.

        Raises:
            Unavailable: Others kept changing the counters, or the store cannot be reached; it may have taken place.
        """
        wish = _Wish(settled, ask, asyncio.get_running_loop().create_future())
        self._enter(workspace, wish)
        try:
            return await wish.future
        except asyncio.CancelledError:
            future = wish.future
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(workspace, future.result().hold)
            raise

    async def counters(self, workspace: str, keys: Sequence[str]) -> dict[str, Counter]:
        """Return counters as they are stored; one that nobody used yet is empty."""
        rows = await asyncio.gather(*(self._tables.get(TABLE, workspace, f"count!{key}") for key in keys))
        return {key: _counter(row) for key, row in zip(keys, rows, strict=True)}

    async def holds(self, workspace: str, run_id: str | None = None) -> AsyncIterator[Hold]:
        """Yield the workspace's reservations, or those of one run."""
        prefix = "held!" if run_id is None else f"held!{run_id}!"
        rows = every(self._tables, TABLE, Span.prefix(workspace, prefix))
        async for hold in all_readable(rows, lambda row: _HOLD.load(row.text("hold")), "reservation"):
            yield hold

    async def forget(self, workspace: str, untouched_since: datetime) -> int:
        """Delete counters of runs, sessions, days and months that nobody touched since then; return how many."""
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

    def _enter(self, workspace: str, wish: _Wish) -> None:
        desk = self._desks.get(workspace)
        if desk is None:
            desk = self._desks[workspace] = _Desk(Turns(self._tables, TABLE, workspace, self._clock))
        desk.wishes.append(wish)
        if desk.worker is None or desk.worker.done():
            # A task of its own: a caller that is cancelled must not take the others' wishes with it.
            desk.worker = asyncio.create_task(self._work(workspace, desk))

    def _give_back(self, workspace: str, hold: Hold | None) -> None:
        """Free the reservation of a caller that was cancelled meanwhile: no call will be made."""
        if hold is not None:
            future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_seen)
            self._enter(workspace, _Wish(Settled(hold, Amounts()), None, future))

    async def _work(self, workspace: str, desk: _Desk) -> None:
        while desk.wishes:
            batch = _fitting(desk.wishes)
            del desk.wishes[: len(batch)]
            try:
                plans = await self._served(workspace, desk, batch)
            except BaseException as error:  # noqa: BLE001 - reaches everybody who waits for it
                desk.known.clear()
                for wish in batch:
                    if not wish.future.done():
                        wish.future.set_exception(error)
                continue
            for plan in plans:
                if not plan.wish.future.done():
                    seen = {key: desk.known[key][0] for key in plan.wish.counters}
                    plan.wish.future.set_result(Outcome(plan.hold, plan.refusals, seen))
                else:
                    self._give_back(workspace, plan.hold)
            if len(desk.known) > _KNOWN_AT_MOST:
                desk.known.clear()

    async def _served(self, workspace: str, desk: _Desk, batch: Sequence[_Wish]) -> Sequence[_Plan]:
        """Commit what the batch wants, and return what came of every wish of it."""
        if await desk.turns.given_way():
            desk.known.clear()  # others have changed the counters meanwhile
        keys = set[str]().union(*(wish.counters for wish in batch))
        fresh: set[str] = set()
        lost = False
        for tries in range(_CONFLICTS_BEFORE_GIVING_UP):
            read, stored = await asyncio.gather(self._read(workspace, desk, keys), self._stored_holds(workspace, batch))
            fresh |= read
            counters = {key: desk.known[key][0] for key in keys}
            ended: set[str] = set()
            plans = [_planned(workspace, wish, counters, stored, ended) for wish in batch]
            refused = set[str]().union(*(plan.wish.counters for plan in plans if plan.refusals))
            if stale := refused - fresh:
                # What others have settled or freed since is looked at before anybody is refused.
                for key in stale:
                    del desk.known[key]
                continue
            try:
                await self._commit(workspace, desk, counters, plans)
            except (RowChanged, RowExists, Unavailable) as error:
                if isinstance(error, Unavailable) and lost:
                    raise
                # Whether it took place is looked up, or the reservation of a call that is never made would be charged.
                lost = lost or isinstance(error, Unavailable)
                for wish in batch:
                    wish.in_doubt = True
                for key in keys:
                    desk.known.pop(key, None)
                if tries + 1 >= _CONFLICTS_BEFORE_QUEUEING:
                    await desk.turns.wait()
                else:
                    await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - spreads writers
                continue
            await desk.turns.done()
            return plans
        msg = "The budgets are being used by too many at once; try again."
        raise Unavailable(msg, code="budget_busy", retry_after_s=1)

    async def _read(self, workspace: str, desk: _Desk, keys: set[str]) -> set[str]:
        """Read the counters that are not known, and return which."""
        missing = sorted(keys - desk.known.keys())
        rows = await asyncio.gather(*(self._tables.get(TABLE, workspace, f"count!{key}") for key in missing))
        for key, row in zip(missing, rows, strict=True):
            desk.known[key] = (_counter(row), row.etag if row else "")
        return set(missing)

    async def _stored_holds(self, workspace: str, batch: Sequence[_Wish]) -> Mapping[str, Hold]:
        """Return the reservations, of those that a commit in doubt may have made or ended, that are there."""
        in_doubt = [wish for wish in batch if wish.in_doubt]
        wanted = {wish.settled.hold.key for wish in in_doubt if wish.settled}
        wanted |= {wish.ask.intent.key for wish in in_doubt if wish.ask}
        rows = await asyncio.gather(*(self._tables.get(TABLE, workspace, key) for key in wanted))
        return {row.key: _HOLD.load(row.text("hold")) for row in rows if row}

    async def _commit(
        self, workspace: str, desk: _Desk, counters: Mapping[str, Counter], plans: Sequence[_Plan]
    ) -> None:
        now = self._clock()
        writes: list[Write] = []
        changed = [key for key, counter in counters.items() if counter != desk.known[key][0]]
        for key in changed:
            values = {"counter": _COUNTER.dump(counters[key]), "touched": now}
            row = Row(workspace, f"count!{key}", values, desk.known[key][1])
            writes.append(Replace(row) if row.etag else Insert(row))
        writes += [write for plan in plans for write in plan.writes]
        if writes:
            etags = await self._tables.commit(TABLE, writes)
            for key, etag in zip(changed, etags, strict=False):
                desk.known[key] = (counters[key], etag)


def _planned(
    workspace: str, wish: _Wish, counters: dict[str, Counter], stored: Mapping[str, Hold], ended: set[str]
) -> _Plan:
    """Change the counters as the wish wants, and return what else is to be written for it.

    Args:
        workspace: Whose counters they are.
        wish: What is wanted.
        counters: The counters as they are, changed here.
        stored: The reservations of wishes in doubt that are there.
        ended: The reservations that this transaction settles already, added to here: two callers may free the same one.
    """
    plan = _Plan(wish)
    settled, ask = wish.settled, wish.ask
    over = settled and (settled.hold.key in ended or (wish.in_doubt and settled.hold.key not in stored))
    if settled and not over:
        ended.add(settled.hold.key)
        for key in settled.hold.counters:
            old = counters[key]
            counters[key] = Counter(old.spent + settled.spent, old.reserved - settled.hold.amounts)
        plan.writes.append(Delete(workspace, settled.hold.key))
    if ask is None or wish.future.done():
        return plan
    if wish.in_doubt and (made := stored.get(ask.intent.key)):
        plan.hold = made
        return plan
    amounts, plan.refusals = granted(ask.need, ask.limits, counters)
    if not plan.refusals:
        hold = plan.hold = Hold(ask.intent, amounts, ask.counters, ask.until)
        for key in hold.counters:
            old = counters[key]
            counters[key] = Counter(old.spent, old.reserved + amounts)
        plan.writes.append(Insert(Row(workspace, hold.key, {"hold": _HOLD.dump(hold)})))
    return plan


def _seen(future: asyncio.Future[Outcome]) -> None:
    """Take note of a failure that nobody waits for: the reservation expires instead."""
    if not future.cancelled():
        future.exception()


def _fitting(wishes: Sequence[_Wish]) -> Sequence[_Wish]:
    """Return the longest head of the wishes that fits in one transaction."""
    keys: set[str] = set()
    for count, wish in enumerate(wishes):
        keys |= wish.counters
        if count and len(keys) + 2 * (count + 1) > MAX_WRITES:
            return wishes[:count]
    return list(wishes)


def _counter(row: Row | None) -> Counter:
    return _COUNTER.load(row.text("counter")) if row else Counter()
