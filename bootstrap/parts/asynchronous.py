"""The parts of callbacks, schedules and batches."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.runs import RunParts

if TYPE_CHECKING:
    from adapters.event_targets import EventTargets
    from adapters.service_bus_replies import ServiceBusReplies
    from kernel.due_times import DueTimes
    from lifecycle.batches.running import Batches
    from lifecycle.batches.store import BatchStore
    from lifecycle.callbacks.delivery import CallbackDelivery
    from lifecycle.callbacks.records import CallbackRecords
    from lifecycle.callbacks.targets import CallbackTargets
    from lifecycle.events.forwarding import EventForwarding
    from lifecycle.schedules.due import ScheduleRunner
    from lifecycle.schedules.store import Schedules


class AsynchronousParts(RunParts):
    """Makes what reports runs, and what asks agents by itself."""

    @cached_property
    def replies(self) -> ServiceBusReplies | None:
        """Sends messages to reply queues; None where no Service Bus namespace is set."""
        from bootstrap.azure import azure_replies

        return azure_replies(self.settings)

    @cached_property
    def callback_targets(self) -> CallbackTargets:
        """Says where runs' ends may be reported."""
        from lifecycle.callbacks.targets import CallbackTargets

        queues = [name.strip() for name in self.settings.reply_queues.split(",") if name.strip()]
        return CallbackTargets(self.webhooks, self.setting, queues)

    @cached_property
    def event_targets(self) -> EventTargets:
        """Sends to channels, be they webhooks, Event Grid topics or queues."""
        from adapters.event_targets import SCOPE, EventTargets
        from adapters.identity import AppIdentity

        identity = AppIdentity()

        async def token() -> str:
            return (await identity.get_token(SCOPE)).token

        key = self.settings.event_grid_key.get_secret_value()
        return EventTargets(self.webhooks, lambda: self.replies, self.callback_targets, key=key, token=token)

    @cached_property
    def event_forwarding(self) -> EventForwarding:
        """Sends the workspaces' events to channels of CloudEvents."""
        from lifecycle.events.forwarding import EventForwarding

        return EventForwarding(self.tables, self.journal, self.channels, self.event_targets, self.clock)

    @cached_property
    def callback_records(self) -> CallbackRecords:
        """What became of callbacks."""
        from lifecycle.callbacks.records import CallbackRecords

        return CallbackRecords(self.tables)

    @cached_property
    def callbacks(self) -> CallbackDelivery:
        """Reports the ends of runs."""
        from lifecycle.callbacks.delivery import CallbackDelivery, CallbackSender
        from lifecycle.conversations.callback import RunEnds

        sender = CallbackSender(self.callback_targets, self.webhooks, self.replies, self.clock)
        return CallbackDelivery(RunEnds(self.tables), self.callback_records, self.conversations, sender, self.clock)

    @cached_property
    def schedules(self) -> Schedules:
        """Schedules."""
        from lifecycle.schedules.store import Schedules

        return Schedules(self.tables, self._due_times("schedule"), self.clock)

    @cached_property
    def schedule_runner(self) -> ScheduleRunner:
        """Submits the runs of schedules."""
        from lifecycle.schedules.due import ScheduleRunner

        return ScheduleRunner(self.schedules, self._due_times("schedule"), self.intake, self.clock)

    @cached_property
    def batch_store(self) -> BatchStore:
        """Batches as they are kept."""
        from lifecycle.batches.store import BatchStore

        return BatchStore(self.tables)

    @cached_property
    def batches(self) -> Batches:
        """Batches of runs."""
        from lifecycle.batches.running import Batches

        return Batches(self.batch_store, self._due_times("batch"), self.intake, self.run_queries, self.clock)

    def _due_times(self, kind: str) -> DueTimes:
        from kernel.due_times import DueTimes

        return DueTimes(self.tables, kind)
