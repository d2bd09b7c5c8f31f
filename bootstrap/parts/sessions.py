"""The parts of sessions."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.events import EventParts
from bootstrap.parts.spend import SpendParts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.journal import Event
    from lifecycle.conversations.directory import Directory
    from lifecycle.conversations.pins import Pins
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.store import ConversationStore
    from lifecycle.events.publisher import Publisher
    from lifecycle.events.retention import EventRetention
    from lifecycle.events.subscriptions import Subscribers
    from lifecycle.runs.record import RunRecorder
    from lifecycle.runs.waiters import CompletionWaiters
    from lifecycle.sessions.end import SessionEnd
    from lifecycle.sessions.list import SessionList
    from lifecycle.sessions.pause import SessionPause

_EVENTS = "sessionevents"
_LOOK_EVERY_S = 0.5
_LINGER = timedelta(milliseconds=200)
"""How long a session's events wait for others to be published with."""


class SessionParts(EventParts, SpendParts):
    """Makes sessions."""

    @cached_property
    def conversations(self) -> ConversationStore:
        """Sessions with their runs, turns and events."""
        from lifecycle.conversations.long_texts import LongTexts
        from lifecycle.conversations.store import ConversationStore

        return ConversationStore(
            self.tables, LongTexts(self.texts), self._committed, self.measures.run_changed, self._doubted
        )

    @cached_property
    def publisher(self) -> Publisher:
        """Puts the sessions' events into their workspaces' streams."""
        from lifecycle.events.publisher import Publisher

        return Publisher(
            self.journal,
            self.conversations,
            self._due(_EVENTS),
            linger=_LINGER,
            kept_for=self._events_kept_for,
            clock=self.clock,
        )

    @cached_property
    def event_retention(self) -> EventRetention:
        """Deletes events that are old enough."""
        from lifecycle.events.retention import EventRetention

        due, kept_for = self._due(_EVENTS), self._events_kept_for
        return EventRetention(
            self.tables, self.conversations, due, self.daily_counts, kept_for=kept_for, clock=self.clock
        )

    def _committed(self, session: Session, events: Sequence[Event]) -> None:
        self.publisher.committed(session, events)
        self.followers.committed(session, events)

    def _doubted(self, workspace: str, session_id: str) -> None:
        self.publisher.uncertain(workspace, session_id)

    @cached_property
    def followers(self) -> Subscribers:
        """Whoever follows a stream of events in this process."""
        from lifecycle.events.subscriptions import Subscribers

        return Subscribers(look_every_s=_LOOK_EVERY_S)

    @cached_property
    def run_recorder(self) -> RunRecorder:
        """Writes what came of runs."""
        from lifecycle.runs.record import RunRecorder

        return RunRecorder(self.facts, self.conversations, self._waiters)

    @cached_property
    def _waiters(self) -> CompletionWaiters:
        from lifecycle.runs.waiters import CompletionWaiters

        return CompletionWaiters()

    @cached_property
    def directory(self) -> Directory:
        """Where runs and sessions are found."""
        from lifecycle.conversations.directory import Directory

        return Directory(self.tables, self.clock)

    @cached_property
    def pins(self) -> Pins:
        """Which sessions are pinned to which versions."""
        from lifecycle.conversations.pins import Pins

        return Pins(self.tables, self.conversations, self.clock)

    @cached_property
    def session_end(self) -> SessionEnd:
        """Ends sessions."""
        from lifecycle.sessions.end import SessionEnd

        return SessionEnd(
            self.conversations,
            self.directory,
            self.pins,
            self._due("session"),
            settle=self.publisher.publish_all_of,
            record=self.run_recorder.record,
            idle_after=self._session_idle_after,
            clock=self.clock,
        )

    @cached_property
    def session_list(self) -> SessionList:
        """Lists sessions."""
        from lifecycle.sessions.list import SessionList

        return SessionList(self.conversations, self.directory)

    @cached_property
    def session_pause(self) -> SessionPause:
        """Pauses sessions and lets them go on."""
        from lifecycle.sessions.pause import SessionPause

        return SessionPause(self.conversations, self._due("resumption"), self.clock)

    @property
    def _session_idle_after(self) -> timedelta:
        return timedelta(seconds=self.settings.session_idle_after)
