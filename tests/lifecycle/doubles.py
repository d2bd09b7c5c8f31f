"""Test doubles around the real `MemoryTables` and `OfflineProvider`: a clock, a crash, a count, an awkward store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from adapters.memory_tables import MemoryTables
from adapters.providers.offline import TABLE as OFFLINE
from adapters.providers.offline import OfflineProvider
from adapters.table_rules import place
from bootstrap.services import Services
from kernel.errors import NotFound, Unavailable
from kernel.settings import Settings
from kernel.tables import Page, Row, RowTooLarge, Span, Tables, Write, every
from lifecycle.conversations.run_request import Submission
from lifecycle.registry.actor import AgentActor
from lifecycle.registry.agent_checks_due import RetentionPolicy
from lifecycle.registry.providers import ProviderVersion, VersionRequest
from lifecycle.runs.message_signatures import Origin
from lifecycle.runs.run_queue import DeadMessage, QueueMessage
from lifecycle.specs.spec import AgentSpec

T = TypeVar("T")
NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
IDLE_AFTER = timedelta(days=7)
LOOK_AFTER = RetentionPolicy(IDLE_AFTER, superseded=timedelta(minutes=15), verified=timedelta(days=1), versions_kept=3)


class Crash(BaseException):
    """The process dies here; nothing catches it but the test."""


@dataclass
class ManualClock:
    """A clock that stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """Return the seconds since 1970 UTC, as what counts how many pass."""
        return self.now.timestamp()

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Fate:
    """Counts effects and strikes at the n-th one, before or after it took effect.

    Attributes:
        at: Number of the effect to strike at, from 1; None for never.
        after: Whether the effect takes place first.
        error: What is raised; after a Crash every later effect raises it too, since the process is dead.
    """

    at: int | None = None
    after: bool = False
    error: type[BaseException] = Crash
    count: int = 0
    dead: bool = False

    async def effect(self, do: Callable[[], Awaitable[T]]) -> T:
        self.alive()
        self.count += 1
        number = self.count
        if number == self.at and not self.after:
            self._strike()
        result = await do()
        self.alive()
        if number == self.at and self.after:
            self._strike()
        return result

    def alive(self) -> None:
        if self.dead:
            raise Crash

    @property
    def struck(self) -> bool:
        return self.at is not None and self.count >= self.at

    def _strike(self) -> None:
        self.dead = self.error is Crash
        raise self.error


class FatefulTables(Tables):
    """Tables whose commits are effects."""

    def __init__(self, inner: Tables, fate: Fate) -> None:
        self.inner = inner
        self.fate = fate

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        self.fate.alive()
        return await self.inner.get(table, partition, key)

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        self.fate.alive()
        return await self.inner.query(table, span, limit=limit, token=token)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        return await self.fate.effect(lambda: self.inner.commit(table, writes))

    async def aclose(self) -> None:
        await self.inner.aclose()


class RepeatingTables(MemoryTables):
    """Memory tables behind a client that repeats a commit whose answer was lost: `at` counts commits from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.count = 0

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        self.count += 1
        number = self.count
        done = await super().commit(table, writes)
        return await super().commit(table, writes) if number == self.at else done


class FatefulProvider:
    """A provider whose creations, deletions and switches are effects; what it keeps itself is not in danger."""

    def __init__(self, inner: Any, fate: Fate) -> None:
        self.inner = inner
        self.fate = fate

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        return await self.fate.effect(lambda: self.inner.create(wanted))

    async def delete(self, version: ProviderVersion) -> None:
        await self.fate.effect(lambda: self.inner.delete(version))

    async def disable(self, name: str, owner: str) -> bool:
        return await self.fate.effect(lambda: self.inner.disable(name, owner))

    async def enable(self, name: str) -> None:
        await self.fate.effect(lambda: self.inner.enable(name))

    def __getattr__(self, name: str) -> Any:
        self.fate.alive()
        return getattr(self.inner, name)


class CountingTables(MemoryTables):
    """Memory tables that count their operations and what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.rows_read = 0

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        self.operations[f"get {table}"] += 1
        self.rows_read += 1
        return await super().get(table, partition, key)

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        self.operations[f"query {table}"] += 1
        page = await super().query(table, span, limit=limit, token=token)
        self.rows_read += len(page.rows)
        return page

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        self.operations[f"commit {table}"] += 1
        return await super().commit(table, writes)

    def reset(self) -> None:
        self.operations.clear()
        self.rows_read = 0


class ShortPageTables(MemoryTables):
    """Memory tables that page as the service may: an empty page first, then one row at a time."""

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        if token is None:
            return Page([], "first")
        return await super().query(table, span, limit=1, token=None if token == "first" else token)


class SmallTables(MemoryTables):
    """Memory tables that refuse commits with rows of a kind as too large."""

    def __init__(self, refused: str) -> None:
        super().__init__()
        self._refused = refused

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        if any(place(write)[1].startswith(self._refused) for write in writes):
            raise RowTooLarge
        return await super().commit(table, writes)


@dataclass
class MemoryQueue:
    """A run queue in memory: what was sent, and what is dead."""

    sent: list[Submission] = field(default_factory=list[Submission])
    scheduled: list[tuple[datetime, Submission]] = field(default_factory=list[tuple[datetime, Submission]])
    redriven: list[tuple[Any, int]] = field(default_factory=list[tuple[Any, int]])
    letters: dict[int, DeadMessage] = field(default_factory=dict[int, DeadMessage])
    refuse: bool = False
    page: int = 100
    opened: int = 0

    def open(self) -> None:
        self.opened += 1

    async def send(self, submission: Submission, at: datetime | None = None) -> None:
        if self.refuse:
            raise Unavailable(code="queue_unavailable")
        if at is None:
            self.sent.append(submission)
        else:
            self.scheduled.append((at, submission))

    async def dead(self, limit: int, from_id: int = 0) -> Sequence[DeadMessage]:
        found = [letter for number, letter in sorted(self.letters.items()) if number >= from_id]
        return found[: min(limit, self.page)]

    async def redrive(self, letter_id: int, submission: QueueMessage, redriven: int) -> None:
        if letter_id not in self.letters:
            raise NotFound
        self.redriven.append((submission, redriven))
        del self.letters[letter_id]

    async def discard(self, letter_id: int) -> None:
        if letter_id not in self.letters:
            raise NotFound
        del self.letters[letter_id]

    async def aclose(self) -> None:
        return

    def bury(
        self, submission: Submission, redriven: int = 0, *, body: bytes | None = None, number: int | None = None
    ) -> int:
        number = number or len(self.letters) + 1
        self.letters[number] = DeadMessage(
            number,
            number,
            submission.run_id,
            submission.session_id,
            submission.to_json().encode() if body is None else body,
            redriven,
            "MaxDeliveryCountExceeded",
            5,
            NOW,
            submission.priority,
            Origin("agent-runs", "agent.run", submission.run_id),
        )
        return number


def make_actor(tables: Tables, provider: Any, clock: ManualClock) -> AgentActor:
    return AgentActor(tables, {"offline": provider}, owner="us", look_after=LOOK_AFTER, clock=clock)


def offline(tables: Tables, clock: ManualClock) -> OfflineProvider:
    return OfflineProvider(tables, clock)


async def live_versions(tables: Tables) -> dict[tuple[str, str], str]:
    """Return the fingerprint of every version that is at the offline provider, by name and version."""
    span = Span(" ", partition_before="~")
    rows = [row async for row in every(tables, OFFLINE, span) if not row.partition.endswith("!counts")]
    return {(row.partition, row.key): row.text("fingerprint") for row in rows}


def spec(**fields: Any) -> AgentSpec:
    return AgentSpec.model_validate({"model": "gpt-4o-mini", **fields})


def quick_settings(**fields: Any) -> Settings:
    """Return settings for runs that wait for next to nothing."""
    return Settings.of(
        {
            "RUN_LOOK_EVERY_S": 0.02,
            "RUN_RETRY_BASE_S": 0.001,
            "PROVISION_WAIT_S": 1,
            "RECORD_USE_EVERY_S": 0.02,
            **fields,
        }
    )


def make_services(tables: Tables, clock: Callable[[], datetime], **settings: Any) -> Services:
    return Services(tables, quick_settings(**settings), clock)


async def settle() -> None:
    """Let every task that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)
