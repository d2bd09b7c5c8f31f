"""Every way an actor can die while it applies an operation: after recovery nothing is lost, doubled or left over."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest

from adapters.memory_tables import MemoryTables
from adapters.providers.offline import OfflineProvider
from kernel.clock import hour_bucket
from kernel.due_index import TABLE as DUE
from kernel.errors import ProviderRejected, Unavailable
from kernel.tables import Span, every
from lifecycle.registry.actor import ActorState, AgentActor
from lifecycle.registry.actor_operations import (
    Disable,
    Ensure,
    KeepVersion,
    Operation,
    Remove,
    Renew,
    Restore,
    Retire,
    Sweep,
    Trim,
    Verify,
)
from lifecycle.registry.providers import ProviderVersion, VersionRequest
from lifecycle.registry.record import AgentRecord, AgentState
from lifecycle.specs.spec import AgentSpec, fingerprint
from tests.lifecycle.doubles import (
    IDLE_AFTER,
    LOOK_AFTER,
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

ONE, TWO = spec(instructions="one"), spec(instructions="two")
ENSURE, CHANGE = Ensure("ensure", 1, ONE), Ensure("change", 2, TWO)
RETIRE, RESTORE, REMOVE = Retire("retire", NOW), Restore("restore", 2, TWO), Remove("remove", 3)
AWAY = Retire("away", NOW, grace_s=3600)
KEEP, RENEW = KeepVersion("keep", ONE), Renew("renew", 2, TWO)


def version(number: int, made_from: AgentSpec) -> ProviderVersion:
    """Return the version of that number as the offline provider makes it."""
    return ProviderVersion("bot", str(number), f"offline:bot:{number}", NOW, "offline", "us", fingerprint(made_from))


@dataclass(frozen=True)
class Elsewhere:
    """Something that happens at the provider behind the actor's back, between two operations."""

    delete: ProviderVersion | None = None
    create: AgentSpec | None = None


CASES: dict[str, tuple[Sequence[Operation | Elsewhere], Operation, AgentState, int]] = {
    "ensure": ([], ENSURE, AgentState.ACTIVE, 1),
    "spec change": ([ENSURE], CHANGE, AgentState.ACTIVE, 2),
    "retire": ([ENSURE, CHANGE], RETIRE, AgentState.IDLE, 0),
    "restore": ([ENSURE, CHANGE, RETIRE], RESTORE, AgentState.ACTIVE, 1),
    "delete": ([ENSURE, CHANGE], REMOVE, AgentState.DELETED, 0),
    "disable": ([ENSURE], Disable("disable", 2), AgentState.DISABLED, 1),
    "verify": ([ENSURE], Verify("verify"), AgentState.ACTIVE, 1),
    "retire with grace": ([ENSURE, CHANGE], AWAY, AgentState.IDLE, 2),
    "end of grace": ([ENSURE, CHANGE, AWAY], RETIRE, AgentState.IDLE, 0),
    "restore in grace": ([ENSURE, CHANGE, AWAY], RESTORE, AgentState.ACTIVE, 2),
    "use in grace": ([ENSURE, AWAY], Ensure("use", 1, ONE), AgentState.ACTIVE, 1),
    "change in grace": ([ENSURE, AWAY], CHANGE, AgentState.ACTIVE, 2),
    "delete in grace": ([ENSURE, CHANGE, AWAY], REMOVE, AgentState.DELETED, 0),
    "roll back": ([ENSURE, CHANGE], Ensure("back", 3, ONE), AgentState.ACTIVE, 2),
    "trim": ([ENSURE, CHANGE], Trim("trim", (version(1, ONE),), NOW), AgentState.ACTIVE, 1),
    "keep what is there": ([ENSURE, CHANGE], KEEP, AgentState.ACTIVE, 2),
    "keep what is gone": ([ENSURE, CHANGE, Elsewhere(version(1, ONE))], KEEP, AgentState.ACTIVE, 2),
    "keep what was trimmed": (
        [ENSURE, CHANGE, Trim("trim", (version(1, ONE),), NOW)],
        KEEP,
        AgentState.ACTIVE,
        2,
    ),
    "verify what is gone": ([ENSURE, CHANGE, Elsewhere(version(2, TWO))], Verify("verify"), AgentState.ACTIVE, 2),
    "verify beside a stray": ([ENSURE, Elsewhere(create=ONE)], Verify("verify"), AgentState.ACTIVE, 1),
    "renew": ([ENSURE, CHANGE], RENEW, AgentState.ACTIVE, 2),
    "renew what is gone": ([ENSURE, CHANGE, Elsewhere(version(2, TWO))], RENEW, AgentState.ACTIVE, 2),
    "sweep": (
        [ENSURE, CHANGE, Elsewhere(create=ONE), Elsewhere(create=TWO)],
        Sweep("sweep", (version(1, ONE), version(2, TWO), version(3, ONE), version(4, TWO))),
        AgentState.ACTIVE,
        2,
    ),
    "sweep of an unknown agent": (
        [Elsewhere(create=ONE)],
        Sweep("sweep", (version(1, ONE),)),
        AgentState.REGISTERED,
        0,
    ),
}


async def run_case(case: str, fate: Fate, *, stale: bool) -> tuple[MemoryTables, AgentRecord]:
    """Set the agent up, apply the operation until it dies, and let a new actor apply it again."""
    before, operation, *_ = CASES[case]
    clock, tables = ManualClock(), MemoryTables()
    provider = offline(tables, clock)
    state: ActorState | None = None
    for earlier in before:
        if isinstance(earlier, Elsewhere):
            await happens(provider, earlier)
        else:
            state = await make_actor(tables, provider, clock).handle(state, "default", "bot", earlier)
    dying = make_actor(FatefulTables(tables, fate), FatefulProvider(provider, fate), clock)
    try:
        state = await dying.handle(state, "default", "bot", operation)
    except Crash:
        again = make_actor(tables, provider, clock)
        state = await again.handle(state if stale else None, "default", "bot", operation)
    assert state is not None
    return tables, state.record


async def happens(provider: OfflineProvider, event: Elsewhere) -> None:
    if event.delete is not None:
        await provider.delete(event.delete)
    if event.create is not None:
        await provider.create(VersionRequest("us", "default", "bot", "bot", fingerprint(event.create), event.create))


async def due_hours(tables: MemoryTables) -> set[str]:
    rows = every(tables, DUE, Span("agent!", partition_before="agent!~"))
    return {row.partition.removeprefix("agent!") async for row in rows}


def fingerprints(record: AgentRecord) -> tuple[list[str], str, tuple[str, ...], bool]:
    """Return what is comparable of a record after crashes: its versions by what they are made from, not by number."""
    return [version.fingerprint for version in record.superseded], record.made_from, record.off, record.archived


@pytest.mark.parametrize("stale", [True, False], ids=["stale", "lost"])
@pytest.mark.parametrize("case", CASES)
async def test_an_operation_survives_dying_at_any_effect(case: str, stale: bool) -> None:
    """Whichever effect the actor dies at, before it or after it, the operation applied again ends as if it had not."""
    *_, state, versions = CASES[case]
    unharmed = Fate()
    _, expected = await run_case(case, unharmed, stale=stale)
    assert unharmed.count >= 1, "there is nothing to die at"
    for number in range(1, unharmed.count + 1):
        for after in (False, True):
            fate = Fate(number, after)
            tables, record = await run_case(case, fate, stale=stale)
            live = await live_versions(tables)
            due = record.prune_due(IDLE_AFTER)

            assert fate.dead
            assert record.state is state
            assert fingerprints(record) == fingerprints(expected)
            assert (record.applied, record.intents) == (expected.applied, ())
            assert record.created + record.adopted == expected.created + expected.adopted
            assert len(live) == len(set(live.values())) == versions, "a version too many or too few"
            assert {version.version for version in record.held} == {number for _, number in live}, "one not known"
            assert due is None or hour_bucket(due) in await due_hours(tables), "prune would never look at it"


async def test_strays_are_gone_after_the_next_look() -> None:
    """Two made the version at the same time: the older is taken, and a crash leaves the other to the next look."""
    for number in range(1, 8):
        for after in (False, True):
            clock, tables = ManualClock(), MemoryTables()
            provider, fate = offline(tables, clock), Fate(number, after)
            await happens(provider, Elsewhere(create=ONE))
            await happens(provider, Elsewhere(create=ONE))
            dying = make_actor(FatefulTables(tables, fate), FatefulProvider(provider, fate), clock)
            with suppress(Crash):
                await dying.handle(None, "default", "bot", ENSURE)
            actor = make_actor(tables, provider, clock)
            await actor.handle(None, "default", "bot", ENSURE)
            state = await actor.handle(None, "default", "bot", Verify("look"))

            assert state.record.usable
            assert list(await live_versions(tables)) == [("bot", "1")]


async def test_a_stale_batch_does_not_delete_what_was_taken_up_again() -> None:
    """Retire fails, restore adopts; the batch run again from its old state must not delete the version."""
    clock, tables = ManualClock(), MemoryTables()
    provider = offline(tables, clock)
    actor = make_actor(tables, provider, clock)
    failing = make_actor(tables, FatefulProvider(provider, Fate(1, error=Unavailable)), clock)
    ready = await actor.handle(None, "default", "bot", ENSURE)
    old = await failing.handle(ready, "default", "bot", Retire("r1", NOW))
    failing = make_actor(tables, FatefulProvider(provider, Fate(1, error=Unavailable)), clock)
    await failing.handle(old, "default", "bot", Retire("r2", NOW))
    await actor.handle(None, "default", "bot", Ensure("restore", 1, ONE))
    replayed = await actor.handle(old, "default", "bot", Retire("r2", NOW))
    live = await live_versions(tables)

    assert replayed.record.usable
    assert live == {("bot", "1"): fingerprint(ONE)}


@pytest.mark.parametrize("follow", [Remove("remove", 2), Retire("retire", NOW), Ensure("change", 2, TWO)])
async def test_what_a_lost_answer_left_at_the_provider_is_cleaned_up(follow: Operation) -> None:
    """Creation takes place but its answer is lost; whatever comes next, deleting the agent leaves nothing behind."""
    clock, tables = ManualClock(), MemoryTables()
    provider = offline(tables, clock)
    failing = make_actor(tables, FatefulProvider(provider, Fate(1, after=True, error=Unavailable)), clock)
    actor = make_actor(tables, provider, clock)
    state = await failing.handle(None, "default", "bot", ENSURE)
    assert state.record.state is AgentState.FAILED
    assert len(await live_versions(tables)) == 1
    state = await actor.handle(state, "default", "bot", follow)
    await actor.handle(state, "default", "bot", Remove("last", 3))

    assert await live_versions(tables) == {}


async def test_versions_are_deleted_where_they_are() -> None:
    """An agent that moved to another provider is removed at both."""
    clock, tables, elsewhere = ManualClock(), MemoryTables(), MemoryTables()
    moved = spec(instructions="one", provider="openai")
    providers = {"offline": offline(tables, clock), "openai": offline(elsewhere, clock)}
    actor = AgentActor(tables, providers, owner="us", look_after=LOOK_AFTER, clock=clock)
    state = await actor.handle(None, "default", "bot", ENSURE)
    state = await actor.handle(state, "default", "bot", Ensure("move", 2, moved))
    assert len(await live_versions(tables)) == len(await live_versions(elsewhere)) == 1
    await actor.handle(state, "default", "bot", Remove("remove", 3))

    assert await live_versions(tables) == await live_versions(elsewhere) == {}


async def test_a_failed_provisioning_says_why_and_the_next_one_heals() -> None:
    """`simulate.fail_creates` fails twice; the third ensure succeeds."""
    clock, tables = ManualClock(), MemoryTables()
    actor = make_actor(tables, offline(tables, clock), clock)
    flaky = spec(simulate={"fail_creates": 2})
    state = None
    seen: list[tuple[AgentState, str | None]] = []
    for number in range(3):
        state = await actor.handle(state, "default", "bot", Ensure(f"e{number}", 1, flaky))
        seen.append((state.record.state, state.record.failure.code if state.record.failure else None))

    assert seen == [(AgentState.FAILED, "provider_unavailable")] * 2 + [(AgentState.ACTIVE, None)]


async def test_a_refusal_leaves_nothing_to_look_for() -> None:
    """What the provider refused to make is not searched for later."""
    clock, tables = ManualClock(), MemoryTables()
    refusing = FatefulProvider(offline(tables, clock), Fate(1, error=ProviderRejected))
    state = await make_actor(tables, refusing, clock).handle(None, "default", "bot", ENSURE)

    assert state.record.state is AgentState.FAILED
    assert not state.record.holds_versions


async def test_an_agent_that_vanished_is_made_again() -> None:
    """Verify finds that somebody deleted the version at the provider, and makes it again at once."""
    clock, tables = ManualClock(), MemoryTables()
    provider = offline(tables, clock)
    actor = make_actor(tables, provider, clock)
    state = await actor.handle(None, "default", "bot", ENSURE)
    assert state.record.version is not None
    await provider.delete(state.record.version)
    back = await actor.handle(state, "default", "bot", Verify("look"))
    assert back.record.version is not None

    assert (back.record.usable, back.record.version.version) == (True, "2")
    assert await live_versions(tables) == {("bot", "2"): fingerprint(ONE)}


async def test_a_second_actor_with_old_state_does_not_overwrite_the_first() -> None:
    """The row's ETag decides, and the late one starts over from the row."""
    clock, tables = ManualClock(), MemoryTables()
    one = make_actor(tables, offline(tables, clock), clock)
    two = make_actor(tables, offline(tables, clock), clock)
    old = await one.handle(None, "default", "bot", ENSURE)
    await one.handle(old, "default", "bot", CHANGE)
    late = await two.handle(old, "default", "bot", Disable("late", 1))

    assert late.record.usable
    assert late.record.spec == TWO
