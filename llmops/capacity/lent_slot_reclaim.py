"""Whose slots that are lent come back, when somebody comes who has a reserve. Pure.

A slot comes back when its run ends. As many workers are told to give back as it takes for all that is due to become
free within a request's time, so that hardly a slot more than these is idle on its way through the pool. Every few
seconds others are told: that one worker's runs take much longer than is usual holds up nobody for long.

An owner that has waited for RECALLED_AFTER_S waits for no run to end: exactly as many slots as are due come back before
the next calls of the runs that have them, and these go on when there is room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

RECALLED_AFTER_S = 10.0
_WITHIN_S = 1.0
"""Within how many seconds what is due is to become free, in the mean: in the order of a request of each worker."""
_TURNS_S = 4.0

Runs = Mapping[str, int]
"""Runs by share."""


def recall(
    due: int, overdue: int, lent: Runs, held: Mapping[str, Runs], run_s: float, now: float
) -> Mapping[str, tuple[Runs, Runs]]:
    """Return how many runs each worker gives back the slots of: as they end, and before their next calls.

    Args:
        due: How many slots are missing.
        overdue: How many of them somebody has waited for long enough.
        lent: How many runs of each share are above its reserve.
        held: The runs that each worker holds.
        run_s: How long a run takes; 0 where that is not known, and then all that hold any are told.
        now: The time, in seconds since the epoch.
    """
    names = sorted(held)
    turn = int(now / _TURNS_S) % len(names) if names else 0
    order = {worker: held[worker] for worker in names[turn:] + names[:turn]}
    ending = _parts(due, lent, order, _WITHIN_S / run_s if run_s else 0.0)
    recalled = _parts(overdue, lent, order, 1.0)
    return {worker: (runs, recalled.get(worker, {})) for worker, runs in ending.items()}


def _parts(due: int, lent: Runs, held: Mapping[str, Runs], likely: float) -> Mapping[str, Runs]:
    """Return how many runs each worker is told of, until as many as are due are likely to be given back.

    Args:
        due: How many are missing.
        lent: How many of each share may be taken.
        held: The runs of each worker, in the order in which they are told.
        likely: What part of a worker's runs is given back in time.
    """
    found: dict[str, Runs] = {}
    left, missing = dict(lent), float(due)
    for worker, runs in held.items():
        own: dict[str, int] = {}
        for share, count in runs.items():
            part = min(count, left.get(share, 0), math.ceil(missing - 1e-9))
            if part > 0:
                own[share] = part
                left[share] -= part
                missing -= min(part, count * likely)
        if own:
            found[worker] = own
    return found
