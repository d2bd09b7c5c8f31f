"""Workers learn from facts which agents are used, and open those before they are asked for, in nobody's way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.errors import InvalidInput
from kernel.settings import InvalidSettings, Settings
from kernel.tables import Insert, Row, Span, every
from lifecycle.loader.agent_ranking import TABLE, AccessHistory, LearningPolicy, Rankings, _writes
from lifecycle.loader.usage_statistics import Activity, ActivityBook
from llmops.facts.agent_access_sums import MAX_ACCESSES, Access, AccessSum
from llmops.facts.fact_store import SHARDS, partition
from llmops.metrics.definitions import LOOKUPS
from tests.lifecycle.app import App, Gate
from tests.lifecycle.doubles import CountingTables
from tests.waiting import QUIET_S

W = "default"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(QUIET_S):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def test_uses_are_forgotten_after_days_without_the_timer() -> None:
    """Also those of days on which the timer did not run, and those that were to be kept for longer before."""
    tables, now = MemoryTables(), datetime(2026, 3, 1, 10, tzinfo=UTC)
    for age in range(40):
        row = Row(partition((now - timedelta(days=age)).date(), 0), "access!old", {})
        await tables.commit("facts", [Insert(row)])
    kept: list[int] = []
    first = (now - timedelta(days=1), 30)
    for moment, days in (first, (now, 30), (now + timedelta(days=3), 30), (now + timedelta(days=4), 14)):
        await Rankings(tables, lambda moment=moment: moment, LearningPolicy(retention=timedelta(days=days))).learn()
        kept.append(len([row async for row in every(tables, "facts", Span(" ", partition_before="~"))]))

    assert kept == [40, 31, 28, 11]


async def used(app: App, *names: str, user: str = "ann", times: int = 1) -> None:
    """Have agents used in turn by one user, and what was used learnt."""
    for name in dict.fromkeys(names):
        await app.declare(name)
    for _ in range(times):
        for name in names:
            await app.ask(agent=name, user_id=user)
            app.clock.move(seconds=20)
    await learn(app)


async def learn(app: App) -> int:
    await app.services.conversations.publisher.flush()  # or its requests are counted as somebody else's
    await app.services.spend.aggregation.run(app.clock())
    app.clock.move(minutes=15)
    return (await app.services.agents.learn_accesses()).accesses


def held(services: Services) -> set[str]:
    return {name for _, name in services.agents.resolver.cache}


async def woken(app: App, **settings: object) -> Services:
    """Return another worker that has had its first idle moment."""
    app.settings.update(settings)
    worker = app.worker()
    worker.agents.preloader.wake()
    await worker.agents.preloader.finished()
    return worker


async def test_what_was_used_is_open_in_the_next_worker_before_it_is_asked_for() -> None:
    """Without a run, and its first run then finds it ready."""
    app = App()
    await used(app, "a", "b")
    worker = await woken(app)
    assert held(worker) == {"a", "b"}

    await worker.agents.resolver.resolve(W, "a", app.signals)
    state = await worker.agents.loader_overview.state(W)
    assert (state.total.hits, state.total.preloaded, state.total.preloads_used) == (1, 2, 1)


async def test_a_run_costs_no_request_more() -> None:
    """What is learnt is part of what the run writes anyway; a look at the ranking is one request for a worker."""
    tables = CountingTables()
    app = App(tables)
    await used(app, "a")
    tables.reset()
    worker = await woken(app)

    assert tables.operations == Counter({"query loader": 1, "query agents": 1})
    tables.reset()
    worker.agents.preloader.wake()
    await asyncio.sleep(0)
    assert tables.operations == Counter(), "nor again before PRELOAD_EVERY_S"


async def test_counting_a_hit_is_left_to_when_metrics_are_stored() -> None:
    """A thousand hits are one count; counting each at once took several times as long as the hit."""
    app = App()
    await app.declare("a")
    services = app.services
    await services.agents.resolver.resolve(W, "a", app.signals)
    counted: list[float] = []
    services.metrics.workers._push = lambda metric, value, _: (
        counted.append(value) if metric.name == LOOKUPS.name else None
    )
    for _ in range(1000):
        await services.agents.resolver.resolve(W, "a", app.signals)
    assert counted == []

    series = await services.metrics.workers.read(W)
    assert sorted(counted) == [1, 1000]
    assert (series[LOOKUPS.name, "hit"], series[LOOKUPS.name, "miss"]) == ((1000,), (1,))
    await services.aclose()


async def test_each_access_is_learnt_once() -> None:
    """Whoever learns, however often, and at the same time."""
    app = App()
    await used(app, "a", times=3)
    app.clock.move(minutes=30)
    found = await asyncio.gather(*(app.worker().agents.learn_accesses() for _ in range(4)), learn_and_die(app))

    assert sum(one.accesses for one in found if one) == 0
    assert {one.agent_id: one.usage_count for one in await app.services.agents.loader_overview.activity(W)} == {"a": 3}


async def learn_and_die(app: App) -> None:
    await app.services.agents.rankings.learn()


async def test_companions_are_opened_while_the_run_is_under_way() -> None:
    """The agent that the same user uses next is open by the time it is asked for."""
    app = App(PRELOAD_THRESHOLD=1.0)
    await used(app, "plan", "write", times=3)
    app.clock.move(minutes=30)
    await used(app, "other", times=4)
    gate = Gate()
    worker = app.worker(gate=gate)
    worker.agents.preloader.wake()
    await until(lambda: bool(worker.agents.resolver._watch and worker.agents.resolver._watch.following))
    worker.agents.resolver.cache.drop((W, "write"))
    await app.submit(agent="plan")
    running = asyncio.create_task(app.process(app.queue.sent[-1], worker=worker))
    await gate.entered.wait()
    await until(lambda: "write" in held(worker))
    gate.open.set()
    await running


async def test_preloading_waits_for_runs() -> None:
    """While one is in progress in the worker, or an agent is looked up, nothing is opened beside it."""
    app = App()
    await used(app, "a")
    worker = app.worker()
    with worker.agents.preloader.run():
        worker.agents.preloader.wake()
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert held(worker) == set()
    await until(lambda: held(worker) == {"a"})


async def test_it_is_never_more_than_there_is_room_for_and_evicts_nothing() -> None:
    """Three agents that are worth it, two places, one of them taken."""
    app = App()
    await used(app, "a", "b", "c", times=2)
    app.settings.update(AGENT_CACHE_SIZE=2, PRELOAD_SHARE=1.0)
    worker = app.worker()
    await worker.agents.resolver.resolve(W, "a", app.signals)
    assert await worker.agents.preloader.preload([(W, "b"), (W, "c")]) == [(W, "b")]
    assert held(worker) == {"a", "b"}


@pytest.mark.parametrize("change", ["retire", "delete"])
async def test_an_agent_that_is_put_away_is_not_brought_back(change: str) -> None:
    """Preloading has no agent made; only a run does."""
    app = App()
    await used(app, "a")
    await getattr(app.services.agents.administration, change)(W, "a", app.signals)
    worker = await woken(app)

    assert held(worker) == set()
    assert not await worker.agents.preloader.preload([(W, "never-declared")])


async def test_it_can_be_switched_off() -> None:
    """A share of 0: not even the ranking is read."""
    tables = CountingTables()
    app = App(tables)
    await used(app, "a")
    app.settings.update(PRELOAD_SHARE=0)
    worker = app.worker()
    tables.reset()
    worker.agents.preloader.wake()
    await asyncio.sleep(0)

    assert tables.operations == Counter()


async def test_agents_that_somebody_asks_for_are_preloaded_by_every_worker_for_a_day() -> None:
    """Though they were never used."""
    app = App()
    await used(app, "a")
    await app.declare("b")
    await app.services.agents.administration.prewarm(W, "b", app.signals)
    await app.services.agents.rankings.request([(W, "b")])
    assert held(await woken(app)) == {"a", "b"}

    app.clock.move(hours=25)
    assert "b" not in held(await woken(app))


async def test_optimising_says_what_it_would_do_for_the_workspace_alone() -> None:
    """A dry run changes nothing."""
    app = App()
    await used(app, "a")
    await app.declare("a", workspace="other")
    await app.submit(agent="a", workspace="other")
    worker = app.worker()
    plan = await worker.agents.preloader.optimize(dry_run=True, only=W)
    assert [(step.action, step.key, step.reason) for step in plan.steps] == [("preload", (W, "a"), "high_priority")]
    assert held(worker) == set()
    await worker.agents.preloader.optimize(only="other")
    assert held(worker) == set()
    await worker.agents.preloader.optimize(only=W)
    assert held(worker) == {"a"}


async def test_what_another_cache_would_have_hit() -> None:
    """The accesses that were recorded, replayed: of one workspace only."""
    app = App()
    await used(app, "a", "b", times=5)
    found = await app.services.agents.loader_overview.what_if(W, capacity=2)
    assert found.accesses == 10
    assert {policy: one.hits for policy, one in found.replays.items()} == dict.fromkeys(found.replays, 8)
    assert (found.clairvoyant.hits, found.static.hits, found.suggested_capacity) == (8, 10, 2)
    assert (await app.services.agents.loader_overview.what_if("other")).accesses == 0
    for wrong in ({"capacity": 0}, {"policy": "mru"}, {"workers": 65}, {"hours": 0}, {"most": 10_001}):
        with pytest.raises(InvalidInput) as invalid:
            await app.services.agents.loader_overview.what_if(W, **wrong)  # pyright: ignore[reportArgumentType] - one of them each
        assert (invalid.value.code, list(invalid.value.fields)) == ("invalid_setting", [f"/{next(iter(wrong))}"])


async def test_accesses_are_kept_for_thirty_days() -> None:
    """A day later they are gone, and so are agents that were not used since."""
    app = App()
    await used(app, "a")
    day = app.clock()
    for _ in range(32):
        app.clock.move(days=1)
        await app.services.agents.learn_accesses()
    rows = [
        row
        for number in range(SHARDS)
        async for row in every(app.tables, "facts", Span.prefix(partition(day.date(), number), "access!"))
    ]

    assert rows == []
    assert await app.services.agents.loader_overview.activity(W) == []
    assert len(await AccessHistory(app.tables).read(day - timedelta(days=1), app.clock())) == 0


async def test_the_hit_rate_of_a_window_is_there_for_alert_rules() -> None:
    """From note to now; None before anything was looked up."""
    app = App()
    rates = app.services.metrics.hit_rates
    assert (await rates.read(W, app.clock())).during.hit_rate is None
    await used(app, "a", times=4)
    assert (await rates.read(W, app.clock())).during.hit_rate is None, "nothing was looked up since the last note"
    await app.ask(agent="a")
    for _ in range(3):
        await app.services.agents.resolver.resolve(W, "a", app.signals)

    assert (await rates.read(W, app.clock())).during.hit_rate == 0.75
    assert (await app.services.alerts.sources.others["cache_hit_rate"](W, app.clock(), app.clock()))[
        "cache_hit_rate"
    ] == 0.75


def test_a_sum_of_accesses_is_bounded_and_the_same_in_any_order() -> None:
    """An even sample: of the first half of the time as many as of the second."""
    accesses = [Access(number, W, "a", 0, mark=number * 2654435761 % 2**32) for number in range(3 * MAX_ACCESSES)]
    forth = sum((AccessSum((one,)) for one in accesses[:500]), AccessSum()) + AccessSum(tuple(accesses[500:]))
    back = AccessSum(tuple(accesses[1500:])) + AccessSum(tuple(accesses[:1500]))

    assert forth == back
    assert (len(forth.accesses), forth.left_out) == (MAX_ACCESSES, 2 * MAX_ACCESSES)
    early = sum(one.at < 1.5 * MAX_ACCESSES for one in forth.accesses)
    assert 0.4 * MAX_ACCESSES < early < 0.6 * MAX_ACCESSES


@pytest.mark.parametrize(
    ("setting", "value", "companions"),
    [("LOADER_TOGETHER_S", 3600, 1), ("LOADER_TOGETHER_S", 10, 0), ("LOADER_COMPANIONS", 0, 0)],
)
async def test_what_are_companions_is_set(setting: str, value: int, companions: int) -> None:
    """Within what time, and how many at most."""
    app = App()
    app.settings.update({setting: value})
    app.services = app.worker()
    await used(app, "plan", "write", times=3)
    (plan, _) = sorted(await app.services.agents.loader_overview.activity(W), key=lambda one: one.agent_id)

    assert len(plan.companions) == companions


async def test_half_lives_are_set() -> None:
    """Of frequency, and of recency."""
    app = App(LOADER_HALF_LIFE_S=3600, LOADER_RECENCY_HALF_LIFE_S=3600, PRELOAD_WEIGHTS="0,1,0")
    await used(app, "a", times=2)
    (before,) = await app.services.agents.loader_overview.activity(W)
    app.clock.move(hours=1)
    (after,) = await app.services.agents.loader_overview.activity(W)

    assert after.recent_uses == pytest.approx(before.recent_uses / 2)
    assert after.priority_score == pytest.approx(before.priority_score / 2)


async def test_how_long_a_request_holds_is_set() -> None:
    """After that, nobody opens the agent for it any more."""
    app = App(PRELOAD_REQUESTED_FOR_S=60, PRELOAD_THRESHOLD=1)
    await app.declare("a")
    await app.ask(agent="a")
    await app.services.agents.rankings.request([(W, "a")])
    early = await woken(app)
    app.clock.move(seconds=61)
    late = await woken(app)

    assert (held(early), held(late)) == ({"a"}, set())


@pytest.mark.parametrize(
    "wrong",
    [
        {"LOADER_HALF_LIFE_S": "3599"},
        {"LOADER_RECENCY_HALF_LIFE_S": "59"},
        {"LOADER_TOGETHER_S": "3601"},
        {"LOADER_COMPANIONS": "33"},
        {"PRELOAD_UNUSED_AFTER_S": "0"},
        {"PRELOAD_REQUESTED_FOR_S": "31622401"},
        {"PRELOAD_WARM_TIMEOUT_S": "soon"},
        {"PRELOAD_WEIGHTS": "0.4,0.3,0.4"},
        {"LOADER_HALFLIFE_S": "3600"},
    ],
)
def test_numbers_out_of_bounds_are_refused_at_the_start(wrong: dict[str, str]) -> None:
    """Each by its name, as is one that there is not."""
    with pytest.raises(InvalidSettings, match=next(iter(wrong))):
        Settings.of(wrong)


async def test_the_largest_ranking_there_can_be_is_stored() -> None:
    """Of what one transaction cannot hold, the agents used least are left out."""
    tables, names = MemoryTables(), [f"{number:04d}" + "n" * 59 for number in range(5000)]
    companions = tuple((name, 123.12345678901234) for name in names[:32])
    book = ActivityBook(5000)
    for number, name in enumerate(names):
        key = ("w" * 63, name)
        book.agents[key] = Activity(
            1.7e9 + 1 / 3, 5000 - number + 1 / 3, 10**6, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 10**9, companions
        )
    book.trim(1.7e9)
    await tables.commit(TABLE, _writes(book, [], datetime(2026, 1, 1, tzinfo=UTC)))
    kept = (await Rankings(tables, lambda: datetime(2026, 1, 1, tzinfo=UTC), LearningPolicy(5000)).read()).book.agents

    assert len(kept) > 500
    assert [name for _, name in kept] == names[: len(kept)]
