"""How a pool's limits are divided between workers: a pure function of the state, one worker's request and the time.

Each worker has a slice (a lease on part of the limits): runs it may carry out, and tokens and requests it may use until
the slice expires. With each request it reports what it used (and when), what it keeps and what it wants, and is granted
more. Everything that workers hold counts as used, so that neither the order of events nor a worker that dies can take
the pool above a limit:

    for any 60 seconds: what was used in them + what all slices hold <= limit

What a slice still holds when it expires counts as used at that moment, because the worker may have used it. Capacity is
granted in order of waiting time, high priority having a head start (`llmops.capacity.admission`). A request that does
not fit yet blocks later ones, so that it does not starve. Agents below their reserved share come first.

Workers' clocks may differ by up to SKEW_S; times are in seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llmops.capacity.pools import DIMENSIONS, LENT, NOTHING, Amounts, Dimension, Pool, Share

LASTS_S = 10.0
"""How long a slice lasts unless renewed, in seconds; what a dead worker held is free after that."""
SKEW_S = 1.0
"""By how much workers' clocks may differ, in seconds."""
WINDOW_S = 60
_WORKERS_A_SECOND = 32
"""Requests per second of all workers together; with more workers each asks less often. All write the same row."""
_SMOOTHING = 0.2
_WHOLE = Share()


@dataclass(frozen=True, slots=True)
class Want:
    """A request that waits for capacity.

    Attributes:
        key: When it came, less its head start, in seconds since the epoch; the smallest comes first.
        share: Share name it is counted under (`Pool.share_of`).
        need: What it needs.
    """

    key: float
    share: str
    need: Amounts


@dataclass(frozen=True, slots=True)
class Slice:
    """What a worker holds until it expires: by share, with what it still wants, and the number of its last request."""

    held: Mapping[str, Amounts]
    until: float
    number: int
    wants: tuple[Want, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """The use of a pool.

    Attributes:
        spent: Used tokens and requests, by share, by the second of their use.
        slices: Slices by worker.
        run_s: Mean time of a run in seconds (exponentially smoothed); 0 while not known.
    """

    spent: Mapping[int, Mapping[str, Amounts]] = field(default_factory=dict[int, Mapping[str, Amounts]])
    slices: Mapping[str, Slice] = field(default_factory=dict[str, Slice])
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """A worker's report and request.

    Attributes:
        worker: The worker's id.
        number: Number of the request, from 1; a request that may have taken effect is repeated with its number.
        kept: What the worker keeps, by share: runs under way, and tokens and requests not used yet.
        spent: What it used since its last request, by second; negative where a call used less than was counted.
        wants: What waits in the worker, in order.
        spare: What it would like in addition, for calls before its next request.
        run_s: Mean time in seconds of the runs that ended since; 0 where none did.
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
        held: Everything it holds now, by share.
        until: When its tokens and requests expire, and its runs cease to count as its own.
        first_other: The smallest key of what waits at other workers and did not fit; infinity for none.
        again_s: Seconds until it may ask again.
    """

    held: Mapping[str, Amounts]
    until: float
    first_other: float
    again_s: float


def divided(pool: Pool, state: State, request: Request, now: float) -> tuple[State, Grant]:
    """Return the state after the request, and what the worker then holds.

    Args:
        pool: The pool as declared now; where a limit was lowered, nothing is granted until enough is free again.
        state: The current use.
        request: The worker's report and request.
        now: The worker's time.
    """
    spent, slices = _aged(state, now, request.worker)
    mine = slices.pop(request.worker, None)
    if mine is not None and mine.number == request.number:  # the request took effect before, and its response was lost
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
    """Return what a share could be granted now if nobody else waited."""
    spent, slices = _aged(state, now)
    taken = _Taken(pool, spent, slices.values(), {})
    return taken.room(share, limited=True)


def used(state: State, now: float) -> Mapping[str, Amounts]:
    """Return the use by share: what slices hold, and what was used within the last minute."""
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
    """Return the estimated seconds until there is capacity for a request, if the load stays as it is.

    A dimension frees its whole limit in a minute, or in the mean time of a run; what waits before comes first. Within
    its
    reserve, a request waits only for requests of the same share.
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
    """Used and free amounts while one request is served."""

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
        """Return what of the worker's wants is granted, and the smallest key of the others' that did not fit."""
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
                    first_other = -math.inf  # what becomes free is reserved for it
        for want, own in later:
            # What exceeds its agent's maximum, or the whole limit, blocks nobody: others' releases cannot help it.
            if not self._full() and not self._above_most(want) and self._take(want, lent_only=True):
                _gather(granted, {want.share: want.need} if own else {})
            elif own:
                self.unserved.append(want)
            elif want.need.runs and want.key < first_other and not self._above_most(want):
                first_other = want.key
        self.unserved.sort(key=lambda want: want.key)
        return granted, first_other

    def spare(self, wishes: Mapping[str, Amounts], workers: int) -> Mapping[str, Amounts]:
        """Return the spare amounts granted: a part of what is free; nothing while anybody waits."""
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
        """Return what is free for a share, less what is kept for others; unlimited dimensions are 0 where `limited`."""
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
        """Return whether the request is within its share's reserve."""
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
        """Take the request's need, or, where it does not fit, keep what is free from later requests."""
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
        """Return the part of others' reserves that is neither used nor lent."""
        kept, limit = 0.0, self._pool.limits.of(dimension)
        for name, other in self._pool.shares.items():
            if name != share and other.least:
                unused = math.floor(other.least * limit) - self._by_share.get(name, NOTHING).of(dimension)
                kept += max(0, unused) * (1 - LENT[self._pool.strategy])
        return kept

    def _full(self) -> bool:
        """Return whether nothing is free for anybody."""
        return len(self._blocked) == len(self._limited)

    def _needed(self, want: Want) -> Sequence[Dimension]:
        return [one for one in self._limited if getattr(want.need, one)]


def _aged(state: State, now: float, asking: str = "") -> tuple[dict[int, Mapping[str, Amounts]], dict[str, Slice]]:
    """Return what was used within the window, and the slices not expired; what expired slices held counts as used.

    The asking worker's own slice is judged by its own clock, without allowance for clock skew.
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
    """Return what the worker keeps: at most the tokens and requests it held, and none of an expired slice."""
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
    """Return the first want of each share, and the sum of its other wants, in order."""
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
