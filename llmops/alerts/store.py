"""Storage of alert rules, their states and their history.

Table `alerts`. Partition `!rules`: `{workspace}!{name}` the rule, so that the timer finds the rules of all workspaces.
Partition = workspace: `state!{name}` the rule's state · `fired!{newest first}` a firing. A change of state and its
firing are written in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable, readable
from kernel.errors import Conflict, NotFound
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import change_row, check_match, write_row
from kernel.tables import (
    Delete,
    Row,
    RowChanged,
    Span,
    Tables,
    Upsert,
    Write,
    every,
    first_rows,
    put,
)
from llmops.alerts.alert_rules import FIRED, AlertRule, Firing, RuleStatus, State

if TYPE_CHECKING:
    from kernel.clock import Clock

TABLE = "alerts"
MOST = 200
"""Rules a workspace may have."""
_RULES = "!rules"  # No workspace can have this name.
_STATE_OF = "state!"


@dataclass(frozen=True, slots=True)
class Alert:
    """A stored or default rule.

    Attributes:
        workspace: Its workspace.
        name: Its name in the workspace.
        rule: The rule.
        revision: Number of its changes, from 1; 0 for a default rule, which is not stored.
        deleted: Whether it was deleted; the row is removed once the timer has resolved an open firing.
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
        """The revision as an HTTP entity tag."""
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

        async def decide(stored: Row | None) -> tuple[tuple[Alert, bool], Sequence[Write]]:
            current = _read(stored) if stored else None
            fresh = current is None or current.deleted
            known = self._default(workspace, name) if fresh else current
            check_match(if_match, known.etag if known else None)
            if known is not None and known.rule == rule:
                return (known, False), ()
            if fresh and len(await self._rows(workspace, MOST)) >= MOST:
                raise Conflict(f"A workspace has at most {MOST} alert rules.", code="too_many_alerts")
            now = self._clock()
            created = now if fresh or current is None else current.created_at
            revision = current.revision + 1 if current else 1
            alert = Alert(workspace, name, rule, revision, deleted=False, created_at=created, updated_at=now)
            return (alert, known is None), [put(_row(alert, stored))]

        done, _ = await change_row(self._tables, TABLE, _place(workspace, name), decide)
        return done

    async def get(self, workspace: str, name: str) -> Alert:
        """Return the rule.

        Raises:
            NotFound: There is none of that name.
        """
        return self._known(workspace, name, await self._tables.get(TABLE, *_place(workspace, name)))

    async def list(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Alert], str | None]:
        """Return up to `limit` rules by name, and the name to continue after; None when these were the last."""
        stored: list[Alert] = []
        span = Span.prefix(_RULES, f"{workspace}!", after=None if after is None else f"{workspace}!{after}")
        rows = every(self._tables, TABLE, span, page=limit + 1)
        async for alert in all_readable(rows, _read, "alert rule"):
            stored += [] if alert.deleted else [alert]
            if len(stored) > limit:
                break
        # Default rules that sort after the last one read are left for the next page.
        defaults = self.defaults(workspace, but={alert.name for alert in stored})
        defaults = [alert for alert in defaults if after is None or alert.name > after]
        found = sorted([*stored, *defaults], key=lambda alert: alert.name)
        return found[:limit], found[limit - 1].name if len(found) > limit else None

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Delete the rule; the timer resolves an open firing first.

        Raises:
            NotFound: There is no rule of that name.
            Conflict: It is a default rule, which can be disabled but not deleted.
            EtagMismatch: `if_match` is given and the rule has another ETag.
        """

        async def decide(stored: Row | None) -> tuple[None, Sequence[Write]]:
            alert = self._known(workspace, name, stored)
            if alert.default:
                msg = f"The alert {name!r} is there by default; set it with 'enabled': false to switch it off."
                raise Conflict(msg, code="default_alert")
            check_match(if_match, alert.etag)
            gone = replace(alert, deleted=True, revision=alert.revision + 1, updated_at=self._clock())
            return None, [put(_row(gone, stored))]

        await change_row(self._tables, TABLE, _place(workspace, name), decide)

    async def all(self) -> AsyncIterator[Alert]:
        """Yield every rule of every workspace, including deleted ones whose rows are not removed yet."""
        rows = every(self._tables, TABLE, Span(_RULES))
        async for alert in all_readable(rows, _read, "alert rule"):
            yield alert

    async def states(self, workspace: str) -> Mapping[str, AlertStatus]:
        """Return the states of the workspace's rules by name; rules never evaluated are left out."""
        rows = every(self._tables, TABLE, Span.prefix(workspace, _STATE_OF))

        def read(row: Row) -> tuple[str, AlertStatus]:
            return row.key.removeprefix(_STATE_OF), AlertStatus(_STATE.load(row.text("state")), row.etag)

        return dict([each async for each in all_readable(rows, read, "state of an alert")])

    async def state(self, workspace: str, name: str) -> AlertStatus | None:
        """Return the state of the rule; None if it was never evaluated."""
        row = await self._tables.get(TABLE, workspace, f"{_STATE_OF}{name}")
        return AlertStatus(_STATE.load(row.text("state")), row.etag) if row else None

    async def firing(self, workspace: str, key: str) -> Firing | None:
        """Return the firing of that storage key; None if there is none, or it cannot be read."""
        row = await self._tables.get(TABLE, workspace, key)
        return next(iter(_firings([row] if row else [])), None)

    async def fired(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Firing], str | None]:
        """Return up to `limit` (1-999) firings, newest first, and the cursor of the next page; None at the end."""
        span = Span.prefix(workspace, FIRED, after=None if after is None else FIRED + after)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        return _firings(rows[:limit]), rows[limit - 1].key.removeprefix(FIRED) if len(rows) > limit else None

    async def open_firings(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[Firing], str | None]:
        """Return firings that have not resolved, as `fired` does: found by the rules, however long the history is."""
        states = [status.state for status in (await self.states(workspace)).values()]
        keys = sorted(state.firing for state in states if state.status is RuleStatus.FIRING)
        keys = [key for key in keys if after is None or key > FIRED + after]
        rows = await asyncio.gather(*(self._tables.get(TABLE, workspace, key) for key in keys[:limit]))
        found = _firings([row for row in rows if row is not None])
        return found, keys[limit - 1].removeprefix(FIRED) if len(keys) > limit else None

    async def save(
        self, alert: Alert, before: AlertStatus | None, state: State, firing: Firing | None
    ) -> AlertStatus | None:
        """Write the state of a rule, and the firing that this change opened or closed, in one transaction.

        Returns:
            The stored state; None if another process evaluated the rule meanwhile.
        """
        values = {"state": _STATE.dump(state)}
        row = Row(alert.workspace, f"{_STATE_OF}{alert.name}", values, before.etag if before else "")
        fired = [Upsert(Row(alert.workspace, firing.key, {"firing": _FIRING.dump(firing)}))] if firing else []
        etag = await write_row(self._tables, TABLE, row, fired)
        return AlertStatus(state, etag) if etag is not None else None

    async def clear(self, alert: Alert, standing: AlertStatus | None) -> None:
        """Remove the rows of a deleted rule, unless it was set again."""
        row = await self._tables.get(TABLE, *_place(alert.workspace, alert.name))
        if row is None or _read(row) != alert:
            return
        try:
            if standing is not None:
                state = Delete(alert.workspace, f"{_STATE_OF}{alert.name}", standing.etag)
                await self._tables.commit(TABLE, [state])
            await self._tables.commit(TABLE, [Delete(_RULES, row.key, row.etag)])
        except RowChanged:
            return  # the next evaluation reads the new rule

    def _default(self, workspace: str, name: str) -> Alert | None:
        return next((alert for alert in self.defaults(workspace) if alert.name == name), None)

    def _known(self, workspace: str, name: str, row: Row | None) -> Alert:
        alert = _read(row) if row else None
        if alert is None or alert.deleted:
            alert = self._default(workspace, name)
        if alert is None:
            raise NotFound(f"There is no alert {name!r}.", code="alert_not_found")
        return alert

    async def _rows(self, workspace: str, limit: int) -> Sequence[Row]:
        return await first_rows(self._tables, TABLE, Span.prefix(_RULES, f"{workspace}!"), limit)


def _place(workspace: str, name: str) -> tuple[str, str]:
    return _RULES, f"{workspace}!{name}"


def _row(alert: Alert, before: Row | None) -> Row:
    place = _place(alert.workspace, alert.name)
    return Row(*place, {"alert": _ALERT.dump(alert)}, before.etag if before else "")


def _read(row: Row) -> Alert:
    return _ALERT.load(row.text("alert"))


def _firings(rows: Sequence[Row]) -> Sequence[Firing]:
    """Return the firings of the rows that can be read."""
    return list(readable(rows, lambda row: _FIRING.load(row.text("firing")), "firing of an alert"))
