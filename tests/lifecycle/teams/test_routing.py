"""Who of a team gets a conversation: deterministic, never somebody who is away or full, and never in a circle."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.conversations.team_assignment import Hop
from lifecycle.specs.team import Hours, Member, Team
from lifecycle.teams import member_routing as routing
from lifecycle.teams.member_routing import AFTER, BEFORE, FAILED, Situation, Wanted
from tests.lifecycle.teams.kit import BILLING, PEOPLE, TECH, TRIAGE, changed, team

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)  # a Monday

names = st.sampled_from(["a", "b", "c", "d", "e"])
members = st.lists(
    st.builds(
        dict,
        name=names,
        specialization=st.sampled_from(["x", "y"]),
        priority=st.integers(1, 3),
        max_workload=st.integers(1, 4),
        availability=st.sampled_from(["available", "away"]),
        capabilities=st.lists(st.sampled_from(["cash", "wifi"]), max_size=2, unique=True),
        role=st.sampled_from(["specialist", "specialist", "backup"]),
        human=st.booleans(),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda member: member["name"],
)
loads = st.dictionaries(names, st.integers(0, 5))


def _team(found: list[dict[str, Any]], **more: Any) -> Team:
    made: list[dict[str, Any]] = []
    for each in found:
        values = dict(each)
        values |= {"people": ["ann"]} if values.pop("human") else {"agent": values["name"]}
        made.append(values)
    if all("people" in each for each in made):
        made.append({"name": "z", "agent": "z", "availability": "away"})  # a team has an agent
    if more.get("overflow") == "backup" and not any(each.get("role") == "backup" for each in made):
        more["overflow"] = "queue"
    return Team.model_validate({"members": made, **more})


@SLOW
@given(members, loads, st.sampled_from(["cash please", "wifi", "hello"]), st.sampled_from(["queue", "backup"]))
def test_nobody_who_is_away_or_full_is_offered_a_conversation(
    found: list[dict[str, Any]], load: dict[str, int], query: str, overflow: str
) -> None:
    """Whatever the team and its load, everybody who is offered one can take it, and nobody is offered it twice."""
    value = _team(found, overflow=overflow)
    for choices in (
        routing.for_new(value, query, {}, load, NOW),
        routing.for_handoff(value, "a", Wanted(), load, NOW),
        routing.for_handoff(value, "a", Wanted(specialization="x"), load, NOW, ["b", "a"]),
    ):
        assert len({choice.member.name for choice in choices}) == len(choices)
        for choice in choices:
            assert choice.member.availability == "available"
            assert load.get(choice.member.name, 0) < choice.member.max_workload
            assert choice.reason
            assert overflow == "backup" or choice.member.role != "backup"


@SLOW
@given(members, loads, st.randoms())
def test_the_order_of_the_members_in_the_declaration_does_not_matter(
    found: list[dict[str, Any]], load: dict[str, int], random: Any
) -> None:
    """The same team, written down in another order, gives the same conversation to the same members."""
    shuffled = list(found)
    random.shuffle(shuffled)
    for query in ("cash", "hello"):
        one = [choice.member.name for choice in routing.for_new(_team(found), query, {}, load, NOW)]
        other = [choice.member.name for choice in routing.for_new(_team(shuffled), query, {}, load, NOW)]
        assert one == other


@SLOW
@given(members, loads, st.lists(names, max_size=8))
def test_a_handoff_never_goes_to_whoever_hands_over(
    found: list[dict[str, Any]], load: dict[str, int], trail: list[str]
) -> None:
    """Not even where nobody else has room, and it had the conversation before."""
    for source in "abcde":
        choices = routing.for_handoff(_team(found), source, Wanted(member=source), load, NOW, trail)
        assert source not in {choice.member.name for choice in choices}


@SLOW
@given(st.lists(names, max_size=30), st.integers(1, 6), st.integers(0, 3))
def test_hops_are_bounded(targets: list[str], most: int, returns: int) -> None:
    """However members hand over to one another, a run ends its journey within the limits."""
    policy = {"max_hops": most, "max_returns": returns}
    value = _team([{"name": name, "human": False, "role": "specialist"} for name in "abcde"], handoff=policy)
    hops: list[Hop] = []
    for target in targets:
        if routing.may_go_on(value, "a", hops, target):
            hops.append(Hop(NOW, "", target, "model", ""))
    assert len(hops) <= most
    for name in "abcde":
        assert ["a", *(hop.target for hop in hops)].count(name) <= returns + 1


def test_a_trigger_on_the_query_says_who_is_asked() -> None:
    """The triggers of all members count for a conversation that is new, the one with the highest priority first."""
    first = routing.for_new(team(), "I want a REFUND for my wifi", {}, {}, NOW)[0]
    assert (first.member.name, first.reason) == ("billing", "the trigger 'money' has fired (keyword_detected)")
    assert routing.for_new(team(), "a refund, by a  person", {}, {}, NOW)[0].member.name == "people"


def test_an_angry_query_goes_to_whom_the_trigger_names() -> None:
    """Also a new conversation, before any model is asked."""
    trigger = {"name": "upset", "condition": "sentiment_below", "parameters": {"below": 30}, "target": "people"}
    value = team(changed(TRIAGE, handoff_triggers=[trigger]), PEOPLE)
    angry = routing.for_new(value, "Your service is terrible!", {}, {}, NOW)
    calm = routing.for_new(value, "Where is my order?", {}, {}, NOW)
    assert (angry[0].member.name, calm[0].member.name) == ("people", "triage")


def test_keywords_are_whole_words() -> None:
    """`refund` does not stand in `refundable`."""
    assert routing.for_new(team(), "Is it refundable?", {}, {}, NOW)[0].member.name == "triage"


def test_capabilities_are_asked_for_by_the_query_or_by_metadata() -> None:
    """Who can do what is asked for comes before the primary member."""
    assert routing.for_new(team(), "my wifi is slow", {}, {}, NOW)[0].member.name == "tech"
    assert routing.for_new(team(), "hello", {"capability": "Payments"}, {}, NOW)[0].member.name == "billing"


def test_the_primary_member_has_what_nobody_is_asked_for() -> None:
    """And the least relative workload decides once it is full; people get only what names them."""
    assert [choice.member.name for choice in routing.for_new(team(), "hello", {}, {}, NOW)] == [
        "triage",
        "billing",
        "tech",
    ]
    busy = {"triage": 10, "billing": 5, "tech": 4}
    assert [choice.member.name for choice in routing.for_new(team(), "hello", {}, busy, NOW)] == ["tech", "billing"]


def test_workload_is_relative() -> None:
    """Two of twenty is less than one of five."""
    value = team(changed(BILLING, max_workload=5), changed(TECH, max_workload=20))
    choices = routing.for_new(value, "hello", {}, {"billing": 1, "tech": 2}, NOW)
    assert [choice.member.name for choice in choices] == ["tech", "billing"]


def test_what_cannot_go_where_it_is_wanted_goes_on_by_rule() -> None:
    """The next with the same specialization, else back, else a person."""
    second = changed(BILLING, name="billing2", agent="billing2")
    value = team(TRIAGE, BILLING, second, TECH, PEOPLE)
    full = {"billing": 10}
    order = [
        choice.member.name
        for choice in routing.for_handoff(value, "tech", Wanted(member="billing"), full, NOW, ["triage", "tech"])
    ]
    assert order == ["billing2", "triage", "people"]


def test_hours_are_those_of_the_time_zone() -> None:
    """Also across a change to daylight saving time, and past midnight."""
    berlin = Hours.model_validate({"time_zone": "Europe/Berlin", "start": "09:00", "end": "17:00"})
    assert berlin.cover(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    assert not berlin.cover(datetime(2026, 1, 5, 7, 59, tzinfo=UTC))
    assert berlin.cover(datetime(2026, 7, 6, 7, 0, tzinfo=UTC))
    assert not berlin.cover(datetime(2026, 7, 5, 12, 0, tzinfo=UTC))  # a Sunday
    night = Hours.model_validate({"days": ["fri"], "start": "22:00", "end": "06:00"})
    assert night.cover(datetime(2026, 12, 5, 5, 0, tzinfo=UTC))  # Saturday morning is Friday's night
    assert not night.cover(datetime(2026, 12, 5, 22, 0, tzinfo=UTC))


def test_people_out_of_hours_are_passed_over_or_waited_for() -> None:
    """As the team says."""
    closed = changed(PEOPLE, hours={"days": ["sun"]})
    asked = Wanted(member="people")
    assert not routing.for_handoff(team(BILLING, closed), "billing", asked, {}, NOW)
    waited = team(BILLING, closed, out_of_hours="wait")
    assert routing.for_handoff(waited, "billing", asked, {}, NOW)[0].member.name == "people"


@pytest.mark.parametrize(
    ("condition", "parameters", "holds", "fails", "phase"),
    [
        ("quality_below", {"below": 60}, Situation("", score=59.9), Situation("", score=60), AFTER),
        (
            "quality_below",
            {"below": 50, "check": "polite"},
            Situation("", score=99, scores={"polite": 10}),
            Situation("", score=1),
            AFTER,
        ),
        ("sentiment_below", {"below": 30}, Situation("This is ridiculous"), Situation("Where is it?"), BEFORE),
        ("failures", {"count": 2}, Situation("", failures=2), Situation("", failures=1), FAILED),
        ("turns_above", {"count": 3}, Situation("", runs=4), Situation("", runs=3), BEFORE),
        (
            "cost_above",
            {"usd": 0.5},
            Situation("", cost_micro_usd=500_001),
            Situation("", cost_micro_usd=500_000),
            AFTER,
        ),
        ("extension:angry", {}, Situation("!!!"), Situation("."), BEFORE),
    ],
)
def test_triggers_fire_beyond_their_limit(
    condition: str, parameters: dict[str, Any], holds: Situation, fails: Situation, phase: tuple[str, ...]
) -> None:
    """Each at its limit and no sooner, in its phase and in no other, and only while it is active."""
    trigger = {"name": "t", "condition": condition, "parameters": parameters, "target": "b"}
    member = Member.model_validate({"name": "a", "agent": "a", "handoff_triggers": [trigger]})
    resting = Member.model_validate({"name": "a", "agent": "a", "handoff_triggers": [{**trigger, "active": False}]})
    angry = {"angry": lambda situation: "!" in situation.query}
    found = routing.fired(member, holds, phase, angry)
    assert found is not None
    assert routing.wanted_by(found) == Wanted("b")
    assert routing.fired(member, fails, phase, angry) is None
    assert routing.fired(resting, holds, phase, angry) is None
    assert routing.fired(member, holds, (), angry) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"members": []}, "at least 1"),
        ({"members": [TRIAGE, TRIAGE]}, "two members are named 'triage'"),
        ({"members": [BILLING, changed(BILLING, name="other")]}, "the agent 'billing' is two members"),
        ({"members": [changed(BILLING, role="primary"), changed(TECH, role="primary")]}, "overlap"),
        ({"members": [changed(BILLING, agent=None)]}, "either agent or people"),
        ({"members": [BILLING], "overflow": "backup"}, "no member has that role"),
        ({"members": [BILLING], "escalation_path": [{"level": 1, "target": "nobody"}]}, "no member 'nobody'"),
        ({"members": [BILLING], "escalation_path": [{"level": 1}]}, "either target or target_specialization"),
        (
            {"members": [BILLING], "escalation_path": [{"level": 1, "target_specialization": "law"}]},
            "no member has the specialization 'law'",
        ),
        (
            {
                "members": [BILLING, TECH],
                "escalation_path": [{"level": 1, "target": "tech", "condition": "cost_above"}],
            },
            "needs parameters.usd",
        ),
        (
            {
                "members": [BILLING, TECH],
                "escalation_path": [
                    {
                        "level": 1,
                        "target": "tech",
                        "condition": "failures",
                        "parameters": {"count": 1},
                        "requires_approval": True,
                    }
                ],
            },
            "no time for an approval",
        ),
        (
            {
                "members": [BILLING, PEOPLE],
                "escalation_path": [
                    {"level": 1, "target": "people"},
                    {"level": 2, "target": "billing"},
                    {"level": 3, "target": "people"},
                ],
            },
            "circle",
        ),
        ({"members": [TRIAGE]}, "no member has the specialization 'billing'"),
        ({"members": [changed(PEOPLE, hours={"time_zone": "Mars/Olympus"})]}, "not a time zone"),
        ({"members": [PEOPLE]}, "at least one agent"),
        ({"members": [changed(BILLING, name="a-b"), changed(TECH, name="a_b")]}, "are the same there"),
        (
            {
                "members": [
                    changed(
                        BILLING,
                        handoff_triggers=[{"name": "t", "condition": "always", "target_specialization": "billing"}],
                    )
                ]
            },
            "hands over to the member itself",
        ),
    ],
)
def test_a_team_that_cannot_work_is_refused(wrong: dict[str, Any], says: str) -> None:
    """The error says what is wrong with it."""
    with pytest.raises(ValidationError, match=says):
        Team.model_validate(wrong)
