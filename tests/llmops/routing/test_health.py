"""The circuit breaker: what every order of events leaves true, and what workers that race can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from kernel.journal import SHARDS, Event, Journal
from kernel.tables import Write
from llmops.routing.deployment_health import (
    BreakerPolicy,
    Health,
    failed,
    free_at,
    let_go,
    probing,
    state,
    succeeded,
    throttled,
)
from llmops.routing.route import Deployment, Route
from llmops.routing.router import Failure, RouteCall, Router, Try
from llmops.routing.status import RouteStatuses
from llmops.routing.store import RouteStore
from tests.lifecycle.doubles import NOW, Crash, ManualClock

POLICY = BreakerPolicy()
WORKERS = ("a", "b", "c")
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("failed"), st.sampled_from(WORKERS), st.booleans()),
        st.tuples(st.just("succeeded"), st.sampled_from(WORKERS), st.just(0)),
        st.tuples(st.just("throttled"), st.sampled_from(WORKERS), st.one_of(st.none(), st.floats(0, 1e9))),
        st.tuples(st.just("probing"), st.sampled_from(WORKERS), st.just(0)),
        st.tuples(st.just("let_go"), st.sampled_from(WORKERS), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 400)),
    ),
    max_size=40,
)


@given(EVENTS)
def test_whatever_happens_a_breaker_keeps_its_rules(events: list[tuple[str, str, float]]) -> None:
    """It opens for a bounded time, has one prober at most, only that one closes it, and no wait is ever shortened."""
    health, now = Health(), NOW
    for kind, who, value in events:
        before = health
        match kind:
            case "failed":
                health = failed(health, POLICY, now, who, "x", certain=bool(value))
            case "succeeded":
                health = succeeded(health, who)
            case "throttled":
                health = throttled(health, POLICY, now, who, value)
            case "probing":
                granted = probing(health, POLICY, now, who)
                assert (granted is not None) == (state(health, now) == "half_open" and free_at(health, now) is None)
                health = granted or health
            case "let_go":
                health = let_go(health, who)
            case _:
                now += timedelta(seconds=value)
                continue
        opened, closed = before.open_until is None, health.open_until is None
        if health.open_until is not None:
            assert health.open_until <= now + POLICY.at_most or health.open_until == before.open_until
            assert health.failures == 0
        if not opened and closed:
            assert (kind, before.prober) == ("succeeded", who)
        if not opened and not closed and health.open_until != before.open_until:
            assert (kind, before.prober) == ("failed", who)
        if before.prober and before.prober != who:
            assert health.prober in (before.prober, who if kind == "probing" else before.prober)
        if before.throttled_until is not None:
            assert health.throttled_until is not None
            assert health.throttled_until >= before.throttled_until
        if health.throttled_until is not None:
            assert health.throttled_until <= now + POLICY.throttled_at_most or before == health or kind != "throttled"


@given(st.integers(0, 20), st.integers(0, 300))
def test_it_opens_for_twice_as_long_each_time(times: int, between: int) -> None:
    """Up to a bound, so that a deployment that is gone costs a call every few minutes."""
    health, now = Health(), NOW
    lasted: list[timedelta] = []
    for _ in range(times):
        health = probing(health, POLICY, now, "p") or health
        health = failed(health, POLICY, now, "p", "x", certain=True)
        assert health.open_until is not None
        lasted.append(health.open_until - now)
        now = health.open_until + timedelta(seconds=between)

    assert lasted == [min(POLICY.opens_for * 2**at, POLICY.at_most) for at in range(times)]


def test_failures_that_are_far_apart_are_not_in_a_row() -> None:
    """One failure an hour opens nothing."""
    health, now = Health(), NOW
    for _ in range(10):
        health = failed(health, POLICY, now, "a", "x", certain=False)
        now += timedelta(minutes=2)

    assert state(health, now) == "closed"


def test_a_prober_that_dies_keeps_nobody_out_for_good() -> None:
    """After its time another call is let through."""
    health = failed(Health(), POLICY, NOW, "a", "x", certain=True)
    now = NOW + timedelta(seconds=11)
    health = probing(health, POLICY, now, "dead") or health

    assert probing(health, POLICY, now + timedelta(seconds=1), "b") is None
    assert probing(health, POLICY, now + POLICY.probe_lasts, "b") is not None


class CountingTables(MemoryTables):
    """Tables that count commits which took effect."""

    written = 0

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        etags = await super().commit(table, writes)
        self.written += 1
        return etags


def routers(count: int, tables: MemoryTables, clock: ManualClock) -> list[Router]:
    return [Router(RouteStore(tables), clock, f"w{at}", refresh=timedelta(seconds=2)) for at in range(count)]


def call(affinity: str = "s") -> RouteCall:
    return RouteCall("default", "chat", affinity, 100)


async def declared(tables: MemoryTables) -> None:
    route = Route("chat", (Deployment("one", "openai", "m"), Deployment("two", "openai", "m", priority=2)))
    await RouteStore(tables).put("default", route, None)


async def test_what_one_of_64_workers_is_told_to_wait_all_wait() -> None:
    """Within the time that what is known may be old; not each by a 429 of its own."""
    tables, clock = MemoryTables(), ManualClock()
    await declared(tables)
    workers = routers(64, tables, clock)
    for worker in workers:
        one = await worker.choose(call())
        assert one.deployment.name == "one"
        one.done = True
        await worker.answered(one)
    told = await workers[17].choose(call())
    await workers[17].failed(told, Failure("throttled", "provider_throttled", 90.0))

    clock.move(seconds=2)
    went = [(await worker.choose(call())).deployment.name for worker in workers]
    clock.move(seconds=86)
    late = [(await worker.choose(call())).deployment.name for worker in workers]
    clock.move(seconds=3)
    after = [(await worker.choose(call())).deployment.name for worker in workers]

    assert set(went) == {"two"}
    assert set(late) == {"two"}
    assert set(after) == {"one"}


async def test_one_call_of_64_workers_probes() -> None:
    """All ask at the same time; one is let through, the others go elsewhere, and its answer opens the way for all."""
    tables, clock = MemoryTables(), ManualClock()
    await declared(tables)
    workers = routers(64, tables, clock)
    for _ in range(3):
        one = await workers[0].choose(call())
        await workers[0].failed(one, Failure("failed", "provider_unavailable"))
    clock.move(seconds=11)

    tries = await asyncio.gather(*(worker.choose(call()) for worker in workers))
    probes = [(worker, one) for worker, one in zip(workers, tries, strict=True) if one.deployment.name == "one"]
    assert len(probes) == 1
    worker, one = probes[0]
    one.done = True
    await worker.answered(one)
    clock.move(seconds=3)
    after = [(await worker.choose(call())).deployment.name for worker in workers]

    assert set(after) == {"one"}


async def test_a_storm_of_64_workers_writes_once_for_what_is_one_thing() -> None:
    """They all hear 429 in the same moment; what is known already is not written again by each."""
    tables, clock = CountingTables(), ManualClock()
    await declared(tables)
    workers = routers(64, tables, clock)
    tries = [await worker.choose(call()) for worker in workers]
    tables.written = 0
    pairs = zip(workers, tries, strict=True)
    await asyncio.gather(*(w.failed(one, Failure("throttled", "provider_throttled", 60.0)) for w, one in pairs))
    status = (await RouteStatuses(RouteStore(tables), clock).of("default", "chat")).deployments

    assert tables.written == 1
    assert status[0].health.throttled_until == NOW + timedelta(seconds=60)


async def test_a_breaker_that_opens_and_closes_is_told_once() -> None:
    """Also where the worker that opened it dies before it has told: the next one that looks tells of it."""
    tables, clock = MemoryTables(), ManualClock()
    await declared(tables)
    journal, told = Journal(tables), list[str]()

    async def dies(workspace: str, ident: str, event: Event) -> None:
        raise Crash

    async def tells(workspace: str, ident: str, event: Event) -> None:
        told.append(event.name)
        await journal.record(workspace, ident, event)

    first, *others = [
        Router(RouteStore(tables), clock, f"w{at}", refresh=timedelta(seconds=2), tell=tells if at else dies)
        for at in range(4)
    ]
    tries = [await first.choose(call()) for _ in range(3)]
    for one in tries[:2]:
        await first.failed(one, Failure("failed", "provider_timeout"))
    with pytest.raises(Crash):
        await first.failed(tries[2], Failure("failed", "provider_timeout"))
    clock.move(seconds=31)
    probe = await others[0].choose(call())
    probe.done = True
    await others[0].answered(probe)
    clock.move(seconds=31)
    for worker in others:
        await worker.choose(call())
    events = [event async for event in stream(journal)]

    assert told == ["route.breaker_opened", "route.breaker_closed"]
    assert events == [
        (
            "route.breaker_opened",
            {
                "route": "chat",
                "deployment": "one",
                "why": "provider_timeout",
                "until": "2026-11-21T08:30:10+00:00",
                "times": 1,
            },
        ),
        ("route.breaker_closed", {"route": "chat", "deployment": "one"}),
    ]


async def stream(journal: Journal) -> AsyncIterator[tuple[str, Any]]:
    for shard in range(SHARDS):
        for _, event in await journal.read("default", shard, 0, 100):
            yield event.name, dict(event.data)


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(2, 6))
def test_workers_that_race_keep_the_breakers_rules(random: Random, count: int) -> None:
    """Whatever becomes of whose call when: while it is open no call goes there, half-open never two at a time."""
    asyncio.run(race(random, count))


async def race(random: Random, count: int) -> None:
    """Have workers that look before each call choose, fail and succeed in any order, and check each choice."""
    tables, clock = MemoryTables(), ManualClock()
    store = RouteStore(tables)
    await store.put("default", Route("chat", (Deployment("one", "openai", "m"),)), None)
    workers = [Router(store, clock, f"w{at}", refresh=timedelta(0)) for at in range(count)]
    under_way: list[tuple[Router, Try, bool]] = []
    for _ in range(60):
        kind = random.choice(["choose", "choose", "fail", "fail", "succeed", "drop", "wait"])
        if kind == "wait":
            clock.move(seconds=random.choice([1, 5, 11, 40, 200]))
        elif kind == "choose":
            before = (await store.read("default", "chat", clock())).shared.health.get("one", Health())
            asked = random.sample(workers, k=random.randint(1, count))
            found = await asyncio.gather(*(worker.choose(call()) for worker in asked), return_exceptions=True)
            chosen = [(worker, one) for worker, one in zip(asked, found, strict=True) if isinstance(one, Try)]
            match state(before, clock()):
                case "open":
                    assert chosen == []
                case "half_open":
                    probed = [one for _, one, probe in under_way if probe and one.who == before.prober]
                    still = before.probe_until is not None and clock() < before.probe_until
                    assert len(chosen) <= (0 if probed and still else 1)
                case "closed":
                    assert len(chosen) == len(asked)
            probe = state(before, clock()) == "half_open"
            under_way += [(worker, one, probe) for worker, one in chosen]
        elif under_way:
            worker, one, _ = under_way.pop(random.randrange(len(under_way)))
            match kind:
                case "fail":
                    await worker.failed(one, Failure("failed", "provider_unavailable"))
                case "succeed":
                    one.done = True
                    await worker.answered(one)
                case _:
                    await worker.dropped(one)
