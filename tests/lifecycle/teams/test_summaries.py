"""Conversations that are summed up for the next agent, whoever handed them over: once, paid once, and kept."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from bootstrap.services import Services
from kernel.errors import AppError, InvalidInput, Unavailable
from kernel.tables import Tables
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_transitions import agents_of
from lifecycle.conversations.session import Session
from lifecycle.conversations.team_assignment import Note
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.team import Team
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from llmops.capacity.pools import Limits, Pool
from llmops.facts.attempt_fact import AttemptFact, Call
from llmops.spend.usage import Spend
from tests.lifecycle.app import abandon
from tests.lifecycle.doubles import Crash, Fate, RepeatingTables, spec
from tests.lifecycle.teams.app import ANN, TeamApp, hands_over, path, speaks
from tests.lifecycle.teams.kit import BILLING, MEMBERS, PEOPLE, TECH, TRIAGE, changed, team

RUN = "01900000-0000-7000-8000-000000000001"
CLERK = "gpt-5-nano"
"""The model of the agent that sums up."""
PATH = [{"level": 1, "target": "tech", "after_s": 600}]
Cause = Callable[[TeamApp, str], Awaitable[Run]]
"""Has the conversation, which triage had first, handed to tech, and returns the run that tech then answered."""


def _team(*members: dict[str, Any], **more: Any) -> Team:
    handoff = {"context": "summary", "summarizer": "clerk", "last_turns": 1} | more.pop("handoff", {})
    return team(*(members or MEMBERS), handoff=handoff, **more)


async def _app(
    value: Team | None = None, clerk: dict[str, Any] | None = None, tables: Tables | None = None, **specs: AgentSpec
) -> tuple[TeamApp, str]:
    """Return the app with a conversation of two messages, and its id."""
    app = TeamApp(tables)
    await app.declare("clerk", spec(model=CLERK, simulate={"reply": "clerk speaking"} | (clerk or {})))
    await app.found(value or _team(), specs)
    return app, (await app.answered("hello")).session_id


async def _facts(app: TeamApp, run: Run) -> Sequence[AttemptFact]:
    facts = app.services.spend.facts
    found = [
        each.fact
        for agent in agents_of(run)
        for each in await facts.of_run("default", agent, run.id, run.created_at, app.clock())
    ]
    return sorted(found, key=lambda fact: fact.attempt)


async def _clerks(app: TeamApp, run: Run) -> Sequence[Call]:
    """Return the summarizer's calls of a run."""
    return [call for fact in await _facts(app, run) for call in fact.calls if call.model == CLERK]


async def _note(app: TeamApp, run: Run) -> tuple[Note, Session]:
    _, session = await app.stored(run)
    assert session.assignment is not None
    assert session.assignment.note is not None
    return session.assignment.note, session


async def _events(app: TeamApp, run: Run) -> list[tuple[str, str]]:
    found = await app.services.conversations.store.events("default", run.session_id, 0, 1000)
    return [(event.name, str(event.data.get("code", ""))) for _, event in found if "summarized" in event.name]


async def _by_model(app: TeamApp, session_id: str) -> Run:
    await app.declare("triage", hands_over("triage", "tech"))
    return await app.answered("my wifi", session_id=session_id)


async def _by_trigger(app: TeamApp, session_id: str) -> Run:
    return await app.answered("it is broken", session_id=session_id)


async def _by_failure(app: TeamApp, session_id: str) -> Run:
    await app.declare("triage", spec(simulate={"fail_first": 100, "fail_with": "rejected"}))
    return await app.answered("my wifi", session_id=session_id)


async def _by_operator(app: TeamApp, session_id: str) -> Run:
    request = HandoffRequest(Wanted("tech"), "operator", "they know more")
    await app.services.teams.handoffs.hand_over("default", session_id, request, app.queue.send)
    return await app.answered("my wifi", session_id=session_id)


async def _by_person(app: TeamApp, session_id: str) -> Run:
    run = await app.answered("let me talk to a person", session_id=session_id)
    since = len(app.queue.sent)
    request = HandoffRequest(Wanted(), "person", "no money is owed")
    await app.services.teams.people.return_("default", session_id, ANN, Wanted("tech"), request, app.queue.send)
    return await app.drained(run, since)


async def _by_escalation(app: TeamApp, session_id: str) -> Run:
    run = await app.answered("let me talk to a person", session_id=session_id)
    since = len(app.queue.sent)
    app.clock.move(minutes=11)
    await app.services.teams.waiting_for_people.sweep(app.queue.send)
    return await app.drained(run, since)


CAUSES = [_by_model, _by_trigger, _by_failure, _by_operator, _by_person, _by_escalation]


@pytest.mark.parametrize("cause", CAUSES)
async def test_an_agent_sums_the_conversation_up_for_the_next_one(cause: Cause) -> None:
    """Whatever the cause: one call more, of the attempt of whoever takes over, in its costs and fact; and kept."""
    broken = {"name": "it", "condition": "keyword_detected", "parameters": {"keywords": ["broken"]}, "target": "tech"}
    fails = {"name": "fails", "condition": "failures", "parameters": {"count": 1}, "target": "tech"}
    triage = changed(TRIAGE, handoff_triggers=[*TRIAGE["handoff_triggers"], broken, fails])
    app, session_id = await _app(_team(triage, BILLING, TECH, PEOPLE, escalation_path=PATH), tech=spec())
    run = await cause(app, session_id)
    more = await app.answered("and now?", session_id=session_id)

    note, session = await _note(app, run)
    assert (note.summary, note.summarizer, session.terms.assignment and session.terms.assignment.first_turn) == (
        "clerk speaking",
        "",
        2,
    )
    assert run.agent == "tech"
    assert "in turn 2; the turn before began '<handoff> You take'" in (run.answer or ""), "the summary, and the query"
    assert "in turn 3;" in (more.answer or "")
    facts = await _facts(app, run)
    assert [(call.number, call.model) for call in facts[-1].calls] == [(1, CLERK), (2, "gpt-4o-mini")]
    assert sum((fact.spend for fact in facts), Spend()) == run.spend
    assert (await _clerks(app, more), run.wasted.cost_micro_usd) == ([], 0)
    assert await _events(app, run) == [("handoff.summarized", "")]


async def test_a_person_reads_the_conversation_itself() -> None:
    """Nobody is paid to sum it up for them; the agent that gets it back has it summed up with what they said."""
    app, session_id = await _app()
    run = await app.answered("let me talk to a person", session_id=session_id)
    (waiting,), _ = await app.services.teams.inbox.page("default", 9)
    assert waiting.session.assignment is not None
    assert waiting.session.assignment.note is not None
    assert (waiting.session.assignment.note.summary, await _clerks(app, run)) == ("", [])
    people = app.services.teams.people
    await people.reply("default", session_id, ANN, "Ann here")
    await people.return_(
        "default", session_id, ANN, Wanted(), HandoffRequest(Wanted(), "person", "done"), app.queue.send
    )
    more = await app.answered("thanks", session_id=session_id)
    note, session = await _note(app, more)
    assert (more.answer, note.summary) == ("triage speaking", "clerk speaking")
    assert session.assignment is not None
    assert session.assignment.first_turn == 4


async def test_a_summary_serves_whoever_takes_over_before_anything_else_is_said() -> None:
    """It is carried on, not paid for again; after another answer there is more to sum up."""
    app, session_id = await _app(billing=hands_over("billing", "tech"))
    run = await app.answered("I want a refund", session_id=session_id)
    note, _ = await _note(app, run)
    assert (path(run), run.answer, note.summary) == (["billing", "tech"], "tech speaking", "clerk speaking")
    assert len(await _clerks(app, run)) == 1
    request = HandoffRequest(Wanted("triage"), "operator", "it is paid")
    await app.services.teams.handoffs.hand_over("default", session_id, request, app.queue.send)
    more = await app.answered("thanks", session_id=session_id)
    assert len(await _clerks(app, more)) == 1
    _, session = await _note(app, more)
    assert session.assignment is not None
    assert session.assignment.first_turn == 4


async def test_the_words_of_a_request_come_first() -> None:
    """With the whole history, or none, by request, nothing is summed up; nor where there is nothing to sum up."""
    for context in ("full", "none"):
        app, session_id = await _app()
        request = HandoffRequest(Wanted("tech"), "operator", "x", context=context)
        await app.services.teams.handoffs.hand_over("default", session_id, request, app.queue.send)
        run = await app.answered("my wifi", session_id=session_id)
        assert (run.agent, await _clerks(app, run)) == ("tech", [])
    first = await app.answered("I want a refund")
    assert (first.agent, await _clerks(app, first), await _events(app, first)) == ("billing", [], [])


async def test_a_summary_that_cannot_be_had_is_done_without() -> None:
    """The next agent is told the last runs instead, an event says why, and nobody tries again once it has answered."""
    app, session_id = await _app(clerk={"fail_first": 100})
    run = await app.answered("I want a refund", session_id=session_id)
    more = await app.answered("and now?", session_id=session_id)
    note, session = await _note(app, run)
    assert session.assignment is not None
    assert (run.answer, note.summary, session.assignment.first_turn) == ("billing speaking", "", 0)
    assert [call.outcome for call in await _clerks(app, run)] == ["refused"]
    assert (run.attempt, await _clerks(app, more)) == (2, [])
    assert await _events(app, run) == [("handoff.not_summarized", "provider_unavailable")]


async def test_an_agent_with_tools_is_no_summarizer() -> None:
    """It is refused with its place; one that gets tools later writes none, and an event says so."""
    app, session_id = await _app()
    await app.declare("clerk", spec(tools=("calculator",)))
    store = app.services.teams.store
    refused: list[tuple[str, list[str]]] = []
    for name in ("clerk", "nobody"):
        with pytest.raises(InvalidInput) as caught:
            await store.put("default", "other", team(*MEMBERS, handoff={"summarizer": name}))
        refused.append((caught.value.code, list(caught.value.fields)))
    assert refused == [
        ("summarizer_has_tools", ["/handoff/summarizer"]),
        ("unknown_member", ["/handoff/summarizer"]),
    ]
    run = await app.answered("I want a refund", session_id=session_id)
    assert (run.answer, run.spend.calls) == ("billing speaking", 1)
    assert await _events(app, run) == [("handoff.not_summarized", "summarizer_has_tools")]


async def test_a_summary_is_within_the_budgets_of_the_run() -> None:
    """What a budget does not allow is not called: the run waits as ever, and is summed up once it goes on."""
    app, session_id = await _app()
    budgets, scope = app.services.budgets.store, parse_scope("agent:billing")
    await budgets.put("default", Budget(scope, (Limit("calls", "total", 1),)), None)
    await app.answered("I want a refund")
    run = await app.answered("a refund", session_id=session_id)
    assert (run.state, run.spend.calls, (await _note(app, run))[0].summary) == ("waiting", 0, "")
    await budgets.put("default", Budget(scope, (Limit("calls", "total", 2),)), None)
    run = await _resumed(app, run)
    assert (run.state, run.spend.calls, (await _note(app, run))[0].summary) == ("waiting", 1, "clerk speaking")
    await budgets.delete("default", scope, None)
    run = await _resumed(app, run)
    assert (run.answer, run.spend.calls, len(await _clerks(app, run))) == ("billing speaking", 2, 1)
    assert await _events(app, run) == [("handoff.not_summarized", "budget_exceeded"), ("handoff.summarized", "")]


async def _resumed(app: TeamApp, run: Run) -> Run:
    since = len(app.queue.sent)
    await app.services.runs.resume.resume("default", run.id, app.queue.send)
    return await app.drained(run, since)


async def test_a_summary_takes_capacity_of_the_summarizers_pool() -> None:
    """If that has none, the run is answered all the same."""
    app, session_id = await _app()
    pool = Pool("clerks", ("clerk",), limits=Limits(tokens_per_minute=1))
    await app.services.capacity.pools.put("default", pool, None)
    run = await app.answered("I want a refund", session_id=session_id)
    assert (run.answer, run.spend.calls) == ("billing speaking", 1)
    assert [name for name, _ in await _events(app, run)] == ["handoff.not_summarized"]


@pytest.mark.parametrize(
    ("after", "error"),
    [(False, Crash), (True, Crash), (True, Unavailable)],
    ids=["before", "after", "in doubt"],
)
async def test_a_conversation_is_summed_up_once(after: bool, error: type[BaseException]) -> None:
    """Whatever died on the way; a call is repeated only if nobody can know what it gave, and all are in the facts.

    Where a call cannot be noted, or fails, the conversation is answered without.
    """
    number = 0
    for number in itertools.count(1):
        app, session_id = await _app()
        request = HandoffRequest(Wanted("billing"), "operator", "they know more")
        await app.services.teams.handoffs.hand_over("default", session_id, request, app.queue.send)
        since = len(app.queue.sent)
        run = await app.asked("a refund", run_id=RUN, session_id=session_id)
        message, fate = app.queue.sent[since], Fate(number, after, error)
        worker = app.worker(fate)
        with contextlib.suppress(Crash, AppError):
            await app.deliver(message, worker=worker)
        await _ended(app, worker)
        for _ in range(3):
            app.clock.move(minutes=3)
            with contextlib.suppress(AppError):
                await app.deliver(message)
        run, session = await app.stored(run)
        note, _ = await _note(app, run)
        facts, calls = await _facts(app, run), await _clerks(app, run)

        assert (run.state, run.answer) == ("succeeded", "billing speaking"), number
        events = await _events(app, run)
        if error is Unavailable and not note.summary:
            assert events == [("handoff.not_summarized", "unavailable")], number
        else:
            assert (note.summary, note.summarizer, events[-1:]) == (
                "clerk speaking",
                "",
                [("handoff.summarized", "")],
            ), number
            assert [call.outcome for call in calls].count("answered") == 1, number
            assert len(events) == 1, number
        assert len(calls) <= 2, number
        assert (session.turns, session.pending) == (4, 0), number
        assert sum((fact.spend for fact in facts), Spend()) == run.spend, number
        assert sum(fact.wasted_micro_usd for fact in facts) == run.wasted.cost_micro_usd, number
        if not fate.struck:
            break
    assert number > 8, "claim, calls, summary, answer, facts"


async def _ended(app: TeamApp, worker: Services) -> None:
    await abandon(worker)
    app.clock.move(seconds=61)


async def test_a_commit_that_is_repeated_sums_up_once() -> None:
    """What is refused was the client's own doing: nothing is paid twice."""
    number = 0
    for number in itertools.count(1):
        app, session_id = await _app(tables=(tables := RepeatingTables()))
        tables.at, tables.count = number, 0
        run = await app.answered("a refund", session_id=session_id)
        struck = tables.count >= number
        tables.at = 0
        assert (run.answer, run.spend.calls, run.attempt) == ("billing speaking", 2, 2), number
        assert (await _note(app, run))[0].summary == "clerk speaking", number
        if not struck:
            break
    assert number > 8


async def test_a_budget_and_an_answer_know_the_calls_apart() -> None:
    """An attempt that fails after its summary keeps it; what failed is the next one's, from the beginning."""
    app, session_id = await _app(billing=speaks("billing", fail_first=2))
    run = await app.asked("a refund", session_id=session_id)
    with contextlib.suppress(AppError):
        await app.drained(run)
    run = await app.drained(run)
    assert (run.answer, run.attempt, len(await _clerks(app, run))) == ("billing speaking", 3, 1)
    assert [len(fact.calls) for fact in await _facts(app, run)] == [0, 2, 1]
