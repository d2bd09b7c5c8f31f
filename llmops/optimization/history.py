"""Reading facts one by one, as rules on savings and replays of history need them."""

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
"""Facts that are read at most, some seconds of work; of more, an equal share of each day's and shard's."""
_PAGE = 1000


class FactHistory:
    """Reads the facts of a workspace.

    Attributes:
        figures: What facts add up to.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.figures = Figures(tables)

    async def read(
        self, workspace: str, agent: str | None, first: date, last: date, most: int = MOST_FACTS
    ) -> tuple[Sequence[AttemptFact], bool]:
        """Return the facts of attempts that ended from the first to the last UTC day, and whether these are all.

        They are in the order of their ends. An agent's latest runs are read first where there are too many.

        Args:
            workspace: The workspace.
            agent: The agent; None for all.
            first: The first day.
            last: The last day.
            most: How many to read at most.
        """
        wanted = list(days(first, last))
        shards = range(SHARDS) if agent is None else [shard(workspace, agent)]
        prefix = f"fact!{workspace}!" if agent is None else f"fact!{workspace}!{agent}!"
        share = max(1, most // (len(wanted) * len(shards)))
        found: list[AttemptFact] = []
        whole = True
        for day in wanted:
            reads = (self._rows(partition(day, number), prefix, share + 1) for number in shards)
            for rows in await asyncio.gather(*reads):
                whole = whole and len(rows) <= share
                found += [kept.fact for kept in readable(rows[:share], kept_of, "fact")]
        return sorted(found, key=lambda fact: fact.timing.ended_at), whole

    async def _rows(self, home: str, prefix: str, most: int) -> Sequence[Row]:
        rows: list[Row] = []
        while len(rows) < most:
            span = Span.prefix(home, prefix, after=rows[-1].key if rows else None)
            wanted = min(most - len(rows), _PAGE)
            page = await first_rows(self._tables, TABLE, span, wanted)
            rows += page
            if len(page) < wanted:
                break
        return rows
