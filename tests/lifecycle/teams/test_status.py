"""How a team is doing is read from what there is, and says what is worth looking at."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.metrics.stored_gauges import of_teams
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from lifecycle.teams.person_actions import Caller
from lifecycle.teams.status import HopRow, routes_of
from llmops.metrics.exposition import exposition
from tests.lifecycle.teams.app import ANN, team_app
from tests.lifecycle.teams.kit import MEMBERS, PEOPLE, changed, team

members = st.sampled_from(["a", "b", "c"])


async def test_a_status_says_who_has_what_and_what_comes_back() -> None:
    """Workload, waits, handoffs by member, time to answer, and insights."""
    app = await team_app()
    runs = [await app.answered("hello") for _ in range(5)]
    for number, run in enumerate(runs):
        for target in ("billing", "triage") if number < 3 else ("billing",):
            request = HandoffRequest(Wanted(target), "operator", "x")
            await app.services.teams.handoffs.hand_over("default", run.session_id, request, app.queue.send)
    run = await app.answered("a person, please")
    await app.answered("a person, please")
    app.clock.move(seconds=90)
    await app.services.teams.people.reply("default", run.session_id, ANN, "Hello")
    status = await app.services.teams.status.of("default", "support")
    by_name = {each.member.name: each for each in status.members}
    assert {name: each.workload for name, each in by_name.items()} == {
        "triage": 3,
        "billing": 2,
        "tech": 0,
        "people": 2,
    }
    people = by_name["people"]
    assert (people.waiting, people.longest_wait_s, people.replies, people.answer_s) == (1, 90, 1, 90)
    assert (status.conversations, status.waiting_for_member, status.handoffs) == (7, 0, 8)
    assert status.by == {"operator": 8}
    assert [(route.source, route.target, route.handoffs, route.returned) for route in status.routes] == [
        ("triage", "billing", 5, 3),
        ("billing", "triage", 3, 0),
    ]
    assert status.insights == ["60% of billing handoffs come back."]
    app.clock.move(days=31)
    later = await app.services.teams.status.of("default", "support")
    assert (later.handoffs, later.insights) == (0, [])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(members, min_size=1, max_size=6), max_size=6))
def test_every_handoff_is_counted_once(trails: list[list[str]]) -> None:
    """And no more of them come back than there are."""
    hops = [
        HopRow(str(session), number, source, target, "model")
        for session, trail in enumerate(trails)
        for number, (source, target) in enumerate(itertools.pairwise(trail))
    ]
    routes = routes_of(reversed(hops))
    assert sum(route.handoffs for route in routes) == len(hops)
    assert all(0 <= route.returned <= route.handoffs for route in routes)


async def test_handoffs_escalations_and_answers_are_metrics_figures_of_alert_rules_and_analytics() -> None:
    """Of the window; a share and a mean are left out where they rest on nothing."""
    lead = changed(PEOPLE, name="lead", people=["lea@example.com"], specialization="lead")
    path = [{"level": 1, "target": "lead", "after_s": 600}]
    app = await team_app(value=team(*MEMBERS, lead, escalation_path=path))
    figures = app.services.alerts.workspace_state.sources["handoffs"]
    quiet = await figures("default", app.clock() - timedelta(hours=1), app.clock())
    run = await app.answered("a person, please")
    app.clock.move(minutes=10)
    await app.services.teams.waiting_for_people.sweep(app.queue.send)
    app.clock.move(minutes=1)
    await app.services.teams.people.reply("default", run.session_id, Caller("lea@example.com"), "Lea here")
    hop = HandoffRequest(Wanted("tech"), "operator", "x")
    await app.services.teams.handoffs.hand_over("default", run.session_id, hop, app.queue.send)
    hour = await figures("default", app.clock() - timedelta(hours=1), app.clock())
    await app.services.conversations.publisher.flush()
    analytics = await app.services.status.analytics.read(
        app.services.status.today("default"), app.clock().date(), app.clock().date()
    )
    (of_team,) = await app.services.teams.figures.read("default", app.clock() - timedelta(days=7))
    counted = await app.services.events.daily_counts.handoffs("default")
    text = exposition(list(of_teams([of_team], counted)))
    app.clock.move(hours=2)
    later = await figures("default", app.clock() - timedelta(hours=1), app.clock())

    nothing = {"conversations_waiting_for_member": 0.0, "handoffs": 0.0, "escalations": 0.0}
    assert quiet == later == nothing
    assert hour == nothing | {
        "handoffs": 2.0,
        "escalations": 1.0,
        "handoffs_returned_share": 0.0,
        "person_answer_s": 60.0,
    }
    assert counted == analytics.handoffs == {("support", "escalation"): 1, ("support", "operator"): 1}
    for line in (
        'agent_team_handoffs_total{by="escalation",team="support"} 1.0',
        'agent_team_workload{member="tech",team="support"} 1.0',
        'agent_team_waiting{for="person",team="support"} 0.0',
        'agent_team_answer_time_seconds{team="support"} 60.0',
    ):
        assert line in text.splitlines()


async def test_what_waits_for_people_is_a_figure_of_alert_rules() -> None:
    """What somebody has taken does not wait any more."""
    app = await team_app()
    await app.answered("a person, please")
    run = await app.answered("a person, please")
    app.clock.move(minutes=5)
    await app.services.teams.people.claim("default", run.session_id, ANN)
    sources = app.services.alerts.workspace_state.sources
    found = await sources["conversations_waiting"]("default", app.clock(), app.clock())
    assert found == {"conversations_waiting": 1.0, "person_wait_s": 300.0}
