"""Slices of a pool: whatever workers do, and whenever they die, the pool is never above a limit and nobody starves."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.capacity import lent_slot_reclaim as reclaim
from llmops.capacity.pool_store import dump, load
from llmops.capacity.pools import NOTHING, Amounts, Limits, Pool, Share
from llmops.capacity.slice_division import LASTS_S, SKEW_S, available, divided, expected_wait_s, used, waiting
from llmops.capacity.slice_messages import Request, State, Want

NOW = 1_795_000_000.0
POOL = Pool(
    "p",
    agents=("a", "b", "c"),
    limits=Limits(concurrent_runs=10, tokens_per_minute=1000, requests_per_minute=20),
    shares={"a": Share(0.3, 1.0), "b": Share(0.0, 0.5)},
)


@dataclass
class Model:
    """A worker as the rule may expect one to behave, on a clock of its own."""

    name: str
    skew: float
    held: dict[str, Amounts] = field(default_factory=dict[str, Amounts])
    running: dict[str, int] = field(default_factory=dict[str, int])
    until: float = 0.0
    number: int = 0
    spent: dict[int, dict[str, Amounts]] = field(default_factory=dict[int, dict[str, Amounts]])
    last: Request | None = None


class World:
    """Workers at a pool, and what they really used when."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.state = State()
        self.now = NOW
        self.workers = [Model(f"w{n}", (n - 1) * SKEW_S / 2) for n in range(3)]
        self.uses: list[tuple[float, Amounts]] = []
        self.names = len(self.workers)

    def ask(self, one: Model, share: str, need: Amounts, *, answer_lost: bool, keep: float) -> None:
        now = self.now + one.skew
        if now > one.until:
            one.held, one.spent = {}, {}
        one.number += 1
        kept = {
            share: Amounts(amounts.runs, math.floor(amounts.tokens * keep), math.floor(amounts.requests * keep))
            for share, amounts in one.held.items()
        }
        request = Request(
            one.name,
            one.number,
            {s: kept.get(s, NOTHING) + Amounts(runs=one.running.get(s, 0)) for s in {*kept, *one.running}},
            one.spent,
            [Want(now, share, need)],
            {share: need},
        )
        self.state, grant = divided(self.pool, load(dump(self.state)), request, now)
        if answer_lost:  # it is made again with the same number, a little later
            self.now += 0.5
            self.state, grant = divided(self.pool, self.state, request, self.now + one.skew)
        one.spent, one.until = {}, grant.until
        one.held = {
            share: replace(held, runs=held.runs - one.running.get(share, 0)) for share, held in grant.held.items()
        }

    def use(self, one: Model, share: str, part: float) -> None:
        """Begin what fits: runs, and calls of a part of the tokens."""
        held, now = one.held.get(share, NOTHING), self.now + one.skew
        if now > one.until:
            return
        take = Amounts(held.runs, math.ceil(held.tokens * part), math.ceil(held.requests * part))
        one.held[share] = held - take
        one.running[share] = one.running.get(share, 0) + take.runs
        spent = one.spent.setdefault(math.floor(now), {})
        spent[share] = spent.get(share, NOTHING) + replace(take, runs=0)
        self.uses.append((self.now, replace(take, runs=0)))

    def end(self, one: Model, share: str) -> None:
        one.running[share] = 0

    def die(self, index: int) -> None:
        self.workers[index] = Model(f"w{self.names}", self.workers[index].skew)
        self.names += 1

    def check(self) -> None:
        limits = self.pool.limits
        assert sum(sum(one.running.values()) for one in self.workers) <= (limits.concurrent_runs or 0)
        for start, _ in self.uses:
            within = [amounts for at, amounts in self.uses if start <= at < start + 60]
            assert sum(amounts.tokens for amounts in within) <= (limits.tokens_per_minute or 0)
            assert sum(amounts.requests for amounts in within) <= (limits.requests_per_minute or 0)


STEP = st.tuples(
    st.sampled_from(("ask", "ask", "ask", "lost", "use", "use", "end", "die", "pass")),
    st.integers(0, 2),
    st.sampled_from(("a", "b", "")),
    st.integers(1, 600),
    st.floats(0, 1),
    st.sampled_from((0.1, 1.0, 3.0, LASTS_S, LASTS_S + SKEW_S, 61.0)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=60), st.sampled_from(("aggressive", "balanced", "conservative")))
def test_no_minute_is_above_a_limit(steps: list[tuple[str, int, str, int, float, float]], strategy: str) -> None:
    """For any order of requests, uses, ends and deaths, with answers that are lost and clocks that differ."""
    world = World(replace(POOL, strategy=strategy))  # pyright: ignore[reportArgumentType] - one of the three
    for what, index, share, tokens, part, seconds in steps:
        one = world.workers[index]
        match what:
            case "ask" | "lost":
                need = Amounts(1 + tokens % 3, tokens, 1)
                world.ask(one, share, need, answer_lost=what == "lost", keep=part)
            case "use":
                world.use(one, share, part)
            case "end":
                world.end(one, share)
            case "die":
                world.die(index)
            case _:
                world.now += seconds
        world.check()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 850), st.floats(0, 100)), min_size=1, max_size=30))
def test_whatever_waits_is_served_once_it_is_the_oldest(wants: list[tuple[int, int, float]]) -> None:
    """However large it is: what comes later does not take the room that it waits for."""
    state = State()
    for number, (worker, tokens, age) in enumerate(wants):
        request = Request(f"w{worker}", number + 1, wants=[Want(NOW - age, "", Amounts(0, tokens, 1))])
        state, _ = divided(POOL, state, request, NOW)
    served = False
    for second in range(80 * len(wants)):
        now = NOW + second
        need = Amounts(0, max(tokens for _, tokens, _ in wants), 1)
        small, big = Request("small", second + 1, wants=[Want(now, "", Amounts(0, 1, 1))]), Want(NOW - 1000, "", need)
        state, grant = divided(POOL, state, Request("old", second + 1, wants=[big]), now)
        if grant.held:
            served = True
            break
        state, _ = divided(POOL, state, small, now)

    assert served


def test_a_dead_workers_slice_comes_back() -> None:
    """Its slots when its slice ends; its tokens a minute later, for it may have used them in its last moment."""
    state, grant = divided(POOL, State(), Request("dead", 1, wants=[Want(NOW, "a", Amounts(10, 1000, 20))]), NOW)
    wish = [Want(NOW + 5, "", Amounts(1, 1, 1))]
    _, early = divided(POOL, state, Request("w", 1, wants=wish), NOW + 5)
    after = NOW + LASTS_S + SKEW_S + 0.1

    assert grant.held["a"] == Amounts(10, 1000, 20)
    assert early.held == {}
    assert available(POOL, state, "", after) == Amounts(8, 0, 0)  # half of the reserve of 3 is not lent
    assert available(POOL, state, "a", after + 62) == Amounts(10, 1000, 20)


def test_a_reserve_is_lent_and_is_there_when_its_owner_comes() -> None:
    """All slots are lent; the next one that becomes free is its owner's, whoever has waited longer."""
    pool = replace(POOL, strategy="aggressive")
    state, lent = divided(pool, State(), Request("w1", 1, wants=[Want(NOW, "", Amounts(runs=10))]), NOW)
    state, _ = divided(pool, state, Request("w2", 1, wants=[Want(NOW + 1, "a", Amounts(runs=1))]), NOW + 1)
    others = [Want(NOW - 500, "", Amounts(runs=1))]
    state, full = divided(pool, state, Request("w1", 2, {"": Amounts(runs=10)}, wants=others), NOW + 2)
    state, again = divided(pool, state, Request("w1", 3, {"": Amounts(runs=9)}, wants=others), NOW + 2)
    _, owner = divided(pool, state, Request("w2", 2, wants=[Want(NOW + 1, "a", Amounts(runs=1))]), NOW + 3)

    assert lent.held[""].runs == 10
    assert (full.owed, full.first_other) == ({"": 1}, math.inf)
    assert again.held[""].runs == 9
    assert owner.held["a"].runs == 1


RUNS = st.dictionaries(st.sampled_from(("a", "b", "")), st.integers(0, 9), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(0, 12),
    st.dictionaries(st.sampled_from([f"w{n}" for n in range(8)]), RUNS, min_size=1),
    st.floats(0, 900),
    st.floats(0, 100),
)
def test_as_many_slots_come_back_as_are_due(
    due: int, overdue: int, held: dict[str, dict[str, int]], run_s: float, now: float
) -> None:
    """No worker is told of more than it holds, none of what is not lent; what is overdue is recalled exactly."""
    lent = {share: sum(runs.get(share, 0) for runs in held.values()) // 2 for share in ("a", "b", "")}
    overdue = min(due, overdue)
    recalls = reclaim.recall(due, overdue, lent, held, run_s, now)
    ending, recalled = Counter[str](), Counter[str]()
    for worker, (ends, calls) in recalls.items():
        assert all(0 <= calls.get(share, 0) <= ends[share] <= held[worker][share] for share in ends)
        assert set(calls) <= set(ends)
        ending.update(ends)
        recalled.update(calls)

    assert all(ending[share] <= lent[share] for share in ending)
    assert ending.total() >= min(due, sum(lent.values()))
    assert recalled.total() == min(overdue, sum(lent.values()))


def test_few_are_told_where_runs_are_short_and_all_where_they_are_long() -> None:
    """Of 32 workers with 2 runs each, one of which is due: five, whose ten runs of 10 s are one a second; or all."""
    held = {f"w{number}": {"": 2} for number in range(32)}
    short, long = (len(reclaim.recall(1, 0, {"": 64}, held, run_s, NOW)) for run_s in (10.0, 600.0))

    assert (short, long) == (5, 32)


@pytest.mark.parametrize(("strategy", "most"), [("aggressive", 10), ("balanced", 8), ("conservative", 7)])
def test_the_strategy_says_how_much_of_a_reserve_is_lent(strategy: str, most: int) -> None:
    pool = replace(POOL, strategy=strategy)  # pyright: ignore[reportArgumentType] - one of the three
    wants = [Want(NOW, "", Amounts(runs=1))] * 10
    _, grant = divided(pool, State(), Request("w", 1, wants=wants), NOW)

    assert grant.held[""].runs == most


def test_an_agent_never_has_more_than_its_share_and_holds_up_nobody() -> None:
    """Its eleventh request waits for its own share; others go on."""
    wants = [*[Want(NOW, "b", Amounts(requests=1))] * 11, Want(NOW + 1, "", Amounts(requests=1))]
    state, grant = divided(POOL, State(), Request("w", 1, wants=wants), NOW + 1)

    assert (grant.held["b"].requests, grant.held[""].requests) == (10, 1)
    assert [want.share for want in waiting(state, NOW + 2)] == ["b"]


def test_room_goes_to_what_has_waited_longest_at_any_worker() -> None:
    full = [Want(NOW, "", Amounts(runs=8))]
    state, _ = divided(POOL, State(), Request("w1", 1, wants=full), NOW)
    state, _ = divided(POOL, state, Request("w2", 1, wants=[Want(NOW + 1, "", Amounts(runs=1))]), NOW + 1)
    later = [Want(NOW + 2, "", Amounts(runs=1))]
    state, _ = divided(POOL, state, Request("w3", 1, wants=later), NOW + 2)
    state, _ = divided(POOL, state, Request("w1", 2, {"": Amounts(runs=7)}), NOW + 3)
    state, third = divided(POOL, state, Request("w3", 2, wants=later), NOW + 3)
    _, second = divided(POOL, state, Request("w2", 2, wants=[Want(NOW + 1, "", Amounts(runs=1))]), NOW + 3)

    assert third.held == {}
    assert third.first_other == math.inf  # the older one's room is set aside, it has only to come for it
    assert second.held[""].runs == 1


def test_what_a_call_did_not_take_is_given_back() -> None:
    state, _ = divided(POOL, State(), Request("w", 1, wants=[Want(NOW, "", Amounts(0, 800, 1))]), NOW)
    second = math.floor(NOW)
    state, _ = divided(POOL, state, Request("w", 2, spent={second: {"": Amounts(0, 800, 1)}}), NOW + 1)
    before = used(state, NOW + 2)[""].tokens
    state, _ = divided(POOL, state, Request("w", 3, spent={second: {"": Amounts(0, -700, 0)}}), NOW + 2)

    assert (before, used(state, NOW + 2)[""].tokens) == (800, 100)


def test_a_lowered_limit_grants_nothing_until_there_is_room() -> None:
    state, _ = divided(POOL, State(), Request("w", 1, wants=[Want(NOW, "", Amounts(runs=8))]), NOW)
    lower = replace(POOL, limits=Limits(concurrent_runs=4))
    wants = [Want(NOW, "", Amounts(runs=1))]
    state, none = divided(lower, state, Request("v", 1, wants=wants), NOW + 1)
    state, _ = divided(lower, state, Request("w", 2, {"": Amounts(runs=2)}), NOW + 2)
    _, some = divided(lower, state, Request("v", 2, wants=wants), NOW + 3)

    assert (none.held, some.held[""].runs) == ({}, 1)


def test_what_never_fits_holds_up_nobody() -> None:
    """A limit was lowered while it waited."""
    wants = [Want(NOW - 9, "", Amounts(tokens=5000)), Want(NOW, "", Amounts(tokens=10))]
    _, grant = divided(POOL, State(), Request("w", 1, wants=wants), NOW)

    assert grant.held[""].tokens == 10


def test_the_expected_wait_is_that_of_what_is_ahead() -> None:
    """Of 1000 tokens a minute 1000 are taken and 500 wait before: 600 more take a minute and a half and six seconds."""
    pool = Pool("p", agents=("c",), limits=Limits(tokens_per_minute=1000))
    state, _ = divided(pool, State(), Request("w", 1, wants=[Want(NOW, "", Amounts(tokens=1000))]), NOW)
    state, _ = divided(pool, state, Request("v", 1, wants=[Want(NOW, "", Amounts(tokens=500))]), NOW)

    assert expected_wait_s(pool, state, Want(NOW + 1, "", Amounts(tokens=600)), NOW) == pytest.approx(66)


def test_many_workers_ask_less_often() -> None:
    """So that one row takes what all of them write."""
    state, pace = State(), []
    for number in range(64):
        state, grant = divided(POOL, state, Request(f"w{number}", 1, wants=[Want(NOW, "", Amounts(runs=9))]), NOW)
        pace.append(grant.again_s)

    assert (pace[0], pace[-1]) == (1.0, 2.0)


def test_who_has_a_reserve_is_expected_to_wait_for_its_own_only() -> None:
    """All ten slots are taken and fifty runs wait before: the next slot that becomes free is its own."""
    pool = replace(POOL, strategy="aggressive")
    full = [Want(NOW, "", Amounts(runs=1)) for _ in range(60)]
    state, _ = divided(pool, State(run_s=30.0), Request("w", 1, wants=full), NOW)
    waits = [expected_wait_s(pool, state, Want(NOW + 1, share, Amounts(runs=1)), NOW + 1) for share in ("a", "")]

    assert waits == [pytest.approx(3), pytest.approx(153)]
