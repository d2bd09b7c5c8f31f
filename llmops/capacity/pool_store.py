"""Storage of pools and of their use.

Table `pools`, partition workspace: `pool!{name}` a pool, `agent!{name}` the pool that names the agent, so that two
never do; partition `{workspace}!{pool}`: `state` what workers hold and have used (`llmops.capacity.slice_division`),
written by workers about once a second; partition `_workspaces`: `{workspace}`, every workspace that ever had a pool.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kernel.codec import JsonCodec, all_readable, readable
from kernel.errors import Conflict, NotFound, Unavailable
from kernel.preconditions import delete_row, put_row
from kernel.tables import (
    Delete,
    Insert,
    Row,
    RowChanged,
    RowExists,
    Span,
    Tables,
    Upsert,
    Write,
    every,
    first_rows,
    put,
)
from llmops.capacity.pools import Amounts, Pool, check
from llmops.capacity.slice_division import divided
from llmops.capacity.slice_messages import Grant, Request, Slice, State, Want

if TYPE_CHECKING:
    from kernel.clock import Clock

TABLE = "pools"
_POOL = JsonCodec(Pool)
_WORKSPACES = "_workspaces"
_CONFLICTS_BEFORE_GIVING_UP = 25
_LONGEST_PAUSE_S = 0.02


class PoolStore:
    """Stores pools and their states, and caches pools in this process for `trust_for`."""

    def __init__(self, tables: Tables, clock: Clock, trust_for: timedelta) -> None:
        self._tables = tables
        self._clock = clock
        self._trust_for = trust_for
        self._known: dict[str, tuple[datetime, Sequence[Pool]]] = {}

    async def of(self, workspace: str, *, refresh: bool = False) -> Sequence[Pool]:
        """Return the workspace's pools, at most `trust_for` old; with `refresh`, as stored now."""
        now = self._clock()
        known = self._known.get(workspace)
        if refresh or known is None or known[0] + self._trust_for <= now:
            rows = every(self._tables, TABLE, Span.prefix(workspace, "pool!"))
            known = self._known[workspace] = (now, [pool async for pool in all_readable(rows, _pool, "pool")])
        return known[1]

    async def get(self, workspace: str, name: str) -> tuple[Pool, str]:
        """Return the pool and its ETag.

        Raises:
            NotFound: There is no pool of that name.
        """
        row = await self._tables.get(TABLE, workspace, f"pool!{name}")
        if row is None:
            raise _missing(name)
        return _pool(row), row.etag

    async def list(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[tuple[Pool, str]], str | None]:
        """Return up to `limit` pools with their ETags, by name, and the cursor of the next page; None at the end."""
        span = Span.prefix(workspace, "pool!", after=f"pool!{after}" if after else None)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: (_pool(row), row.etag), "pool"))
        return found, rows[limit - 1].key.removeprefix("pool!") if len(rows) > limit else None

    async def put(self, workspace: str, pool: Pool, if_match: str | None) -> tuple[str, bool]:
        """Store the pool and return its ETag and whether it is new; it applies in all workers within `trust_for`.

        Raises:
            InvalidInput: The pool is not valid.
            Conflict: Another pool names one of its agents.
            EtagMismatch: It has changed since the caller read it.
        """
        # Before the pool: a workspace entered without a pool does no harm, one that is missing does.
        await self._tables.commit(TABLE, [Upsert(Row(_WORKSPACES, workspace, {}))])

        async def claims(stored: Row | None) -> Sequence[Write]:
            check(pool, [other for other in await self.of(workspace, refresh=True) if other.name != pool.name])
            before = set(_pool(stored).agents) if stored else set[str]()
            new = [agent for agent in pool.agents if agent not in before]
            return [
                *(Insert(Row(workspace, f"agent!{agent}", {"pool": pool.name})) for agent in new),
                *(Delete(workspace, f"agent!{agent}") for agent in sorted(before - {*pool.agents})),
            ]

        row = Row(workspace, f"pool!{pool.name}", {"pool": _POOL.dump(pool)})
        put = await put_row(self._tables, TABLE, row, if_match, claims)
        self._known.pop(workspace, None)
        return put

    async def delete(self, workspace: str, name: str, if_match: str | None) -> None:
        """Delete the pool; its agents' runs are no longer limited by it.

        Raises:
            NotFound: There is no pool of that name.
            Conflict: Another pool spills over to it.
            EtagMismatch: It has changed since the caller read it.
        """

        async def claims(stored: Row | None) -> Sequence[Write]:
            if other := next((one for one in await self.of(workspace, refresh=True) if one.spill_to == name), None):
                raise Conflict(f"The pool {other.name!r} spills over to it.", code="pool_in_use")
            agents = _POOL.load(stored.text("pool")).agents if stored else ()
            return [Delete(workspace, f"agent!{agent}") for agent in agents]

        await delete_row(self._tables, TABLE, (workspace, f"pool!{name}"), if_match, _missing(name), claims)
        self._known.pop(workspace, None)

    async def workspaces(self) -> AsyncIterator[str]:
        """Yield every workspace that ever had a pool."""
        async for row in every(self._tables, TABLE, Span(_WORKSPACES)):
            yield row.key

    async def state(self, workspace: str, name: str) -> State:
        """Return the state of a pool."""
        row = await self._tables.get(TABLE, f"{workspace}!{name}", "state")
        return load(row.text("state")) if row else State()

    async def exchange(self, workspace: str, name: str, request: Request, now: float) -> tuple[Grant, Pool, State]:
        """Serve a worker's request to a pool, and return its grant, the pool and the new state.

        Raises:
            NotFound: The pool was deleted.
            Unavailable: Others kept changing the state, or it cannot be reached; the request may have taken effect.
        """
        partition = f"{workspace}!{name}"
        for _ in range(_CONFLICTS_BEFORE_GIVING_UP):
            pool = next((one for one in await self.of(workspace) if one.name == name), None)
            if pool is None:
                raise _missing(name)
            stored = await self._tables.get(TABLE, partition, "state")
            state, grant = divided(pool, load(stored.text("state")) if stored else State(), request, now)
            row = Row(partition, "state", {"state": dump(state)}, stored.etag if stored else "")
            try:
                await self._tables.commit(TABLE, [put(row)])
            except (RowChanged, RowExists):
                await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - spreads writers
                continue
            return grant, pool, state
        raise Unavailable("The pool is being used by too many at once; try again.", code="pool_busy", retry_after_s=1)


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no pool {name!r}.", code="pool_not_found")


def dump(state: State) -> str:
    """Return a state as the JSON text that `load` reads."""
    value = {
        "spent": [[second, _amounts(parts)] for second, parts in state.spent.items()],
        "slices": [
            [
                worker,
                _amounts(one.held),
                one.until,
                one.number,
                [[want.key, want.share, *want.need.parts] for want in one.wants],
            ]
            for worker, one in state.slices.items()
        ],
        "run_s": state.run_s,
    }
    return json.dumps(value, separators=(",", ":"))


def load(text: str) -> State:
    """Return the state that `dump` wrote."""
    value: Mapping[str, Any] = json.loads(text)
    return State(
        {second: _loaded(parts) for second, parts in value["spent"]},
        {
            worker: Slice(
                _loaded(held),
                until,
                number,
                tuple(Want(key, share, Amounts(*need)) for key, share, *need in wants),
            )
            for worker, held, until, number, wants in value["slices"]
        },
        value["run_s"],
    )


def _pool(row: Row) -> Pool:
    return _POOL.load(row.text("pool"))


def _amounts(parts: Mapping[str, Amounts]) -> Sequence[Sequence[str | int]]:
    return [[share, *amounts.parts] for share, amounts in parts.items()]


def _loaded(parts: Sequence[Sequence[Any]]) -> dict[str, Amounts]:
    return {share: Amounts(*amounts) for share, *amounts in parts}
