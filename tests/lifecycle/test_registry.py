"""The rules of an agent's life, one at a time and in any mixture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from lifecycle.registry.actor import ActorState, AgentActor
from lifecycle.registry.actor_effects import Deactivate, Deprovision, Inspect, Provision
from lifecycle.registry.actor_operations import (
    Disable,
    Enable,
    Ensure,
    Operation,
    RecordUse,
    Remove,
    Restore,
    Retire,
    Verify,
)
from lifecycle.registry.effect_outcomes import REMEMBERED_OPERATIONS, deactivated, failed, provisioned, remember
from lifecycle.registry.life_cycle_rules import apply
from lifecycle.registry.providers import ProviderVersion
from lifecycle.registry.record import AgentRecord, AgentState, Failure, new_record
from lifecycle.specs.spec import AgentSpec, fingerprint
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
    spec,
)
from tests.lifecycle.histories import comparable, operation_lists

LATER = NOW + timedelta(hours=1)
ONE, TWO = spec(instructions="one"), spec(instructions="two")
V1 = ProviderVersion("bot", "1", "offline:bot:1", NOW, "offline")
V2 = ProviderVersion("bot", "2", "offline:bot:2", NOW, "offline")


def active(declared: AgentSpec = ONE, revision: int = 1, version: ProviderVersion = V1) -> AgentRecord:
    return replace(
        new_record("default", "bot", NOW),
        state=AgentState.ACTIVE,
        revision=revision,
        spec=declared,
        version=version,
        made_from=fingerprint(declared),
    )


def after(record: AgentRecord, *operations: Operation) -> AgentRecord:
    """Apply operations whose effects, if any, are settled at once and succeed."""
    for operation in operations:
        decision = apply(record, operation, NOW)
        record = decision.record
        if isinstance(decision.effect, Provision):
            record = provisioned(record, operation, V2, NOW, adopted=False)
        if decision.effect is not None:
            record = remember(record, operation)
    return record


def test_the_first_ensure_provisions_and_is_done_only_then() -> None:
    """The intent is noted before the provider is asked, and the operation counts once the version is known."""
    operation = Ensure("a", 1, ONE)
    decision = apply(new_record("default", "bot", NOW), operation, LATER)
    record = remember(provisioned(decision.record, operation, V1, LATER, adopted=False), operation)

    assert decision.effect == Provision(ONE)
    assert (decision.record.state, decision.record.applied) == (AgentState.PROVISIONING, ())
    assert [intent.fingerprint for intent in decision.record.intents] == [fingerprint(ONE)]
    assert (record.state, record.version, record.intents, record.applied) == (AgentState.ACTIVE, V1, (), ("a",))
    assert record.usable


def test_ensuring_what_is_there_does_nothing() -> None:
    """An unchanged spec makes no new version, and a policy field is no change of what the agent is."""
    decision = apply(active(), Ensure("b", 2, spec(instructions="one", pinned=True)), NOW)

    assert decision.effect is None
    assert (decision.record.revision, decision.record.version) == (2, V1)


def test_a_changed_spec_supersedes_the_version() -> None:
    """The old version stays known until it is deleted."""
    record = after(active(), Ensure("b", 2, TWO))

    assert (record.version, record.superseded) == (V2, (V1,))


def test_going_back_to_an_earlier_spec_takes_its_version_up_again() -> None:
    """A version is never both current and superseded, whatever time the provider says it was made."""
    record = replace(active(TWO, 2, V2), superseded=(V1,))
    record = provisioned(record, Ensure("c", 3, ONE), replace(V1, created_at=LATER), NOW, adopted=True)

    assert (record.version and record.version.id, record.superseded) == (V1.id, (V2,))


@pytest.mark.parametrize("late", [Ensure("x", 1, ONE), Disable("x", 1), Enable("x", 1), Remove("x", 1)])
@pytest.mark.parametrize("current", [Ensure("y", 2, TWO), Disable("y", 2), Enable("y", 2), Remove("y", 2)])
def test_an_overtaken_declaration_changes_nothing(late: Operation, current: Operation) -> None:
    """What an older revision asks for is void once a newer one was applied."""
    record = after(active(), current)

    assert replace(after(record, late), applied=()) == replace(record, applied=())


def test_ensure_does_not_undo_a_disable_or_delete_of_the_same_revision() -> None:
    """A late ensure of the revision that switched the agent off, or deleted it, is void."""
    for last in (Disable("y", 2), Remove("y", 2)):
        record = after(active(), last, Ensure("x", 2, TWO))

        assert not record.usable


def test_a_newer_ensure_outdates_an_earlier_disable_that_comes_later() -> None:
    """The agent was enabled again; the disable was only slow."""
    record = after(active(), Ensure("b", 3, TWO), Disable("a", 2))

    assert record.usable


def test_enabling_brings_back_what_was_there() -> None:
    """Disabling keeps the version, so enabling needs no provider."""
    off = after(active(), Disable("a", 2))
    on = after(off, Enable("b", 3))

    assert (off.state, off.enabled, off.usable) == (AgentState.DISABLED, False, False)
    assert on.usable


def test_an_enable_that_overtakes_its_disable_changes_no_state() -> None:
    """A failed agent is not active because somebody enabled it."""
    broken = failed(
        apply(new_record("default", "bot", NOW), Ensure("a", 1, ONE), NOW).record,
        Ensure("a", 1, ONE),
        Provision(ONE),
        Failure("provider_unavailable", "", retriable=True, operation_id="a"),
        NOW,
    )
    record = after(broken, Enable("b", 3), Disable("c", 2))

    assert (record.state, record.revision) == (AgentState.FAILED, 3)
    assert record.failure is not None


def test_an_agent_that_was_declared_again_can_be_enabled_first() -> None:
    """Delete, declare, disable, enable: the enable comes first, and an ensure of its revision still works."""
    record = after(active(), Remove("a", 2), Enable("b", 5), Ensure("c", 5, TWO))

    assert record.usable


def test_uses_are_counted_once_each_and_the_latest_wins() -> None:
    """Order and duplicates do not matter."""
    newer, older = RecordUse("a", 2, LATER), RecordUse("b", 3, NOW)
    record = after(active(), newer, older, newer)

    assert (record.uses, record.last_used) == (5, LATER)


def test_a_used_agent_is_not_retired() -> None:
    """A use after the moment the retirement speaks of keeps the agent."""
    decision = apply(after(active(), RecordUse("a", 1, LATER)), Retire("b", NOW), LATER)

    assert decision.effect is None
    assert decision.record.usable


def test_retiring_gives_up_every_version_before_any_is_deleted() -> None:
    """The record that is written first already has no usable version."""
    record = replace(active(TWO, 2, V2), superseded=(V1,))
    decision = apply(record, Retire("b", NOW), LATER)

    assert decision.effect == Deactivate((V1, V2))
    assert (decision.record.state, decision.record.version, decision.record.usable) == (AgentState.IDLE, None, False)


def test_a_pinned_agent_is_not_retired() -> None:
    """Pinning is the owner's word against the timer's."""
    record = active(spec(instructions="one", pinned=True))

    assert apply(record, Retire("b", LATER), LATER).effect is None


def test_what_a_failed_deletion_left_is_tried_again_at_once() -> None:
    """The next retirement deletes it, even when it was only just retired."""
    left = failed(
        apply(active(), Retire("a", NOW), LATER).record,
        Retire("a", NOW),
        Deactivate((V1,)),
        Failure("provider_unavailable", "", retriable=True, operation_id="a"),
        LATER,
    )
    away = deactivated(left, Retire("b", NOW), (V1,), LATER, [])

    assert left.superseded == (V1,)
    assert apply(left, Retire("b", NOW - timedelta(days=1)), LATER).effect == Deactivate((V1,))
    assert apply(away, Retire("b", NOW - timedelta(days=1)), LATER).effect == Deprovision(ONE, (V1,), ())


@pytest.mark.parametrize("retriable", [True, False])
def test_what_may_have_been_made_is_looked_for_when_the_agent_is_deleted(retriable: bool) -> None:
    """A creation that timed out may have taken place; one that was refused has not."""
    ensure = Ensure("a", 1, ONE)
    begun = apply(new_record("default", "bot", NOW), ensure, NOW).record
    broken = failed(begun, ensure, Provision(ONE), Failure("x", "", retriable=retriable, operation_id="a"), NOW)
    effect = apply(broken, Remove("b", 2), NOW).effect

    assert effect == (Deprovision(ONE, (), begun.intents) if retriable else None)


def test_verifying_looks_only_at_what_is_active() -> None:
    """There is nothing to look at otherwise."""
    assert apply(active(), Verify("a"), NOW).effect == Inspect(V1, ONE)
    assert apply(after(active(), Disable("b", 2)), Verify("c"), NOW).effect is None


def test_verifying_makes_what_was_not_made_before_the_agent_was_switched_off() -> None:
    """It is active again with its old version: were it left so, it would stay the longest unverified for ever."""
    change = Ensure("change", 2, TWO)
    begun = apply(active(), change, NOW).record
    broken = failed(begun, change, Provision(TWO), Failure("x", "", retriable=True, operation_id="change"), NOW)
    back = after(broken, Disable("off", 3), Enable("on", 4))
    assert (back.state, back.version, back.usable) == (AgentState.ACTIVE, V1, False)
    verified = after(back, Verify("look"))

    assert (verified.version, verified.superseded, verified.usable) == (V2, (V1,), True)


def test_only_so_many_operations_are_remembered() -> None:
    """A record does not grow without bound."""
    record = after(active(), *(RecordUse(f"use-{number}", 1, NOW) for number in range(REMEMBERED_OPERATIONS + 9)))

    assert len(record.applied) == REMEMBERED_OPERATIONS
    assert record.uses == REMEMBERED_OPERATIONS + 9


@settings(max_examples=100, deadline=None)
@given(operations=operation_lists(), data=st.data())
def test_batches_duplicates_and_crashes_end_like_one_by_one(
    operations: Sequence[Operation], data: st.DataObject
) -> None:
    """However operations are repeated, split and cut off by crashes, the record is that of each applied once."""
    repeated = list(operations)
    for source in data.draw(st.lists(st.integers(0, len(operations) - 1), max_size=4), label="repeated"):
        first = repeated.index(operations[source])
        repeated.insert(data.draw(st.integers(first + 1, len(repeated)), label="at"), operations[source])
    batches: list[list[Operation]] = [[]]
    for operation in repeated:
        batches[-1].append(operation)
        if data.draw(st.booleans(), label="split"):
            batches.append([])
    crashes = data.draw(st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.booleans()), max_size=5), label="crash")

    expected, made = asyncio.run(_one_by_one(operations))
    record, live = asyncio.run(_in_batches(batches, crashes))

    assert comparable(record) == comparable(expected)
    assert live == made
    assert len(set(live.values())) == len(live), "two live versions of one fingerprint"
    assert set(live) == _known(record), "a version that the record does not know, or knows in vain"


async def _one_by_one(operations: Sequence[Operation]) -> tuple[AgentRecord, dict[tuple[str, str], str]]:
    clock, tables = ManualClock(), MemoryTables()
    actor, state = make_actor(tables, offline(tables, clock), clock), None
    for operation in operations:
        state = await actor.handle(state, "default", "bot", operation)
    assert state is not None
    return state.record, await live_versions(tables)


async def _in_batches(
    batches: Sequence[Sequence[Operation]], crashes: Sequence[tuple[int, bool, bool]]
) -> tuple[AgentRecord, dict[tuple[str, str], str]]:
    """Run batches as a host does: state is committed with the whole batch, and a crash runs all of it again."""
    clock, tables = ManualClock(), MemoryTables()
    provider, left = offline(tables, clock), list(crashes)
    committed: ActorState | None = None
    for batch in batches:
        while True:
            at, after_it, keep = left.pop(0) if left else (None, False, True)
            fate = Fate(at, after_it)
            state = committed if keep else None
            try:
                state = await _batch(
                    make_actor(FatefulTables(tables, fate), FatefulProvider(provider, fate), clock), state, batch
                )
            except Crash:
                continue
            committed = state
            break
    last = await make_actor(tables, provider, clock).handle(None, "default", "bot", batches[0][0])
    return last.record, await live_versions(tables)


async def _batch(actor: AgentActor, state: ActorState | None, batch: Sequence[Operation]) -> ActorState | None:
    for operation in batch:
        state = await actor.handle(state, "default", "bot", operation)
    return state


def _known(record: AgentRecord) -> set[tuple[str, str]]:
    versions = (*record.superseded, *((record.version,) if record.version else ()))
    return {(version.name, version.version) for version in versions}


def test_restoring_brings_back_what_was_retired_or_failed_and_nothing_else() -> None:
    """As it is declared by then; an agent that is there, or was deleted, is left as it is."""
    retired = after(active(), Retire("a", LATER))
    gone = after(active(), Remove("a", 2))

    assert after(retired, Restore("b", 3, TWO)).fingerprint == fingerprint(TWO)
    assert after(retired, Restore("b", 3, TWO)).state is AgentState.ACTIVE
    assert after(active(), Restore("b", 3, TWO)).version == V1
    assert after(gone, Restore("b", 2, ONE)).state is AgentState.DELETED
