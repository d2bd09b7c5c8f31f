"""Escalation paths: by conditions and by waiting, to members and specializations, with approvals and notifications."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest

from kernel.errors import AppError, InvalidInput
from kernel.tables import Span, every
from lifecycle.approvals.approval import Person, State
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.approvals.store import Record
from lifecycle.conversations.run import Run
from lifecycle.teams.handoff import HandoffRequest
from lifecycle.teams.member_routing import Wanted
from llmops.notifications.notification import NOTIFICATION, Notification
from tests.lifecycle.app import abandon
from tests.lifecycle.doubles import Crash, Fate
from tests.lifecycle.teams.app import ANN, TeamApp, path, team_app
from tests.lifecycle.teams.kit import MEMBERS, PEOPLE, changed, team

BROKEN: dict[str, Any] = {
    "level": 1,
    "target_specialization": "tech",
    "condition": "keyword_detected",
    "parameters": {"keywords": ["broken"]},
    "notification_channels": ["ops"],
}
LEAD = changed(PEOPLE, name="lead", people=["lea@example.com"], specialization="lead")
LATE: list[dict[str, Any]] = [
    {"level": 1, "target_specialization": "lead", "after_s": 600, "requires_approval": True},
    {"level": 2, "target": "billing", "after_s": 3600},
]


async def _decide(app: TeamApp, record: Record, verb: Any = "approve", name: str = "max") -> None:
    person = Person(name, frozenset({name}))
    await app.services.approvals.decisions.decide(
        "default", record.approval.id, person, DecisionRequest(verb), app.queue.send
    )


async def _asked(app: TeamApp, run: Run) -> list[Record]:
    return list(await app.services.approvals.store.of_run("default", run.id))


async def _swept(app: TeamApp, **by: float) -> None:
    app.clock.move(**by)
    await app.services.teams.waiting_for_people.sweep(app.queue.send)


async def _member(app: TeamApp, run: Run) -> str:
    assignment = (await app.stored(run))[1].assignment
    return assignment.member if assignment else ""


async def _told(app: TeamApp) -> list[tuple[str, str | None]]:
    rows = every(app.tables, "outbox", Span.prefix("outbox", "note!"))
    notes: list[Notification] = [NOTIFICATION.load(row.text("notification")) async for row in rows]
    return [(note.event, note.facts.get("Level")) for note in notes if note.event == "conversation.escalated"]


async def test_a_condition_escalates_to_whoever_has_the_specialization() -> None:
    """Before the member is asked, wherever the conversation is; its channels are notified, and the status counts it."""
    app = await team_app(value=team(*MEMBERS, escalation_path=[BROKEN]))
    run = await app.answered("it is broken")
    assert (run.answer, path(run)) == ("tech speaking", ["tech"])
    assert run.team is not None
    (hop,) = run.team.hops
    assert (hop.by, hop.reason) == (
        "escalation",
        "level 1 of the escalation path (keyword_detected); it is for tech",
    )
    assert await _told(app) == [("conversation.escalated", "1")]
    more = await app.answered("still broken", session_id=run.session_id)
    assert (more.answer, path(more)) == ("tech speaking", [])
    status = await app.services.teams.status.of("default", "support")
    assert (status.escalations, status.by) == (1, {"escalation": 1})


async def test_a_level_that_does_not_move_notifies_alone() -> None:
    """Once, however often its condition holds."""
    app = await team_app(value=team(*MEMBERS, escalation_path=[BROKEN | {"auto_escalate": False}]))
    run = await app.answered("it is broken")
    more = await app.answered("it is broken, I say", session_id=run.session_id)
    assert (run.answer, more.answer, path(more)) == ("triage speaking", "triage speaking", [])
    assert await _told(app) == [("conversation.escalated", "1")]


@pytest.mark.parametrize(("verb", "answer"), [("approve", "tech speaking"), ("reject", "triage speaking")])
async def test_a_run_waits_for_the_approval_of_its_escalation(verb: str, answer: str) -> None:
    """And then goes on with the specialist, or stays with the agent; only the team's approvers may decide."""
    value = team(*MEMBERS, escalation_path=[BROKEN | {"requires_approval": True}], approvers=["user:max"])
    app = await team_app(value=value)
    run = await app.answered("it is broken")
    (record,) = await _asked(app, run)
    assert (run.state, run.spend.calls, record.approval.subject.kind) == ("waiting", 0, "escalation")
    assert record.approval.subject.why == "level 1 of the escalation path, to specialists for tech"
    with pytest.raises(AppError) as refused:
        await _decide(app, record, name="eve")
    assert refused.value.code == "approver_not_allowed"
    with pytest.raises(InvalidInput):
        await _decide(app, record, "amend")
    since = len(app.queue.sent)
    await _decide(app, record, verb)
    done = await app.drained(run, since)
    assert (done.answer, len(await _asked(app, done))) == (answer, 1)


async def test_a_conversation_that_waits_is_moved_once_that_is_approved() -> None:
    """It stays with its people until then, who may still answer; then it is the lead's, and goes on along the path."""
    app = await team_app(value=team(*MEMBERS, LEAD, escalation_path=LATE))
    run = await app.answered("a person, please")
    await _swept(app, minutes=10)
    await _swept(app, minutes=1)
    (record,) = await _asked(app, run)
    assert (await _member(app, run), record.approval.state) == ("people", State.PENDING)
    await _decide(app, record)
    assert (await app.stored(run))[0].state == "waiting", "it waits for a person yet"
    await _swept(app, minutes=1)
    assert await _member(app, run) == "lead"
    await _swept(app, minutes=61)
    done = await app.drained(run)
    assert (done.answer, path(done)) == ("billing speaking", ["lead", "billing"])
    names = await app.event_names(run)
    assert (names.count("approval.requested"), names.count("approval.decided")) == (1, 1)


async def test_what_is_not_approved_stays_and_goes_on_along_the_path() -> None:
    """Rejected, or not decided by anybody: the next level comes in its time."""
    for verb in ("reject", None):
        app = await team_app(value=team(*MEMBERS, LEAD, escalation_path=LATE))
        run = await app.answered("a person, please")
        await _swept(app, minutes=10)
        if verb is not None:
            await _decide(app, (await _asked(app, run))[0], verb)
        await _swept(app, minutes=30)
        assert await _member(app, run) == "people"
        await _swept(app, minutes=31)
        done = await app.drained(run)
        assert (done.answer, path(done)) == ("billing speaking", ["billing"])
        assert len(await _asked(app, run)) == 1


async def test_what_a_person_has_taken_or_answered_is_not_moved() -> None:
    """Whatever is decided afterwards; an approval that nothing waits for is withdrawn."""
    app = await team_app(value=team(*MEMBERS, LEAD, escalation_path=LATE))
    people = app.services.teams.people
    taken, answered = [await app.answered("a person, please") for _ in range(2)]
    await _swept(app, minutes=10)
    await people.claim("default", taken.session_id, ANN)
    await people.reply("default", answered.session_id, ANN, "Ann here")
    await _decide(app, (await _asked(app, taken))[0])
    with pytest.raises(AppError) as late:
        await _decide(app, (await _asked(app, answered))[0])
    assert late.value.code == "approval_withdrawn"
    more = await app.answered("and another thing", session_id=answered.session_id)
    await app.services.approvals.decisions.sweep(app.queue.send)
    await _swept(app, minutes=1)
    assert [await _member(app, run) for run in (taken, answered)] == ["people", "people"]
    kept, session = await app.stored(more)
    assert (kept.state, session.state, session.pause_reason) == ("waiting", "waiting", "person")


async def test_an_operator_may_move_what_waits_for_an_approval() -> None:
    """The run goes on at once, and the approval is withdrawn with its end."""
    app = await team_app(value=team(*MEMBERS, LEAD, escalation_path=LATE))
    run = await app.answered("a person, please")
    await _swept(app, minutes=10)
    request = HandoffRequest(Wanted("billing"), "operator", "nobody is there")
    await app.services.teams.handoffs.hand_over("default", run.session_id, request, app.queue.send)
    done = await app.drained(run)
    await app.services.approvals.decisions.sweep(app.queue.send)
    assert (done.answer, [one.approval.state for one in await _asked(app, run)]) == (
        "billing speaking",
        [State.WITHDRAWN],
    )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_escalation_is_asked_for_and_carried_out_once(after: bool) -> None:
    """Whatever died on the way: one approval, one hop, one seat."""
    number = 0
    for number in itertools.count(1):
        app = await team_app(value=team(*MEMBERS, LEAD, escalation_path=LATE))
        run = await app.answered("a person, please")
        fate = Fate(number, after)
        for decided in (False, True):
            app.clock.move(minutes=10 if not decided else 1)
            worker = app.worker(fate if not fate.struck else None)
            with contextlib.suppress(Crash, AppError):
                await worker.teams.waiting_for_people.sweep(app.queue.send)
            await abandon(worker)
            await _swept(app, minutes=1)
            records = await _asked(app, run)
            assert len(records) == 1, number
            if not decided:
                await _decide(app, records[0])
        stored, _ = await app.stored(run)
        assert (await _member(app, run), path(stored)) == ("lead", ["lead"]), number
        assert await app.loads() == {"lead": 1}, number
        assert (await app.event_names(run)).count("approval.requested") == 1, number
        if not fate.struck:
            break
    assert number > 6
