"""Composition of schedules and batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.runs import RunServices
    from kernel.due_index import DueTimes
    from lifecycle.batches.batch_service import Batches
    from lifecycle.batches.store import BatchStore
    from lifecycle.schedules.scheduled_submission import ScheduleRunner
    from lifecycle.schedules.store import Schedules


@dataclass(eq=False)
class PlannedRunServices:
    """Builds what submits runs on its own: schedules and batches."""

    _core: Core
    _agents: AgentServices
    _runs: RunServices

    @cached_property
    def schedules(self) -> Schedules:
        """Stores schedules."""
        from lifecycle.schedules.store import Schedules

        return Schedules(self._core.tables, self._agents.catalog, self._due("schedule"), self._core.clock)

    @cached_property
    def schedule_runner(self) -> ScheduleRunner:
        """Submits the runs of schedules."""
        from lifecycle.schedules.scheduled_submission import ScheduleRunner

        return ScheduleRunner(self.schedules, self._due("schedule"), self._runs.submission, self._core.clock)

    @cached_property
    def batch_store(self) -> BatchStore:
        """Stores batches."""
        from lifecycle.batches.store import BatchStore

        return BatchStore(self._core.tables)

    @cached_property
    def batches(self) -> Batches:
        """Submits and reads batches of runs."""
        from lifecycle.batches.batch_service import Batches

        return Batches(
            self.batch_store, self._due("batch"), self._runs.submission, self._runs.queries, self._core.clock
        )

    async def forget_user(self, workspace: str, user_id: str) -> AsyncIterator[int]:
        """Erase the user from schedules and batches; yield the number of erased entries, part by part."""
        yield await self.schedules.forget_user(workspace, user_id)
        async for count in self.batch_store.forget_user(workspace, user_id):
            yield count

    def _due(self, kind: str) -> DueTimes:
        from kernel.due_index import DueTimes

        return DueTimes(self._core.tables, kind)
