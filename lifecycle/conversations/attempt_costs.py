"""What a run's attempts cost, and how much of that was wasted. Pure rules, in this place only."""

from __future__ import annotations

from dataclasses import field, replace

from kernel.lazy_dataclass import dataclass
from llmops.facts.attempt_fact import Ending
from llmops.spend.usage import Spend


@dataclass(frozen=True, slots=True)
class Costs:
    """What the attempts at a run cost.

    Attributes:
        spend: Of all attempts.
        wasted: Of these, attempts without an answer that no other attempt continued.
        carried: What attempts spent whose progress the next one can continue.
        progress: Where a budget stopped the run, for the next attempt to continue from
            (`lifecycle.runs.stored_progress`); None to start from the beginning.
        handed_over: What attempts spent that handed over to another team member: without an answer, but not wasted.
    """

    spend: Spend = field(default_factory=Spend)
    wasted: Spend = field(default_factory=Spend)
    carried: Spend = field(default_factory=Spend)
    progress: str | None = None
    handed_over: Spend = field(default_factory=Spend)


def after(before: Costs, own: Spend, ending: Ending, progress: str | None, *, went_on: bool) -> Costs:
    """Return the costs after an attempt.

    Args:
        before: The costs before it.
        own: What it spent.
        ending: How it ended.
        progress: Its progress, if a budget stopped it; else None.
        went_on: Whether it continued from an earlier attempt's progress.
    """
    spend, handed_over = before.spend + own, before.handed_over
    carried = before.carried if went_on else Spend()
    match ending:
        case Ending.SUCCEEDED:
            return replace(before, spend=spend, wasted=spend - own - carried - handed_over)
        case Ending.HANDED_OVER:
            handed_over = handed_over + own + carried
            return Costs(spend, spend - handed_over, handed_over=handed_over)
        case Ending.FAILED | Ending.CANCELLED:
            return Costs(spend, spend - handed_over, handed_over=handed_over)
        case Ending.RETRIED:
            return replace(before, spend=spend, wasted=spend - before.carried - handed_over)
        case Ending.PAUSED:
            kept = carried + own if progress is not None else Spend()
            return Costs(spend, spend - kept - handed_over, kept, progress, handed_over)
