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
from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmops.capacity import lent_slot_reclaim as reclaim
from llmops.capacity.pools import DIMENSIONS, NOTHING, Amounts, Pool
from llmops.capacity.slice_messages import Grant, Request, Slice, State, Want, gather
from llmops.capacity.slice_request import Serving

LASTS_S = 10.0
"""How long a slice lasts unless renewed, in seconds; what a dead worker held is free after that."""
SKEW_S = 1.0
"""By how much workers' clocks may differ, in seconds."""
WINDOW_S = 60
_WORKERS_A_SECOND = 32
"""Requests per second of all workers together; with more workers each asks less often. All write the same row."""
_SMOOTHING = 0.2


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
        recalls = reclaim.recall(taken.owing, taken.overdue, taken.lent(), runs, run_s, now)
        owed, recalled = recalls.get(request.worker, ({}, {}))
        grant = replace(grant, owed=owed, recalled=recalled)
    return State(spent, slices, run_s), grant


def available(pool: Pool, state: State, share: str, now: float) -> Amounts:
    """Return what a share could be granted now if nobody else waited."""
    spent, slices = _aged(state, now)
    taken = Serving(pool, spent, slices.values(), {}, now)
    return taken.room(share, limited=True)


def used(state: State, now: float) -> Mapping[str, Amounts]:
    """Return the use by share: what slices hold, and what was used within the last minute."""
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
    """Return the estimated seconds until there is capacity for a request, if the load stays as it is.

    A dimension frees its whole limit in a minute, or in the mean time of a run; what waits before comes first. Within
    its reserve, a request waits only for requests of the same share.
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
        gather(total, parts)
        spent[second] = {share: amounts.positive for share, amounts in total.items()}


def _summed(wants: Sequence[Want]) -> tuple[Want, ...]:
    """Return the first want of each share, and the sum of its other wants, in order."""
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
