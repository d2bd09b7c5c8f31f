"""Compares the versions of an agent by their answers' scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from kernel.errors import NotFound
from kernel.lazy_dataclass import dataclass
from llmops.evaluation.score_distribution import ScoreChange, ScoreDistribution, compare
from llmops.facts.scores import Evaluations, by_version
from llmops.facts.sums import DaySum, Parts

if TYPE_CHECKING:
    from lifecycle.registry.catalog import Catalog


@dataclass(frozen=True, slots=True)
class VersionScores:
    """The scores of a version: in total, and by day, oldest first."""

    version: str
    current: bool
    total: Mapping[str, ScoreDistribution]
    days: Sequence[tuple[date, Parts]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences in score between two versions of an agent, `overall` first."""

    agent: str
    base: str
    new: str
    changes: Sequence[ScoreChange]


class VersionComparison:
    """Reads and compares versions' scores."""

    def __init__(self, catalog: Catalog, history: Evaluations) -> None:
        self._catalog = catalog
        self._history = history

    async def scores(self, workspace: str, name: str) -> Sequence[VersionScores]:
        """Return the scores of every version, the most recently used one first.

        Raises:
            NotFound: The agent does not exist.
        """
        agent = await self._catalog.get(workspace, name)
        version = agent.record.version if agent.record else None
        sums = await self._history.sums(workspace, name)
        return scores_of(sums, version.version if version else None)

    async def compare(self, workspace: str, name: str, base: str | None, new: str | None) -> Comparison:
        """Return how the scores of version `new` differ from those of `base`.

        Args:
            workspace: The agent's workspace.
            name: The agent.
            base: The version to compare with; None for the one used most recently before `new`.
            new: The version to compare; None for the current one or, if it has no scores, the most recently used.

        Raises:
            NotFound: The agent does not exist, or one of the versions has no scores (code `version_not_scored`).
        """
        found = {one.version: one for one in await self.scores(workspace, name)}
        current = [one.version for one in found.values() if one.current]
        chosen = new or next(iter([*current, *found]), "")
        other = base or next((version for version in found if version != chosen), "")
        for version in (chosen, other):
            if version not in found:
                missing = f"version {version!r} of agent {name!r}" if version else f"two versions of agent {name!r}"
                raise NotFound(f"There are no scores of {missing}.", code="version_not_scored")
        return Comparison(name, other, chosen, compare(found[other].total, found[chosen].total))


def scores_of(sums: Sequence[DaySum], current: str | None) -> Sequence[VersionScores]:
    """Return the scores of every version, the most recently used one first; of the same day, version 10 before 9."""
    totals = by_version(sums)
    days = {
        version: sorted(((one.day, one.parts) for one in sums if one.version == version), key=lambda day: day[0])
        for version in totals
    }
    scores = [VersionScores(version, version == current, total, days[version]) for version, total in totals.items()]
    return sorted(scores, key=lambda one: (one.days[-1][0], len(one.version), one.version), reverse=True)
