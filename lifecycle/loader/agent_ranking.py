"""Ranking of agents worth keeping live, shared by all workers: a bounded set of rows, updated by a timer.

Table `loader`, partition `ranking`: `progress` the ten-minute slot up to which accesses were read; `agents!{number}` a
hundred agents each, with their activity; `requested!{workspace}!{agent}` an agent to preload on request, until `until`.
A worker reads the partition in one request. The timer writes in one transaction, so that each access counts once, also
after crashes and with concurrent timers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable, readable
from kernel.lazy_dataclass import dataclass
from kernel.tables import (
    MAX_WRITES,
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
)
from lifecycle.loader.usage_statistics import RULES, Activity, ActivityBook, Key, LearningRules, Use
from llmops.facts import sums
from llmops.facts.agent_access_sums import Access, AccessSum, access_key, in_order
from llmops.facts.fact_store import SHARDS, days, partition
from llmops.facts.fact_store import TABLE as FACTS

if TYPE_CHECKING:
    from kernel.clock import Clock

TABLE = "loader"
MAX_REQUESTED = 100
_SETTLED = timedelta(minutes=3)
"""Accesses of a ten-minute slot are read this long after its end: by then facts are summed."""
_FIRST = timedelta(hours=24)
_FORGOTTEN_AGAIN = timedelta(days=31)
"""How many days before the last one to forget are looked through again: the timer may have missed some, by a crash or
while the app was stopped, or they were to be kept for longer then."""
_PARTITION = "ranking"
_PROGRESS = "progress"
_A_ROW = 100
_MOST_CHARACTERS = 3_000_000
"""What the rows may hold in all: a transaction takes 4 MiB, of which quoting what is quoted already takes a share."""


@dataclass(frozen=True, slots=True)
class LearningPolicy:
    """What is kept of uses.

    Attributes:
        ranked: Most ranked agents, over all workspaces.
        retention: How long accesses are kept.
        requested_for: How long workers preload an agent that somebody asked for.
        rules: How uses are made into priorities and companions.
    """

    ranked: int = 512
    retention: timedelta = timedelta(days=30)
    requested_for: timedelta = timedelta(hours=24)
    rules: LearningRules = RULES


@dataclass(frozen=True, slots=True)
class RankedAgent:
    """An agent and its activity."""

    workspace: str
    agent: str
    activity: Activity


@dataclass(frozen=True, slots=True)
class RankedAgents:
    """A row of a hundred ranked agents."""

    agents: tuple[RankedAgent, ...]


_CODEC = JsonCodec(RankedAgents)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranking as workers read it.

    Attributes:
        book: The activity of the most used agents.
        requested: Agents to preload because of a request.
        learned_until: Until when accesses are included, aware UTC; None before the first time.
    """

    book: ActivityBook = field(default_factory=ActivityBook)
    requested: Sequence[Key] = ()
    learned_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """Result of a timer pass: number of accesses read, and of ranked agents."""

    accesses: int
    agents: int


class AccessHistory:
    """Reads which users used which agents, by ten minutes. Its cost depends on uses, not on registered agents."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def read(self, since: datetime, before: datetime) -> Sequence[Access]:
        """Return the accesses of the ten-minute slots that begin from `since` until before `before`, by time."""
        found: list[Access] = []
        last = before - timedelta(microseconds=1)
        for day in days(since.date(), last.date()):
            for number in range(SHARDS):
                span = Span(partition(day, number), key_from=access_key(since), key_before=access_key(last) + "\x20")
                async for total in all_readable(every(self._tables, FACTS, span), sums.load, "sum of accesses"):
                    if isinstance(total, AccessSum):
                        found += total.accesses
        return sorted(found, key=in_order)

    async def forget(self, day: date) -> int:
        """Delete the accesses of a day; return the number of deleted rows."""
        count = 0
        for number in range(SHARDS):
            home = partition(day, number)
            rows = [row async for row in every(self._tables, FACTS, Span.prefix(home, "access!"))]
            for begin in range(0, len(rows), MAX_WRITES):
                part = rows[begin : begin + MAX_WRITES]
                try:
                    await self._tables.commit(FACTS, [Delete(home, row.key) for row in part])
                except RowChanged:
                    continue  # another timer deletes them; the next pass finds what is left
                count += len(part)
        return count


class Rankings:
    """Stores and updates the ranking."""

    def __init__(self, tables: Tables, clock: Clock, policy: LearningPolicy | None = None) -> None:
        self._tables = tables
        self._history = AccessHistory(tables)
        self._clock = clock
        self._policy = policy or LearningPolicy()

    async def read(self) -> Ranking:
        """Return the ranking, in one request."""
        rows = [row async for row in every(self._tables, TABLE, Span(_PARTITION))]
        return _ranking(rows, self._clock(), self._policy)

    async def learn(self) -> Learned:
        """Add new accesses to the ranking. Idempotent, also when run concurrently."""
        now = self._clock()
        rows = [row async for row in every(self._tables, TABLE, Span(_PARTITION))]
        ranking = _ranking(rows, now, self._policy)
        until = _slot(now - _SETTLED)
        since = max(ranking.learned_until or until - _FIRST, until - _FIRST)
        if since >= until:
            return Learned(0, len(ranking.book.agents))
        together = timedelta(seconds=self._policy.rules.together_s)
        accesses = await self._history.read(since - together, until)
        new = [access for access in accesses if access.at >= since.timestamp()]
        for access in accesses:
            if access.at < since.timestamp():
                ranking.book.seen(_use(access))
        ranking.book.add_all(_use(access) for access in new)
        ranking.book.trim(now.timestamp())
        ranking.book.forget_before((now - self._policy.retention).timestamp())
        try:
            await self._tables.commit(TABLE, _writes(ranking.book, rows, until))
        except (RowChanged, RowExists):
            return Learned(0, len(ranking.book.agents))  # another timer has added the same
        if ranking.learned_until is not None and until.date() != since.date():
            last = (until - self._policy.retention).date() - timedelta(days=1)
            for day in days(last - _FORGOTTEN_AGAIN, last):
                await self._history.forget(day)
        return Learned(len(new), len(ranking.book.agents))

    async def request(self, keys: Sequence[Key]) -> None:
        """Have every worker preload these agents from its next look at the ranking on, for a while."""
        until = self._clock() + self._policy.requested_for
        writes: list[Write] = [
            Upsert(Row(_PARTITION, f"requested!{workspace}!{agent}", {"until": until}))
            for workspace, agent in keys[:MAX_WRITES]
        ]
        if writes:
            await self._tables.commit(TABLE, writes)


def _use(access: Access) -> Use:
    return Use(
        float(access.at),
        (access.workspace, access.agent),
        access.user,
        access.answered,
        float(access.ms) if access.answered else None,
        access.micro_usd,
    )


def _slot(moment: datetime) -> datetime:
    """Return the start of the moment's ten-minute slot."""
    utc = moment.astimezone(UTC)
    return utc - timedelta(minutes=utc.minute % 10, seconds=utc.second, microseconds=utc.microsecond)


def _ranking(rows: Sequence[Row], now: datetime, policy: LearningPolicy) -> Ranking:
    book = ActivityBook(policy.ranked, rules=policy.rules)
    agents = [row for row in rows if row.key.startswith("agents!")]
    for found in readable(agents, lambda row: _CODEC.load(row.text("agents")), "ranked agents"):
        book.agents.update({(one.workspace, one.agent): one.activity for one in found.agents})
    requested: list[Key] = []
    for row in rows:
        until = row.moment("until")
        if row.key.startswith("requested!") and until is not None and until > now:
            _, workspace, agent = row.key.split("!")
            requested.append((workspace, agent))
    progress = next((row for row in rows if row.key == _PROGRESS), None)
    return Ranking(book, requested[:MAX_REQUESTED], progress.moment("until") if progress else None)


def _writes(book: ActivityBook, rows: Sequence[Row], until: datetime) -> list[Write]:
    stored = {row.key: row for row in rows}
    progress = stored.get(_PROGRESS)
    row = Row(_PARTITION, _PROGRESS, {"until": until}, progress.etag if progress else "")
    writes: list[Write] = [Replace(row) if progress else Insert(row)]
    agents = [RankedAgent(*key, activity) for key, activity in book.agents.items()]
    keys: set[str] = set()
    size = 0
    for number, begin in enumerate(range(0, len(agents), _A_ROW)):
        text = _CODEC.dump(RankedAgents(tuple(agents[begin : begin + _A_ROW])))
        size += len(text)
        if size > _MOST_CHARACTERS:
            break  # those used least, as the book has been trimmed
        key = f"agents!{number:03d}"
        keys.add(key)
        writes.append(Upsert(Row(_PARTITION, key, {"agents": text})))
    outdated = [key for key in stored if key.startswith("agents!") and key not in keys]
    outdated += [
        key
        for key, row in stored.items()
        if (end := row.moment("until")) and key.startswith("requested!") and end < until
    ]
    return writes + [Delete(_PARTITION, key) for key in outdated[: MAX_WRITES - len(writes)]]
