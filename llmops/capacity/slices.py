"""How a pool's limits are divided between workers. Pure: from a state, a request of one worker and the time.

A worker has a slice: runs that it may carry out, and tokens and requests that it may use until the slice ends. At each
request it says what it used (and when), what it keeps and what it still wants, and gets more. All that workers hold
counts as taken, so that no order of events, and no worker that dies, takes the pool above a limit:

    for any 60 seconds: what was used in them + what all slices hold <= limit

What a slice holds that nobody has accounted for when it ends counts as used at its end: the worker may have used it.
Room goes to what has waited longest, high priority having a head start (`llmops.capacity.admission`): what does not fit
yet keeps the room that there is from all that comes after it, so that nothing is overtaken for ever. Before that come
agents that have less than is reserved for them.

Clocks of workers may differ by SKEW_S; times are in seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llmops.capacity.pools import DIMENSIONS, LENT, NOTHING, Amounts, Dimension, Pool, Share

LASTS_S = 10.0
"""How long a slice lasts that its worker does not renew: so long it takes until what a dead worker held comes back."""
SKEW_S = 1.0
"""By how much the clocks of workers may differ."""
WINDOW_S = 60
_WORKERS_A_SECOND = 32
"""Workers that ask in a second, in all; where there are more, each asks less often. One row takes that many writes."""
_SMOOTHING = 0.2
_WHOLE = Share()


@dataclass(frozen=True, slots=True)
class Want:
    """Something that waits for room.

    Attributes:
        key: When it came, less its head start: the least is first.
        share: Under which name it is counted (`Pool.share_of`).
        need: What it takes.
    """

    key: float
    share: str
    need: Amounts


@dataclass(frozen=True, slots=True)
class Slice:
    """What a worker holds until it ends: by share, with what it still wants, and the number of its latest request."""

    held: Mapping[str, Amounts]
    until: float
    number: int
    wants: tuple[Want, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What is taken of a pool.

    Attributes:
        spent: Tokens and requests that were used, by share, by the second in which they were.
        slices: What workers hold, by worker.
        run_s: How long a run takes, smoothed; 0 while that is not known.
    """

    spent: Mapping[int, Mapping[str, Amounts]] = field(default_factory=dict[int, Mapping[str, Amounts]])
    slices: Mapping[str, Slice] = field(default_factory=dict[str, Slice])
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker says and wants.

    Attributes:
        worker: Who.
        number: Which of its requests, from 1; a request that may have taken effect is made again with its number.
        kept: What it still holds and keeps, by share: the runs that it carries out, tokens and requests not used yet.
        spent: What it has used since its latest request, by second; below zero where a call took less than was counted.
        wants: What waits at it, in order.
        spare: What it would like to have besides, for what comes before its next request.
        run_s: How long runs took that ended since, on average; 0 where none did.
    """

    worker: str
    number: int
    kept: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
    spent: Mapping[int, Mapping[str, Amounts]] = field(default_factory=dict[int, Mapping[str, Amounts]])
    wants: Sequence[Want] = ()
    spare: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """A worker's slice after its request.

    Attributes:
        held: All that it holds now, by share.
        until: Until when it may use tokens and requests of it; its runs count as its own so long.
        first_other: The first key of what waits at other workers and found no room; infinity for none.
        again_s: After how many seconds it may ask again.
    """

    held: Mapping[str, Amounts]
    until: float
    first_other: float
    again_s: float


def divided(pool: Pool, state: State, request: Request, now: float) -> tuple[State, Grant]:
    """Return the state after the request, and what the worker holds then.

    Args:
        pool: The pool as it is declared now; where a limit was lowered, nothing is granted until there is room again.
        state: What is taken.
        request: What a worker says and wants.
        now: The worker's time.
    """
    spent, slices = _aged(state, now, request.worker)
    mine = slices.pop(request.worker, None)
    if mine is not None and mine.number == request.number:  # it took effect, and its answer was lost
        slices[request.worker] = mine
        return replace(state, spent=spent, slices=slices), _grant(mine, slices, request.worker, math.inf)
    kept = _kept(request, mine)
    _book(spent, request.spent)
    taken = _Taken(pool, spent, slices.values(), kept)
    theirs = [want for one in slices.values() for want in one.wants]
    granted, first_other = taken.serve(request.wants, theirs)
    _gather(kept, granted)
    _gather(kept, taken.spare(request.spare, len(slices) + 1))
    slice_ = Slice(
        {share: amounts for share, amounts in kept.items() if amounts != NOTHING},
        now + LASTS_S,
        request.number,
        _summed(taken.unserved),
    )
    if slice_.held or slice_.wants:
        slices[request.worker] = slice_
    run_s = state.run_s
    if request.run_s:
        run_s = request.run_s if not run_s else run_s + _SMOOTHING * (request.run_s - run_s)
    return State(spent, slices, run_s), _grant(slice_, slices, request.worker, first_other)


def available(pool: Pool, state: State, share: str, now: float) -> Amounts:
    """Return what somebody of a share could have now, if nobody else waited."""
    spent, slices = _aged(state, now)
    taken = _Taken(pool, spent, slices.values(), {})
    return taken.room(share, limited=True)


def used(state: State, now: float) -> Mapping[str, Amounts]:
    """Return what is taken, by share: what slices hold, and what was used within the last minute."""
    spent, slices = _aged(state, now)
    total: dict[str, Amounts] = {}
    for part in (*spent.values(), *(one.held for one in slices.values())):
        _gather(total, part)
    return total


def waiting(state: State, now: float) -> Sequence[Want]:
    """Return what waits at all workers, in order."""
    _, slices = _aged(state, now)
    return sorted((want for one in slices.values() for want in one.wants), key=lambda want: want.key)


def expected_wait_s(pool: Pool, state: State, want: Want, now: float) -> float:
    """Return after how many seconds there is room for what wants it, if all goes on as it does.

    A dimension gives back its limit in a minute, or in the time of a run; what waits before comes first. Before what is
    within a reserve comes only what is of the same share.
    """
    free = available(pool, state, want.share, now)
    spent, slices = _aged(state, now)
    reserved = _Taken(pool, spent, slices.values(), {}).reserved(want)
    ahead = NOTHING
    for other in waiting(state, now):
        if other.key < want.key and (not reserved or other.share == want.share):
            ahead += other.need
    waits = [0.0]
    for dimension in DIMENSIONS:
        limit = pool.limits.of(dimension)
        if want.need.of(dimension) and limit < math.inf:
            missing = ahead.of(dimension) + want.need.of(dimension) - free.of(dimension)
            period = (state.run_s or 1.0) if dimension == "runs" else float(WINDOW_S)
            waits.append(max(0.0, missing) * period / limit)
    return max(waits)


class _Taken:
    """What is taken and what is left, while one request is served."""

    def __init__(
        self,
        pool: Pool,
        spent: Mapping[int, Mapping[str, Amounts]],
        others: Iterable[Slice],
        kept: Mapping[str, Amounts],
    ) -> None:
        self._pool = pool
        self._by_share: dict[str, Amounts] = {}
        for part in (*spent.values(), *(one.held for one in others), kept):
            _gather(self._by_share, part)
        total = NOTHING
        for amounts in self._by_share.values():
            total += amounts
        self._limited: list[Dimension] = [one for one in DIMENSIONS if pool.limits.of(one) < math.inf]
        self._free = {one: pool.limits.of(one) - total.of(one) for one in self._limited}
        self._blocked: set[Dimension] = set()
        self.unserved: list[Want] = []

    def serve(self, wants: Sequence[Want], theirs: Sequence[Want]) -> tuple[Mapping[str, Amounts], float]:
        """Return what of the worker's wants is granted, and the first key of the others' that found no room."""
        granted: dict[str, Amounts] = {}
        first_other = math.inf
        queue = sorted([*((want, True) for want in wants), *((want, False) for want in theirs)], key=_key)
        later = queue
        if self._pool.shares:
            later = list[tuple[Want, bool]]()
            for want, own in queue:
                if not self.reserved(want):
                    later.append((want, own))
                elif self._take(want):
                    _gather(granted, {want.share: want.need} if own else {})
                elif own:
                    self.unserved.append(want)
                elif want.need.runs:
                    first_other = -math.inf  # whatever becomes free is reserved for it
        for want, own in later:
            # What is above its agent's share, or the whole, holds up nobody: it does not wait for others' room.
            if not self._full() and not self._above_most(want) and self._take(want, lent_only=True):
                _gather(granted, {want.share: want.need} if own else {})
            elif own:
                self.unserved.append(want)
            elif want.need.runs and want.key < first_other and not self._above_most(want):
                first_other = want.key
        self.unserved.sort(key=lambda want: want.key)
        return granted, first_other

    def spare(self, wishes: Mapping[str, Amounts], workers: int) -> Mapping[str, Amounts]:
        """Return what can be given for what is yet to come: a part of what is left; nothing while somebody waits."""
        found: dict[str, Amounts] = {}
        for share, wish in wishes.items():
            room = self.room(share, limited=False)
            parts = [
                0
                if one in self._blocked
                else min(wish.of(one), room.of(one) if one not in self._limited else room.of(one) // (workers + 1))
                for one in DIMENSIONS
            ]
            found[share] = Amounts(*(max(0, part) for part in parts))
            self._count(share, found[share])
        return found

    def room(self, share: str, *, limited: bool) -> Amounts:
        """Return what there is for a share beside what is kept for others; what has no limit is 0 where `limited`."""
        most = self._pool.shares.get(share, _WHOLE).most
        own = self._by_share.get(share, NOTHING)
        parts: list[int] = []
        for one in DIMENSIONS:
            if one not in self._limited:
                parts.append(0 if limited else 1_000_000_000)
                continue
            limit = self._pool.limits.of(one)
            free = self._free[one] - self._kept_for_others(share, one)
            parts.append(max(0, min(math.floor(free), math.floor(most * limit) - own.of(one))))
        return Amounts(*parts)

    def reserved(self, want: Want) -> bool:
        """Return whether it is within what is reserved for its share."""
        share = self._pool.shares.get(want.share)
        if share is None or not share.least:
            return False
        own = self._by_share.get(want.share, NOTHING) + want.need
        return all(own.of(one) <= math.floor(share.least * self._pool.limits.of(one)) for one in self._needed(want))

    def _above_most(self, want: Want) -> bool:
        most = self._pool.shares.get(want.share, _WHOLE).most
        own = self._by_share.get(want.share, NOTHING) if most < 1 else NOTHING
        return any(
            (own + want.need).of(one) > math.floor(most * self._pool.limits.of(one))
            or want.need.of(one) > self._pool.most_of(want.share, one)
            for one in self._needed(want)
        )

    def _take(self, want: Want, *, lent_only: bool = False) -> bool:
        """Take its need, or keep what there is of it from all that comes after it."""
        needed = self._needed(want)
        short: list[Dimension] = [
            one
            for one in needed
            if one in self._blocked
            or want.need.of(one) > self._free[one] - (self._kept_for_others(want.share, one) if lent_only else 0)
        ]
        if short:
            self._blocked.update(short)
            return False
        self._count(want.share, want.need)
        return True

    def _count(self, share: str, amounts: Amounts) -> None:
        self._by_share[share] = self._by_share.get(share, NOTHING) + amounts
        for one in self._limited:
            self._free[one] -= amounts.of(one)

    def _kept_for_others(self, share: str, dimension: Dimension) -> float:
        """Return what of the reserves of others is neither used nor lent."""
        kept, limit = 0.0, self._pool.limits.of(dimension)
        for name, other in self._pool.shares.items():
            if name != share and other.least:
                unused = math.floor(other.least * limit) - self._by_share.get(name, NOTHING).of(dimension)
                kept += max(0, unused) * (1 - LENT[self._pool.strategy])
        return kept

    def _full(self) -> bool:
        """Return whether nothing is left for anybody."""
        return len(self._blocked) == len(self._limited)

    def _needed(self, want: Want) -> Sequence[Dimension]:
        return [one for one in self._limited if getattr(want.need, one)]


def _aged(state: State, now: float, asking: str = "") -> tuple[dict[int, Mapping[str, Amounts]], dict[str, Slice]]:
    """Return what was used within a window, and the slices that have not ended; of others, what they held is used.

    That the slice of the worker that asks has ended is sure, for the time is its own.
    """
    spent = dict(state.spent)
    slices: dict[str, Slice] = {}
    for worker, one in state.slices.items():
        if one.until + (0 if worker == asking else SKEW_S) > now:
            slices[worker] = one
        else:
            lost = {share: replace(amounts, runs=0) for share, amounts in one.held.items()}
            _book(spent, {math.floor(one.until): lost})
    oldest = now - SKEW_S - WINDOW_S - 1
    return {second: parts for second, parts in spent.items() if second > oldest}, slices


def _key(one: tuple[Want, bool]) -> float:
    return one[0].key


def _kept(request: Request, mine: Slice | None) -> dict[str, Amounts]:
    """Return what the worker keeps: never more tokens and requests than it held, none of a slice that has ended."""
    held: Mapping[str, Amounts] = mine.held if mine is not None else {}
    kept: dict[str, Amounts] = {}
    for share, amounts in request.kept.items():
        had = held.get(share, NOTHING)
        kept[share] = Amounts(
            amounts.runs, min(amounts.tokens, had.tokens), min(amounts.requests, had.requests)
        ).positive
    return kept


def _book(spent: dict[int, Mapping[str, Amounts]], more: Mapping[int, Mapping[str, Amounts]]) -> None:
    for second, parts in more.items():
        total = dict(spent.get(second, {}))
        _gather(total, parts)
        spent[second] = {share: amounts.positive for share, amounts in total.items()}


def _gather(total: dict[str, Amounts], more: Mapping[str, Amounts]) -> None:
    for share, amounts in more.items():
        total[share] = total[share] + amounts if share in total else amounts


def _summed(wants: Sequence[Want]) -> tuple[Want, ...]:
    """Return the first want of each share, and the others of it as one, in order."""
    found: dict[str, list[Want]] = {}
    for want in wants:
        found.setdefault(want.share, []).append(want)
    summed: list[Want] = []
    for share, (first, *rest) in found.items():
        summed.append(first)
        if rest:
            total = (sum(parts) for parts in zip(*(want.need.parts for want in rest), strict=True))
            summed.append(Want(rest[0].key, share, Amounts(*total)))
    return tuple(sorted(summed, key=lambda want: want.key))


def _grant(mine: Slice, slices: Mapping[str, Slice], worker: str, first_other: float) -> Grant:
    workers = len(slices) + (worker not in slices)
    return Grant(mine.held, mine.until, first_other, max(1.0, workers / _WORKERS_A_SECOND))
