"""What both the status and the analytics of a workspace look at, read once for both."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.registry.agent_counts import LifecycleCounts, LifecycleTotals
    from llmops.facts.sum_reader import DayFigures, FactSums


class Today:
    """A workspace's UTC day so far; each part is read when it is first asked for, and then kept.

    Attributes:
        workspace: The workspace.
        at: The moment up to which it is known, aware UTC.
    """

    def __init__(self, workspace: str, at: datetime, figures: FactSums, counts: LifecycleCounts) -> None:
        self.workspace = workspace
        self.at = at
        self._figures = figures
        self._counts = counts

    async def figures(self) -> DayFigures:
        """Return what runs did and spent."""
        return await asyncio.shield(self._day)  # who gives up waiting does not end it for others

    async def agents(self) -> LifecycleTotals:
        """Return the agents as they are, and what became of them in the last hour."""
        return await asyncio.shield(self._totals)

    @cached_property
    def _day(self) -> asyncio.Task[DayFigures]:
        return asyncio.create_task(self._figures.day(self.workspace, self.at.date()))

    @cached_property
    def _totals(self) -> asyncio.Task[LifecycleTotals]:
        return asyncio.create_task(self._counts.read(self.workspace, self.at, 1))
