"""Storage of declared routes, and of the state their deployments have for all workers.

Table `routes`, partition workspace: `{route}!declared` the route; `{route}!state` the health and the reported quota of
its deployments, written when it changes; `{route}!used!{worker}` what a worker recently sent to each. One request reads
all rows of a route.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta

from kernel.codec import JsonCodec, Unreadable, pass_over, readable
from kernel.errors import NotFound, Unavailable
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import delete_row, put_row
from kernel.tables import Delete, Row, RowChanged, RowExists, Span, Tables, Upsert, Write, every, first_rows, put
from llmops.routing.deployment_health import BreakerChange, Health, change
from llmops.routing.deployment_quota import Account, Remaining
from llmops.routing.route import Route, check_route

TABLE = "routes"
_DECLARED = "declared"
_CHANGES_BEFORE_GIVING_UP = 12
_STALE = timedelta(minutes=15)
_MOST_UNPUBLISHED = 20


@dataclass(frozen=True, slots=True)
class Shared:
    """The shared state of a route's deployments, by name.

    Attributes:
        health: Circuit breakers and throttling; a missing deployment is healthy.
        remaining: Reported quotas that are (nearly) used up.
        unpublished: Changes of breakers whose events are not published yet.
    """

    health: Mapping[str, Health] = field(default_factory=dict[str, Health])
    remaining: Mapping[str, Remaining] = field(default_factory=dict[str, Remaining])
    unpublished: tuple[BreakerChange, ...] = ()

    def with_health(self, deployment: str, health: Health, now: datetime) -> Shared:
        """Return the state with the deployment's health, and with a change of its breaker to publish."""
        found = change(deployment, self.health.get(deployment, Health()), health, now)
        unpublished = self.unpublished if found is None else (*self.unpublished, found)[-_MOST_UNPUBLISHED:]
        return replace(self, health={**self.health, deployment: health}, unpublished=unpublished)

    def published(self, changes: Collection[BreakerChange]) -> Shared:
        """Return the state with these changes marked as published."""
        return replace(self, unpublished=tuple(one for one in self.unpublished if one not in changes))


@dataclass(frozen=True, slots=True)
class Known:
    """A route as read.

    Attributes:
        route: The route.
        shared: The shared state of its deployments.
        accounts: What each worker recently sent to them, by worker.
        etag: ETag of the route.
    """

    route: Route
    shared: Shared
    accounts: Mapping[str, Account]
    etag: str


_ROUTE = JsonCodec(Route)
_SHARED = JsonCodec(Shared)
_ACCOUNT = JsonCodec(Account)


class RouteStore:
    """Stores routes and the state of their deployments.

    Attributes:
        tables: The tables.
        allow_private: Whether plain http and private addresses are allowed.
    """

    def __init__(self, tables: Tables, *, allow_private: bool = False) -> None:
        self._tables = tables
        self._allow_private = allow_private

    async def get(self, workspace: str, name: str) -> tuple[Route, str]:
        """Return the route and its ETag.

        Raises:
            NotFound: `route_not_found`: there is no route of that name.
        """
        row = await self._tables.get(TABLE, workspace, f"{name}!{_DECLARED}")
        if row is None:
            raise not_found(name)
        return _ROUTE.load(row.text("route")), row.etag

    async def list(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[tuple[Route, str]], str | None]:
        """Return up to `limit` routes with their ETags, by name, and the cursor of the next page; None at the end."""
        start = f"{after}!~" if after else None
        span = Span(workspace, key_from=start, where={"kind": _DECLARED})
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: (_ROUTE.load(row.text("route")), row.etag), "route"))
        return found, rows[limit - 1].key.partition("!")[0] if len(rows) > limit else None

    async def put(self, workspace: str, route: Route, if_match: str | None) -> tuple[str, bool]:
        """Store the route and return its ETag and whether it is new.

        The state of its deployments is kept, except of those whose declaration changed.

        Raises:
            InvalidInput: The route is not valid (`llmops.routing.route.check_route`).
            EtagMismatch: It has changed since the caller read it.
        """
        check_route(route, allow_private=self._allow_private)

        async def forget(stored: Row | None) -> Sequence[Write]:
            """Delete the state of changed deployments first: a repeated call would no longer see that they changed."""
            if stored is not None:
                await self._forget(workspace, route, _ROUTE.load(stored.text("route")))
            return ()

        row = Row(workspace, f"{route.name}!{_DECLARED}", {"route": _ROUTE.dump(route), "kind": _DECLARED})
        return await put_row(self._tables, TABLE, row, if_match, forget)

    async def delete(self, workspace: str, name: str, if_match: str | None) -> None:
        """Delete the route and the state of its deployments.

        Raises:
            NotFound: `route_not_found`: there is no route of that name.
            EtagMismatch: It has changed since the caller read it.
        """
        place = (workspace, f"{name}!{_DECLARED}")
        await delete_row(self._tables, TABLE, place, if_match, not_found(name))
        async for row in every(self._tables, TABLE, Span.prefix(workspace, f"{name}!")):
            await self._delete(workspace, row.key)

    async def read(self, workspace: str, name: str, now: datetime) -> Known:
        """Return the route and its shared state; accounts of workers long silent are deleted.

        Raises:
            NotFound: `route_not_found`: there is no route of that name.
        """
        rows = every(self._tables, TABLE, Span.prefix(workspace, f"{name}!"))
        known, stale = _known([row async for row in rows], now)
        if known is None:
            raise not_found(name)
        for key in stale[:20]:
            await self._delete(workspace, key)
        return known

    async def read_all(self, workspace: str, now: datetime) -> Sequence[Known]:
        """Return all routes of the workspace with their shared state, by name."""
        rows: dict[str, list[Row]] = {}
        async for row in every(self._tables, TABLE, Span(workspace)):
            rows.setdefault(row.key.partition("!")[0], []).append(row)
        found: list[Known] = []
        for name, each in rows.items():
            try:
                known, _ = _known(each, now)
            except Unreadable as error:
                pass_over("route", f"{workspace}/{name}", error)
                continue
            if known is not None:
                found.append(known)
        return found

    async def publish(self, workspace: str, name: str, worker: str, account: Account, now: datetime) -> None:
        """Publish what this worker sent to the route's deployments."""
        values = {"account": _ACCOUNT.dump(account), "at": now}
        await self._tables.commit(TABLE, [Upsert(Row(workspace, f"{name}!used!{worker}", values))])

    async def change(self, workspace: str, name: str, step: Callable[[Shared], Shared | None]) -> Shared | None:
        """Change the shared state and return it; None where `step` returns None.

        `step` gets the current state, and is called again if another process changes it at the same time.

        Raises:
            Unavailable: It could not be written.
        """
        write = new_id()
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            stored = await self._tables.get(TABLE, workspace, f"{name}!state")
            before = _shared(stored) if stored else Shared()
            if stored is not None and stored.text("write") == write:
                return before  # a commit of this change took effect, and its response was lost
            after = step(before)
            if after is None or after == before:
                return after
            values = {"shared": _SHARED.dump(after), "write": write}
            row = Row(workspace, f"{name}!state", values, stored.etag if stored else "")
            try:
                await self._tables.commit(TABLE, [put(row)])
            except (RowChanged, RowExists):
                continue
            return after
        msg = "Too many changes of the route's health at the same time."
        raise Unavailable(msg)

    async def _forget(self, workspace: str, route: Route, before: Route) -> None:
        """Delete the health of deployments whose declaration changed: the change may have fixed what failed."""
        same = {one.name for one in route.deployments if one in before.deployments}

        def step(shared: Shared) -> Shared:
            health = {name: health for name, health in shared.health.items() if name in same}
            remaining = {name: left for name, left in shared.remaining.items() if name in same}
            return replace(shared, health=health, remaining=remaining)

        await self.change(workspace, route.name, step)

    async def _delete(self, workspace: str, key: str) -> None:
        try:
            await self._tables.commit(TABLE, [Delete(workspace, key)])
        except RowChanged:
            return  # another process did


def not_found(name: str) -> NotFound:
    """Return the error for a name that no route has."""
    return NotFound(f"There is no route {name!r}.", code="route_not_found")


def _known(rows: Sequence[Row], now: datetime) -> tuple[Known | None, Sequence[str]]:
    """Return a route from its rows (None where it is not declared), and the keys of accounts that are too old."""
    route, etag = None, ""
    shared, accounts = Shared(), dict[str, Account]()
    stale: list[str] = []
    for row in rows:
        kind = row.key.partition("!")[2]
        if kind == _DECLARED:
            route, etag = _ROUTE.load(row.text("route")), row.etag
        elif kind == "state":
            shared = _shared(row)
        elif (at := row.moment("at")) is not None and at + _STALE < now:
            stale.append(row.key)
        else:
            for account in readable([row], lambda row: _ACCOUNT.load(row.text("account")), "route account"):
                accounts[kind.removeprefix("used!")] = account
    return (Known(route, shared, accounts, etag) if route is not None else None), stale


def _shared(row: Row) -> Shared:
    return next(readable([row], lambda row: _SHARED.load(row.text("shared")), "route state"), Shared())
