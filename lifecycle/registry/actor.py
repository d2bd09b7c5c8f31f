"""The actor behind an agent: applies operations one at a time and is the only caller of provider create and delete.

It writes its row before and after it acts at the provider, so whatever moment it dies at, the next operation finds an
intent that it can finish: it looks for the version before it makes one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from kernel.clock import Clock, hour_bucket
from kernel.errors import AppError
from kernel.tables import RowChanged, RowExists, Tables
from lifecycle.configuration.specs import AgentSpec, fingerprint, provider_name
from lifecycle.registry.agents import AgentRecord, Failure, Intent, blank
from lifecycle.registry.due import DueIndex
from lifecycle.registry.operations import Operation
from lifecycle.registry.providers import Providers, Wanted
from lifecycle.registry.records import RecordStore
from lifecycle.registry.rules import (
    Deprovision,
    Effect,
    Inspect,
    Provision,
    apply,
    deprovisioned,
    failed,
    inspected,
    provisioned,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActorState:
    """What an actor keeps between operations: its record as last written, and that row's ETag."""

    record: AgentRecord
    etag: str


class AgentActor:
    """Applies operations to agents. The caller makes sure that one agent's operations never overlap.

    Should two ever overlap (a worker that was declared dead lives on), the row's ETag lets only one of them write.
    """

    def __init__(
        self, tables: Tables, providers: Providers, *, owner: str, idle_after: timedelta, clock: Clock
    ) -> None:
        """Set whose agents these are at the provider, and when an agent whose spec does not say counts as idle."""
        self._records = RecordStore(tables)
        self._due = DueIndex(tables, "agent")
        self._idle_after = idle_after
        self._providers = providers
        self._owner = owner
        self._clock = clock

    async def handle(self, state: ActorState | None, workspace: str, name: str, operation: Operation) -> ActorState:
        """Apply the operation and return the state to keep.

        Args:
            state: What the last operation returned; None makes the actor read its row.
            workspace: The agent's workspace.
            name: The agent's name.
            operation: What to do; one that was applied before does nothing.

        Raises:
            Unavailable: Table Storage cannot be reached; the operation can be applied again.
        """
        while True:
            if state is None:
                state = await self._read(workspace, name)
            try:
                return await self._apply(state, operation)
            except (RowChanged, RowExists):
                # The row is ahead of the state: an earlier try was cut off after writing it. The row is right.
                state = None

    async def _apply(self, state: ActorState, operation: Operation) -> ActorState:
        now = self._clock()
        decision = apply(state.record, operation, now)
        # Before an effect even an unchanged record is written: its ETag proves that the state is not stale, so that a
        # version is not deleted that a later operation has taken up again.
        state = await self._write(state, decision.record, always=decision.effect is not None)
        if decision.effect is None:
            return state
        settled = await self._act(state.record, operation, decision.effect)
        return await self._write(state, settled)

    async def _act(self, record: AgentRecord, operation: Operation, effect: Effect) -> AgentRecord:
        try:
            match effect:
                case Provision():
                    return await self._provision(record, operation, effect.spec)
                case Deprovision():
                    await self._deprovision(record, effect)
                    return deprovisioned(record, operation)
                case Inspect(version):
                    exists = await self._providers[version.provider].exists(version)
                    return inspected(record, operation, self._clock(), exists=exists)
        except AppError as error:
            log.warning("agent %s: %s", record.name, error.code, extra={"event": "agent.provider_failed"})
            failure = Failure(error.code, error.detail, error.retriable, operation.operation_id)
            return failed(record, operation, failure, self._clock())

    async def _provision(self, record: AgentRecord, operation: Operation, spec: AgentSpec) -> AgentRecord:
        provider, wanted = self._providers[spec.provider], self._wanted(record, spec, fingerprint(spec))
        found = await provider.find(wanted)
        version = replace(found or await provider.create(wanted), provider=spec.provider)
        event = "agent.adopted" if found else "agent.created"
        log.info("agent %s is version %s", record.name, version.version, extra={"event": event})
        return provisioned(record, operation, version, self._clock(), adopted=found is not None)

    async def _deprovision(self, record: AgentRecord, effect: Deprovision) -> None:
        for version in effect.versions:
            await self._providers[version.provider].delete(version)
        for intent in effect.intents:
            await self._delete_stray(record, effect.spec, intent)
        log.info("agent %s removed at the provider", record.name, extra={"event": "agent.removed"})

    async def _delete_stray(self, record: AgentRecord, spec: AgentSpec, intent: Intent) -> None:
        provider = self._providers[intent.provider]
        stray = await provider.find(self._wanted(record, spec, intent.fingerprint))
        if stray is not None:
            await provider.delete(stray)

    def _wanted(self, record: AgentRecord, spec: AgentSpec, wanted_fingerprint: str) -> Wanted:
        name = provider_name(record.workspace, record.name)
        return Wanted(self._owner, record.workspace, record.name, name, wanted_fingerprint, spec)

    async def _read(self, workspace: str, name: str) -> ActorState:
        stored = await self._records.read(workspace, name)
        return ActorState(*stored) if stored else ActorState(blank(workspace, name, self._clock()), "")

    async def _write(self, state: ActorState, record: AgentRecord, *, always: bool = False) -> ActorState:
        """Write the record if it changed, keeping the due index a superset of what prune may take."""
        if record == state.record and not always:
            return state
        before, after = state.record.prune_due(self._idle_after), record.prune_due(self._idle_after)
        moved = before is None or after is None or hour_bucket(before) != hour_bucket(after)
        if after is not None and moved:
            await self._due.add(record.workspace, record.name, after)
        etag = await self._records.write(record, state.etag)
        if before is not None and moved:
            await self._due.drop(record.workspace, record.name, hour_bucket(before))
        return replace(state, record=record, etag=etag)
