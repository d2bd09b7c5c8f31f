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
from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmops.capacity import reclaim
from llmops.capacity.exchange import Grant, Request, Slice, State, Want, gather
from llmops.capacity.pools import DIMENSIONS, NOTHING, Amounts, Pool
from llmops.capacity.serving import Serving

LASTS_S = 10.0
"""How long a slice lasts that its worker does not renew: so long it takes until what a dead worker held comes back."""
SKEW_S = 1.0
"""By how much the clocks of workers may differ."""
WINDOW_S = 60
_WORKERS_A_SECOND = 32
"""Workers that ask in a second, in all; where there are more, each asks less often. One row takes that many writes."""
_SMOOTHING = 0.2


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
    taken = Serving(pool, spent, slices.values(), kept, now)
    theirs = [want for one in slices.values() for want in one.wants]
    granted, first_other = taken.serve(request.wants, theirs)
    gather(kept, granted)
    gather(kept, taken.spare(request.spare, len(slices) + 1))
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
    grant = _grant(slice_, slices, request.worker, first_other)
    if taken.owing:
        runs = {worker: {share: held.runs for share, held in one.held.items()} for worker, one in slices.items()}
        told = reclaim.told(taken.owing, taken.overdue, taken.lent(), runs, run_s, now)
        owed, recalled = told.get(request.worker, ({}, {}))
        grant = replace(grant, owed=owed, recalled=recalled)
    return State(spent, slices, run_s), grant


def available(pool: Pool, state: State, share: str, now: float) -> Amounts:
    """Return what somebody of a share could have now, if nobody else waited."""
    spent, slices = _aged(state, now)
    taken = Serving(pool, spent, slices.values(), {}, now)
    return taken.room(share, limited=True)


def used(state: State, now: float) -> Mapping[str, Amounts]:
    """Return what is taken, by share: what slices hold, and what was used within the last minute."""
    spent, slices = _aged(state, now)
    total: dict[str, Amounts] = {}
    for part in (*spent.values(), *(one.held for one in slices.values())):
        gather(total, part)
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
    reserved = Serving(pool, spent, slices.values(), {}, now).reserved(want)
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
        gather(total, parts)
        spent[second] = {share: amounts.positive for share, amounts in total.items()}


def _summed(wants: Sequence[Want]) -> tuple[Want, ...]:
    """Return the first want of each share, and the others of it as one, in order."""
    found: dict[str, list[Want]] = {}
    for want in wants:
        found.setdefault(want.share, []).append(want)
    summed: list[Want] = []
    for share, (first, *rest) in found.items():
        summed.append(first)
        if rest:
            runs = tokens = requests = 0
            for want in rest:
                runs, tokens, requests = runs + want.need.runs, tokens + want.need.tokens, requests + want.need.requests
            summed.append(Want(rest[0].key, share, Amounts(runs, tokens, requests)))
    return tuple(sorted(summed, key=lambda want: want.key))


def _grant(mine: Slice, slices: Mapping[str, Slice], worker: str, first_other: float) -> Grant:
    workers = len(slices) + (worker not in slices)
    return Grant(mine.held, mine.until, first_other, max(1.0, workers / _WORKERS_A_SECOND))
