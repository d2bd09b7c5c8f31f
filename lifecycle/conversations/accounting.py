"""What a run's attempts cost, what of it was wasted, and how often a run is attempted. Pure rules, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llmops.facts.model import Ending
from llmops.spend.usage import Spend


@dataclass(frozen=True, slots=True)
class Costs:
    """What the attempts at a run came to.

    Attributes:
        spend: Of all attempts.
        wasted: Of these, attempts that gave no answer and that no other went on from.
        carried: What attempts spent that the next one can go on from.
        progress: Where a budget stopped the run, for the next attempt to go on from (`lifecycle.runs.progress`);
            None for its beginning.
        handed: What members of a team spent that handed over: they gave no answer, and it was not wasted.
    """

    spend: Spend = field(default_factory=Spend)
    wasted: Spend = field(default_factory=Spend)
    carried: Spend = field(default_factory=Spend)
    progress: str | None = None
    handed: Spend = field(default_factory=Spend)


def after(before: Costs, own: Spend, ending: Ending, progress: str | None, *, went_on: bool) -> Costs:
    """Return the costs after an attempt.

    Args:
        before: The costs before it.
        own: What it spent.
        ending: How it ended.
        progress: How far it came, where a budget stopped it; else None.
        went_on: Whether it went on from where an earlier one was stopped.
    """
    spend, handed = before.spend + own, before.handed
    carried = before.carried if went_on else Spend()
    match ending:
        case Ending.SUCCEEDED:
            return replace(before, spend=spend, wasted=spend - own - carried - handed)
        case Ending.HANDED_OVER:
            handed = handed + own + carried
            return Costs(spend, spend - handed, handed=handed)
        case Ending.FAILED | Ending.CANCELLED:
            return Costs(spend, spend - handed, handed=handed)
        case Ending.RETRIED:
            return replace(before, spend=spend, wasted=spend - before.carried - handed)
        case Ending.PAUSED:
            kept = carried + own if progress is not None else Spend()
            return Costs(spend, spend - kept - handed, kept, progress, handed)


def last_attempt(number: int, most: int, *, redriven: int, waits: int) -> bool:
    """Return whether the run is not attempted again after the attempt of this number.

    Args:
        number: The attempt, from 1.
        most: Attempts that a run has; as many again each time that it is redriven.
        redriven: How often it was redriven.
        waits: Attempts that a budget ended, which do not count.
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


_LONGEST_BACK_OFF_S = 30.0
