"""What is learnt from uses: priorities, companions, plans, and how much may be preloaded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.loader.cache_plan import INACTIVE_AFTER_S, Allowance, optimized
from lifecycle.loader.preload_outcomes import Preloads
from lifecycle.loader.usage_statistics import (
    RULES,
    Activity,
    ActivityBook,
    Key,
    LearningRules,
    Use,
    companions,
    ended,
    priority,
)
from tests.lifecycle.loader.requests import SLOW

DAY = 86_400.0
keys = st.tuples(st.just("default"), st.sampled_from("abcdef"))
uses = st.builds(
    Use,
    at=st.floats(0, 90 * DAY),
    key=keys,
    user=st.integers(0, 3) | st.none(),
    answered=st.booleans() | st.none(),
    ms=st.floats(0, 1e6) | st.none(),
    micro_usd=st.integers(0, 10**9),
)


def use(agent: str, at: float, user: object = "ann", **more: object) -> Use:
    return Use(at, ("default", agent), user, **more)  # pyright: ignore[reportArgumentType] - fields of a use


def book(*noted: Use) -> ActivityBook:
    found = ActivityBook()
    found.add_all(noted)
    return found


@settings(SLOW)
@given(noted=st.lists(uses, max_size=60), later=st.floats(0, 60 * DAY))
def test_a_priority_is_always_a_share(noted: list[Use], later: float) -> None:
    """Whatever happened, and however long ago; and so are success and companions."""
    found = book(*noted)
    for one in found.ranked(90 * DAY + later):
        assert 0 <= one.priority <= 1
        assert one.activity.success_rate is None or 0 <= one.activity.success_rate <= 1
        assert len(one.activity.companions) <= RULES.companions
        assert all(0 <= share <= 1 for _, share in companions(found.agents, one.key, 0))
        assert one.key[1] not in dict(one.activity.companions), "an agent is no companion of itself"


@settings(SLOW)
@given(noted=st.lists(uses, min_size=1, max_size=40), capacity=st.integers(1, 4))
def test_what_is_held_is_bounded(noted: list[Use], capacity: int) -> None:
    """Never more agents than the capacity and a quarter."""
    found = ActivityBook(capacity)
    found.add_all(noted)

    assert len(found.agents) <= capacity + capacity // 4 + 1


def test_the_priority_is_frequency_recency_and_success() -> None:
    """0.4, 0.3 and 0.3: the agent used most, just now, always answering, has 1; each part takes its share away."""
    now = 10 * DAY
    best = Activity(now, uses=10, judged=4, answered=4)

    assert priority(best, 10, now) == 1
    assert priority(Activity(now, uses=0, judged=4, answered=4), 10, now) == 0.6
    assert priority(Activity(now, uses=10, judged=4, answered=0), 10, now) == 0.7
    assert priority(Activity(now - 90 * DAY, uses=10, judged=4, answered=4), 10, now) < 0.31


def test_a_use_counts_half_after_the_half_life() -> None:
    """Ten uses long ago weigh less than six now; how long that is, is a rule."""
    for days in (3, 7):
        found = ActivityBook(rules=LearningRules(half_life_s=days * DAY))
        found.add_all([*(use("old", 0.0) for _ in range(10)), *(use("new", days * DAY) for _ in range(6))])
        ranked = found.ranked(days * DAY)

        assert [(one.key[1], round(one.uses, 6)) for one in ranked] == [("new", 6), ("old", 5)]


def test_recency_companions_and_what_is_together_are_rules() -> None:
    """As are the weights."""
    rules = LearningRules((0, 1, 0), recency_half_life_s=DAY, together_s=5, companions=1)
    found = ActivityBook(rules=rules)
    found.add_all([use("a", 0), use("b", 5), use("a", 10), use("b", 16), use("a", 20), use("c", 25)])
    a, b, c = (found.agents["default", name] for name in "abc")

    assert [round(priority(one, 9, DAY + 25, rules), 4) for one in (a, b, c)] == [0.5, 0.5, 0.5]
    assert round(priority(a, 9, 2 * DAY + 20, rules), 4) == 0.25
    assert ([name for name, _ in a.companions], [name for name, _ in b.companions]) == (["c"], ["a"])
    none = ActivityBook(rules=LearningRules(companions=0))
    none.add_all([use("a", 0), use("b", 5)])
    assert none.agents["default", "a"].companions == ()


def test_agents_that_one_user_uses_in_turn_are_companions() -> None:
    """Those of another user, workspace or hour are not."""
    found = book(
        use("plan", 0), use("write", 60), use("other", 61, "bob"), use("late", 5000), Use(5001, ("else", "x"), "ann")
    )

    assert companions(found.agents, ("default", "plan"), 0.5) == [(("default", "write"), 1.0)]
    assert companions(found.agents, ("default", "write"), 0) == []
    assert companions(found.agents, ("default", "nobody"), 0) == []


def test_companions_that_are_common_stay_among_many_that_are_rare() -> None:
    """The rarest one makes room for a new one."""
    noted: list[Use] = []
    for turn in range(100):
        noted += [use("plan", turn * 100.0, turn), use("write" if turn % 2 else f"rare-{turn}", turn * 100.0 + 1, turn)]
    found = book(*noted)

    assert companions(found.agents, ("default", "plan"), 0.4)[0][0] == ("default", "write")
    assert len(found.agents["default", "plan"].companions) == RULES.companions


def test_how_a_use_went_is_part_of_the_figures() -> None:
    """Success, time and cost, when they come later than the use."""
    found = ended(book(use("a", 5)).agents["default", "a"], answered=False, ms=200, micro_usd=7)

    assert (found.success_rate, found.average_ms, found.micro_usd, found.total) == (0, 200, 7, 1)


def test_agents_not_used_for_long_are_forgotten() -> None:
    """Those before a moment, and those whose uses count for nothing any more."""
    found = book(use("old", 0), use("new", 60 * DAY))
    found.trim(60 * DAY)
    assert list(found.agents) == [("default", "new")]

    found.forget_before(61 * DAY)
    assert not found.agents


def plan_of(found: ActivityBook, held: dict[Key, float], now: float, **more: object) -> list[tuple[str, str, str]]:
    numbers = {"capacity": 3, "threshold": 0.5, "allowance": 3, **more}
    plan = optimized(found.ranked(now), held, now=now, **numbers)  # pyright: ignore[reportArgumentType] - its own
    return [(step.action, step.key[1], step.reason) for step in plan.steps]


def test_a_plan_preloads_the_best_and_lets_go_of_the_unused() -> None:
    """The least important first, so that it is the first to be evicted again."""
    now = 2 * DAY
    found = book(use("idle", 0), *(use("b", now) for _ in range(5)), *(use("a", now) for _ in range(9)))
    held = {("default", "idle"): now - INACTIVE_AFTER_S - 1}

    assert plan_of(found, held, now) == [
        ("evict", "idle", "unused_for_long"),
        ("preload", "b", "high_priority"),
        ("preload", "a", "high_priority"),
    ]
    assert plan_of(found, held, now, busy=[("default", "idle")], allowance=1) == [("preload", "a", "high_priority")]
    assert plan_of(found, {("default", "a"): now}, now, threshold=1.0) == []


def test_a_plan_never_evicts_what_is_as_important() -> None:
    """Nor what is busy; only what has a lower priority than the one that is to come."""
    now = DAY
    found = book(*(use("a", now) for _ in range(9)), use("b", now), use("c", now))
    held = {("default", "b"): now, ("default", "c"): now}

    assert plan_of(found, held, now, capacity=2) == [("evict", "b", "low_priority"), ("preload", "a", "high_priority")]
    assert plan_of(found, held, now, capacity=2, busy=list(held)) == []
    assert plan_of(found, {("default", "a"): now}, now, capacity=1) == []


@settings(SLOW)
@given(noted=st.lists(uses, max_size=40), held=st.lists(keys, unique=True), capacity=st.integers(1, 5), data=st.data())
def test_a_plan_keeps_to_the_capacity(noted: list[Use], held: list[Key], capacity: int, data: st.DataObject) -> None:
    """Whatever is known, held, requested and busy: what it preloads fits, and it evicts only what is held."""
    now, held = 90 * DAY, held[:capacity]
    requested = data.draw(st.lists(keys, unique=True))
    busy = data.draw(st.lists(keys, unique=True))
    plan = optimized(
        book(*noted).ranked(now),
        dict.fromkeys(held, now),
        capacity=capacity,
        threshold=0.2,
        allowance=2,
        now=now,
        requested=requested,
        busy=busy,
    )
    gone, new = {step.key for step in plan.evictions}, [step.key for step in plan.preloads]

    assert gone <= set(held) - set(busy)
    assert len(new) == len(set(new))
    assert not set(new) & set(held)
    assert len(held) - len(gone) + len(new) <= capacity


def test_preloading_that_does_not_pay_turns_itself_down_and_up_again() -> None:
    """Twenty in vain leave one at a time; used ones bring it back, up to the capacity."""
    preloads = Preloads(10, 1.0)
    for number in range(20):
        preloads.add(("w", str(number)), 0)
        assert preloads.removed(("w", str(number)))
    assert (preloads.left, preloads.allowance.usefulness) == (1, 0)

    for number in range(40):
        preloads.add(("w", str(number)), 0)
        assert preloads.used(("w", str(number)))
    assert preloads.left == 10
    assert not preloads.used(("w", "0")), "only the first use counts"


def test_what_is_not_used_for_an_hour_was_preloaded_in_vain() -> None:
    """Though it is still held."""
    for preloads, long in ((Preloads(10, 0.5), 3600), (Preloads(10, 0.5, 60), 60)):
        preloads.add(("w", "a"), 0)

        assert preloads.expire(long) == []
        assert preloads.expire(long + 1) == [("w", "a")]
        assert preloads.allowance.wasted == 1


def test_preloading_can_be_switched_off() -> None:
    """A share of 0 allows none, whatever pays."""
    off = Allowance.of(50, 0.0).after_use().after_waste()

    assert off.left(0) == 0


def test_an_agent_that_cannot_be_opened_is_not_tried_for_ever() -> None:
    """Three failures in a row are enough, until it could be."""
    preloads = Preloads(10, 0.5)
    for _ in range(3):
        assert not preloads.hopeless(("w", "a"))
        preloads.fail(("w", "a"))
    assert preloads.hopeless(("w", "a"))

    preloads.add(("w", "a"), 0)
    assert not preloads.hopeless(("w", "a"))
