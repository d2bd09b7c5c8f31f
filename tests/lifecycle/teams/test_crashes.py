"""Every way a worker can die while a conversation changes hands: one answer, one seat, and no conversation lost."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from bootstrap.services import Services
from kernel.errors import AppError, Conflict, Unavailable
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_transitions import agents_of
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from llmops.spend.usage import Spend
from tests.lifecycle.app import abandon
from tests.lifecycle.doubles import Crash, Fate
from tests.lifecycle.teams.app import ANN, TeamApp, hands_over, speaks, team_app

RUN = "01900000-0000-7000-8000-000000000001"
STRUCK = pytest.mark.parametrize(("after", "error"), [(False, Crash), (True, Crash)], ids=["before", "after"])
IN_DOUBT = pytest.mark.parametrize(
    ("after", "error"),
    [(False, Crash), (True, Crash), (True, Unavailable)],
    ids=["before", "after", "in doubt"],
)
Step = Callable[[TeamApp, Services], Awaitable[object]]


async def _struck(app: TeamApp, step: Step, fate: Fate) -> None:
    """Take a step with a worker that is struck, and then again with one that is not, as whoever asked for it does."""
    worker = app.worker(fate)
    with contextlib.suppress(Crash, AppError):
        await step(app, worker)
    await abandon(worker)
    if fate.struck:
        app.clock.move(seconds=61)
        with contextlib.suppress(Conflict):  # it took effect
            await step(app, app.services)


async def _settled(app: TeamApp) -> None:
    """Do what timers do, and deliver what is queued, until nothing is left."""
    for _ in range(3):
        app.clock.move(minutes=3)
        await app.services.conversations.pause.finish(app.queue.send)
        await app.services.teams.waiting_for_people.sweep(app.queue.send)
        await app.services.teams.waiting_sessions.sweep(app.queue.send)
        for message in app.queue.sent:
            with contextlib.suppress(AppError):
                await app.deliver(message)
    app.clock.move(minutes=11)


async def _check(app: TeamApp, answer: str, holder: str, turns: int = 2) -> Run:
    """Check what must hold of a conversation whose run was answered, whatever happened on the way."""
    place = await app.services.conversations.directory.find_run("default", RUN)
    assert place is not None
    stored = await app.services.conversations.store.load("default", place.session_id, RUN)
    run, session = stored.run, stored.session
    assert run is not None
    assert session is not None
    assert (run.state, run.answer) == ("succeeded", answer)
    assert len(await app.turns(run)) == turns
    assert (session.pending, session.counters.failures) == (0, 0)
    assert await app.loads() == {holder: 1}
    facts = [
        kept.fact
        for agent in agents_of(run)
        for kept in await app.services.spend.facts.of_run("default", agent, RUN, run.created_at, app.clock())
    ]
    numbers = sorted(fact.attempt for fact in facts)
    assert numbers == list(range(1, len(facts) + 1))
    assert sum((fact.spend for fact in facts), Spend()) == run.spend
    assert sum(fact.wasted_micro_usd for fact in facts) == run.wasted.cost_micro_usd
    return run


@STRUCK
async def test_a_run_is_asked_of_a_team_once(after: bool, error: type[BaseException]) -> None:
    """However often, and whatever died on the way: one session, with one member, that has one seat for it."""
    number = 0
    for number in itertools.count(1):
        app, fate = await team_app(), Fate(number, after, error)

        async def submit(app: TeamApp, worker: Services) -> None:
            await app.asked("hello", run_id=RUN, worker=worker)

        await _struck(app, submit, fate)
        await _settled(app)
        run = await _check(app, "triage speaking", "triage")
        assert run.team is not None
        if not fate.struck:
            break
    assert number > 4, "seat, indexes, run"


@IN_DOUBT
async def test_a_run_that_is_handed_over_is_answered_once(after: bool, error: type[BaseException]) -> None:
    """By the next agent, with every attempt's fact, though the worker died at any effect of it."""
    number = 0
    for number in itertools.count(1):
        app = await team_app(triage=hands_over("triage", "tech"))
        await app.asked("hello", run_id=RUN)
        fate = Fate(number, after, error)

        async def deliver(app: TeamApp, worker: Services) -> None:
            await app.deliver(app.queue.sent[0], worker=worker)

        await _struck(app, deliver, fate)
        await _settled(app)
        run = await _check(app, "tech speaking", "tech")
        assert run.team is not None
        assert [hop.target for hop in run.team.hops] == ["tech"]
        if not fate.struck:
            break
    assert number > 9, "claim, calls, seat, indexes, handoff, facts, answer"


@STRUCK
async def test_a_run_that_is_handed_to_a_person_is_in_the_inbox(after: bool, error: type[BaseException]) -> None:
    """And waits there once, until somebody answers it, though the worker died at any effect of the handoff."""
    number = 0
    for number in itertools.count(1):
        app = await team_app(triage=hands_over("triage", "people"))
        await app.asked("hello", run_id=RUN)
        fate = Fate(number, after, error)

        async def deliver(app: TeamApp, worker: Services) -> None:
            await app.deliver(app.queue.sent[0], worker=worker)

        await _struck(app, deliver, fate)
        await _settled(app)
        found, _ = await app.services.teams.inbox.page("default", 50)
        assert len(found) == 1
        await app.services.teams.people.reply("default", found[0].session.id, ANN, "Ann here")
        await _check(app, "Ann here", "people")
        assert (await app.services.teams.inbox.page("default", 50))[0]
        if not fate.struck:
            break
    assert number > 6


@STRUCK
async def test_a_question_after_a_cancelled_one_is_in_the_inbox(after: bool, error: type[BaseException]) -> None:
    """Once, since it was asked, though the worker died at any effect of accepting it."""
    number = 0
    for number in itertools.count(1):
        app = await team_app()
        first = await app.answered("a person, please")
        await app.services.runs.cancel.cancel("default", first.id, app.queue.send)
        app.clock.move(minutes=20)
        fate = Fate(number, after, error)

        async def ask(app: TeamApp, worker: Services) -> None:
            await app.asked("and now?", run_id=RUN, worker=worker, session_id=first.session_id)  # noqa: B023

        await _struck(app, ask, fate)
        asked_at = app.clock()
        await _settled(app)
        ((session,), _) = await app.services.teams.inbox.page("default", 50)
        assert session.session.assignment is not None
        assert session.session.assignment.person_wait is not None
        assert asked_at - session.session.assignment.person_wait.since <= timedelta(seconds=61)
        await app.services.teams.people.reply("default", first.session_id, ANN, "Ann here")
        await _check(app, "Ann here", "people")
        if not fate.struck:
            break
    assert number > 4, "inbox, due, index, run"


@STRUCK
async def test_a_person_answers_and_gives_back_once(after: bool, error: type[BaseException]) -> None:
    """The answer is one turn; what was asked meanwhile is answered by the agent, though they died at any effect."""
    number = 0
    for number in itertools.count(1):
        app = await team_app(triage=hands_over("triage", "people"))
        run = await app.answered("hello", run_id=RUN)
        more = await app.asked("still there?", session_id=run.session_id)
        await app.declare("triage", speaks("triage"))
        fate = Fate(number, after, error)

        async def work(app: TeamApp, worker: Services) -> None:
            people, session_id = worker.teams.people, run.session_id  # noqa: B023 - called within this round
            with contextlib.suppress(Conflict):
                if (await worker.runs.queries.get("default", RUN)).state == "waiting":
                    await people.reply("default", session_id, ANN, "Ann here")
            request = HandoffRequest(Wanted(), "person", "done")
            await people.return_("default", session_id, ANN, Wanted(), request, app.queue.send)

        await _struck(app, work, fate)
        await _settled(app)
        await _check(app, "Ann here", "triage", turns=4)
        answered, session = await app.stored(more)
        assert answered.answer == "triage speaking"
        assert (session.resuming, session.on_hold) == (False, False)
        assert not (await app.services.teams.inbox.page("default", 50))[0]
        if not fate.struck:
            break
    assert number > 6


@STRUCK
async def test_an_operator_hands_over_once(after: bool, error: type[BaseException]) -> None:
    """Also a conversation that waits for a person: the run that waits is answered by the agent, and has one hop."""
    number = 0
    for number in itertools.count(1):
        app = await team_app()
        run = await app.answered("a person, please", run_id=RUN)
        fate = Fate(number, after, error)

        async def hand_over(app: TeamApp, worker: Services) -> None:
            request = HandoffRequest(Wanted("billing"), "operator", "nobody is there", source="people")
            await worker.teams.handoffs.hand_over("default", run.session_id, request, app.queue.send)  # noqa: B023

        await _struck(app, hand_over, fate)
        await _settled(app)
        done = await _check(app, "billing speaking", "billing")
        assert done.dispatch.team is not None
        assert [hop.target for hop in done.dispatch.team.hops] == ["billing"]
        if not fate.struck:
            break
    assert number > 5
