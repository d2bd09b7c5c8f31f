"""Composition of conversations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.metrics import MetricServices
    from bootstrap.parts.notifications import NotificationServices
    from bootstrap.parts.spend import SpendServices
    from kernel.journal import Event
    from lifecycle.callbacks.callback_delivery import CallbackDelivery
    from lifecycle.callbacks.delivery_status import CallbackRecords
    from lifecycle.conversations.long_texts import LongTexts
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.conversations.unreadable_sessions import Remains
    from lifecycle.conversations.version_pin_index import Pins
    from lifecycle.events.event_deletion import EventRetention
    from lifecycle.events.publisher import Publisher
    from lifecycle.events.subscriptions import Subscribers
    from lifecycle.runs.fact_writer import FactWriter, ReportToWorkflow
    from lifecycle.runs.run_queries import CompletionWaiters
    from lifecycle.sessions.pause import SessionPause


_EVENTS = "sessionevents"
_LOOK_EVERY_S = 0.5
_LINGER = timedelta(milliseconds=100)
"""How long a session's events wait to be published together with others."""


@dataclass(eq=False)
class ConversationServices:
    """Builds the store of sessions with their runs, and the publishing of their events."""

    _core: Core
    _events: EventServices
    _metrics: MetricServices
    _spend: SpendServices
    _notifications: NotificationServices
    _report_to_workflow: ReportToWorkflow

    @cached_property
    def store(self) -> ConversationStore:
        """Stores sessions with their runs, turns and events."""
        from lifecycle.conversations.session_store import ConversationStore

        return ConversationStore(
            self._core.tables,
            self._long_texts,
            self._committed,
            self._run_changed,
            self._commit_uncertain,
        )

    @cached_property
    def _long_texts(self) -> LongTexts:
        from lifecycle.conversations.long_texts import LongTexts

        return LongTexts(self._core.texts)

    @cached_property
    def publisher(self) -> Publisher:
        """Publishes sessions' events to their workspaces' streams."""
        from lifecycle.events.publisher import Publisher

        return self._core.closes(
            Publisher(
                self._events.journal,
                self.store,
                self._core.due(_EVENTS),
                linger=_LINGER,
                kept_for=self._events.kept_for,
                clock=self._core.clock,
            )
        )

    @cached_property
    def event_retention(self) -> EventRetention:
        """Deletes events after their retention time."""
        from lifecycle.events.event_deletion import EventRetention

        due, kept_for = self._core.due(_EVENTS), self._events.kept_for
        return EventRetention(
            self._core.tables, self.store, due, self._events.daily_counts, kept_for=kept_for, clock=self._core.clock
        )

    @cached_property
    def callback_records(self) -> CallbackRecords:
        """Reads the delivery of callbacks."""
        from lifecycle.callbacks.delivery_status import CallbackRecords

        return CallbackRecords(self._core.tables)

    @cached_property
    def callbacks(self) -> CallbackDelivery:
        """Sends callbacks at the end of runs."""
        from lifecycle.callbacks.callback_delivery import CallbackDelivery, CallbackSender
        from lifecycle.conversations.run_callbacks import RunEnds

        notifications, clock = self._notifications, self._core.clock
        sender = CallbackSender(notifications.targets, notifications.webhooks, notifications.replies, clock)
        ends = RunEnds(self._core.tables)
        return self._core.closes(CallbackDelivery(ends, self.callback_records, self.store, sender, clock))

    def _run_changed(self, before: Run | None, after: Run) -> None:
        self._metrics.measures.run_changed(before, after)
        self.waiters.committed(after)
        if after.input.callback is not None:
            self.callbacks.run_changed(before, after)

    def _committed(self, session: Session, events: Sequence[Event]) -> None:
        self.publisher.committed(session, events)
        self.subscribers.committed(session, events)

    def _commit_uncertain(self, workspace: str, session_id: str) -> None:
        self.publisher.uncertain(workspace, session_id)

    @cached_property
    def subscribers(self) -> Subscribers:
        """The followers of event streams in this process."""
        from lifecycle.events.subscriptions import Subscribers

        return Subscribers(look_every_s=_LOOK_EVERY_S)

    @cached_property
    def recorder(self) -> FactWriter:
        """Writes the facts of attempts."""
        from lifecycle.runs.fact_writer import FactWriter

        return FactWriter(self._spend.facts, self.store, self.waiters, self._report_to_workflow)

    @cached_property
    def waiters(self) -> CompletionWaiters:
        """Wakes those in this process that wait for a run to end."""
        from lifecycle.runs.run_queries import CompletionWaiters

        return CompletionWaiters()

    @cached_property
    def directory(self) -> Directory:
        """The index of runs and sessions."""
        from lifecycle.conversations.run_and_session_indexes import Directory

        return Directory(self._core.tables, self._core.clock)

    @cached_property
    def remains(self) -> Remains:
        """What can be known of sessions whose own rows cannot be read."""
        from lifecycle.conversations.session_rows import SessionRows
        from lifecycle.conversations.unreadable_sessions import Remains

        return Remains(self._core.tables, SessionRows(self._long_texts), self.directory)

    @cached_property
    def pins(self) -> Pins:
        """Which sessions are pinned to which versions."""
        from lifecycle.conversations.version_pin_index import Pins

        return Pins(self._core.tables, self.store, self._core.clock)

    @cached_property
    def pause(self) -> SessionPause:
        """Pauses and resumes sessions."""
        from lifecycle.sessions.pause import SessionPause

        return SessionPause(self.store, self._core.due("resumption"), self._core.clock)
