"""Checks the health of the system: all parts concurrently, each with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import skipped
from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from kernel.tables import Span, Tables
from lifecycle.status import health_rules as rules
from lifecycle.status.health_rules import Component, Health, overall
from llmops.facts.performance_summary import PerformanceSummary
from llmops.performance.monitor import total

if TYPE_CHECKING:
    from kernel.timer_status import TimerStatusStore
    from lifecycle.runs.dead_letters import DeadLetters
    from lifecycle.runs.run_queue import RunQueue
    from lifecycle.status.workspace_readings import Today
    from llmops.facts.sum_reader import FactSums

_PATIENCE_S = 5
_RECENTLY = timedelta(minutes=15)
_HOUR = timedelta(hours=1)
_LETTERS = 100

Misconfigured = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the names of a workspace's alert rules that refer to an agent or a channel that does not exist."""


@dataclass(frozen=True, slots=True)
class Status:
    """Health of the system, as seen by one workspace.

    Attributes:
        health: The worst health of any part.
        components: Its parts.
        at: When it was checked, aware UTC.
        started_at: When the answering worker started, aware UTC.
    """

    health: Health
    components: tuple[Component, ...]
    at: datetime
    started_at: datetime

    @property
    def uptime_s(self) -> float:
        """How long the answering worker has been up, in seconds."""
        return (self.at - self.started_at).total_seconds()


class SystemStatus:
    """Checks the health of the system."""

    def __init__(
        self,
        tables: Tables,
        timer_statuses: TimerStatusStore,
        figures: FactSums,
        misconfigured_alerts: Misconfigured,
        *,
        started_at: datetime,
        problems: Sequence[str] = (),
    ) -> None:
        """Set what is checked, and the problems with this worker's extensions."""
        self._tables = tables
        self._timer_statuses = timer_statuses
        self._figures = figures
        self._misconfigured_alerts = misconfigured_alerts
        self._started_at = started_at
        self._problems = problems

    async def look(self, today: Today, queue: RunQueue, dead: DeadLetters) -> Status:
        """Return the health now, as a workspace sees it. Never raises: a part that cannot be checked is unhealthy."""
        workspace, now = today.workspace, today.at
        components = await asyncio.gather(
            _checked("tables", self._reached_tables(), Health.CRITICAL),
            _checked("queue", _reached(queue), Health.CRITICAL),
            _checked("dead_letters", _dead_letters(workspace, dead, now)),
            _checked("timers", self._timers(now)),
            _checked("agents", _agents(today)),
            _checked("providers", self._providers(today)),
            _checked("prices", _prices(today)),
            _checked("alerts", self._alerts(workspace)),
            _checked("stored_values", _stored_values()),
            _checked("extensions", self._extensions()),
        )
        return Status(overall(components), tuple(components), now, self._started_at)

    async def _reached_tables(self) -> Component:
        await self._tables.query("agents", Span("_health"), limit=1)
        return Component("tables", Health.HEALTHY)

    async def _timers(self, now: datetime) -> Component:
        return rules.timers(await self._timer_statuses.all(), now)

    async def _providers(self, today: Today) -> Component:
        since = today.at - _RECENTLY
        if since.date() == today.at.date():
            hours = [cell for cell in (await today.figures()).hours if cell.start > since - _HOUR]
            if rules.few_failures(total(hours)):
                return rules.providers(PerformanceSummary())  # no more in these minutes, whose rows are many
        return rules.providers(total(await self._figures.window(today.workspace, None, since, today.at)))

    async def _alerts(self, workspace: str) -> Component:
        return rules.alerts(await self._misconfigured_alerts(workspace))

    async def _extensions(self) -> Component:
        return rules.extensions(self._problems)


async def _agents(today: Today) -> Component:
    return rules.agents((await today.agents()).states)


async def _prices(today: Today) -> Component:
    spent = (await today.figures()).spend
    return rules.prices(spent.unpriced_calls, spent.unmetered_calls)


async def _stored_values() -> Component:
    return rules.stored(skipped)


async def _reached(queue: RunQueue) -> Component:
    await queue.dead(1)
    return Component("queue", Health.HEALTHY)


async def _dead_letters(workspace: str, dead: DeadLetters, now: datetime) -> Component:
    found, more = await dead.list(workspace, _LETTERS)
    return rules.letters(found, now, more=more is not None)


async def _checked(name: str, question: Awaitable[Component], otherwise: Health = Health.DEGRADED) -> Component:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await question
    except AppError as error:
        return Component(name, otherwise, f"could not be reached: {error.code}")
    except TimeoutError:
        return Component(name, otherwise, f"did not answer within {_PATIENCE_S} s")
