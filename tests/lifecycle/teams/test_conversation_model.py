"""Whatever happens to a conversation, in whatever order, with workers dying on the way: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.services import Services
from kernel.errors import AppError
from lifecycle.conversations.run_transitions import agents_of
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from llmops.spend.usage import Spend
from tests.lifecycle.app import abandon
from tests.lifecycle.doubles import Crash, Fate
from tests.lifecycle.teams.app import ANN, TeamApp, hands_over, speaks
from tests.lifecycle.teams.kit import MEMBERS, team

SESSION = "talk"
PATH = [{"level": 1, "target": "billing", "after_s": 900}]


@dataclass(frozen=True)
class Act:
    """Something that somebody does, and the effect of it at which the worker dies."""

    what: str
    target: str
    dies_at: int | None
    after: bool


acts = st.lists(
    st.builds(
        Act,
        what=st.sampled_from(
            ["ask", "ask", "ask", "refund", "person", "deliver", "hand_over", "reply", "return", "escalate"]
        ),
        target=st.sampled_from(["triage", "billing", "tech", "people"]),
        dies_at=st.one_of(st.none(), st.none(), st.integers(1, 14)),
        after=st.booleans(),
    ),
    min_size=2,
    max_size=7,
)


async def _do(app: TeamApp, act: Act, worker: Services, number: int) -> None:
    queries = {"ask": "hello", "refund": "a refund", "person": "a person"}
    people = worker.teams.people
    note = HandoffRequest(Wanted(), "person", "done")
    if act.what in queries:
        run_id = f"01900000-0000-7000-8000-{number:012d}"
        await app.asked(queries[act.what], run_id=run_id, session_id=SESSION, worker=worker)
    elif act.what == "deliver":
        for message in list(app.queue.sent)[-2:]:
            await app.deliver(message, worker=worker)
    elif act.what == "hand_over":
        request = HandoffRequest(Wanted(act.target), "operator", "so it goes")
        await worker.teams.handoffs.hand_over("default", SESSION, request, app.queue.send)
    elif act.what == "escalate":
        app.clock.move(minutes=16)
        await worker.teams.waiting_for_people.sweep(app.queue.send)
    elif act.what == "reply":
        await people.reply("default", SESSION, ANN, "Ann here")
    else:
        await people.return_("default", SESSION, ANN, Wanted(), note, app.queue.send)


async def _play(story: list[Act]) -> None:
    app = TeamApp()
    await app.declare("clerk", speaks("clerk"))
    handoff = {"context": "summary", "summarizer": "clerk"}
    await app.found(team(*MEMBERS, handoff=handoff, escalation_path=PATH), {"tech": hands_over("tech", "billing")})
    asked: set[str] = set()
    for number, act in enumerate(story):
        fate = Fate(act.dies_at, act.after)
        worker = app.worker(fate)
        with contextlib.suppress(Crash, AppError):
            await _do(app, act, worker, number)
        await abandon(worker)
        if act.what in ("ask", "refund", "person"):
            with contextlib.suppress(AppError):
                await _do(app, act, app.services, number)  # whoever asked asks again
                asked.add(f"01900000-0000-7000-8000-{number:012d}")
        app.clock.move(seconds=61)
    await _come_to_rest(app)
    stored = await app.services.conversations.store.load("default", SESSION)
    if stored.session is None:
        assert not asked
        return
    runs = [run async for run in app.services.conversations.store.runs("default", SESSION)]
    session = stored.session
    assert {run.id for run in runs} >= asked
    assert {run.state.value for run in runs} <= {"succeeded"}
    assert (session.pending, session.turns) == (0, 2 * len(runs))
    assert session.spend == sum((run.spend for run in runs), Spend())
    assert session.assignment is not None
    note = session.assignment.note
    assert note is None or note.summary in ("", "clerk speaking")
    found = await app.services.conversations.store.events("default", SESSION, 0, 1000)
    names = [event.name for _, event in found]
    assert names.count("handoff.summarized") <= names.count("handoff.initiated")
    assert "handoff.not_summarized" not in names
    assert await app.loads() == {session.assignment.member: 1}
    for run in runs:
        facts = [
            kept.fact
            for agent in agents_of(run)
            for kept in await app.services.spend.facts.of_run("default", agent, run.id, run.created_at, app.clock())
        ]
        assert sum((fact.spend for fact in facts), Spend()) == run.spend
        assert sorted(fact.attempt for fact in facts) == list(range(1, run.attempt + 1))


async def _come_to_rest(app: TeamApp) -> None:
    """Have timers, the queue and Ann do what is to be done."""
    for _ in range(6):
        app.clock.move(minutes=3)
        await app.services.conversations.pause.finish(app.queue.send)
        await app.services.teams.waiting_for_people.sweep(app.queue.send)
        for message in list(app.queue.sent):
            with contextlib.suppress(AppError):
                await app.deliver(message)
        with contextlib.suppress(AppError):
            for _ in range(10):
                await app.services.teams.people.reply("default", SESSION, ANN, "Ann here")
    app.clock.move(minutes=11)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts)
def test_every_run_of_a_conversation_is_answered_once_whoever_has_it(story: list[Act]) -> None:
    """By an agent or by a person; with one seat, one turn each way, and every attempt's cost in the facts."""
    asyncio.run(_play(story))
