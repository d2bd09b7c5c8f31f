"""The registry against a small model of it: signals are lost to nobody, but late, doubled and out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from lifecycle.registry.actor import ActorState
from lifecycle.registry.actor_operations import Operation, RecordUse, Sweep, Trim
from lifecycle.registry.providers import ProviderVersion
from lifecycle.registry.record import AgentRecord, AgentState
from lifecycle.specs.spec import fingerprint
from tests.lifecycle.doubles import (
    NOW,
    Crash,
    Fate,
    FatefulProvider,
    FatefulTables,
    ManualClock,
    live_versions,
    make_actor,
    offline,
)
from tests.lifecycle.histories import SPECS, UNDECLARED, Declared


class Registry(RuleBasedStateMachine):
    """One agent: its declaration (the model), what was sent on its behalf, and the actor that gets it somehow."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.tables = MemoryTables()
        self.provider = offline(self.tables, self.clock)
        self.declared = Declared(1, 0, enabled=True, deleted=False, kind="declare")
        self.sent: list[Operation] = []
        self.delivered: list[Operation] = []
        self.made = 0
        self.states: list[ActorState | None] = [None]
        self.uses = 0
        self.failing = Fate()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def declare(self, kind: str, **change: Any) -> None:
        self.declared = replace(self.declared, revision=self.declared.revision + 1, kind=kind, **change)
        self.send()

    def send(self) -> None:
        for make in self.declared.operations()[:1]:
            self.made += 1
            self.sent.append(make(f"op-{self.made}"))

    @rule(number=st.integers(0, 2))
    def declares(self, number: int) -> None:
        if self.declared.deleted:
            self.declare("declare", spec=number, deleted=False, enabled=True)
        elif self.declared.spec != number:
            self.declare("declare", spec=number)

    @precondition(lambda self: not self.declared.deleted)
    @rule()
    def switches(self) -> None:
        enabled = not self.declared.enabled
        self.declared = replace(
            self.declared, revision=self.declared.revision + 1, kind="enable" if enabled else "disable", enabled=enabled
        )
        self.made += 1
        self.sent.append(self.declared.operations()[-1](f"op-{self.made}"))

    @precondition(lambda self: not self.declared.deleted)
    @rule()
    def deletes(self) -> None:
        self.declared = replace(self.declared, revision=self.declared.revision + 1, kind="delete", deleted=True)
        self.made += 1
        self.sent.append(self.declared.operations()[-1](f"op-{self.made}"))

    @rule()
    def runs(self) -> None:
        """A run ensures the agent as it is declared."""
        if self.declared.enabled:
            self.send()

    @rule(number=st.integers(0, len(UNDECLARED) - 1))
    def happens(self, number: int) -> None:
        self.made += 1
        self.sent.append(UNDECLARED[number](f"op-{self.made}"))

    @rule()
    def time_passes(self) -> None:
        self.clock.move(seconds=45)

    @precondition(lambda self: self.record is not None)
    @rule(after=st.integers(0, 3600))
    def trims(self, after: int) -> None:
        """Prune sends what it has found superseded by now."""
        if self.record is not None and self.record.superseded:
            self.made += 1
            cutoff = self.clock.now - timedelta(seconds=after)
            self.sent.append(Trim(f"op-{self.made}", self.record.superseded, cutoff))

    @rule(data=st.data())
    def sweeps(self, data: st.DataObject) -> None:
        """Somebody takes versions for orphans, rightly or not."""
        live = self.do(live_versions(self.tables))
        if live:
            (name, number), made_from = data.draw(st.sampled_from(sorted(live.items())))
            self.made += 1
            orphan = ProviderVersion(name, number, f"offline:{name}:{number}", NOW, "offline", "us", made_from)
            self.sent.append(Sweep(f"op-{self.made}", (orphan,)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), again=st.booleans())
    def delivers(self, data: st.DataObject, again: bool) -> None:
        operation = self.sent[data.draw(st.integers(0, len(self.sent) - 1))]
        self.deliver(operation, Fate())
        if not again:
            self.sent.remove(operation)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), at=st.integers(1, 5), after=st.booleans())
    def delivers_and_dies(self, data: st.DataObject, at: int, after: bool) -> None:
        operation = self.sent[data.draw(st.integers(0, len(self.sent) - 1))]
        self.deliver(operation, Fate(at, after))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), after=st.booleans())
    def delivers_while_the_provider_fails(self, data: st.DataObject, after: bool) -> None:
        """The provider answers with an error, having done what it was asked or not."""
        operation = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        self.deliver(operation, Fate(), Fate(1, after, Unavailable))

    def deliver(self, operation: Operation, fate: Fate, provider_fate: Fate | None = None) -> None:
        provider = FatefulProvider(self.provider, provider_fate or fate)
        actor = make_actor(FatefulTables(self.tables, fate), provider, self.clock)
        try:
            self.states.append(self.do(actor.handle(self.states[-1], "default", "bot", operation)))
        except Crash:
            if fate.after:
                self.states.append(None)  # the state is lost, not only stale
        if operation not in self.delivered and not fate.struck:
            self.delivered.append(operation)

    @property
    def record(self) -> AgentRecord | None:
        stored = self.do(make_actor(self.tables, self.provider, self.clock)._read("default", "bot"))
        return stored.record if stored.etag else None

    @invariant()
    def one_version_of_each_fingerprint(self) -> None:
        live = self.do(live_versions(self.tables))
        assert len(set(live.values())) == len(live)

    @invariant()
    def no_version_is_forgotten(self) -> None:
        record = self.record
        known: set[tuple[str, str]] = set()
        begun: set[str] = set()
        if record is not None:
            versions = (*record.superseded, *((record.version,) if record.version else ()))
            known = {(version.name, version.version) for version in versions}
            begun = {intent.fingerprint for intent in record.intents}
        live = self.do(live_versions(self.tables))
        assert all(place in known or made_from in begun for place, made_from in live.items())

    @invariant()
    def a_usable_record_has_its_version(self) -> None:
        record = self.record
        if record is not None and record.usable:
            assert record.version is not None
            assert record.spec is not None
            live = self.do(live_versions(self.tables))
            assert live[record.version.name, record.version.version] == fingerprint(record.spec)

    def teardown(self) -> None:
        """Once everything is delivered and the next run has ensured it, the agent is as declared."""
        while self.sent:
            self.deliver(self.sent.pop(0), Fate())
        if self.declared.enabled and not self.declared.deleted:
            self.send()
            self.deliver(self.sent.pop(), Fate())
        record = self.record
        if record is not None:
            uses = sum(operation.uses for operation in self.delivered if isinstance(operation, RecordUse))
            assert record.uses == uses
            assert record.revision <= self.declared.revision
            if self.declared.enabled and not self.declared.deleted:
                assert record.usable
                assert record.spec == SPECS[self.declared.spec]
            elif record.revision == self.declared.revision:
                assert record.state in (AgentState.DELETED, AgentState.DISABLED)
        self.runner.close()


Registry.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestRegistry = Registry.TestCase
