"""Replays a workspace's recorded history under other conditions: reads the facts and applies a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from llmops.facts.attempt_fact import AttemptFact
from llmops.optimization.what_if import Outcome
from llmops.spend.pricing import Rates

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.loader.cache_overview import LoaderOverview
    from llmops.optimization.rule_input import FactHistory
    from llmops.spend.rate_store import RateStore

Rule = Callable[[Sequence[AttemptFact], Rates], Outcome]
"""Returns what facts would have been, given the workspace's present rates."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Result of a replay.

    Attributes:
        first: First UTC day read.
        last: Last UTC day read.
        records: Number of facts, or of uses of agents, that were replayed.
        whole: Whether these were all.
        outcome: The rule's result.
    """

    first: date
    last: date
    records: int
    whole: bool
    outcome: Outcome


class HistoryReplay:
    """Reads recorded history and applies a rule to it."""

    def __init__(self, history: FactHistory, rates: RateStore, loader: LoaderOverview, clock: Clock) -> None:
        self._history = history
        self._rates = rates
        self._loader = loader
        self._clock = clock

    async def of_facts(self, workspace: str, agent: str | None, days: int, rule: Rule) -> Replayed:
        """Return the rule's result for the last days, including today."""
        last = self._clock().date()
        first = last - timedelta(days=days - 1)
        facts, whole = await self._history.read(workspace, agent, first, last)
        return Replayed(first, last, len(facts), whole, rule(facts, await self._rates.of(workspace)))

    async def of_cache(self, workspace: str, days: int, capacity: int, workers: int) -> Replayed:
        """Return what the workers' caches of live agents would have achieved with this size.

        Raises:
            InvalidInput: A value is out of bounds.
        """
        last = self._clock().date()
        found = await self._loader.what_if(workspace, capacity=capacity, workers=workers, hours=days * 24)
        groups = {
            policy: {"hit_rate": replay.hit_rate, "hits": replay.hits, "evictions": replay.evictions}
            for policy, replay in found.replays.items()
        }
        figures = {
            "uses": found.accesses,
            "capacity": found.capacity,
            "workers": found.workers,
            "best_possible_hit_rate": found.clairvoyant.hit_rate,
            "suggested_capacity": found.suggested_capacity,
        }
        assumptions = ("each worker begins with an empty cache", "uses go to the workers in turn")
        outcome = Outcome(figures, groups, assumptions)
        return Replayed(last - timedelta(days=days - 1), last, found.accesses, whole=True, outcome=outcome)
