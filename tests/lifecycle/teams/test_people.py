"""People in a conversation: it waits for them, is theirs alone, is answered once, and goes back to an agent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernel.errors import AppError, Conflict, Forbidden, InvalidInput, NotFound
from kernel.tables import Span, every
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import Session
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from lifecycle.teams.person_actions import Caller
from llmops.notifications.notification import NOTIFICATION, Notification
from tests.lifecycle.teams.app import ANN, BOB, EVE, TeamApp, hands_over, path, team_app
from tests.lifecycle.teams.kit import BILLING, MEMBERS, PEOPLE, TECH, TRIAGE, changed, team

NOTE = HandoffRequest(Wanted(), "person", "the refund is agreed", ("refund of 20 USD agreed",), ("which account?",))


async def _waiting(app: TeamApp | None = None, **more: Any) -> tuple[TeamApp, Run]:
    """Return a run that waits for a person."""
    app = app or await team_app()
    run = await app.answered("let me talk to a person", **more)
    assert run.state == "waiting"
    return app, run


async def _return(app: TeamApp, run: Run, caller: Caller = ANN, wanted: Wanted | None = None) -> Session:
    people = app.services.teams.people
    return await people.return_("default", run.session_id, caller, wanted or Wanted(), NOTE, app.queue.send)


async def _inbox(app: TeamApp) -> list[str]:
    found, _ = await app.services.teams.inbox.page("default", 50)
    return [waiting.session.id for waiting in found]


async def test_an_answer_to_a_named_run_can_be_sent_again() -> None:
    """It answers that run once, and not the next question; another answer to it is refused."""
    app, first = await _waiting()
    second = await app.answered("and another thing", session_id=first.session_id)
    reply = app.services.teams.people.reply
    answers = [await reply("default", first.session_id, ANN, "Yes.", first.id) for _ in range(2)]
    with pytest.raises(Conflict) as other:
        await reply("default", first.session_id, ANN, "No.", first.id)
    with pytest.raises(NotFound):
        await reply("default", first.session_id, ANN, "Yes.", "01900000-0000-7000-8000-000000000009")

    assert [(run.id, run.answer) for run in answers] == [(first.id, "Yes.")] * 2
    assert other.value.code == "nothing_to_answer"
    assert (await app.stored(second))[0].state == "waiting"


async def test_a_conversation_waits_for_a_person_who_takes_it_and_answers() -> None:
    """The answer is a turn with its author, the run is done, and who waits for it is told; nothing is paid for it."""
    app, run = await _waiting()
    assert await _inbox(app) == [run.session_id]
    await app.services.teams.people.claim("default", run.session_id, ANN)
    answered = await app.services.teams.people.reply("default", run.session_id, ANN, "Hello, this is Ann.")
    assert (answered.state, answered.answer) == ("succeeded", "Hello, this is Ann.")
    assert answered.dispatch.team is not None
    assert answered.dispatch.team.by == "ann@example.com"
    turns = await app.turns(run)
    assert [(turn.role, turn.text, turn.author) for turn in turns] == [
        ("user", "let me talk to a person", ""),
        ("assistant", "Hello, this is Ann.", "ann@example.com"),
    ]
    names = await app.event_names(run)
    assert [name for name in names if name.split(".")[0] in ("handoff", "person")] == [
        "person.claimed",
        "handoff.completed",
        "person.replied",
    ] or "person.replied" in names
    assert (await app.stored(run))[1].pending == 0


async def test_what_is_asked_meanwhile_waits_and_is_answered_in_order() -> None:
    """Each answer ends one run, the one that waits the longest."""
    app, first = await _waiting()
    second = await app.asked("are you there?", session_id=first.session_id)
    assert second.state == "waiting"
    people = app.services.teams.people
    one = await people.reply("default", first.session_id, ANN, "Yes.")
    two = await people.reply("default", first.session_id, ANN, "Yes!")
    assert (one.id, two.id) == (first.id, second.id)
    with pytest.raises(Conflict) as caught:
        await people.reply("default", first.session_id, ANN, "Anything else?")
    assert caught.value.code == "nothing_to_answer"


async def test_a_conversation_goes_back_to_the_agent_that_had_it_which_is_told_what_happened() -> None:
    """What waits yet is answered by that agent."""
    app = await team_app()
    run = await app.answered("hello")
    await _waiting(app, session_id=run.session_id)
    await app.services.teams.people.reply("default", run.session_id, ANN, "I see.")
    last = await app.asked("and now?", session_id=run.session_id)
    since = len(app.queue.sent)
    session = await _return(app, run)
    assert session.assignment is not None
    assert (session.assignment.member, session.assignment.person_wait) == ("triage", None)
    note = session.assignment.note
    assert note is not None
    assert (note.source, note.facts) == ("people", ("refund of 20 USD agreed",))
    answered = await app.drained(last, since)
    assert (answered.answer, path(answered)) == ("triage speaking", ["triage"])
    assert await _inbox(app) == []
    assert await app.loads() == {"triage": 1}


async def test_a_conversation_is_taken_by_one_person() -> None:
    """Whoever comes at the same time is told who has it; they have it once it is put back."""
    app, run = await _waiting()
    people = app.services.teams.people
    came = await asyncio.gather(
        *(people.claim("default", run.session_id, who) for who in (ANN, BOB)), return_exceptions=True
    )
    assert sorted(getattr(each, "code", "") for each in came) == ["", "already_claimed"]
    first, second = (ANN, BOB) if isinstance(came[1], BaseException) else (BOB, ANN)
    for refused in (people.release, people.claim):
        with pytest.raises(Conflict):
            await refused("default", run.session_id, second)
    with pytest.raises(Conflict):
        await people.reply("default", run.session_id, second, "me")
    await people.release("default", run.session_id, first)
    assert (await people.reply("default", run.session_id, second, "me")).answer == "me"


async def test_only_the_members_people_answer() -> None:
    """By what sign-in says of them, where it says anything."""
    app, run = await _waiting()
    vouched = Caller("ann@example.com", frozenset({"someone-else"}))
    for caller in (EVE, vouched, Caller("")):
        with pytest.raises(Forbidden) as caught:
            await app.services.teams.people.claim("default", run.session_id, caller)
        assert caught.value.code == "not_in_rota"
    by_id = Caller("Ann", frozenset({"ann@example.com", "4711"}))
    assert (await app.services.teams.people.reply("default", run.session_id, by_id, "hello")).answer == "hello"


@pytest.mark.parametrize("text", ["", "  \n", "x" * 100_001])
async def test_an_answer_is_text_that_can_be_kept(text: str) -> None:
    """Nothing changes where it is not."""
    app, run = await _waiting()
    with pytest.raises(InvalidInput):
        await app.services.teams.people.reply("default", run.session_id, ANN, text)
    assert (await app.stored(run))[0].state == "waiting"


async def test_a_person_cannot_answer_in_a_session_that_is_over_or_not_theirs() -> None:
    """It is said why."""
    app, run = await _waiting()
    await app.services.runs.queries.cancel("default", run.id)
    await app.services.sessions.end.end("default", run.session_id)
    other = await app.answered("hello")
    people = app.services.teams.people
    for session_id, error, code in (
        (run.session_id, Conflict, "session_ended"),
        (other.session_id, Conflict, "not_with_person"),
        ("nothing", NotFound, "session_not_found"),
    ):
        with pytest.raises(error) as caught:
            await people.reply("default", session_id, ANN, "hello")
        assert isinstance(caught.value, AppError)
        assert caught.value.code == code
    assert await _inbox(app) == []


async def test_a_model_can_hand_over_to_a_person() -> None:
    """The run waits with what the first agent spent; the person's answer ends it."""
    app = await team_app(triage=hands_over("triage", "people"))
    run = await app.answered("hello")
    assert (run.state, path(run), run.spend.calls) == ("waiting", ["people"], 1)
    answered = await app.services.teams.people.reply("default", run.session_id, BOB, "Bob here")
    assert (answered.state, answered.wasted.calls) == ("succeeded", 0)
    assert "session.state_changed waiting" in await app.event_names(run)


async def test_what_waits_too_long_goes_along_the_escalation_path() -> None:
    """With a notification at each level; what somebody has taken stays with them."""
    lead = changed(PEOPLE, name="lead", people=["lea@example.com"], specialization="lead")
    escalation = [
        {"level": 1, "target": "lead", "after_s": 600, "notification_channels": ["ops"]},
        {"level": 2, "target": "billing", "after_s": 3600},
    ]
    app = await team_app(value=team(*MEMBERS, lead, escalation_path=escalation))
    _, run = await _waiting(app)
    kept = await app.answered("a person please")
    await app.services.teams.people.claim("default", kept.session_id, ANN)
    people, send = app.services.teams.waiting_for_people, app.queue.send
    await people.sweep(send)
    assert await _members(app, run, kept) == ["people", "people"]
    app.clock.move(minutes=10)
    await people.sweep(send)
    await people.sweep(send)
    assert await _members(app, run, kept) == ["lead", "people"]
    app.clock.move(minutes=59)
    await people.sweep(send)
    assert await _members(app, run, kept) == ["lead", "people"]
    app.clock.move(minutes=2)
    since = len(app.queue.sent)
    await people.sweep(send)
    answered = await app.drained(run, since)
    assert (answered.answer, path(answered)) == ("billing speaking", ["lead", "billing"])
    told = [(note.event, note.facts.get("Level")) for note in await _outbox(app)]
    assert told.count(("conversation.escalated", "1")) == 1
    assert told.count(("conversation.escalated", "2")) == 1
    assert told.count(("conversation.waiting", None)) == 2


async def test_what_was_cancelled_waits_for_nobody_until_something_else_is_asked() -> None:
    """It is in no inbox or figure and is not escalated; the next question waits from when it was asked."""
    lead = changed(PEOPLE, name="lead", people=["lea@example.com"], specialization="lead")
    escalation = [{"level": 1, "target": "lead", "after_s": 600, "notification_channels": ["ops"]}]
    support = team(*MEMBERS, lead, escalation_path=escalation, idle_timeout_s=7200)
    app, run = await _waiting(await team_app(value=support))
    await app.services.teams.waiting_for_people.sweep(app.queue.send)
    await app.services.runs.cancel.cancel("default", run.id, app.queue.send)
    app.clock.move(minutes=20)
    await app.services.teams.waiting_for_people.sweep(app.queue.send)
    cancelled = await _waits(app), await _inbox(app), await _members(app, run)
    app.clock.move(minutes=40)
    again = await app.answered("and now?", session_id=run.session_id)
    app.clock.move(minutes=5)
    await app.services.teams.waiting_for_people.sweep(app.queue.send)
    asked = await _waits(app), await _inbox(app), await _members(app, run)
    app.clock.move(minutes=6)
    await app.services.teams.waiting_for_people.sweep(app.queue.send)
    escalated = await _members(app, run)

    assert cancelled == ((0, 0.0, None), [], ["people"])
    assert (again.state, asked) == ("waiting", ((1, 300.0, 300.0), [run.session_id], ["people"]))
    assert escalated == ["lead"]
    told = [(note.event, note.facts["Member"]) for note in await _outbox(app)]
    assert sorted(told) == [
        ("conversation.escalated", "people"),
        ("conversation.waiting", "lead"),
        ("conversation.waiting", "people"),
        ("conversation.waiting", "people"),
    ]


async def test_what_was_cancelled_ends_by_its_idle_timeout_and_gives_its_place_back() -> None:
    """As any conversation without activity; what waits for a person, or what somebody has taken, does not."""
    app, run = await _waiting(await team_app(value=team(idle_timeout_s=3600)))
    waiting = await app.answered("a person please")
    taken = await app.answered("a person please")
    await app.services.teams.people.claim("default", taken.session_id, ANN)
    for each in (run, taken):
        await app.services.runs.cancel.cancel("default", each.id, app.queue.send)
    app.clock.move(hours=3)
    ended = await app.services.sessions.end.expire()

    assert ended == 1
    assert [(await app.stored(each))[1].over for each in (run, waiting, taken)] == [True, False, False]
    assert await app.loads() == {"people": 2}


async def test_a_conversation_released_with_nothing_to_answer_waits_for_nobody() -> None:
    """One that was handed over without a question does, until somebody takes it."""
    app, run = await _waiting()
    people = app.services.teams.people
    await people.reply("default", run.session_id, ANN, "Hello.")
    await people.release("default", run.session_id, ANN)
    calm = await app.answered("hello")
    request = HandoffRequest(Wanted("people"), "operator", "please call them")
    await app.services.teams.handoffs.hand_over("default", calm.session_id, request, app.queue.send)
    handed = (await _waits(app))[0], await _inbox(app)
    await people.claim("default", calm.session_id, ANN)
    claimed = (await _waits(app))[0], await _inbox(app)
    await people.release("default", calm.session_id, ANN)

    assert (handed, claimed) == ((1, [calm.session_id]), (0, [calm.session_id]))
    assert ((await _waits(app))[0], await _inbox(app)) == (1, [calm.session_id])


async def _waits(app: TeamApp) -> tuple[int, float, float | None]:
    """Return how many conversations wait for people and the longest wait, of the alert metrics and of the status."""
    figure = app.services.alerts.workspace_state.sources["conversations_waiting"]
    found = await figure("default", app.clock(), app.clock())
    status = await app.services.teams.status.of("default", "support")
    waits = [each.longest_wait_s for each in status.members if each.longest_wait_s is not None]
    assert sum(each.waiting for each in status.members) == found["conversations_waiting"]
    return int(found["conversations_waiting"]), found["person_wait_s"], max(waits, default=None)


async def test_a_conversation_that_nobody_else_can_take_stays_and_is_told_of() -> None:
    """A level whose target is away or full counts as passed; the next one comes in its time."""
    away = changed(PEOPLE, name="lead", people=["lea@example.com"], availability="away", specialization="lead")
    app = await team_app(
        value=team(TRIAGE, BILLING, TECH, PEOPLE, away, escalation_path=[{"level": 1, "target": "lead"}])
    )
    _, run = await _waiting(app)
    app.clock.move(minutes=20)
    await app.services.teams.waiting_for_people.sweep(app.queue.send)
    _, session = await app.stored(run)
    assert session.assignment is not None
    assert session.assignment.member != "lead"


async def _members(app: TeamApp, *runs: Run) -> list[str]:
    found: list[str] = []
    for run in runs:
        assignment = (await app.stored(run))[1].assignment
        found.append(assignment.member if assignment else "")
    return found


async def _outbox(app: TeamApp) -> list[Notification]:
    rows = every(app.tables, "outbox", Span.prefix("outbox", "note!"))
    return [NOTIFICATION.load(row.text("notification")) async for row in rows]
