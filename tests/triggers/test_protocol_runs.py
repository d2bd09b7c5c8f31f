"""Following a run's text for the protocols of others: what was sent is always a beginning of the answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bootstrap.services import Services
from kernel.errors import NotFound, RunFailed
from kernel.journal import Event
from kernel.settings import Settings
from lifecycle.conversations.run import Result, Run, RunState
from lifecycle.conversations.run_request import RunRequest
from lifecycle.conversations.session import EarlierMessage
from lifecycle.conversations.session_store import ConversationChange
from lifecycle.specs.spec import AgentSpec
from triggers.http import protocol_runs
from triggers.http.protocol_runs import SubmittedRun

WORKSPACE = "default"


class _Queue:
    """Takes messages; nobody works at them."""

    async def send(self, submission: Any) -> None:
        return None


@pytest.fixture
async def call() -> Any:
    """Return a call of somebody's, over services in memory, with an agent to ask."""
    services = Services.in_memory(Settings())
    await services.agents.catalog.declare(WORKSPACE, "a", AgentSpec(model="gpt-4o"))
    signals = services.agents.local_signals()
    return SimpleNamespace(workspace=WORKSPACE, services=services, signals=signals, queue=_Queue(), live=True)


async def change(call: Any, run: Run, *events: Event, **changed: Any) -> None:
    """Commit events of a run, and what else it becomes."""

    def decide(stored: Any) -> ConversationChange:
        return ConversationChange(stored.session, replace(stored.run, **changed), events=events)

    await call.services.conversations.store.update(WORKSPACE, run.session_id, run.id, decide)


def delta(call: Any, run: Run, attempt: int, offset: int, text: str) -> Event:
    """Return the event of a piece of text."""
    data = {"run_id": run.id, "attempt": attempt, "offset": offset, "text": text}
    return Event("run.delta", data, call.services.core.clock())


def ended(call: Any, run: Run, attempt: int, outcome: str) -> Event:
    """Return the event of an attempt's end."""
    data = {"run_id": run.id, "attempt": attempt, "outcome": outcome}
    return Event("run.stream_ended", data, call.services.core.clock())


async def collected(asked: SubmittedRun) -> list[str]:
    """Return the pieces of a run's text."""
    return [piece async for piece in asked.pieces(60)]


async def test_text_is_sent_as_it_grows(call: Any) -> None:
    """Each piece once, in order, and whatever the events did not have from the answer."""
    asked = await protocol_runs.ask(call, "a", RunRequest(query="Say.", stream=True))
    reading = asyncio.create_task(collected(asked))

    await change(call, asked.run, delta(call, asked.run, 1, 0, "One "))
    await change(call, asked.run, delta(call, asked.run, 1, 4, "two "))
    answered = Result(answer="One two three")
    over = ended(call, asked.run, 1, "completed")
    await change(call, asked.run, over, state=RunState.SUCCEEDED, result=answered)

    assert "".join(await reading) == "One two three"


@pytest.mark.parametrize(("second", "sent"), [("One two", ["One ", "two"]), ("Other words", ["One "])])
async def test_an_attempt_that_begins_again_may_not_contradict_what_was_sent(
    call: Any, second: str, sent: list[str]
) -> None:
    """The same words go on where they were; others end the stream as an error, after what was sent."""
    asked = await protocol_runs.ask(call, "a", RunRequest(query="Say.", stream=True))
    await change(
        call,
        asked.run,
        delta(call, asked.run, 1, 0, "One "),
        ended(call, asked.run, 1, "failed"),
        delta(call, asked.run, 2, 0, second),
        ended(call, asked.run, 2, "completed"),
        state=RunState.SUCCEEDED,
        result=Result(answer=second),
    )
    asked.run = replace(asked.run, state=RunState.RUNNING)
    got: list[str] = []

    async def read() -> None:
        async for piece in asked.pieces(60):
            got.append(piece)  # noqa: PERF401 - what came before an error counts

    if second == "".join(sent):
        await read()
    else:
        with pytest.raises(RunFailed) as failed:
            await read()
        assert failed.value.code == "answer_changed"
    assert got == sent


async def test_a_session_that_exists_keeps_its_own_history(call: Any) -> None:
    """What was said before begins a new session only; asked again under its key, a request adds nothing."""
    before = (EarlierMessage("user", "Hi"), EarlierMessage("assistant", "Hello"))
    first = await protocol_runs.ask(call, "a", RunRequest(query="Say."), key="k", before=before)
    second = await protocol_runs.ask(call, "a", RunRequest(query="Say."), key="k", before=before)
    session = (await call.services.conversations.store.load(WORKSPACE, first.run.session_id)).session
    request = RunRequest(query="More.", session_id=session.id)
    again = await protocol_runs.ask(call, "a", request, before=(EarlierMessage("user", "Other"),))
    turns = await call.services.conversations.store.turns(WORKSPACE, session.id, 0, 10)

    assert first.run.id == second.run.id
    assert again.run.session_id == session.id
    assert [turn.text for turn in turns] == ["Hi", "Hello"]


async def test_a_history_is_as_long_as_the_model_is_told_of(call: Any) -> None:
    """Of more messages than HISTORY_TURNS the latest begin the session, long ones whole."""
    most = call.services.core.settings.history_turns
    before = [EarlierMessage(("user", "assistant")[n % 2], f"{n} " + "x" * 100_000) for n in range(most + 7)]

    asked = await protocol_runs.ask(call, "a", RunRequest(query="Say."), before=before)
    turns = await call.services.conversations.store.turns(WORKSPACE, asked.run.session_id, 0, 1000)

    assert [turn.text for turn in turns] == [said.text for said in before[7:]]


async def test_nothing_is_gone_on_from_in_anothers_session(call: Any) -> None:
    """Another user's run is not there."""
    asked = await protocol_runs.ask(call, "a", RunRequest(query="Say.", user_id="ada"))

    with pytest.raises(NotFound):
        await protocol_runs.branch(call, asked.run, "bob")
    assert await protocol_runs.branch(call, asked.run, "ada") == (asked.run.session_id, ())
