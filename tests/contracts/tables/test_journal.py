"""A workspace's stream over both implementations of the tables: nothing is lost, nothing comes twice, all in order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.journal import SHARDS, TABLE, Entry, Event, Journal, OutOfOrder, shard_of
from kernel.tables import Span, Tables, every
from lifecycle.events.event_deletion import shards, trim
from tests.lifecycle.doubles import Crash, Fate, FatefulTables

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture
def workspace() -> str:
    """Return a workspace that no other test uses."""
    return f"ws-{uuid.uuid4().hex[:12]}"


def event(text: str, at: datetime = NOW) -> Event:
    return Event("run.stage", {"text": text}, at)


def entry(source: str, first: int, *texts: str) -> Entry:
    return Entry(source, first, [(n, event(text)) for n, text in enumerate(texts, first)], first + len(texts))


async def told(journal: Journal, workspace: str, shard: int, *, at_once: int = 7) -> list[str]:
    """Return what a shard tells, read in pieces, after having checked that its numbers have no gap."""
    found: list[tuple[int, Event]] = []
    while more := await journal.read(workspace, shard, len(found), at_once):
        found += more
    assert [number for number, _ in found] == list(range(len(found)))
    assert (await journal.ends(workspace))[shard] == len(found)
    return [each.data["text"] for _, each in found]


async def all_told(journal: Journal, workspace: str) -> list[str]:
    return [text for shard in range(SHARDS) for text in await told(journal, workspace, shard)]


async def test_a_key_is_recorded_once(tables: Tables, workspace: str) -> None:
    """By the same process, by another one, and by many at once."""
    journals = [Journal(tables) for _ in range(4)]

    await journals[0].record(workspace, "alert/a", event("one"))
    await journals[0].record(workspace, "alert/a", event("other"))
    await asyncio.gather(*(journal.record(workspace, "alert/a", event("more")) for journal in journals))
    await asyncio.gather(
        *(journal.record(workspace, f"alert/{n}", event(str(n))) for journal in journals for n in "bc")
    )

    texts = await told(journals[0], workspace, shard_of("alert"))
    assert (texts[0], sorted(texts)) == ("one", ["b", "c", "one"])


async def test_writers_that_race_lose_nothing(tables: Tables, workspace: str) -> None:
    """Many sources, each appended to by several processes at once, each process in its own order."""
    journals = [Journal(tables) for _ in range(3)]

    async def write(journal: Journal, source: str) -> None:
        for n in range(6):
            with contextlib.suppress(OutOfOrder):
                await journal.append(workspace, entry(source, n, f"{source} {n}"))

    sources = [f"session:{n}/" for n in range(10)]
    await asyncio.gather(*(write(journal, source) for journal in journals for source in sources))

    texts = await all_told(Journal(tables), workspace)
    for source in sources:
        assert [text for text in texts if text.startswith(source)] == [f"{source} {n}" for n in range(6)]


async def test_those_who_append_at_once_share_transactions(workspace: str) -> None:
    """The first goes alone, and all that came meanwhile go with the second."""
    tables = FatefulTables(MemoryTables(), fate := Fate())
    journal = Journal(tables)
    await journal.record(workspace, "a/", event("warm"))
    fate.count = 0

    await asyncio.gather(*(journal.record(workspace, f"a/{n}", event(str(n))) for n in range(40)))

    assert fate.count <= 2
    assert len(await told(journal, workspace, shard_of("a"))) == 41


async def test_events_before_must_be_in(tables: Tables, workspace: str) -> None:
    """What a gap hides is asked for; what overlaps is added where it goes on."""
    journal = Journal(tables)
    await journal.append(workspace, entry("s/", 0, "0", "1"))
    with pytest.raises(OutOfOrder) as behind:
        await journal.append(workspace, entry("s/", 4, "4"))
    await journal.append(workspace, Entry("s/", 1, [(1, event("1")), (3, event("3"))], 4))
    await Journal(tables).append(workspace, entry("s/", 4, "4"))

    assert behind.value.number == 2
    assert await told(journal, workspace, shard_of("s")) == ["0", "1", "3", "4"]


async def test_workspaces_have_streams_of_their_own(tables: Tables, workspace: str) -> None:
    """The same key in another workspace is another event."""
    journal, other = Journal(tables), f"{workspace}-2"
    await journal.record(workspace, "a", event("mine"))
    await journal.record(other, "a", event("theirs"))

    assert await all_told(journal, workspace) == ["mine"]
    assert await all_told(journal, other) == ["theirs"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Crash, Unavailable])
async def test_a_writer_may_die_at_any_write(after: bool, error: type[BaseException], workspace: str) -> None:
    """Whoever appends the same again, the events are in once."""
    number = 0
    for number in itertools.count(1):
        tables = MemoryTables()
        fate = Fate(number, after, error)
        journal = Journal(FatefulTables(tables, fate))

        async def write(journal: Journal) -> None:
            await journal.append(workspace, entry("s/", 0, "a", "b"))
            await journal.record(workspace, "s/key", event("c"))
            await journal.append(workspace, entry("s/", 2, "d"))

        with contextlib.suppress(Crash, Unavailable):
            await write(journal)
        await write(Journal(tables) if fate.dead else journal)

        assert sorted(await all_told(Journal(tables), workspace)) == ["a", "b", "c", "d"]
        if not fate.struck:
            break
    assert number > 3


async def test_a_cancelled_writer_leaves_the_others_to_go_on(workspace: str) -> None:
    """Whoever is first writes for all; cancelled in the middle, another takes over, and its own events may be in."""
    for steps in range(12):
        journal = Journal(MemoryTables())
        await journal.record(workspace, "a/", event("warm"))
        first, *others = [asyncio.create_task(journal.record(workspace, f"a/{n}", event(str(n)))) for n in range(5)]
        for _ in range(steps):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.gather(*others)
        await journal.record(workspace, "a/0", event("0"))

        assert sorted(await told(journal, workspace, shard_of("a"))) == ["0", "1", "2", "3", "4", "warm"]


async def test_what_is_old_goes_with_what_it_was_known_by(tables: Tables, workspace: str) -> None:
    """Numbers go on, the newer events stay, and a source that is still in use stays known."""
    journal = Journal(tables)
    for n in range(120):
        await journal.record(workspace, f"s/{n}", event(str(n), NOW + timedelta(minutes=n)))
    await journal.append(workspace, Entry("s/", 0, [(0, event("old", NOW))], 1))
    before = NOW + timedelta(minutes=100)

    deleted = sum([await trim(tables, shard, before) async for shard in shards(tables) if shard.startswith(workspace)])
    found = await journal.read(workspace, shard_of("s"), 0, 1000)
    rows = [row.key async for row in every(tables, TABLE, Span(f"{workspace}!{shard_of('s')}"))]
    await Journal(tables).record(workspace, "s/119", event("again"))

    assert deleted == 100
    assert [(number, each.data["text"]) for number, each in found] == [*_numbered(range(100, 120)), (120, "old")]
    assert len([key for key in rows if key.startswith("source!")]) == 21
    assert (await journal.ends(workspace))[shard_of("s")] == 121


def _numbered(numbers: Sequence[int]) -> list[tuple[int, str]]:
    return [(number, str(number)) for number in numbers]
