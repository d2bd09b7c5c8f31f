"""Evaluating alert rules: each change of status is stored once and notified once, whichever process evaluates."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kernel.ids import new_id
from kernel.journal import Event, Journal
from kernel.lazy_dataclass import dataclass
from llmops.alerts.alert_metrics import FIGURES, written
from llmops.alerts.alert_rules import WORDS, Firing, Resolution, RuleStatus, State, closed, evaluated
from llmops.alerts.current_values import MetricReader, Sources
from llmops.notifications.notification import Notification

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.alerts.store import Alert, AlertStatus, AlertStore
    from llmops.notifications.outbox import Outbox

log = logging.getLogger(__name__)

_AT_ONCE = 8
_WORKSPACES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one round of evaluation did: the numbers of rules evaluated, fired, resolved and without data."""

    rules: int
    fired: int
    resolved: int
    no_data: int


class Evaluator:
    """Evaluates the alert rules of all workspaces."""

    def __init__(self, alerts: AlertStore, sources: Sources, outbox: Outbox, journal: Journal, clock: Clock) -> None:
        self._alerts = alerts
        self._sources = sources
        self._outbox = outbox
        self._journal = journal
        self._clock = clock

    async def evaluate(self) -> Evaluated:
        """Evaluate every rule. Safe to repeat: a second round, or one after a crash, sends nothing twice.

        A rule that fails does not stop the others; the first error is raised at the end.
        """
        now = self._clock()
        readings = MetricReader(self._sources, now)
        workspaces, turnstile = asyncio.Semaphore(_WORKSPACES_AT_ONCE), asyncio.Semaphore(_AT_ONCE)

        async def one(alert: Alert, status: AlertStatus | None) -> tuple[RuleStatus | None, bool]:
            async with turnstile:
                return await self._evaluate(alert, status, readings, now)

        async def of(
            workspace: str, rules: Sequence[Alert]
        ) -> Sequence[tuple[RuleStatus | None, bool] | BaseException]:
            async with workspaces:
                statuses = await self._alerts.states(workspace)
                alerts = [alert for alert in rules if _matters(alert, statuses.get(alert.name))]
                each = (one(alert, statuses.get(alert.name)) for alert in alerts)
                return await asyncio.gather(*each, return_exceptions=True)

        by_workspace = await self._rules()
        ended = await asyncio.gather(*(of(*each) for each in by_workspace.items()), return_exceptions=True)
        found = [one for each in ended for one in ([each] if isinstance(each, BaseException) else each)]
        done = [each for each in found if not isinstance(each, BaseException)]
        for failure in found:
            if isinstance(failure, BaseException):
                raise failure
        changes = [change for change, _ in done]
        return Evaluated(
            len(done),
            changes.count(RuleStatus.FIRING),
            changes.count(RuleStatus.OK),
            sum(no_data for _, no_data in done),
        )

    async def _rules(self) -> Mapping[str, Sequence[Alert]]:
        """Return every workspace's rules, the default ones included."""
        found: dict[str, list[Alert]] = {}
        async for alert in self._alerts.all():
            found.setdefault(alert.workspace, []).append(alert)
        if self._alerts.has_defaults:
            async for workspace in self._sources.workspaces():
                found.setdefault(workspace, [])
        defaults = self._alerts.defaults
        return {
            workspace: [*rules, *defaults(workspace, but={rule.name for rule in rules})]
            for workspace, rules in found.items()
        }

    async def _evaluate(
        self, alert: Alert, status: AlertStatus | None, readings: MetricReader, now: datetime
    ) -> tuple[RuleStatus | None, bool]:
        """Return the new status of the rule, None if it did not change, and whether there was no data."""
        if status is not None and status.state.unpublished:
            status = await self._notified(alert, status)  # whoever stored the change died before it was notified
            if status is None:
                return None, False
        before = status.state if status else State(RuleStatus.OK, now)
        off = alert.deleted or not alert.rule.enabled
        after = closed(before, now) if off else evaluated(alert.rule, before, await readings.value(alert), now)
        changed = after.status is not before.status
        # Of a default rule only its changes of status are stored: nothing in a workspace where it never fires.
        if changed or (not alert.default and (after != before or (status is None and not off))):
            firing = await self._firing(alert, before, after) if changed else None
            if firing is not None:
                after = replace(after, firing=firing.key)
            status = await self._alerts.save(alert, status, after, firing)
            if status is None:
                return None, after.no_data  # another process evaluates at the same time
            if changed:
                status = await self._notified(alert, status)
        if alert.deleted:
            await self._alerts.clear(alert, status)
        return after.status if changed else None, after.no_data

    async def _firing(self, alert: Alert, before: State, after: State) -> Firing | None:
        """Return the firing that this change of status opens, or the open one with its end; None for neither."""
        rule = alert.rule
        if after.status is RuleStatus.FIRING:
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
        same = (rule.metric, rule.agent) == (firing.metric, firing.agent)  # else the rule was changed meanwhile
        value = after.value if reason is Resolution.RECOVERED and same else None
        return replace(firing, resolved_at=after.since, resolved_value=value, resolution=reason)

    async def _notified(self, alert: Alert, status: AlertStatus) -> AlertStatus | None:
        """Notify of the change that is not notified yet and store that; None if another process was faster."""
        firing = await self._alerts.firing(alert.workspace, status.state.firing)
        if firing is not None:
            note = notification_of(alert.workspace, firing)
            await self._journal.record(alert.workspace, note.id, Event(note.event, _data(firing), note.at))
            await self._outbox.put(note, only=firing.channels)
            log.warning("%s: %s of %s", note.event, alert.name, alert.workspace, extra={"event": note.event})
        return await self._alerts.save(alert, status, replace(status.state, unpublished=False), None)


def _matters(alert: Alert, status: AlertStatus | None) -> bool:
    """Return whether the rule must be evaluated: not a disabled default rule that never fired."""
    return alert.rule.enabled or not alert.default or status is not None


def notification_of(workspace: str, firing: Firing) -> Notification:
    """Return the notification of a firing: that it began, or that it ended."""
    whose = f"agent {firing.agent}" if firing.agent else "all agents"
    figure = FIGURES[firing.metric].words
    bad = f"{WORDS[firing.condition]} {written(firing.metric, firing.threshold)}"
    facts = {"Alert": firing.alert, "Agent": firing.agent or "all", "Metric": firing.metric}
    description = f" {firing.description}" if firing.description else ""
    if firing.resolved_at is None:
        return Notification(
            id=f"alert/{firing.id}/fired",
            workspace=workspace,
            event="alert.fired",
            severity=firing.severity,
            title=f"{firing.alert}: {figure} {bad}",
            text=f"The {figure} of {whose} is {written(firing.metric, firing.value)}, {bad}.{description}",
            facts=facts | {"Value": written(firing.metric, firing.value), "Window": f"{firing.window_s} s"},
            at=firing.fired_at,
        )
    how = {
        Resolution.DISABLED: "The rule was switched off.",
        Resolution.DELETED: "The rule was removed.",
    }.get(firing.resolution or Resolution.RECOVERED)
    if how is None and firing.resolved_value is None:
        how = "The rule was changed."
    how = how or f"The {figure} of {whose} is {written(firing.metric, firing.resolved_value)}."
    lasted = f"{round((firing.resolved_at - firing.fired_at).total_seconds())} s"
    return Notification(
        id=f"alert/{firing.id}/resolved",
        workspace=workspace,
        event="alert.resolved",
        severity="info",
        title=f"{firing.alert}: resolved",
        text=f"{how}{description}",
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
