"""The actor of an agent: applies operations one at a time; the only caller of the provider's create and delete.

It writes its row before and after it acts at the provider. So if it dies at any moment, the next operation finds an
intent that it can complete: it looks for the version before it creates one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.clock import Clock, hour_bucket
from kernel.due_index import DueIndex
from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from kernel.tables import RowChanged, RowExists, Tables
from kernel.tracing import Attributes, span
from lifecycle.registry.actor_effects import Decision, Effect
from lifecycle.registry.actor_operations import Operation, Sweep
from lifecycle.registry.agent_checks_due import IDLE, SURPLUS, UNVERIFIED, RetentionPolicy, due_times
from lifecycle.registry.agent_history import AgentHistory
from lifecycle.registry.audit import AgentEvents, AuditStep
from lifecycle.registry.effect_outcomes import failed, failure_step, remember
from lifecycle.registry.life_cycle_rules import apply
from lifecycle.registry.provider_effects import ProviderEffects
from lifecycle.registry.record import AgentRecord, Failure, new_record
from lifecycle.registry.record_store import RecordStore

if TYPE_CHECKING:
    from lifecycle.registry.providers import Providers, ProviderVersion

log = logging.getLogger(__name__)

_FAILURES = {
    AuditStep.CREATE_FAILED: "agent.create_failed",
    AuditStep.DELETE_FAILED: "agent.delete_failed",
    AuditStep.VERIFY_FAILED: "agent.verify_failed",
}
"""Names of log events for failures at a provider."""


@dataclass(frozen=True, slots=True)
class ActorState:
    """What an actor keeps between operations: its record as last written, and the row's ETag."""

    record: AgentRecord
    etag: str


class AgentActor:
    """Applies operations to agents. The caller ensures that one agent's operations never overlap.

    If two do overlap (a worker declared dead is still running), the row's ETag lets only one of them write.
    """

    def __init__(
        self, tables: Tables, providers: Providers, *, owner: str, look_after: RetentionPolicy, clock: Clock
    ) -> None:
        """Set the owner's mark at providers, and the times after which timers check agents."""
        self._records = RecordStore(tables)
        self._history = AgentHistory(tables)
        self._news = AgentEvents(tables)
        self._due = {kind: DueIndex(tables, kind) for kind in (IDLE, SURPLUS, UNVERIFIED)}
        self._providers = providers
        self._performer = ProviderEffects(providers, self._history, owner=owner, clock=clock)
        self._look_after = look_after
        self._owner = owner
        self._clock = clock

    async def handle(self, state: ActorState | None, workspace: str, name: str, operation: Operation) -> ActorState:
        """Apply the operation and return the new state.

        Args:
            state: The state that the last operation returned; None to read the row.
            workspace: The agent's workspace.
            name: The agent's name.
            operation: The operation; one that was applied before does nothing.

        Raises:
            Unavailable: Table Storage cannot be reached; the operation can be applied again.
        """
        if isinstance(operation, Sweep):
            operation = replace(operation, versions=tuple(filter(self._is_ours, operation.versions)))
        while True:
            if state is None:
                state = await self._read(workspace, name)
            try:
                state = await self._apply(state, operation)
            except (RowChanged, RowExists):
                # The row is newer than the state: an earlier try was interrupted after writing it. The row is right.
                state = None
            else:
                await self._news.publish_if_possible(workspace, name, state.record.unpublished)
                return state

    def _is_ours(self, version: ProviderVersion) -> bool:
        return version.owner == self._owner and version.provider in self._providers

    async def _apply(self, state: ActorState, operation: Operation) -> ActorState:
        decision = apply(state.record, operation, self._clock())
        while decision.effect is not None:
            # Before an effect even an unchanged record is written: its ETag proves that the state is current, so that
            # no version is deleted that a later operation uses again.
            state = await self._write(state, decision.record, always=True)
            decision = await self._act(state.record, operation, decision.effect)
        return await self._write(state, decision.record)

    async def _act(self, record: AgentRecord, operation: Operation, effect: Effect) -> Decision:
        """Carry out the effect, and return the decision that follows from its result."""
        try:
            with span(f"{type(effect).__name__.lower()} {record.name}", _attributes(record)):
                decision = await self._performer.execute(record, operation, effect)
        except AppError as error:
            log.warning("agent %s: %s", record.name, error.code, extra={"event": _FAILURES[failure_step(effect)]})
            failure = Failure(error.code, error.detail, error.retriable, operation.operation_id, error.retry_after_s)
            return Decision(failed(record, operation, effect, failure, self._clock()))
        return decision if decision.effect else Decision(remember(decision.record, operation))

    async def _read(self, workspace: str, name: str) -> ActorState:
        stored = await self._records.read(workspace, name)
        return ActorState(*stored) if stored else ActorState(new_record(workspace, name, self._clock()), "")

    async def _write(self, state: ActorState, record: AgentRecord, *, always: bool = False) -> ActorState:
        """Write the record if it changed, entering it in the due indices first, so that these miss nothing.

        Audit entries in the row are copied to the audit trail before a row without them is written: none is ever lost.
        """
        if record == state.record and not always:
            return state
        pending = state.record.unpublished
        await self._news.publish(record.workspace, record.name, pending, again=True)
        before, after = due_times(state.record, self._look_after), due_times(record, self._look_after)
        moved = {kind for kind in before if _hour(before[kind]) != _hour(after[kind])}
        await self._history.record(record.workspace, record.name, pending)
        for kind in moved:
            if (due := after[kind]) is not None:
                await self._due[kind].add(record.workspace, record.name, due)
        record = replace(record, unpublished=record.unpublished[len(pending) :])
        etag = await self._records.write(record, state.etag, state.record, self._clock())
        for kind in moved:
            if (due := before[kind]) is not None:
                await self._due[kind].drop(record.workspace, record.name, hour_bucket(due))
        return replace(state, record=record, etag=etag)


def _attributes(record: AgentRecord) -> Attributes:
    return {"agent.workspace": record.workspace, "gen_ai.agent.name": record.name}


def _hour(due: datetime | None) -> str:
    return "" if due is None else hour_bucket(due)
