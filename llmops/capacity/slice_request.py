"""What of a pool is taken and what is left, while one worker's request is served. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from llmops.capacity.lent_slot_reclaim import RECALLED_AFTER_S
from llmops.capacity.pools import DIMENSIONS, LENT, NOTHING, Amounts, Dimension, Pool, Share
from llmops.capacity.slice_messages import Slice, Want, gather

_WHOLE = Share()


class Serving:
    """One worker's request, while it is served.

    Attributes:
        unserved: What of the worker's wants found no room, in order.
        owing: Runs within reserves, at any worker, for which there is no slot: slots that are lent have to come back.
        overdue: Those of them that have waited for RECALLED_AFTER_S.
    """

    def __init__(
        self,
        pool: Pool,
        spent: Mapping[int, Mapping[str, Amounts]],
        others: Iterable[Slice],
        kept: Mapping[str, Amounts],
        now: float,
    ) -> None:
        self._pool = pool
        self._now = now
        self._by_share: dict[str, Amounts] = {}
        for part in (*spent.values(), *(one.held for one in others), kept):
            gather(self._by_share, part)
        total = NOTHING
        for amounts in self._by_share.values():
            total += amounts
        self._limited: list[Dimension] = [one for one in DIMENSIONS if pool.limits.of(one) < math.inf]
        self._free = {one: pool.limits.of(one) - total.of(one) for one in self._limited}
        self._blocked: set[Dimension] = set()
        self._reserves = {name: share for name, share in pool.shares.items() if share.least}
        self.unserved: list[Want] = []
        self.owing = self.overdue = 0

    def serve(self, wants: Sequence[Want], theirs: Sequence[Want]) -> tuple[Mapping[str, Amounts], float]:
        """Return what of the worker's wants is granted, and the first key of the others' that found no room.

        What is within a reserve is left out of the second: it has room by what is owed to it.
        """
        granted: dict[str, Amounts] = {}
        queue = [(want, True) for want in wants]
        queue += [(want, False) for want in theirs]
        queue.sort(key=_key)
        if self._reserves:
            queue = self._serve_reserves(queue, granted)
        first_other, served = math.inf, 0
        for want, own in queue:
            if len(self._blocked) == len(self._limited):
                break  # nothing is left for anybody
            served += 1
            # What is above its agent's share, or the whole, holds up nobody: it does not wait for others' room.
            fits = not self._above_most(want)
            if fits and self._take(want, lent_only=True):
                gather(granted, {want.share: want.need} if own else {})
            elif own:
                self.unserved.append(want)
            elif want.need.runs and want.key < first_other and fits:
                first_other = want.key
        for want, own in queue[served:]:
            if own:
                self.unserved.append(want)
            elif want.need.runs and want.key < first_other and not self._above_most(want):
                first_other = want.key
        self.unserved.sort(key=lambda want: want.key)
        return granted, first_other

    def _serve_reserves(self, queue: list[tuple[Want, bool]], granted: dict[str, Amounts]) -> list[tuple[Want, bool]]:
        """Serve what is within a reserve, and return the others."""
        others: list[tuple[Want, bool]] = []
        short: dict[str, list[Want]] = {}
        for entry in queue:
            want, own = entry
            if want.share not in self._reserves:
                others.append(entry)
                continue
            if not self.reserved(want):
                others.append(entry)
            elif self._take(want):
                gather(granted, {want.share: want.need} if own else {})
                continue
            elif own:
                self.unserved.append(want)
            if want.need.runs and "runs" in self._free:
                short.setdefault(want.share, []).append(want)
        if short:
            free = max(0, math.floor(self._free["runs"]))
            old = {
                share: [want for want in found if want.key <= self._now - RECALLED_AFTER_S]
                for share, found in short.items()
            }
            self.owing, self.overdue = max(0, self._due(short) - free), max(0, self._due(old) - free)
        return others

    def _due(self, wants: Mapping[str, Sequence[Want]]) -> int:
        """Return how many runs that wait are within the reserves of their shares."""
        return sum(
            min(sum(want.need.runs for want in found), max(0, -self._above_reserve(share)))
            for share, found in wants.items()
        )

    def _above_reserve(self, share: str) -> int:
        """Return how many runs a share has above its reserve; below zero for fewer."""
        reserve = self._reserves.get(share, _WHOLE).least * self._pool.limits.of("runs")
        return self._by_share.get(share, NOTHING).runs - math.floor(reserve)

    def lent(self) -> Mapping[str, int]:
        """Return how many runs each share has above its reserve, of those that have more."""
        return {share: more for share in self._by_share if (more := self._above_reserve(share)) > 0}

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
        share = self._reserves.get(want.share)
        if share is None:
            return False
        own = self._by_share.get(want.share, NOTHING) + want.need
        return all(own.of(one) <= math.floor(share.least * self._pool.limits.of(one)) for one in self._needed(want))

    def _above_most(self, want: Want) -> bool:
        most = self._pool.shares.get(want.share, _WHOLE).most
        own = self._by_share.get(want.share, NOTHING) if most < 1 else NOTHING
        for one in self._needed(want):
            need = want.need.of(one)
            if own.of(one) + need > math.floor(most * self._pool.limits.of(one)):
                return True
            if need > self._pool.most_of(want.share, one):
                return True
        return False

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
        for name, other in self._reserves.items():
            if name != share:
                unused = math.floor(other.least * limit) - self._by_share.get(name, NOTHING).of(dimension)
                kept += max(0, unused) * (1 - LENT[self._pool.strategy])
        return kept

    def _needed(self, want: Want) -> Sequence[Dimension]:
        return [one for one in self._limited if getattr(want.need, one)]


def _key(one: tuple[Want, bool]) -> float:
    return one[0].key
