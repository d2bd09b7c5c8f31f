"""Storage of alert rules, their states and their history.

Table `alerts`. Partition `!rules`: `{workspace}!{name}` the rule, so that the timer finds all rules there are.
Partition = workspace: `state!{name}` how the rule stands · `fired!{newest first}` a firing. A change of state and its
firing are one transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.clock import Clock
from kernel.codec import JsonCodec, all_readable, readable
from kernel.errors import Conflict, NotFound
from kernel.preconditions import check_match
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
from llmops.alerts.firing_history import FIRED, Firing
from llmops.alerts.rules import AlertRule, State

TABLE = "alerts"
MOST = 200
"""Rules a workspace may have."""
_RULES = "!rules"  # no workspace has such a name
_STATE_OF = "state!"


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule as set.

    Attributes:
        workspace: Whose it is.
        name: Its name in the workspace.
        rule: The rule.
        revision: Counts its changes, from 1; 0 for a default rule, which is not stored.
        deleted: True once it was removed; the row goes when the timer has closed what was open.
        created_at: When it was first set, aware UTC; None for a default rule.
        updated_at: When it last changed; None for a default rule.
    """

    workspace: str
    name: str
    rule: AlertRule
    revision: int
    deleted: bool
    created_at: datetime | None
    updated_at: datetime | None

    @property
    def default(self) -> bool:
        """Whether it is there by default and was not set."""
        return self.revision == 0

    @property
    def etag(self) -> str:
        """Its revision, as an HTTP entity tag."""
        return f'"{self.revision}"'


_ALERT = JsonCodec(Alert)
_STATE = JsonCodec(State)
_FIRING = JsonCodec(Firing)


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """A rule's state as read, and the ETag a change is guarded by; empty where there is no row yet."""

    state: State
    etag: str


class AlertStore:
    """Sets and reads rules, their states and their firings.

    A workspace has the default rules as long as it sets none of their names itself.
    """

    def __init__(self, tables: Tables, clock: Clock, defaults: Mapping[str, AlertRule] | None = None) -> None:
        self._tables = tables
        self._clock = clock
        self._defaults = defaults or {}

    @property
    def has_defaults(self) -> bool:
        """Whether there are default rules."""
        return bool(self._defaults)

    def defaults(self, workspace: str, but: Container[str] = ()) -> Sequence[Alert]:
        """Return the default rules of the workspace, without those of some names, by name."""
        rules = sorted(self._defaults.items())
        return [Alert(workspace, name, rule, 0, False, None, None) for name, rule in rules if name not in but]

    async def put(self, workspace: str, name: str, rule: AlertRule, if_match: str | None = None) -> tuple[Alert, bool]:
        """Set the rule and return it and whether it is new. Setting it to what it is changes nothing.

        Raises:
            EtagMismatch: `if_match` is given and the rule is another one, or there is none.
            Conflict: The workspace has as many rules as it may.
        """
        while True:
            row, current = await self._find(workspace, name)
            fresh = current is None or current.deleted
            known = self._default(workspace, name) if fresh else current
            check_match(if_match, known.etag if known else None)
            if known is not None and known.rule == rule:
                return known, False
            if fresh and len(await self._rows(workspace, MOST)) >= MOST:
                raise Conflict(f"A workspace has at most {MOST} alert rules.", code="too_many_alerts")
            now = self._clock()
            created = now if fresh or current is None else current.created_at
            revision = current.revision + 1 if current else 1
            alert = Alert(workspace, name, rule, revision, deleted=False, created_at=created, updated_at=now)
            if await self._write(alert, row):
                return alert, known is None

    async def get(self, workspace: str, name: str) -> Alert:
        """Return the rule.

        Raises:
            NotFound: There is none of that name.
        """
        _, alert = await self._find(workspace, name)
        if alert is None or alert.deleted:
            alert = self._default(workspace, name)
        if alert is None:
            raise NotFound(f"There is no alert {name!r}.", code="alert_not_found")
        return alert

    async def list(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Alert], str | None]:
        """Return up to `limit` rules by name, and the name to continue after; None when these were the last."""
        stored: list[Alert] = []
        span = Span.prefix(_RULES, f"{workspace}!", after=None if after is None else f"{workspace}!{after}")
        rows = every(self._tables, TABLE, span, page=limit + 1)
        async for alert in all_readable(rows, lambda row: _ALERT.load(row.text("alert")), "alert rule"):
            stored += [] if alert.deleted else [alert]
            if len(stored) > limit:
                break
        # Defaults that come after the last one read are cut off below, unless all were read.
        defaults = self.defaults(workspace, but={alert.name for alert in stored})
        defaults = [alert for alert in defaults if after is None or alert.name > after]
        found = sorted([*stored, *defaults], key=lambda alert: alert.name)
        return found[:limit], found[limit - 1].name if len(found) > limit else None

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Remove the rule; the timer resolves it first if it fires.

        Raises:
            NotFound: There is none of that name.
            Conflict: It is there by default: it can be switched off, not removed.
            EtagMismatch: `if_match` is given and the rule is another one.
        """
        while True:
            alert = await self.get(workspace, name)
            if alert.default:
                msg = f"The alert {name!r} is there by default; set it with 'enabled': false to switch it off."
                raise Conflict(msg, code="default_alert")
            row, stored = await self._find(workspace, name)
            check_match(if_match, alert.etag)
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

    async def standings(self, workspace: str) -> Mapping[str, AlertStatus]:
        """Return how the workspace's rules stand, by name, as far as they were evaluated."""
        rows = every(self._tables, TABLE, Span.prefix(workspace, _STATE_OF))

        def read(row: Row) -> tuple[str, AlertStatus]:
            return row.key.removeprefix(_STATE_OF), AlertStatus(_STATE.load(row.text("state")), row.etag)

        return dict([each async for each in all_readable(rows, read, "state of an alert")])

    async def standing(self, workspace: str, name: str) -> AlertStatus | None:
        """Return how the rule stands; None when it was never evaluated."""
        row = await self._tables.get(TABLE, workspace, f"{_STATE_OF}{name}")
        return AlertStatus(_STATE.load(row.text("state")), row.etag) if row else None

    async def firing(self, workspace: str, key: str) -> Firing | None:
        """Return the firing of that storage key."""
        row = await self._tables.get(TABLE, workspace, key)
        return _FIRING.load(row.text("firing")) if row else None

    async def fired(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Firing], str | None]:
        """Return up to `limit` (1-999) firings, newest first, and the position to continue after; None at the end."""
        span = Span.prefix(workspace, FIRED, after=None if after is None else FIRED + after)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: _FIRING.load(row.text("firing")), "firing of an alert"))
        return found, rows[limit - 1].key.removeprefix(FIRED) if len(rows) > limit else None

    async def save(
        self, alert: Alert, before: AlertStatus | None, state: State, firing: Firing | None
    ) -> AlertStatus | None:
        """Write how the rule stands and the firing that this changed, in one transaction.

        Returns:
            What was written; None if somebody else evaluated the rule meanwhile.
        """
        etag = before.etag if before else ""
        row = Row(alert.workspace, f"{_STATE_OF}{alert.name}", {"state": _STATE.dump(state)}, etag)
        writes: list[Write] = [Replace(row) if etag else Insert(row)]
        if firing is not None:
            writes.append(Upsert(Row(alert.workspace, firing.key, {"firing": _FIRING.dump(firing)})))
        try:
            etags = await self._tables.commit(TABLE, writes)
        except (RowChanged, RowExists):
            standing = await self.standing(alert.workspace, alert.name)
            # By this very commit, whose answer was lost and which the client has repeated?
            return standing if standing is not None and standing.state == state else None
        return AlertStatus(state, etags[0])

    async def clear(self, alert: Alert, standing: AlertStatus | None) -> None:
        """Remove what is left of a removed rule, unless it was set again."""
        row, stored = await self._find(alert.workspace, alert.name)
        if row is None or stored != alert:
            return
        try:
            if standing is not None:
                state = Delete(alert.workspace, f"{_STATE_OF}{alert.name}", standing.etag)
                await self._tables.commit(TABLE, [state])
            await self._tables.commit(TABLE, [Delete(_RULES, row.key, row.etag)])
        except RowChanged:
            return  # the next evaluation sees what it is now

    def _default(self, workspace: str, name: str) -> Alert | None:
        return next((alert for alert in self.defaults(workspace) if alert.name == name), None)

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
            # By this very commit, whose answer was lost and which the client has repeated?
            return (await self._find(alert.workspace, alert.name))[1] == alert
        return True
