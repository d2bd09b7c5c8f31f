"""Whether a run is attempted again, and after how long. Pure rules."""

from __future__ import annotations

_LONGEST_BACK_OFF_S = 30.0


def last_attempt(number: int, most: int, *, redriven: int, waits: int) -> bool:
    """Return whether the run is not attempted again after the attempt of this number.

    Args:
        number: The attempt, from 1.
        most: Attempts that a run has; as many again each time that it is redriven.
        redriven: How often it was redriven.
        waits: Attempts that do not count: put off for want of room, stopped by a budget or an approval, or handed over.
    """
    return number >= most * (redriven + 1) + waits


def tries(number: int, most: int, *, redriven: int, waits: int) -> int:
    """Return which attempt in a row this one is, from 1, since the run was submitted or redriven last."""
    return max(1, number - most * redriven - waits)


def retry_delay_s(tries: int, base_s: float, retry_after_s: float | None, longest_s: float) -> float:
    """Return how many seconds to wait before the run is attempted again.

    It doubles from `base_s` up to 30 s. What the provider asks for is obeyed beyond that, up to `longest_s`.
    """
    own = min(base_s * 2.0 ** max(0, tries - 1), _LONGEST_BACK_OFF_S)
    return min(max(own, retry_after_s or 0.0), max(longest_s, own))
