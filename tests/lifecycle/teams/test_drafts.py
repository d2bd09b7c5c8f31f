"""Answers that a person approves before they leave: paid for once, told to nobody before, and theirs to amend."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kernel.errors import InvalidInput
from lifecycle.approvals.approval import Person
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.conversations.run import Run
from tests.lifecycle.app import abandon
from tests.lifecycle.doubles import Crash, Fate
from tests.lifecycle.teams.app import TeamApp, hands_over, path, speaks, team_app
from tests.lifecycle.teams.kit import TECH, TRIAGE, changed, team

LEA = Person("lea", frozenset({"lea"}))
APPROVE = DecisionRequest("approve")
REJECT = DecisionRequest("reject", "be kinder")


async def _app(**specs: Any) -> TeamApp:
    value = team(changed(TRIAGE, handoff_triggers=[]), TECH, requires_human_approval=True, approvers=["user:lea"])
    return await team_app(value=value, **specs)


async def _decide(app: TeamApp, run: Run, ruling: DecisionRequest) -> Run:
    """Decide the draft that the run waits with, and return the run as it then comes out."""
    stored, _ = await app.stored(run)
    (ident,) = stored.dispatch.awaits
    since = len(app.queue.sent)
    await app.services.approvals.decisions.decide("default", ident, LEA, ruling, app.queue.send)
    return await app.drained(run, since)


async def test_a_draft_waits_and_is_the_answer_once_it_is_approved() -> None:
    """No model is asked again, nothing is wasted, and nobody has seen it before."""
    app = await _app()
    run = await app.answered("hello", stream=True)
    assert (run.state, run.answer, run.spend.calls) == ("waiting", None, 1)
    assert not [name for name in await app.event_names(run) if name == "run.delta"]
    done = await _decide(app, run, APPROVE)
    assert (done.state, done.answer, done.spend.calls, done.wasted.calls) == ("succeeded", "triage speaking", 1, 0)
    assert [name for name in await app.event_names(run) if name == "run.delta"] == ["run.delta"]
    assert [turn.text for turn in await app.turns(run)] == ["hello", "triage speaking"]


async def test_a_draft_is_amended() -> None:
    """What the person wrote is the answer."""
    app = await _app()
    run = await app.answered("hello")
    with pytest.raises(InvalidInput):
        await _decide(app, run, DecisionRequest("amend", arguments={"answer": " "}))
    done = await _decide(app, run, DecisionRequest("amend", arguments={"answer": "Hello, dear customer."}))
    assert done.answer == "Hello, dear customer."


async def test_a_rejected_draft_goes_back_to_the_agent_with_the_reason() -> None:
    """Which writes another; it is asked about again, until one is approved, or too many were not."""
    app = await _app(triage=speaks("triage"))
    run = await app.answered("hello")
    again = await _decide(app, run, REJECT)
    assert (again.state, again.spend.calls) == ("waiting", 2)
    done = await _decide(app, run, APPROVE)
    assert (done.state, done.wasted.calls) == ("succeeded", 0)
    assert path(done) == []

    other = await app.answered("hello")
    for _ in range(5):
        other = await _decide(app, other, REJECT)
    assert (other.state, other.error and other.error.code, path(other)) == ("failed", "drafts_rejected", [])


async def test_the_draft_of_whoever_it_was_handed_to_waits() -> None:
    """A handoff needs no approval; the answer does."""
    app = await _app(triage=hands_over("triage", "tech"))
    run = await app.answered("hello")
    assert (run.state, path(run)) == ("waiting", ["tech"])
    assert (await _decide(app, run, APPROVE)).answer == "tech speaking"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_approved_draft_is_given_once(after: bool) -> None:
    """Though the worker died at any effect of giving it."""
    number = 0
    for number in itertools.count(1):
        app = await _app()
        run = await app.answered("hello")
        stored, _ = await app.stored(run)
        since = len(app.queue.sent)
        await app.services.approvals.decisions.decide(
            "default", stored.dispatch.awaits[0], LEA, APPROVE, app.queue.send
        )
        fate = Fate(number, after)
        worker = app.worker(fate)
        try:
            await app.deliver(app.queue.sent[since], worker=worker)
        except Crash:
            app.clock.move(seconds=61)
            await app.deliver(app.queue.sent[since])
        await abandon(worker)
        done, _ = await app.stored(run)
        assert (done.answer, done.spend.calls) == ("triage speaking", 1)
        assert len(await app.turns(run)) == 2
        if not fate.struck:
            break
    assert number > 2
