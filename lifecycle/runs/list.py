"""Lists runs by agent, session, user and state, at a bounded cost per page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.codec import if_readable

if TYPE_CHECKING:
    from lifecycle.conversations.directory import Directory
    from lifecycle.conversations.run import Run, RunState
    from lifecycle.conversations.store import ConversationStore

MOST_LOOKED_AT = 200
"""Most runs read for one page when filtering by state, which no index has."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; None for any. Accepted at `first` or later and before `before`, aware UTC."""

    state: RunState | None = None
    agent: str | None = None
    user_id: str | None = None
    first: datetime | None = None
    before: datetime | None = None

    def takes(self, run: Run) -> bool:
        """Return whether a run matches."""
        return (
            self.state in (None, run.state)
            and self.agent in (None, run.agent)
            and self.user_id in (None, run.user_id)
            and (self.first is None or run.created_at >= self.first)
            and (self.before is None or run.created_at < self.before)
        )


class RunList:
    """Lists runs, with only the beginnings of long texts."""

    def __init__(self, conversations: ConversationStore, directory: Directory) -> None:
        self._conversations = conversations
        self._directory = directory

    async def page(
        self, workspace: str, wanted: RunFilter, limit: int, after: str | None
    ) -> tuple[Sequence[Run], str | None]:
        """Return up to `limit` runs, newest first, and the token to continue after; None at the end.

        Unfinished runs of a page come first. A page can be short or empty before the end, as at most MOST_LOOKED_AT
        runs are read for it.
        """
        found: list[Run] = []
        looked_at = 0
        while True:
            entries, following = await self._directory.runs(
                workspace,
                agent=wanted.agent,
                user_id=wanted.user_id,
                first=wanted.first,
                before=wanted.before,
                limit=limit,
                after=after,
            )
            loaded = await asyncio.gather(
                *(
                    if_readable(
                        self._conversations.run(workspace, entry.session_id, entry.run_id, texts=False),
                        "run",
                        f"{entry.session_id}/{entry.run_id}",
                    )
                    for entry in entries
                )
            )
            for entry, run in zip(entries, loaded, strict=True):
                if run is None or wanted.state not in (None, run.state):
                    continue
                found.append(run)
                if len(found) == limit:
                    last = entry is entries[-1] and following is None
                    return in_flight_first(found), None if last else entry.key
            after = following
            looked_at += len(entries)
            if after is None or wanted.state is None or looked_at >= MOST_LOOKED_AT:
                return in_flight_first(found), after

    async def of_session(
        self, workspace: str, session_id: str, wanted: RunFilter, limit: int, after: int | None
    ) -> tuple[Sequence[Run], int | None]:
        """Return up to `limit` of the session's runs, newest first, and the number to continue below; None at the end.

        It reads all runs of the session.
        """
        found = [
            run
            async for run in self._conversations.runs(workspace, session_id, texts=False)
            if (after is None or run.number < after) and wanted.takes(run)
        ]
        found.sort(key=lambda run: -run.number)
        shown = found[:limit]
        return in_flight_first(shown), shown[-1].number if len(found) > limit else None


def in_flight_first(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs with unfinished ones first, otherwise in their order."""
    return sorted(runs, key=lambda run: run.finished)
