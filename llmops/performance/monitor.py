"""Reading the performance of agents: in total, by version, and over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass
from llmops.facts.performance_summary import PerformanceSummary
from llmops.performance.sla import Attainment, SlaTarget, attainment

if TYPE_CHECKING:
    from llmops.facts.sum_reader import FactSums
    from llmops.facts.sums import Cell

LONGEST_RANGE_DAYS = 92
_HOURLY_UP_TO_DAYS = 3


@dataclass(frozen=True, slots=True)
class VersionPerformance:
    """Performance of one version of an agent, and the hour it was first seen in."""

    version: str
    since: datetime
    summary: PerformanceSummary


@dataclass(frozen=True, slots=True)
class Point:
    """Performance of an agent in the time interval that begins at `start`."""

    start: datetime
    summary: PerformanceSummary


@dataclass(frozen=True, slots=True)
class Performance:
    """Performance of an agent.

    Attributes:
        agent: The agent.
        first: First UTC day.
        last: Last UTC day, included.
        summary: The sum of all attempts.
        sla: Whether its service level was met.
        versions: By version, in the order first seen.
        trend: By hour for few days, else by day; intervals without runs are left out.
    """

    agent: str
    first: date
    last: date
    summary: PerformanceSummary
    sla: Attainment
    versions: Sequence[VersionPerformance]
    trend: Sequence[Point]


def check_days(first: date, last: date) -> None:
    """Check the order and number of days.

    Raises:
        InvalidInput: They are out of order, or too many.
    """
    if first > last:
        raise InvalidInput("'from' is after 'to'.", code="invalid_range", fields={"from": "must not be after 'to'"})
    if (last - first).days >= LONGEST_RANGE_DAYS:
        msg = f"At most {LONGEST_RANGE_DAYS} days can be asked for at once."
        raise InvalidInput(msg, code="invalid_range", fields={"from": msg})


def total(cells: Sequence[Cell]) -> PerformanceSummary:
    """Return the sum of the cells."""
    return sum((cell.summary for cell in cells), PerformanceSummary())


def by_agent(cells: Sequence[Cell]) -> Sequence[tuple[str, PerformanceSummary]]:
    """Return what each agent did in these cells, by name."""
    found: dict[str, PerformanceSummary] = {}
    for cell in cells:
        found[cell.agent] = found.get(cell.agent, PerformanceSummary()) + cell.summary
    return sorted(found.items())


def versions_of(cells: Sequence[Cell]) -> Iterator[tuple[str, datetime, PerformanceSummary]]:
    """Yield each version, when it was first seen in these cells, and its summary, in that order."""
    sums: dict[str, tuple[datetime, PerformanceSummary]] = {}
    for cell in cells:
        start, summary = sums.get(cell.version, (cell.start, PerformanceSummary()))
        sums[cell.version] = (min(start, cell.start), summary + cell.summary)
    # Of those first seen in the same hour, as all may be that are older than the cells, version 9 comes before 10.
    for version, (start, summary) in sorted(sums.items(), key=lambda item: (item[1][0], len(item[0]), item[0])):
        yield version, start, summary


def performance_of(agent: str, cells: Sequence[Cell], first: date, last: date, target: SlaTarget) -> Performance:
    """Return the performance of an agent from its cells of these days."""
    hourly = (last - first).days < _HOURLY_UP_TO_DAYS
    points: dict[datetime, PerformanceSummary] = {}
    for cell in cells:
        start = cell.start if hourly else cell.start.replace(hour=0)
        points[start] = points.get(start, PerformanceSummary()) + cell.summary
    summary = total(cells)
    versions = [VersionPerformance(*each) for each in versions_of(cells)]
    trend = [Point(start, points[start]) for start in sorted(points)]
    return Performance(agent, first, last, summary, attainment(summary, target), versions, trend)


class PerformanceReader:
    """Reads the performance of agents."""

    def __init__(self, figures: FactSums) -> None:
        self._figures = figures

    async def agent(self, workspace: str, agent: str, first: date, last: date, target: SlaTarget) -> Performance:
        """Return the performance of the agent from the first to the last UTC day, up to now."""
        return performance_of(agent, await self._figures.hours(workspace, agent, first, last), first, last, target)

    async def before(self, workspace: str, agent: str, first: date, last: date) -> PerformanceSummary:
        """Return the summary of as many days directly before these."""
        count = (last - first).days + 1
        return total(
            await self._figures.hours(workspace, agent, first - timedelta(days=count), first - timedelta(days=1))
        )

    async def agents(self, workspace: str, first: date, last: date) -> Sequence[tuple[str, PerformanceSummary]]:
        """Return the summary of every agent of the workspace with attempts on these days, by name."""
        return by_agent(await self._figures.hours(workspace, None, first, last))
