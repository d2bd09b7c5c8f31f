"""Deletes facts of attempts, or parts of them, by whole days; sums of facts stay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from lifecycle.retention.policy import OF_DAYS, DataRetentionPolicy, LegalHold, Part

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.retention.store import RetentionStore
    from llmops.facts.attempt_fact import AttemptFact
    from llmops.facts.fact_store import FactDeletion

DaysOf = Callable[[str, date], AsyncIterator[date]]
"""Yields the days before a given day on which runs of the workspace ended, newest first."""


class FactDays:
    """Deletes facts of whole days, or parts of them, by a retention policy."""

    def __init__(self, store: RetentionStore, facts: FactDeletion, days_of: DaysOf, clock: Clock) -> None:
        self._store = store
        self._facts = facts
        self._days_of = days_of
        self._clock = clock

    async def due(
        self, workspace: str, policy: DataRetentionPolicy, holds: Sequence[LegalHold]
    ) -> AsyncIterator[tuple[Part, date]]:
        """Yield the parts and days to delete, oldest first for each part; nothing while there is a legal hold."""
        for part in OF_DAYS:
            keep_for = policy.keeps(part)
            if keep_for is None or holds:
                continue
            until = await self._store.deleted_until(workspace, part)
            found: list[date] = []
            async for day in self._days_of(workspace, (self._clock() - keep_for).date()):
                if until is not None and day <= until:
                    break
                found.append(day)
            for day in reversed(found):
                yield part, day

    async def delete(self, workspace: str, part: Part, day: date) -> int:
        """Delete the part of the day's facts, and return the number of facts changed."""
        if part is Part.FACTS:
            count = await self._facts.delete(workspace, day)
        else:
            count = await self._facts.reduce(
                workspace, day, _without_tool_calls if part is Part.TOOL_CALLS else _without_score
            )
        await self._store.note_deleted(workspace, part, day)
        return count


def _without_tool_calls(fact: AttemptFact) -> AttemptFact:
    return replace(fact, tools=())


def _without_score(fact: AttemptFact) -> AttemptFact:
    return replace(fact, score=None)
