"""Publishes sessions' events to the workspace's stream: each once, in the session's order, also after crashes.

An event is stored with the change that it reports and published after it. What a crashed process left unpublished is
noticed as a gap when the session's next event is published, or by `publish_all_of`; it is then read from the session.
Publishing twice changes nothing, as the journal knows each session's numbers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from kernel.errors import AppError
from kernel.journal import Entry, Event, Journal, OutOfOrder
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session import Session, SessionState
from lifecycle.events.catalogue import in_workspace_stream
from lifecycle.events.unpublished import EventRange, Numbered, Pending

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex
    from lifecycle.conversations.session_store import ConversationStore

log = logging.getLogger(__name__)

_AT_ONCE = 200
_TRY_AGAIN_AFTER_S = 2.0
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class SessionRef:
    """The session that events belong to."""

    workspace: str
    session_id: str
    agent: str


@dataclass(frozen=True, slots=True)
class _Last:
    """The number after the last event that this process committed in a session."""

    place: SessionRef
    end: int


class Publisher:
    """Publishes what this process commits, shortly afterwards and in batches."""

    def __init__(
        self,
        journal: Journal,
        conversations: ConversationStore,
        due: DueIndex,
        *,
        linger: timedelta,
        kept_for: timedelta,
        clock: Clock,
    ) -> None:
        """Set how long events wait to be batched (`linger`), and how old they may be to be published (`kept_for`).

        Ended sessions are entered in `due`, so that their events are deleted at that age.
        """
        self._journal = journal
        self._conversations = conversations
        self._due = due
        self._linger_s = linger.total_seconds()
        self._kept_for = kept_for
        self._clock = clock
        self._pending: dict[SessionRef, Pending] = {}
        self._last: dict[tuple[str, str], _Last] = {}
        self._locks: dict[SessionRef, asyncio.Lock] = {}
        self._round: asyncio.Task[None] | None = None

    def committed(self, session: Session, events: Sequence[Event]) -> None:
        """Record the session's last events, which were just committed; they are published soon."""
        key, end = SessionRef(session.workspace, session.id, session.agent), session.events
        first = end - len(events)
        numbered = tuple((n, event) for n, event in enumerate(events, first) if in_workspace_stream(event.name))
        pending = self._pending.setdefault(key, Pending())
        pending.add(EventRange(first, end, numbered))
        self._last[session.workspace, session.id] = _Last(key, end)
        if len(self._pending) > _MOST_REMEMBERED:
            self._pending.pop(next(iter(self._pending)))  # its events are found again as a gap
        if len(self._last) > _MOST_REMEMBERED:
            self._last.pop(next(iter(self._last)))
        if pending.wanted and (self._round is None or self._round.done()):
            self._round = asyncio.create_task(self._publish_later())

    def uncertain(self, workspace: str, session_id: str) -> None:
        """Record that a commit in the session may have taken effect, so that the known numbers are not complete."""
        self._last.pop((workspace, session_id), None)

    async def flush(self) -> None:
        """Publish everything recorded, now.

        Raises:
            AppError: Something could not be published; it stays recorded.
        """
        wanted = [key for key, pending in self._pending.items() if pending.wanted]
        failures = [
            found
            for found in await asyncio.gather(*map(self._publish_noted, wanted), return_exceptions=True)
            if isinstance(found, BaseException)
        ]
        if failures:
            raise failures[0]

    async def publish_all_of(self, workspace: str, session_id: str) -> None:
        """Return once all events committed in the session so far are published, whichever process committed them.

        If the last commit was this process's own since the last call, nothing is read. While other sessions have events
        too, they wait up to `linger` to be published in one write. A session alone does not wait: its next run cannot
        begin before this one's message is settled.

        Raises:
            AppError: They could not be published.
        """
        await self._wait_for_others(workspace, session_id)
        last = self._last.pop((workspace, session_id), None)
        if last is not None:
            await self._publish_noted(last.place)
        else:
            session = (await self._conversations.load(workspace, session_id)).session
            if session is None:
                return
            last = _Last(SessionRef(workspace, session_id, session.agent), session.events)
        await self._publish(last.place, EventRange(last.end, last.end, ()))

    async def aclose(self) -> None:
        """Publish what is recorded, and end the background task."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)
        try:
            await self.flush()
        except AppError as error:
            log.warning("events left unpublished: %s", error.code, extra={"event": "events.unpublished"})

    async def _wait_for_others(self, workspace: str, session_id: str) -> None:
        """Wait for the next joint write with other sessions, unless this session is the only one."""
        own = (workspace, session_id)
        others = (
            key for key, pending in self._pending.items() if pending.wanted and (key.workspace, key.session_id) != own
        )
        if self._linger_s and next(others, None) is not None:
            await asyncio.sleep(self._linger_s - asyncio.get_running_loop().time() % self._linger_s)

    async def _publish_later(self) -> None:
        while any(pending.wanted for pending in self._pending.values()):
            await asyncio.sleep(self._linger_s)
            try:
                await self.flush()
            except AppError as error:
                log.warning("events not published yet: %s", error.code, extra={"event": "events.unpublished"})
                await asyncio.sleep(_TRY_AGAIN_AFTER_S)

    async def _publish_noted(self, key: SessionRef) -> None:
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            pending = self._pending.get(key)
            taken = list(pending.take()) if pending else []
            try:
                while taken:
                    await self._publish(key, taken[0])
                    taken.pop(0)
            finally:
                for stretch in taken:
                    self._pending.setdefault(key, Pending()).add(stretch)
                if not taken and pending is not None and pending.empty:
                    self._pending.pop(key, None)
        if not lock.locked() and key not in self._pending:
            self._locks.pop(key, None)

    async def _publish(self, key: SessionRef, stretch: EventRange) -> None:
        while True:
            try:
                return await self._append(key, stretch)
            except OutOfOrder as behind:
                missing = await self._missing(key, behind.number, stretch.first)
            if missing.end < stretch.first:
                await self._append(key, missing)
            else:
                stretch = EventRange(missing.first, stretch.end, missing.events + stretch.events)
                if not stretch.events:
                    return None

    async def _append(self, key: SessionRef, stretch: EventRange) -> None:
        workspace, session_id = key.workspace, key.session_id
        ended = [event.at for _, event in stretch.events if event.data.get("state") == SessionState.ENDED]
        if ended:
            await self._due.add(workspace, session_id, max(ended) + self._kept_for)
        where = {"session_id": session_id, "agent": key.agent}
        events = [(number, replace(event, data=where | event.data)) for number, event in stretch.events]
        await self._journal.append(workspace, Entry(source_of(session_id), stretch.first, events, stretch.end))

    async def _missing(self, key: SessionRef, first: int, end: int) -> EventRange:
        """Return the events to publish from `first` on, up to the limits of one append and before `end`."""
        oldest = self._clock() - self._kept_for
        events: list[Numbered] = []
        number = first
        while number < end and len(events) < _AT_ONCE:
            found = [each for each in await self._read(key, number) if each[0] < end]
            events += [each for each in found if in_workspace_stream(each[1].name) and each[1].at >= oldest]
            number = found[-1][0] + 1 if found else end
        return EventRange(first, number, tuple(events))

    async def _read(self, key: SessionRef, first: int) -> Sequence[Numbered]:
        return await self._conversations.events(key.workspace, key.session_id, first, _AT_ONCE)


def source_of(session_id: str) -> str:
    """Return the name of a session's events in the journal."""
    return f"session:{session_id}/"
