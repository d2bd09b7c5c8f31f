"""Evaluating alert rules: each change is recorded once and told, whoever evaluates and wherever that ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from kernel.clock import Clock
from kernel.ids import new_id
from kernel.journal import Event, Journal
from llmops.alerts.metrics import FIGURES, FROM_LEDGER, FROM_REGISTRY, Metric, value_of, written
from llmops.alerts.rules import WORDS, Resolution, State, Status, closed, evaluated
from llmops.alerts.store import Alert, Alerts, Firing, Standing
from llmops.facts.figures import Figures
from llmops.facts.summary import Summary
from llmops.facts.sums import Cell
from llmops.notifications.notification import Notification
from llmops.notifications.outbox import Outbox
from llmops.performance.monitor import total
from llmops.reports.daily import DailyCosts
from llmops.spend.groups import Group
from llmops.spend.usage import Spend

log = logging.getLogger(__name__)

RegistryFigures = Callable[[str, datetime, datetime], Awaitable[Mapping[Metric, float]]]
"""Returns the metrics FROM_REGISTRY of a workspace since a time, up to now; what is not known is left out."""

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one evaluation did: rules looked at, fired, resolved, without data."""

    rules: int
    fired: int
    resolved: int
    no_data: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Where metrics come from: what facts add up to, by the minute and by the day, and the registry."""

    figures: Figures
    costs: DailyCosts
    registry: RegistryFigures


class Readings:
    """What rules look at, at one moment; what several look at is read once."""

    def __init__(self, sources: Sources, now: datetime) -> None:
        self._sources = sources
        self._now = now
        self._windows: dict[tuple[str, str | None, int], asyncio.Task[Any]] = {}
        self._days: dict[str, asyncio.Task[Any]] = {}

    async def value(self, alert: Alert) -> float | None:
        """Return the rule's metric; None when there is no data."""
        rule, now = alert.rule, self._now
        if rule.metric in FROM_REGISTRY:
            figures = await self._sources.registry(alert.workspace, now - timedelta(seconds=rule.window_s), now)
            return figures.get(rule.metric)
        if rule.metric in FROM_LEDGER:
            if alert.workspace not in self._days:
                today = now.date()
                sums = self._sources.costs.sums(alert.workspace, today, today, today)
                self._days[alert.workspace] = asyncio.create_task(sums)
            summary = Summary(spend=_spent(await self._days[alert.workspace], rule.agent))
        else:
            window = (alert.workspace, rule.agent, rule.window_s)
            if window not in self._windows:
                since = now - timedelta(seconds=rule.window_s)
                self._windows[window] = asyncio.create_task(
                    self._sources.figures.window(alert.workspace, rule.agent, since, now)
                )
            cells: list[Cell] = await self._windows[window]
            summary = total(cells)
        return value_of(rule.metric, summary, rule.window_s, rule.min_runs)


class Evaluator:
    """Evaluates all rules."""

    def __init__(self, alerts: Alerts, sources: Sources, outbox: Outbox, journal: Journal, clock: Clock) -> None:
        self._alerts = alerts
        self._sources = sources
        self._outbox = outbox
        self._journal = journal
        self._clock = clock

    async def evaluate(self) -> Evaluated:
        """Evaluate every rule. Doing it again, or after a crash, fires and tells nothing twice.

        One rule's failure keeps no other from being evaluated, and is raised in the end.
        """
        now = self._clock()
        readings, turnstile = Readings(self._sources, now), asyncio.Semaphore(_AT_ONCE)

        async def one(alert: Alert) -> tuple[Status | None, bool]:
            async with turnstile:
                return await self._evaluate(alert, readings, now)

        rules = [one(alert) async for alert in self._alerts.all()]
        ended = await asyncio.gather(*rules, return_exceptions=True)
        done = [each for each in ended if not isinstance(each, BaseException)]
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure
        changes = [change for change, _ in done]
        return Evaluated(
            len(done), changes.count(Status.FIRING), changes.count(Status.OK), sum(no_data for _, no_data in done)
        )

    async def _evaluate(self, alert: Alert, readings: Readings, now: datetime) -> tuple[Status | None, bool]:
        """Return the status the rule changed to, None if it did not, and whether it had no data."""
        standing = await self._alerts.standing(alert.workspace, alert.name)
        if standing is not None and standing.state.untold:
            standing = await self._told(alert, standing)  # whoever changed it died before it was told
            if standing is None:
                return None, False
        before = standing.state if standing else State(Status.OK, now)
        off = alert.deleted or not alert.rule.enabled
        after = closed(before, now) if off else evaluated(alert.rule, before, await readings.value(alert), now)
        changed = after.status is not before.status
        if after != before or (standing is None and not off):
            firing = await self._firing(alert, before, after) if changed else None
            if firing is not None:
                after = replace(after, firing=firing.key)
            standing = await self._alerts.save(alert, standing, after, firing)
            if standing is None:
                return None, after.no_data  # somebody else evaluates at the same time
            if changed:
                standing = await self._told(alert, standing)
        if alert.deleted:
            await self._alerts.clear(alert, standing)
        return after.status if changed else None, after.no_data

    async def _firing(self, alert: Alert, before: State, after: State) -> Firing | None:
        """Return the firing that begins with this change of status, or the open one, ended."""
        rule = alert.rule
        if after.status is Status.FIRING:
            return Firing(
                id=new_id(),
                alert=alert.name,
                metric=rule.metric,
                agent=rule.agent,
                condition=rule.condition,
                threshold=rule.threshold,
                window_s=rule.window_s,
                severity=rule.severity,
                channels=rule.channels,
                description=rule.description,
                value=after.value or 0.0,
                fired_at=after.since,
            )
        firing = await self._alerts.firing(alert.workspace, before.firing)
        if firing is None:
            return None
        reason = Resolution.DELETED if alert.deleted else Resolution.RECOVERED
        if not alert.deleted and not rule.enabled:
            reason = Resolution.DISABLED
        value = after.value if reason is Resolution.RECOVERED else None
        return replace(firing, resolved_at=after.since, resolved_value=value, resolution=reason)

    async def _told(self, alert: Alert, standing: Standing) -> Standing | None:
        """Tell the change that is not told yet, and note that it is; None if somebody else was faster to."""
        firing = await self._alerts.firing(alert.workspace, standing.state.firing)
        if firing is not None:
            note = notification_of(alert.workspace, firing)
            await self._journal.record(alert.workspace, note.id, Event(note.event, _data(firing), note.at))
            await self._outbox.put(note, only=firing.channels)
            log.warning("%s: %s of %s", note.event, alert.name, alert.workspace, extra={"event": note.event})
        return await self._alerts.save(alert, standing, replace(standing.state, untold=False), None)


def notification_of(workspace: str, firing: Firing) -> Notification:
    """Return what is told of a firing: that it began, or that it ended."""
    whose = f"agent {firing.agent}" if firing.agent else "all agents"
    figure = FIGURES[firing.metric].words
    bad = f"{WORDS[firing.condition]} {written(firing.metric, firing.threshold)}"
    facts = {"Alert": firing.alert, "Agent": firing.agent or "all", "Metric": firing.metric}
    said = f" {firing.description}" if firing.description else ""
    if firing.resolved_at is None:
        return Notification(
            id=f"alert/{firing.id}/fired",
            workspace=workspace,
            event="alert.fired",
            severity=firing.severity,
            title=f"{firing.alert}: {figure} {bad}",
            text=f"The {figure} of {whose} is {written(firing.metric, firing.value)}, {bad}.{said}",
            facts=facts | {"Value": written(firing.metric, firing.value), "Window": f"{firing.window_s} s"},
            at=firing.fired_at,
        )
    how = {
        Resolution.DISABLED: "The rule was switched off.",
        Resolution.DELETED: "The rule was removed.",
    }.get(firing.resolution or Resolution.RECOVERED)
    how = how or f"The {figure} of {whose} is {written(firing.metric, firing.resolved_value)}."
    lasted = f"{round((firing.resolved_at - firing.fired_at).total_seconds())} s"
    return Notification(
        id=f"alert/{firing.id}/resolved",
        workspace=workspace,
        event="alert.resolved",
        severity="info",
        title=f"{firing.alert}: resolved",
        text=f"{how}{said}",
        facts=facts | {"Lasted": lasted},
        at=firing.resolved_at,
    )


def _data(firing: Firing) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": firing.id,
        "alert": firing.alert,
        "agent": firing.agent,
        "metric": firing.metric,
        "condition": firing.condition,
        "threshold": firing.threshold,
        "severity": firing.severity,
        "value": firing.value,
    }
    if firing.resolved_at is not None:
        data |= {"resolved_value": firing.resolved_value, "resolution": firing.resolution}
    return data


def _spent(by_day: dict[date, dict[Group, Spend]], agent: str | None) -> Spend:
    sums = [item for groups in by_day.values() for item in groups.items()]
    return sum((spend for group, spend in sums if agent in (None, group.agent)), Spend())
