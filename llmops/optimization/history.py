"""Reading single facts for savings rules and what-if replays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date

from kernel.codec import readable
from kernel.tables import Row, Span, Tables, first_rows
from llmops.facts.figures import Figures
from llmops.facts.model import AttemptFact
from llmops.facts.store import SHARDS, TABLE, days, kept_of, partition, shard

MOST_FACTS = 20_000
"""Most facts read, a few seconds of work; of more, an equal share of each day's and shard's."""
_PAGE = 1000
_AT_ONCE = 8


class FactHistory:
    """Reads the facts of a workspace.

    Attributes:
        figures: Reader of facts' sums.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.figures = Figures(tables)

    async def read(
        self, workspace: str, agent: str | None, first: date, last: date, most: int = MOST_FACTS
    ) -> tuple[Sequence[AttemptFact], bool]:
        """Return the facts of attempts that ended on these UTC days (both included), and whether these are all.

        They are in order of their ends. Where there are too many, an agent's latest runs are kept.

        Args:
            workspace: The workspace.
            agent: The agent; None for all.
            first: The first day.
            last: The last day.
            most: Most facts to read.
        """
        shards = range(SHARDS) if agent is None else [shard(workspace, agent)]
        homes = [partition(day, number) for day in days(first, last) for number in shards]
        prefix = f"fact!{workspace}!" if agent is None else f"fact!{workspace}!{agent}!"
        rows: dict[str, list[Row]] = {home: [] for home in homes}
        unread = homes
        # What some days and shards leave of their share is used for the others.
        while unread and (left := most - sum(map(len, rows.values()))) > 0:
            share = max(1, left // len(unread))
            more: list[str] = []
            for start in range(0, len(unread), _AT_ONCE):
                batch = unread[start : start + _AT_ONCE]
                reads = (self._rows(home, prefix, share, rows[home][-1].key if rows[home] else None) for home in batch)
                for home, page in zip(batch, await asyncio.gather(*reads), strict=True):
                    rows[home] += page
                    if len(page) == share:
                        more.append(home)
            unread = more
        found = [kept.fact for each in rows.values() for kept in readable(each, kept_of, "fact")]
        return sorted(found, key=lambda fact: fact.timing.ended_at), not unread

    async def _rows(self, home: str, prefix: str, most: int, after: str | None) -> Sequence[Row]:
        rows: list[Row] = []
        while len(rows) < most:
            wanted = min(most - len(rows), _PAGE)
            page = await first_rows(self._tables, TABLE, Span.prefix(home, prefix, after=after), wanted)
            rows += page
            if len(page) < wanted:
                break
            after = page[-1].key
        return rows
