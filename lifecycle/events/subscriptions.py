"""Followers of streams: all followers of one stream in this process share one poll of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import AppError
from kernel.journal import Event
from lifecycle.events.stream_cache import NewEvents, Tail, merged, passed
from lifecycle.events.streams import Position, Stream, session_key, unknown

if TYPE_CHECKING:
    from lifecycle.conversations.session import Session

log = logging.getLogger(__name__)

AT_ONCE = 200
"""Most events of one response, and of one read."""
_FORGOTTEN_AFTER_S = 60.0

Wanted = Callable[[Event], bool]


class Subscription:
    """A stream that this process follows."""

    def __init__(self, stream: Stream, look_every_s: float, trusted_for_s: float) -> None:
        self._stream = stream
        self._trusted_for_s = trusted_for_s
        self._look_every_s = look_every_s
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._waiting = 0
        self._poller: asyncio.Task[None] | None = None
        self._tail: Tail | None = None
        self._checked_at = self._looked_at = 0.0
        self.used_at = 0.0

    @property
    def in_use(self) -> bool:
        """Whether anybody waits for new events."""
        return self._waiting > 0

    async def tail(self) -> Tail:
        """Return the stream's tail, after checking at most `trusted_for_s` ago that the stream exists.

        Raises:
            NotFound: It does not exist.
        """
        self.used_at = _now()
        async with self._lock:
            if self._tail is None or _now() > self._checked_at + self._trusted_for_s:
                ends = await self._stream.ends()
                self._checked_at = _now()
                if self._tail is None:
                    # With the newest events, so that those who begin to follow at the same time share a read too.
                    tail = Tail([max(0, end - AT_ONCE) for end in ends])
                    await self._read(tail)
                    tail.reach(ends)
                    self._tail = tail
        return self._tail

    async def look(self) -> None:
        """Read new events, once for all who wait."""
        asked_at = _now()
        async with self._lock:
            if self._tail is None or self._looked_at > asked_at:
                return
            if await self._read(self._tail):
                self._wake()

    async def look_if_due(self) -> None:
        """Read new events, unless that was done within the poll interval."""
        if _now() >= self._looked_at + self._look_every_s:
            await self.look()

    def committed(self, first: int, events: Sequence[Event]) -> None:
        """Add events that this process has committed, if they follow those known."""
        if self._tail is not None and self._tail.ends[0] == first and self._tail.add(0, list(enumerate(events, first))):
            self._wake()

    async def wait(self, seconds: float) -> None:
        """Return when there are new events, or after the seconds."""
        news = self._news
        self._waiting += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1
            self.used_at = _now()

    async def _read(self, tail: Tail) -> bool:
        """Add new events to the tail, and return whether there are any."""
        self._looked_at = _now()
        more, changed = True, False
        while more:
            found = await asyncio.gather(
                *(self._stream.read(shard, first, AT_ONCE) for shard, first in enumerate(tail.ends))
            )
            for shard, each in enumerate(found):
                changed |= tail.add(shard, each)
            more = any(len(each) == AT_ONCE for each in found)
        return changed

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _poll(self) -> None:
        while self._waiting:
            await asyncio.sleep(max(0.0, self._looked_at + self._look_every_s - _now()))
            try:
                await self.look()
            except AppError as error:
                log.warning("stream not read: %s", error.code, extra={"event": "events.unavailable"})


class Subscribers:
    """All followers of streams in this process."""

    def __init__(self, *, look_every_s: float, trusted_for_s: float = 5.0) -> None:
        """Set the poll interval, and how long a stream is assumed to exist without a check; in seconds."""
        self._look_every_s = look_every_s
        self._trusted_for_s = trusted_for_s
        self._watches: dict[str, Subscription] = {}

    def committed(self, session: Session, events: Sequence[Event]) -> None:
        """Give the session's followers its last events, which this process has just committed."""
        if (watch := self._watches.get(session_key(session.workspace, session.id))) is not None:
            watch.committed(session.events - len(events), events)

    async def follow(
        self,
        stream: Stream,
        last_event_id: str | None,
        *,
        wait_s: float,
        names: Collection[str] | None = None,
        from_now: bool = False,
    ) -> NewEvents:
        """Return the events after `last_event_id` as soon as there are some; none after `wait_s` seconds.

        Args:
            stream: The stream to follow.
            last_event_id: The last event read; None to begin with the oldest one kept.
            wait_s: How long to wait for new events, in seconds.
            names: Names of the events wanted; None for all.
            from_now: Whether to skip existing events if `last_event_id` is None.

        Raises:
            NotFound: The stream does not exist.
            InvalidInput: `last_event_id` is not of this stream.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        watch = self._watch(stream)
        tail = await watch.tail()
        if last_event_id is not None:
            position = await _checked_position(stream.position(last_event_id), watch, tail)
        elif from_now:
            await watch.look_if_due()
            position = tail.ends
        else:
            position = (0,) * len(tail.ends)

        def wanted(event: Event) -> bool:
            return names is None or event.name in names

        while True:
            behind = tail.behind(position)
            if behind:
                news = await _before_tail(stream, tail, position, behind, wanted)
            else:
                news = tail.after(position, wanted, AT_ONCE)
            expired = news.expired and last_event_id is not None
            position = news.position
            if news.events or expired or loop.time() >= deadline:
                return replace(news, expired=expired)
            if not behind and position == tail.ends:
                await watch.wait(deadline - loop.time())

    def _watch(self, stream: Stream) -> Subscription:
        now = _now()
        if stream.key not in self._watches:
            for key, watch in list(self._watches.items()):
                if not watch.in_use and watch.used_at + _FORGOTTEN_AFTER_S < now:
                    del self._watches[key]
            self._watches[stream.key] = Subscription(stream, self._look_every_s, self._trusted_for_s)
        return self._watches[stream.key]


async def _checked_position(position: Position, watch: Subscription, tail: Tail) -> Position:
    """Return the position if the stream can have given it; else raise InvalidInput."""
    if any(number > end for number, end in zip(position, tail.ends, strict=True)):
        await watch.look()  # another process may have given events that are not read here yet
        if any(number > end for number, end in zip(position, tail.ends, strict=True)):
            raise unknown()
    return position


async def _before_tail(
    stream: Stream, tail: Tail, position: Position, shards: Sequence[int], wanted: Wanted
) -> NewEvents:
    """Return events for a reader whose position is before the tail, reading them for it alone."""
    found = dict(
        zip(
            shards,
            await asyncio.gather(*(stream.read(shard, position[shard], AT_ONCE) for shard in shards)),
            strict=True,
        )
    )
    first = list(position)
    for shard, events in found.items():
        first[shard] = events[0][0] if events else tail.starts[shard]
    news = passed(tuple(first), merged(list(found.items()), AT_ONCE), wanted, AT_ONCE)
    return replace(news, expired=tuple(first) != position)


def _now() -> float:
    return asyncio.get_running_loop().time()
