"""Following streams: every event once and in order, whatever the readers do, at a cost that does not grow with them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidInput, NotFound
from kernel.journal import SHARDS, Event
from lifecycle.conversations.session import Counters, Session
from lifecycle.events.stream_cache import NewEvents
from lifecycle.events.streams import (
    Position,
    Stream,
    session_id_of,
    session_position,
    workspace_id_of,
    workspace_position,
)
from lifecycle.events.subscriptions import AT_ONCE, Subscribers
from tests.waiting import QUIET_S

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


class ListedStream(Stream):
    """A stream of lists, which counts how often it is read."""

    def __init__(self, shards: int, name: str = "w") -> None:
        self.shards: list[list[tuple[int, Event]]] = [[] for _ in range(shards)]
        self.next = [0] * shards
        self.reads = 0
        self.gone = False
        self._name = name

    @property
    def key(self) -> str:
        return self._name

    def add(self, shard: int, name: str = "run.stage") -> Event:
        number = self.next[shard]
        event = Event(name, {"shard": shard, "number": number}, NOW + timedelta(seconds=sum(self.next)))
        self.shards[shard].append((number, event))
        self.next[shard] += 1
        return event

    async def ends(self) -> Sequence[int]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.gone:
            raise NotFound
        return list(self.next)

    async def read(self, shard: int, first: int, limit: int) -> Sequence[tuple[int, Event]]:
        self.reads += 1
        await asyncio.sleep(0)
        return [each for each in self.shards[shard] if each[0] >= first][:limit]

    def id_of(self, position: Position) -> str:
        return workspace_id_of(self._name, position)

    def position(self, text: str) -> Position:
        return workspace_position(self._name, text, len(self.shards))


class Reader:
    """Somebody who follows a stream with what it was given last, now with one process and now with another."""

    def __init__(self, stream: ListedStream, names: frozenset[str] | None = None) -> None:
        self.stream = stream
        self.names = names
        self.seen: list[Event] = []
        self.last: str | None = None

    async def ask(self, process: Subscribers, cut: int | None = None, wait_s: float = 0) -> NewEvents:
        """Take what there is, or only the first few of it, as when a connection breaks."""
        news = await process.follow(self.stream, self.last, wait_s=wait_s, names=self.names)
        took = news.events[:cut]
        self.seen += [event for _, event in took]
        if len(took) == len(news.events):
            self.last = self.stream.id_of(news.position)
        elif took:
            self.last = self.stream.id_of(took[-1][0])
        return news


def by_lane(events: Sequence[Event], shards: int) -> list[list[int]]:
    return [[event.data["number"] for event in events if event.data["shard"] == shard] for shard in range(shards)]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), st.integers(1, 4)),
        st.tuples(st.just("ask"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("cut"), st.integers(0, 2), st.integers(0, 3)),
        st.tuples(st.just("look"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS, shards=st.integers(1, 4))
def test_every_reader_gets_every_event_once_and_in_order(actions: list[tuple[str, int, int]], shards: int) -> None:
    """Three readers over two processes that see the shards' events in different orders; connections break anywhere."""

    async def play() -> None:
        stream = ListedStream(shards)
        processes = [Subscribers(look_every_s=0), Subscribers(look_every_s=0)]
        readers = [Reader(stream) for _ in range(3)]
        for action, who, number in actions:
            if action == "add":
                for _ in range(number):
                    stream.add(who % shards)
            elif action == "look":
                await processes[0].follow(stream, None, wait_s=0)
            else:
                await readers[who].ask(processes[number % 2], number if action == "cut" else None)
        for reader in readers:
            for _ in range(len(actions) + 2):
                if len(reader.seen) < sum(stream.next):
                    await reader.ask(processes[0], wait_s=0.002)
            await reader.ask(processes[0])
            assert by_lane(reader.seen, shards) == [list(range(end)) for end in stream.next]

    asyncio.run(play())


@settings(max_examples=200)
@given(st.lists(st.integers(0, (1 << 53) - 1), min_size=SHARDS, max_size=SHARDS))
def test_a_position_travels_as_text(numbers: list[int]) -> None:
    """What is given is understood again, by the same workspace only."""
    position = tuple(numbers)
    text = workspace_id_of("w", position)

    assert workspace_position("w", text, SHARDS) == position
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()
    with pytest.raises(InvalidInput):
        workspace_position("other", text, SHARDS)


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    """With a code, and by nothing else."""

    def of_workspace() -> Position:
        return workspace_position("w", text, SHARDS)

    for parse in (of_workspace, lambda: session_position(text)):
        if text.isascii() and text.isdigit() and len(text) <= 10 and parse is not of_workspace:
            assert session_id_of(parse()) == str(int(text))
            continue
        with pytest.raises(InvalidInput) as refused:
            parse()
        assert refused.value.code == "invalid_last_event_id"


async def test_an_id_of_the_future_is_refused() -> None:
    """Of what is known after a look at the stream."""
    stream, process = ListedStream(2), Subscribers(look_every_s=10)
    await process.follow(stream, None, wait_s=0)
    stream.add(0)
    assert (await process.follow(stream, stream.id_of((1, 0)), wait_s=0)).events == []

    with pytest.raises(InvalidInput) as refused:
        await process.follow(stream, stream.id_of((2, 0)), wait_s=0)

    assert refused.value.code == "invalid_last_event_id"


async def test_two_hundred_followers_read_as_much_as_one() -> None:
    """The stream is looked at once for all of them, and those who come back find what came meanwhile."""
    reads: dict[int, int] = {}
    for count in (1, 200):
        stream, process = ListedStream(1), Subscribers(look_every_s=0.05)
        readers = [Reader(stream) for _ in range(count)]
        stream.add(0)
        await asyncio.gather(*(reader.ask(process) for reader in readers))
        stream.reads = 0

        async def follow(reader: Reader, process: Subscribers = process, stream: ListedStream = stream) -> None:
            while len(reader.seen) < 11:
                await reader.ask(process, wait_s=5)

        async def act(stream: ListedStream = stream) -> None:
            for _ in range(10):
                await asyncio.sleep(0.05)
                stream.add(0)

        await asyncio.gather(act(), *(follow(reader) for reader in readers))
        reads[count] = stream.reads
        assert all(by_lane(reader.seen, 1) == [list(range(11))] for reader in readers)

    assert reads[200] <= 2 * reads[1] + 4, reads


async def test_a_commit_of_this_process_is_told_at_once() -> None:
    """Without a read, and to all who wait."""
    stream, process = ListedStream(1, "w!s"), Subscribers(look_every_s=3600)
    stream.add(0)
    first = await process.follow(stream, None, wait_s=0)
    last = stream.id_of(first.position)
    waiting = [asyncio.create_task(process.follow(stream, last, wait_s=10)) for _ in range(3)]
    await asyncio.sleep(0.01)
    stream.reads = 0

    session = Session("w", "s", "bot", None, NOW, NOW, counters=Counters(events=2))
    process.committed(session, [stream.add(0)])
    news = await asyncio.wait_for(asyncio.gather(*waiting), QUIET_S)

    assert [len(each.events) for each in news] == [1, 1, 1]
    assert stream.reads == 0


async def test_what_is_not_wanted_is_passed_over_for_good() -> None:
    """The reader waits on, and goes on from behind what it did not want."""
    stream, process = ListedStream(2), Subscribers(look_every_s=0.01)
    reader = Reader(stream, frozenset({"agent.created"}))
    for _ in range(AT_ONCE * 2 + 3):
        stream.add(0)
    wanted = stream.add(1, "agent.created")

    await reader.ask(process, wait_s=1)
    stream.add(0)
    news = await reader.ask(process, wait_s=0.05)

    assert reader.seen == [wanted]
    assert news.position == tuple(stream.next)


async def test_beginning_with_now_passes_over_what_was() -> None:
    """And with the position it is given, nothing that comes later is lost."""
    stream, process = ListedStream(2), Subscribers(look_every_s=0.01)
    stream.add(0)

    news = await process.follow(stream, None, wait_s=0, from_now=True)
    later = stream.add(1)
    more = await process.follow(stream, stream.id_of(news.position), wait_s=1)

    assert (news.events, [event for _, event in more.events]) == ([], [later])


async def test_who_comes_too_late_is_told_so() -> None:
    """Events that are not kept any more are not lost in silence; from the start on, there is nothing to tell."""
    stream = ListedStream(2)
    for _ in range(4):
        stream.add(0)
        stream.add(1)
    early = stream.id_of((1, 4))
    stream.shards[0] = stream.shards[0][3:]

    late = await Subscribers(look_every_s=1).follow(stream, early, wait_s=0)
    fresh, process = Reader(stream), Subscribers(look_every_s=1)
    told = [(await fresh.ask(process)).expired for _ in range(3)]
    stream.shards[0] = []
    gone = await Subscribers(look_every_s=1).follow(stream, early, wait_s=0)

    assert (late.expired, [event.data["number"] for _, event in late.events]) == (True, [3])
    assert (any(told), by_lane(fresh.seen, 2)) == (False, [[3], [0, 1, 2, 3]])
    assert (gone.expired, gone.events, gone.position) == (True, [], (4, 4))


async def test_a_stream_that_is_gone_is_not_found() -> None:
    """Once what is known of it is too old."""
    stream, process = ListedStream(1), Subscribers(look_every_s=1, trusted_for_s=0)
    await process.follow(stream, None, wait_s=0)
    stream.gone = True

    with pytest.raises(NotFound):
        await process.follow(stream, None, wait_s=0)
