"""Whether a run is attempted again, and after which delay. Pure rules."""

from __future__ import annotations

_LONGEST_BACK_OFF_S = 30.0


def last_attempt(number: int, most: int, *, redriven: int, waits: int) -> bool:
    """Return whether the attempt is the run's last one.

    Args:
        number: Number of the attempt, from 1.
        most: Attempts allowed since submission, and again since each redrive.
        redriven: How often it was redriven.
        waits: Attempts that do not count: postponed for lack of capacity, stopped by a budget or an approval, or handed
            over.
    """
    return number >= most * (redriven + 1) + waits


def tries(number: int, most: int, *, redriven: int, waits: int) -> int:
    """Return the number of the attempt, from 1, since the run was submitted or last redriven."""
    return max(1, number - most * redriven - waits)


def retry_delay_s(tries: int, base_s: float, retry_after_s: float | None, longest_s: float) -> float:
    """Return the seconds to wait before the next attempt.

    The delay doubles from `base_s` up to 30 s. A longer delay that the provider asks for is used, up to `longest_s`.
    """
    own = min(base_s * 2.0 ** max(0, tries - 1), _LONGEST_BACK_OFF_S)
    return min(max(own, retry_after_s or 0.0), max(longest_s, own))
