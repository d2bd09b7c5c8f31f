"""A run that goes on with another member: one answer, its hops and costs noted, and never lost."""

from __future__ import annotations

import contextlib

import pytest

from kernel.errors import AppError, Conflict, InvalidInput, NotFound
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_transitions import agents_of
from lifecycle.conversations.session import SessionState
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from tests.lifecycle.app import TOOLED
from tests.lifecycle.doubles import spec
from tests.lifecycle.teams.app import ANN, hands_over, path, speaks, team_app
from tests.lifecycle.teams.kit import BILLING, MEMBERS, PEOPLE, TECH, TRIAGE, changed, team


async def test_a_conversation_stays_with_the_member_it_was_given_to() -> None:
    """The reason is kept with the run, and what is asked next goes to the same member."""
    app = await team_app()
    run = await app.answered("my wifi is slow")
    assert (run.state, run.answer, run.agent) == ("succeeded", "tech speaking", "tech")
    assert run.team is not None
    assert run.team.reason == "tech: it can do wifi"
    more = await app.answered("and a refund", session_id=run.session_id)
    assert (more.answer, path(more)) == ("tech speaking", [])
    assert await app.loads() == {"tech": 1}


async def test_the_model_hands_over_and_the_same_run_is_answered_by_the_next_agent() -> None:
    """One answer in one run; the hop says why and what it cost, and both agents' facts are there."""
    app = await team_app(triage=hands_over("triage", "tech"))
    run = await app.answered("hello")
    assert (run.state, run.answer, run.agent) == ("succeeded", "tech speaking", "tech")
    assert run.team is not None
    (hop,) = run.team.hops
    assert (hop.source, hop.target, hop.by) == ("triage", "tech", "model")
    assert 0 < hop.cost_micro_usd < run.spend.cost_micro_usd
    assert run.wasted.cost_micro_usd == 0
    turns = await app.turns(run)
    assert [(turn.role, turn.text) for turn in turns] == [("user", "hello"), ("assistant", "tech speaking")]
    kept = [
        (each.fact.who.agent, each.fact.ending.value, each.fact.wasted_micro_usd)
        for agent in agents_of(run)
        for each in await app.services.spend.facts.of_run("default", agent, run.id, run.created_at, app.clock())
    ]
    assert kept == [("triage", "handed_over", 0), ("tech", "succeeded", 0)]
    names = await app.event_names(run)
    assert [name for name in names if name.startswith("handoff")] == ["handoff.initiated", "handoff.completed"]
    assert await app.loads() == {"tech": 1}
    _, session = await app.stored(run)
    assert (session.agent, session.pending, session.spend) == ("tech", 0, run.spend)


async def test_a_trigger_hands_over_before_the_model_is_asked() -> None:
    """A keyword of a later run costs nothing with the member that hands over."""
    app = await team_app()
    first = await app.answered("hello")
    second = await app.answered("I want a refund", session_id=first.session_id)
    assert (first.answer, second.answer) == ("triage speaking", "billing speaking")
    assert second.dispatch.team is not None
    (hop,) = second.dispatch.team.hops
    assert (hop.by, hop.cost_micro_usd) == ("trigger", 0)
    assert "money" in hop.reason
    third = await app.answered("thanks", session_id=first.session_id)
    assert third.answer == "billing speaking"


async def test_an_answer_below_a_quality_is_not_given() -> None:
    """The next member answers instead, and what the first one spent is not wasted."""
    trigger = {"name": "bad", "condition": "quality_below", "parameters": {"below": 100}, "target": "tech"}
    value = team(changed(TRIAGE, handoff_triggers=[trigger]), TECH)
    scored = {"evaluation": {"checks": ["relevance"]}}
    first = speaks("triage")
    app = await team_app(value=value, triage=first)
    run = await app.answered("What is the capital of France?", expected_topics=["Paris"])
    assert run.team is not None
    assert (run.answer, path(run)) == ("tech speaking", ["tech"]), (scored, run.score)


async def test_failures_hand_over() -> None:
    """A trigger on failures in a row, and any member that would not try again; nobody's failure loses the run."""
    trigger = {"name": "twice", "condition": "failures", "parameters": {"count": 2}, "target": "tech"}
    value = team(changed(TRIAGE, handoff_triggers=[trigger]), TECH)
    app = await team_app(value=value, triage=speaks("triage", fail_first=100))
    run = await app.asked()
    for _ in range(2):
        stored, _ = await app.stored(run)
        if not stored.finished:
            await app.requeued(app.queue.sent[0])
            app.clock.move(minutes=1)
    stored, _ = await app.stored(run)
    assert (stored.answer, stored.attempt, path(stored)) == ("tech speaking", 3, ["tech"])
    assert stored.wasted.calls == stored.spend.calls - 1

    rejecting = await team_app(
        value=team(changed(TRIAGE, handoff_triggers=[]), TECH),
        triage=speaks("triage", fail_first=100, fail_with="rejected"),
    )
    other = await rejecting.answered()
    assert (other.answer, path(other)) == ("tech speaking", ["tech"])
    assert other.dispatch.team is not None
    assert other.dispatch.team.hops[0].by == "failure"


async def test_ping_pong_is_bounded() -> None:
    """Two agents that always hand over to one another: one answer, within the hops allowed, which an event reports."""
    app = await team_app(
        value=team(changed(TRIAGE, handoff_triggers=[]), TECH, handoff={"max_hops": 5, "max_returns": 1}),
        triage=hands_over("triage", "tech"),
        tech=hands_over("tech", "triage"),
    )
    run = await app.answered()
    assert run.state is RunState.SUCCEEDED
    assert path(run) == ["tech", "triage", "tech"]
    assert run.answer == "tech speaking"
    found = await app.services.conversations.store.events("default", run.session_id, 0, 1000)
    told = [event.data for _, event in found if event.name == "handoff.limit_reached"]
    assert told == [{"run_id": run.id, "team": "support", "target": "tech", "hops": 3}]


async def test_a_target_that_is_full_or_disabled_is_passed_over() -> None:
    """The next by rule, else a person; a model that nobody can take over from answers itself."""
    second = changed(BILLING, name="billing2", agent="billing2")
    app = await team_app(value=team(TRIAGE, BILLING, second, TECH, PEOPLE), triage=hands_over("triage", "billing"))
    await app.services.agents.administration.switch("default", "billing", app.signals, enabled=False)
    run = await app.answered("hello")
    assert (run.answer, path(run)) == ("billing2 speaking", ["billing2"])
    await app.services.agents.administration.switch("default", "billing2", app.signals, enabled=False)
    other = await app.answered("hello")
    assert (other.state, path(other)) == ("waiting", ["people"])

    alone = await team_app(
        value=team(changed(TRIAGE, handoff_triggers=[]), BILLING), triage=hands_over("triage", "billing")
    )
    await alone.services.agents.administration.switch("default", "billing", alone.signals, enabled=False)
    answer = await alone.answered("hello")
    assert (answer.answer, path(answer)) == ("triage speaking", [])


@pytest.mark.parametrize("fails_with", ["rejected", "unavailable"])
async def test_what_no_agent_can_answer_is_a_persons(fails_with: str) -> None:
    """Each agent fails once; then a person has it, however few handoffs are allowed. Without people it has failed."""
    failing = spec(simulate={"fail_first": 100, "fail_with": fails_with})
    agents = dict.fromkeys(("triage", "billing", "tech"), failing)
    fails = {"name": "fails", "condition": "failures", "parameters": {"count": 1}, "target": "tech"}
    for members, state in (
        ([changed(TRIAGE, handoff_triggers=[fails]), BILLING, TECH, PEOPLE], RunState.WAITING),
        ([changed(TRIAGE, handoff_triggers=[]), BILLING, TECH], RunState.FAILED),
    ):
        app = await team_app(value=team(*members, handoff={"max_hops": 3}), **agents)
        run = await app.asked("hello", run_id="0190f6a0-0000-7000-8000-000000000007")
        for _ in range(12):
            with contextlib.suppress(AppError):
                await app.deliver(app.queue.sent[0])
            run = (await app.stored(run))[0]
        assert run.state is state
        if state is RunState.WAITING:
            assert path(run)[-1] == "people"
            answered = await app.services.teams.people.reply("default", run.session_id, ANN, "Ann here")
            assert answered.answer == "Ann here"
        else:
            assert path(run) == ["billing", "tech"]


async def test_an_operator_hands_over() -> None:
    """What is asked next goes to the new member; whoever had it has room again."""
    app = await team_app()
    run = await app.answered("hello")
    request = HandoffRequest(Wanted(specialization="billing"), "operator", "they asked for it", ("order 7",))
    session = await app.services.teams.handoffs.hand_over("default", run.session_id, request, app.queue.send)
    assert session.assignment is not None
    assert (session.assignment.member, session.agent) == ("billing", "billing")
    assert await app.loads() == {"billing": 1}
    more = await app.answered("and now?", session_id=run.session_id)
    assert more.answer == "billing speaking"


@pytest.mark.parametrize(
    ("wanted", "error", "code"),
    [
        (Wanted("triage"), InvalidInput, "handoff_to_self"),
        (Wanted("nobody"), InvalidInput, "unknown_member"),
        (Wanted(specialization="poetry"), InvalidInput, "unknown_specialization"),
    ],
)
async def test_a_handoff_that_cannot_be_is_refused(wanted: Wanted, error: type[Exception], code: str) -> None:
    """The error says why, and nothing changes."""
    app = await team_app()
    run = await app.answered("hello")
    with pytest.raises(error) as caught:
        await app.services.teams.handoffs.hand_over(
            "default", run.session_id, HandoffRequest(wanted, "operator", ""), app.queue.send
        )
    assert getattr(caught.value, "code", "") == code
    assert (await app.stored(run))[1].agent == "triage"


async def test_only_conversations_of_a_team_change_hands() -> None:
    """Not one with an agent, nor one that has ended, nor what there is not; and an agent is not asked in a team's."""
    app = await team_app()
    await app.declare("bot")
    plain = await app.ask("hello")
    request = HandoffRequest(Wanted("tech"), "operator", "")
    with pytest.raises(Conflict, match="no team"):
        await app.services.teams.handoffs.hand_over("default", plain.session_id, request, app.queue.send)
    with pytest.raises(NotFound):
        await app.services.teams.handoffs.hand_over("default", "nothing", request, app.queue.send)
    run = await app.answered("hello")
    with pytest.raises(Conflict, match="team"):
        await app.submit("hello", agent="triage", session_id=run.session_id)
    with pytest.raises(Conflict, match="not with this team"):
        await app.asked("hello", session_id=plain.session_id)
    await app.services.sessions.end.end("default", run.session_id)
    with pytest.raises(Conflict, match="has ended"):
        await app.services.teams.handoffs.hand_over("default", run.session_id, request, app.queue.send)


@pytest.mark.parametrize(("context", "told"), [("full", 2), ("last", 2), ("summary", 2), ("none", 0)])
async def test_the_next_agent_is_told_as_much_as_the_team_says(context: str, told: int) -> None:
    """And always the note and what is asked; the transcript itself stays whole."""
    app = await team_app(value=team(*MEMBERS, handoff={"context": context, "last_turns": 1}))
    run = await app.answered("hello")
    first = await app.answered("I want a refund", session_id=run.session_id)
    _, session = await app.stored(first)
    assert session.assignment is not None
    assert session.assignment.first_turn == 2 - told
    assert session.assignment.note is not None
    assert len(await app.turns(first)) == 4
    assert session.state is SessionState.ACTIVE


async def test_the_same_run_asked_again_is_the_same_run() -> None:
    """Also where another member would be asked by now; it takes no second seat."""
    app = await team_app()
    first = await app.asked("hello", run_id="0190f6a0-0000-7000-8000-000000000001")
    await app.drained(first)
    again = await app.asked("hello", run_id=first.id)
    assert (again.id, again.session_id, again.answer) == (first.id, first.session_id, "triage speaking")
    with pytest.raises(Conflict, match="idempotency"):
        await app.asked("something else", run_id=first.id)
    assert await app.loads() == {"triage": 1}


async def test_a_condition_of_an_extension_hands_over() -> None:
    """One that fails does not hold; a team that names one that is not there is refused."""
    triggers = [
        {"name": "broken", "condition": "extension:broken", "target": "billing", "priority": 90},
        {"name": "angry", "condition": "extension:angry", "target": "tech"},
    ]
    app = await team_app(
        value=team(changed(TRIAGE, handoff_triggers=triggers), BILLING, TECH),
        extensions="tests.lifecycle.teams.own_conditions",
    )
    assert (await app.answered("WHERE IS MY ORDER")).answer == "tech speaking"
    assert (await app.answered("where is my order")).answer == "triage speaking"
    absent = changed(TRIAGE, handoff_triggers=[{"name": "a", "condition": "extension:absent", "target": "tech"}])
    with pytest.raises(InvalidInput) as caught:
        await app.services.teams.store.put("default", "other", team(absent, BILLING, TECH))
    assert (caught.value.code, list(caught.value.fields)) == (
        "unknown_condition",
        ["/members/0/handoff_triggers/0/condition"],
    )


async def test_a_declared_tool_hands_over_like_one_that_is_offered() -> None:
    """As Foundry's agents have it, whose versions say all their tools; an agent outside a team may declare it, too."""
    declared = hands_over("triage", "tech").model_copy(update={"tools": ("handoff_to_tech",)})
    app = await team_app(triage=declared)
    run = await app.answered("hello")
    assert (run.answer, path(run)) == ("tech speaking", ["tech"])
    alone = await app.ask("hello", agent="triage")
    assert (alone.state, alone.answer) == ("succeeded", "triage speaking")


async def test_what_waits_for_a_budget_goes_on_with_the_next_agent_from_the_beginning() -> None:
    """What the first agent's tools have returned is not told to the second, and what that cost is wasted."""
    app = await team_app(triage=TOOLED)
    budget = Budget(parse_scope("agent:triage"), (Limit("calls", "total", 1),))
    await app.services.budgets.store.put("default", budget, None)
    run = await app.answered("2 + 3")
    assert (run.state, run.costs.progress is None) == ("waiting", False)
    request = HandoffRequest(Wanted("tech"), "operator", "x")
    await app.services.teams.handoffs.hand_over("default", run.session_id, request, app.queue.send)
    since = len(app.queue.sent)
    await app.services.runs.resume.resume("default", run.id, app.queue.send)
    done = await app.drained(run, since)
    assert (done.answer, path(done), done.wasted.calls) == ("tech speaking", ["tech"], 1)


async def test_what_waits_for_an_approval_does_not_change_hands() -> None:
    """It is decided first; nothing changes."""
    asking = spec(tools=("calculator",), simulate={"call_tool": "calculator"}, approvals=[{"tools": ["calculator"]}])
    app = await team_app(triage=asking)
    run = await app.answered("2 + 3")
    assert run.state == "waiting"
    request = HandoffRequest(Wanted("tech"), "operator", "x")
    with pytest.raises(Conflict) as caught:
        await app.services.teams.handoffs.hand_over("default", run.session_id, request, app.queue.send)
    assert caught.value.code == "approval_pending"
    assert (await app.stored(run))[1].agent == "triage"
