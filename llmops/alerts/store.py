"""Storage of alert rules, their states and their history.

Table `alerts`. Partition `!rules`: `{workspace}!{name}` the rule, so that the timer finds all rules there are.
Partition = workspace: `state!{name}` how the rule stands · `fired!{newest first}` a firing. A change of state and its
firing are one transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.clock import Clock
from kernel.codec import JsonCodec, all_readable, readable
from kernel.errors import Conflict, EtagMismatch, NotFound
from kernel.ids import newest_first
from kernel.tables import (
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Span,
    Tables,
    Upsert,
    Write,
    every,
    first_rows,
)
from llmops.alerts.metrics import Metric
from llmops.alerts.rules import AlertRule, Condition, Resolution, State
from llmops.notifications.notification import Severity

TABLE = "alerts"
MOST = 200
"""Rules a workspace may have."""
_RULES = "!rules"  # no workspace has such a name
_FIRED = "fired!"


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule as set.

    Attributes:
        workspace: Whose it is.
        name: Its name in the workspace.
        rule: The rule.
        revision: Counts its changes, from 1.
        deleted: True once it was removed; the row goes when the timer has closed what was open.
        created_at: When it was first set, aware UTC.
        updated_at: When it last changed.
    """

    workspace: str
    name: str
    rule: AlertRule
    revision: int
    deleted: bool
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Its revision, as an HTTP entity tag."""
        return f'"{self.revision}"'


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fired.

    Attributes:
        id: Unique.
        alert: The rule's name.
        metric: What it looked at, as all that follows at the time of firing.
        agent: Whose; None for all agents together.
        condition: How the value compared with the threshold.
        threshold: What it was compared with.
        window_s: The time looked at, in seconds.
        severity: How bad it is.
        channels: Where it is told; empty for every channel that wants it.
        description: The rule's.
        value: The metric when it fired.
        fired_at: When, aware UTC.
        resolved_at: When it resolved; None while it is open.
        resolved_value: The metric when it resolved; None when that is not why.
        resolution: Why it resolved.
    """

    id: str
    alert: str
    metric: Metric
    agent: str | None
    condition: Condition
    threshold: float
    window_s: int
    severity: Severity
    channels: tuple[str, ...]
    description: str
    value: float
    fired_at: datetime
    resolved_at: datetime | None = None
    resolved_value: float | None = None
    resolution: Resolution | None = None

    @property
    def key(self) -> str:
        """Its row key."""
        return _FIRED + newest_first(self.fired_at, self.id)


_ALERT = JsonCodec(Alert)
_STATE = JsonCodec(State)
_FIRING = JsonCodec(Firing)


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule's state as read, and the ETag a change is guarded by; empty where there is no row yet."""

    state: State
    etag: str


class Alerts:
    """Sets and reads rules, their states and their firings."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def put(self, workspace: str, name: str, rule: AlertRule, if_match: str | None = None) -> tuple[Alert, bool]:
        """Set the rule and return it and whether it is new. Setting it to the same again changes nothing.

        Raises:
            EtagMismatch: `if_match` is given and the rule is another one, or there is none.
            Conflict: The workspace has as many rules as it may.
        """
        while True:
            row, current = await self._find(workspace, name)
            fresh = current is None or current.deleted
            if if_match is not None and (current is None or fresh or if_match not in ("*", current.etag)):
                raise EtagMismatch
            if current is not None and not fresh and current.rule == rule:
                return current, False
            if fresh and len(await self._rows(workspace, MOST)) >= MOST:
                raise Conflict(f"A workspace has at most {MOST} alert rules.", code="too_many_alerts")
            now = self._clock()
            created = now if fresh or current is None else current.created_at
            revision = current.revision + 1 if current else 1
            alert = Alert(workspace, name, rule, revision, deleted=False, created_at=created, updated_at=now)
            if await self._write(alert, row):
                return alert, fresh

    async def get(self, workspace: str, name: str) -> Alert:
        """Return the rule.

        Raises:
            NotFound: There is none of that name.
        """
        _, alert = await self._find(workspace, name)
        if alert is None or alert.deleted:
            raise NotFound(f"There is no alert {name!r}.", code="alert_not_found")
        return alert

    async def list(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Alert], str | None]:
        """Return up to `limit` rules by name, and the name to continue after; None when these were the last."""
        found: list[Alert] = []
        span = Span.prefix(_RULES, f"{workspace}!", after=None if after is None else f"{workspace}!{after}")
        async for row in every(self._tables, TABLE, span, page=limit + 1):
            alert = _ALERT.load(row.text("alert"))
            if alert.deleted:
                continue
            if len(found) == limit:
                return found, found[-1].name
            found.append(alert)
        return found, None

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Remove the rule; the timer resolves it first if it fires.

        Raises:
            NotFound: There is none of that name.
            EtagMismatch: `if_match` is given and the rule is another one.
        """
        while True:
            alert = await self.get(workspace, name)
            row, stored = await self._find(workspace, name)
            if if_match not in (None, "*", alert.etag):
                raise EtagMismatch
            if stored != alert:
                continue  # somebody changed it in between
            gone = replace(alert, deleted=True, revision=alert.revision + 1, updated_at=self._clock())
            if await self._write(gone, row):
                return

    async def all(self) -> AsyncIterator[Alert]:
        """Yield every rule of every workspace, those that were removed and not cleared away yet included."""
        rows = every(self._tables, TABLE, Span(_RULES))
        async for alert in all_readable(rows, lambda row: _ALERT.load(row.text("alert")), "alert rule"):
            yield alert

    async def standing(self, workspace: str, name: str) -> Standing | None:
        """Return how the rule stands; None when it was never evaluated."""
        row = await self._tables.get(TABLE, workspace, f"state!{name}")
        return Standing(_STATE.load(row.text("state")), row.etag) if row else None

    async def firing(self, workspace: str, key: str) -> Firing | None:
        """Return the firing of that storage key."""
        row = await self._tables.get(TABLE, workspace, key)
        return _FIRING.load(row.text("firing")) if row else None

    async def fired(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Firing], str | None]:
        """Return up to `limit` (1-999) firings, newest first, and the position to continue after; None at the end."""
        span = Span.prefix(workspace, _FIRED, after=None if after is None else _FIRED + after)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: _FIRING.load(row.text("firing")), "firing of an alert"))
        return found, rows[limit - 1].key.removeprefix(_FIRED) if len(rows) > limit else None

    async def save(self, alert: Alert, before: Standing | None, state: State, firing: Firing | None) -> Standing | None:
        """Write how the rule stands and the firing that this changed, in one transaction.

        Returns:
            What was written; None if somebody else evaluated the rule meanwhile.
        """
        etag = before.etag if before else ""
        row = Row(alert.workspace, f"state!{alert.name}", {"state": _STATE.dump(state)}, etag)
        writes: list[Write] = [Replace(row) if etag else Insert(row)]
        if firing is not None:
            writes.append(Upsert(Row(alert.workspace, firing.key, {"firing": _FIRING.dump(firing)})))
        try:
            etags = await self._tables.commit(TABLE, writes)
        except (RowChanged, RowExists):
            return None
        return Standing(state, etags[0])

    async def clear(self, alert: Alert, standing: Standing | None) -> None:
        """Remove what is left of a removed rule, unless it was set again."""
        row, stored = await self._find(alert.workspace, alert.name)
        if row is None or stored != alert:
            return
        try:
            if standing is not None:
                state = Delete(alert.workspace, f"state!{alert.name}", standing.etag)
                await self._tables.commit(TABLE, [state])
            await self._tables.commit(TABLE, [Delete(_RULES, row.key, row.etag)])
        except RowChanged:
            return  # the next evaluation sees what it is now

    async def _find(self, workspace: str, name: str) -> tuple[Row | None, Alert | None]:
        row = await self._tables.get(TABLE, _RULES, f"{workspace}!{name}")
        return row, _ALERT.load(row.text("alert")) if row else None

    async def _rows(self, workspace: str, limit: int) -> Sequence[Row]:
        return await first_rows(self._tables, TABLE, Span.prefix(_RULES, f"{workspace}!"), limit)

    async def _write(self, alert: Alert, before: Row | None) -> bool:
        row = Row(
            _RULES, f"{alert.workspace}!{alert.name}", {"alert": _ALERT.dump(alert)}, before.etag if before else ""
        )
        try:
            await self._tables.commit(TABLE, [Replace(row) if before else Insert(row)])
        except (RowChanged, RowExists):
            return False
        return True
