"""What facts say could cost less: each proposal rests on enough, says how it was computed, and no more than is so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.capacity.scaling_forecast import FUNCTION, Load, ScalingPolicy, SiteScale
from llmops.capacity.scaling_forecast import recommend as plan_of
from llmops.facts.attempt_fact import AttemptFact, Ending
from llmops.optimization.instance_savings_rule import idle_instances, really_saved
from llmops.optimization.proposals import (
    AgentProfile,
    Change,
    OptimizationRequest,
    Proposal,
    Saving,
    calls_of,
    projection,
    recommend,
)
from llmops.optimization.rule_input import AgentHistory
from llmops.optimization.savings_rules import proposals_of
from llmops.spend.pricing import Rate, Rates
from llmops.spend.usage import Usage
from tests.lifecycle.doubles import NOW
from tests.llmops.conftest import call, fact

DEAR, CHEAP = Rate("dear", Decimal(10), Decimal(20), Decimal(1)), Rate("cheap", Decimal(1), Decimal(2))
RATES = Rates({"dear": DEAR, "cheap": CHEAP})
PROFILE = AgentProfile("bot", 3, "openai", "dear", 10, None, None, {}, True, NOW)
DAYS = [(NOW - timedelta(days=back)).date() for back in range(9, -1, -1)]


def answered(number: int, model: str = "dear", score: int | None = 80, **usage: int) -> AttemptFact:
    """Return a run's fact of one call, on one of the ten days in turn."""
    spent = Usage(**{"input_tokens": 100, "output_tokens": 50, **usage})
    at = NOW - timedelta(days=number % 10)
    cost = RATES.price(model, spent, at).cost_micro_usd
    one = replace(call(1), model=model, usage=spent, cost_micro_usd=cost, at=at)
    return replace(fact(f"run-{number}-{model}", at=at, quality=score), calls=(one,))


def found(facts: Sequence[AttemptFact], profile: AgentProfile = PROFILE, **request: Any) -> dict[str, Proposal]:
    history = AgentHistory(profile, facts, DAYS, RATES, OptimizationRequest(**request))
    return {one.kind: one for one in proposals_of(history)}


def test_a_cheaper_model_is_proposed_where_scores_bear_it() -> None:
    """Both models have answered for the agent, and the cheaper one as well: its price for the same tokens is known."""
    facts = [answered(at, "dear", 80 + at % 5) for at in range(60)]
    facts += [answered(at, "cheap", 81 + at % 5) for at in range(60)]
    one = found(facts)["cheaper_model"]

    assert one.change == Change("declare", "bot", 3, {"model": "cheap"})
    assert one.evidence["cost_micro_usd"] == 60 * 2000
    assert one.evidence["cost_with_other_micro_usd"] == 60 * 200
    assert one.saving.likely == 60 * 1800 // 10 * 30
    assert one.risk == "low"


@pytest.mark.parametrize(
    ("other", "request_", "proposed"),
    [
        ([80] * 10, {}, False),  # too few
        ([80] * 10, {"preserve_performance": False, "aggressive": True}, True),
        ([70] * 60, {}, False),  # ten points worse
        ([72] * 60, {"preserve_performance": False}, True),
        ([60] * 60, {"preserve_performance": False, "aggressive": True}, False),  # however bold
        ([0, 100] * 30, {}, False),  # nobody knows
    ],
)
def test_a_model_is_not_proposed_on_too_little_or_for_worse_answers(
    other: list[int], request_: dict[str, Any], proposed: bool
) -> None:
    """Where performance is preserved, scores may surely not fall by more than two points; else by ten at most."""
    facts = [answered(at, "dear", 80) for at in range(60)]
    facts += [answered(at, "cheap", score) for at, score in enumerate(other)]

    assert ("cheaper_model" in found(facts, **request_)) is proposed


def test_a_model_without_a_price_is_not_proposed() -> None:
    """What it costs is not known, so neither is what it saves."""
    facts = [answered(at, "dear") for at in range(60)] + [answered(at, "nobodys-model") for at in range(60)]

    assert "cheaper_model" not in found(facts)


def test_an_output_limit_stops_the_few_that_run_on() -> None:
    """The price of what is above, and how many answers would have been cut."""
    facts = [answered(at) for at in range(995)] + [answered(at, output_tokens=90_000) for at in range(5)]
    one = found(facts)["output_limit"]

    assert one.change.fields == {"max_output_tokens": 100}
    assert (one.evidence["calls_above"], one.evidence["longest_output_tokens"]) == (5, 90_000)
    assert one.saving.likely == 5 * (90_000 - 100) * 20 // 10 * 30


def test_an_output_limit_that_cuts_many_needs_leave() -> None:
    """Three in a hundred answers are more than the few that run on."""
    facts = [answered(at) for at in range(970)] + [answered(at, output_tokens=9000) for at in range(30)]

    assert "output_limit" not in found(facts)
    assert found(facts, preserve_performance=False, aggressive=True)["output_limit"].change.fields == {
        "max_output_tokens": 100
    }
    assert "output_limit" not in found(facts, replace(PROFILE, max_output_tokens=80), preserve_performance=False)


def test_thinking_less_is_proposed_only_where_performance_may_suffer() -> None:
    """Nobody has scored answers with less of it; what is saved is between nothing and all of it."""
    facts = [answered(at, output_tokens=1000, reasoning_tokens=900) for at in range(100)]
    one = found(facts, preserve_performance=False)["reasoning_effort"]

    assert "reasoning_effort" not in found(facts)
    assert one.change.fields == {"reasoning_effort": "low"}
    assert (one.saving.low, one.saving.likely, one.risk) == (0, 100 * 900 * 20 // 10 * 30 // 2, "high")
    assert "reasoning_effort" not in found(
        facts, replace(PROFILE, reasoning_effort="minimal"), preserve_performance=False
    )


def test_judges_hear_no_more_than_it_takes() -> None:
    """With 300 judged answers in ten days, a ninth of them tells the mean as well."""
    judged = [replace(answered(at, score=None), judge="judge", ending=Ending.SUCCEEDED, attempt=1) for at in range(300)]
    facts = [answered(at) for at in range(300)] + judged
    one = found(facts, replace(PROFILE, judge_shares={"judge": 1.0}))["judges"]

    assert one.change.fields == {"evaluation": {"judge": {"share": 0.111}}}
    assert one.saving.likely == pytest.approx(300 * 2000 / 10 * 30 * (1 - 0.111), rel=0.001)


def test_long_instructions_that_no_cache_knows_are_told() -> None:
    """Likely half of them, at most all; with little left to gain it is nobody's business."""
    profile = replace(PROFILE, instruction_tokens=2000)
    cold = [answered(at, input_tokens=3000) for at in range(100)]
    warm = [answered(at, input_tokens=3000, cached_tokens=2000) for at in range(100)]
    one = found(cold, profile)["prompt_cache"]

    assert one.change.kind == "manual"
    assert one.saving.low == 0
    assert one.saving.likely == 100 * 2000 * 9 // 10 * 30 // 2
    assert "prompt_cache" not in found(warm, profile)


def test_what_is_paid_for_nothing_is_told_by_its_cause() -> None:
    """The first cause is what one cure can reach."""
    lost = [replace(answered(at, score=None), ending=Ending.FAILED, code="runaway_loop") for at in range(30)]
    lost += [replace(answered(at, score=None), ending=Ending.FAILED, code="run_timeout") for at in range(10)]
    one = found([answered(at) for at in range(60)] + lost)["wasted_spend"]

    assert one.change.fields == {"runaway": {"same_tool_calls": 3}}
    assert (one.evidence["cause"], one.evidence["wasted_micro_usd"]) == ("runaway_loop", 40 * 2000)
    assert (one.saving.low, one.saving.likely) == (0, 30 * 2000 // 10 * 30)


def conversations(count: int, runs: int, grows: int, cached: int = 0) -> list[AttemptFact]:
    """Return so many conversations of so many runs each, whose input grows by so much with each run."""
    facts: list[AttemptFact] = []
    for number in range(count * runs):
        made = answered(number, input_tokens=100 + number // count * grows, cached_tokens=cached)
        facts.append(replace(made, who=replace(made.who, session_id=f"s{number % count}")))
    return facts


def test_long_conversations_are_proposed_to_be_told_less() -> None:
    """Ten runs, each 800 tokens longer than the one before: half of them are told more than 4,000."""
    facts = conversations(10, 10, 800)
    one = found(facts, preserve_performance=False)["compaction"]

    assert one.change.fields == {"max_history_tokens": 4000}
    assert one.evidence["calls_above"] == 40
    assert (one.saving.low, one.risk) == (0, "high")
    assert one.saving.likely == sum(800 * over for over in (1, 2, 3, 4)) * 10 * 10 // 10 * 30
    assert "compaction" not in found(facts)
    assert "compaction" not in found(conversations(10, 10, 20), preserve_performance=False)
    already = replace(PROFILE, max_history_tokens=2000)
    assert "compaction" not in found(facts, already, preserve_performance=False)


def test_history_that_is_cached_saves_little() -> None:
    """What is cut off was read from the cache: its price is that of cached input."""
    cold = found(conversations(10, 10, 800), preserve_performance=False)["compaction"]
    warm = found(conversations(10, 10, 800, 100), preserve_performance=False)["compaction"]

    assert 0 < warm.saving.likely < cold.saving.likely


def test_attempts_that_never_answer_are_proposed_not_to_be_made() -> None:
    """The third and fourth attempts have answered nothing; where a later one has, its cause is gone at instead."""
    good = [answered(at) for at in range(50)]
    failed = [
        replace(answered(at, score=None), attempt=number, ending=Ending.RETRIED, code="provider_throttled")
        for at in range(10)
        for number in (1, 2, 3, 4)
    ]
    one = found(good + failed)["retries"]
    never = found(failed)["retries"]
    late = found([*good, replace(answered(1), attempt=5), *failed])["retries"]

    assert (one.evidence["last_attempt_that_answered"], one.evidence["attempts_after_it"]) == (1, 30)
    assert one.saving.likely == 30 * 2000 // 10 * 30
    assert one.change.diff.splitlines()[-1] == "+RUN_MAX_ATTEMPTS=1"
    assert (late.change.diff, late.saving.low, "PUT /api/routes" in late.change.advice) == ("", 0, True)
    assert "wasted_spend" not in found(good + failed)
    assert "RUN_MAX_ATTEMPTS" not in f"{never.title} {never.change.advice} {never.change.diff}"
    assert (never.evidence["last_attempt_that_answered"], never.evidence["attempts_after_it"]) == (0, 0)
    assert "retries" not in found(good)


def test_versions_that_conversations_keep_are_told() -> None:
    """Not those of today, which prune may still delete by itself."""
    old = replace(PROFILE, versions=2, superseded_at=NOW - timedelta(days=3))
    one = found([answered(1)], old)["unused_versions"]

    assert (one.evidence["versions"], one.saving.likely, one.change.kind) == (2, 0, "manual")
    assert "unused_versions" not in found([answered(1)], replace(old, superseded_at=NOW))
    assert "unused_versions" not in found([answered(1)])


@pytest.mark.parametrize(("runs", "proposed"), [(0, True), (2_000_000, False)])
def test_instances_that_stand_by_for_nobody_are_proposed_to_go(runs: int, proposed: bool) -> None:
    """Six are ready and two are needed: four of 2 GB for 30 days, at the price of standing by."""
    policy, current = ScalingPolicy(min_instances=2), SiteScale({"http": 1, FUNCTION: 6})
    hour = NOW.replace(minute=0)
    loads = [Load(hour - timedelta(hours=back), runs, runs * 5.0) for back in range(24 * 7 + 1)]
    plan = plan_of(policy, loads, current, (), None, NOW)
    one = idle_instances(plan, current, policy)

    assert (one is not None) == proposed
    if one is not None:
        do, undo = calls_of(one.change)
        assert one.saving.high == 4 * 2 * 30 * 86_400 * 4
        assert (do and do.path, do and do.body) == ("/api/scaling/apply", {"id": plan.id})
        assert undo is not None
        assert undo.body is not None
        assert (undo.path, undo.body["min_instances"]) == ("/api/scaling/policy", 6)
        assert really_saved(one, SiteScale({FUNCTION: 2}), 7).saved_micro_usd == 4 * 2 * 7 * 86_400 * 4
        assert really_saved(one, current, 7).saved_micro_usd == 0


def test_an_agent_that_nobody_uses_is_proposed_to_be_retired_and_said_to_save_nothing() -> None:
    """Unless it is pinned, was declared of late, or has runs."""
    old = replace(PROFILE, used_at=NOW - timedelta(days=30))

    assert found([], old)["unused_agent"].saving == Saving(0, 0, 0)
    assert found([], replace(old, removable=False)) == {}
    assert found([], PROFILE) == {}
    assert found([answered(0)], old) == {}


@given(st.lists(st.integers(0, 10**9), max_size=60))
def test_a_projection_is_in_its_range_and_no_range_promises_a_loss(daily: list[int]) -> None:
    saving = projection(daily)

    assert 0 <= saving.low <= saving.likely <= saving.high


@given(st.lists(st.tuples(st.sampled_from(["low", "medium", "high"]), st.integers(0, 1000)), max_size=12), st.data())
def test_what_is_recommended_reaches_the_target_with_the_least_risk(
    given_: list[tuple[Any, int]], data: st.DataObject
) -> None:
    """No riskier proposal is taken while a less risky one that saves is left out."""
    order = ["low", "medium", "high"]
    blank = Proposal("", "judges", "bot", "", {}, "", Saving(0, 0, 0), "low", "", Change("manual", "bot", 1))
    proposals = [
        replace(blank, id=str(at), risk=risk, saving=Saving(0, likely, likely))
        for at, (risk, likely) in enumerate(given_)
    ]
    spent = data.draw(st.integers(1, 3000))
    target = data.draw(st.integers(1, 90))

    reached, ordered = recommend(proposals, spent, target)
    taken = [one for one in ordered if one.recommended]
    left = [one for one in ordered if not one.recommended and one.saving.likely]

    total = sum(one.saving.likely for one in taken)
    assert reached is (total >= spent * target / 100)
    if not reached:
        assert left == []
    if taken and left:
        assert max(order.index(one.risk) for one in taken) <= min(order.index(one.risk) for one in left)


def test_each_change_is_a_call_and_has_one_that_undoes_it() -> None:
    do, undo = calls_of(Change("declare", "bot", 3, {"model": "m"}, {"provider": "openai", "model": "m"}))

    assert do is not None
    assert (do.method, do.path, do.if_match) == ("PUT", "/api/agents/bot", '"3"')
    assert undo is not None
    assert (undo.path, undo.body) == ("/api/agents/bot/rollback", {"revision": 3})
    assert calls_of(Change("manual", "bot", 3)) == (None, None)
