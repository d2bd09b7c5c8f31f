"""Which open sessions count towards a pool's limit.

Table `pools`, partition `{workspace}!{pool}`, row `sessions`: per session its agent and when it was entered. A session
is entered before it starts; ended ones are removed by a timer, and when the limit is reached.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING

from kernel.errors import TooManyRequests, Unavailable
from kernel.tables import Row, RowChanged, RowExists, put

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.tables import Tables
    from llmops.capacity.pools import Pool

TABLE = "pools"
OpenSessions = Callable[[str, str], Awaitable[Collection[str]]]
"""Returns the ids of an agent's open sessions, by workspace and name; a session that is starting may be missing."""
_STARTING_S = 300.0
"""How long after being entered a session may be missing from the open ones."""
_CONFLICTS_BEFORE_GIVING_UP = 20
_RETRY_AFTER_S = 60.0


class SessionsFull(TooManyRequests):
    """The pool's limit on open sessions is reached."""

    code = "pool_sessions_full"


class SessionClaims:
    """Enters sessions in pools."""

    def __init__(self, tables: Tables, clock: Clock, open_sessions: OpenSessions) -> None:
        self._tables = tables
        self._clock = clock
        self._open = open_sessions

    async def enter(self, workspace: str, pool: Pool, agent: str, session_id: str) -> None:
        """Enter a session; entering it again changes nothing.

        Raises:
            SessionsFull: The limit is reached.
            Unavailable: Others kept entering sessions.
        """
        limit = pool.limits.open_sessions or 0
        for _ in range(_CONFLICTS_BEFORE_GIVING_UP):
            row, claims = await self._read(workspace, pool.name)
            if session_id in claims:
                return
            if len(claims) >= limit:
                claims = await self._of_open(workspace, claims)
            if len(claims) >= limit:
                msg = f"{len(claims)} sessions of the pool {pool.name!r} are open, and {limit} may be."
                raise SessionsFull(msg, retry_after_s=_RETRY_AFTER_S)
            claims[session_id] = (agent, self._clock().timestamp())
            if await self._write(workspace, pool.name, row, claims):
                return
        raise Unavailable("Too many sessions are started at once; try again.", code="pool_busy", retry_after_s=1)

    async def count(self, workspace: str, pool: str) -> int:
        """Return the number of entered sessions, including some that ended lately."""
        return len((await self._read(workspace, pool))[1])

    async def sweep(self, workspace: str, pool: str) -> int:
        """Remove the sessions that have ended, and return the number of open ones."""
        row, claims = await self._read(workspace, pool)
        left = await self._of_open(workspace, claims)
        if row is not None and len(left) < len(claims):
            # If another process changed the row meanwhile, the next sweep removes them.
            await self._write(workspace, pool, row, left)
        return len(left)

    async def _of_open(self, workspace: str, claims: Mapping[str, tuple[str, float]]) -> dict[str, tuple[str, float]]:
        starting = self._clock().timestamp() - _STARTING_S
        found = {agent: await self._open(workspace, agent) for agent in {agent for agent, _ in claims.values()}}
        return {one: (agent, at) for one, (agent, at) in claims.items() if at > starting or one in found[agent]}

    async def _read(self, workspace: str, pool: str) -> tuple[Row | None, dict[str, tuple[str, float]]]:
        row = await self._tables.get(TABLE, f"{workspace}!{pool}", "sessions")
        stored: dict[str, tuple[str, float]] = json.loads(row.text("sessions")) if row else {}
        return row, {session: (agent, at) for session, (agent, at) in stored.items()}

    async def _write(self, workspace: str, pool: str, row: Row | None, claims: Mapping[str, tuple[str, float]]) -> bool:
        values = {"sessions": json.dumps(claims, separators=(",", ":"))}
        new = Row(f"{workspace}!{pool}", "sessions", values, row.etag if row else "")
        try:
            await self._tables.commit(TABLE, [put(new)])
        except (RowChanged, RowExists):
            return False
        return True
