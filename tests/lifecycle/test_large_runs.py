"""Runs whose texts are too long for a row or a message: taken, run, read and erased as any other."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import pytest

from adapters.memory_texts import MemoryTexts
from bootstrap.services import Services
from kernel.errors import NotFound
from kernel.ids import new_id
from kernel.tables import Span, every
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import RunRequest
from lifecycle.conversations.session_store import TABLE
from lifecycle.sessions.transcript import transcript_of
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate, FatefulProvider, spec

ANSWER = "é" * 300_000
"""600 KB."""
CONTEXT = "\x01" * 100_000
"""As long as a context may be, of characters that JSON writes in six bytes."""
MOST_OF_A_MESSAGE = 256 * 1024


class Wordy:
    """An opened agent that says one long thing."""

    def __init__(self, inner: Any, text: str) -> None:
        self._inner = inner
        self._text = text

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        from agent_framework import Content  # noqa: PLC0415

        response = await self._inner.run(*args, **kwargs)
        response.messages[-1].contents = [Content.from_text(self._text)]
        return response


class WordyProvider(FatefulProvider):
    """A provider whose agents answer with one long text."""

    def __init__(self, inner: Any, text: str) -> None:
        super().__init__(inner, Fate())
        self._text = text

    def open(self, version: Any, spec: Any) -> Wordy:
        return Wordy(self.inner.open(version, spec), self._text)


def wordy(app: App, services: Services, text: str = ANSWER) -> Services:
    cast("dict[str, Any]", services.agents.providers)["offline"] = WordyProvider(
        services.agents.providers["offline"], text
    )
    shared = app.services.core.large_texts
    services.core.__dict__["large_texts"] = shared
    return services


@pytest.fixture
async def app() -> App:
    app = App()
    await app.declare(declared=spec(evaluation={"share": 0}))
    return app


def kept(app: App) -> int:
    """Return how many texts are kept apart from their rows."""
    return len(cast("MemoryTexts", app.services.core.large_texts)._texts)


async def test_the_longest_context_is_queued_and_answered(app: App) -> None:
    """Its message holds ids only, so it fits however long the texts are."""
    accepted = await app.submit(context=CONTEXT)
    message = app.queue.sent[-1]
    run = await app.process(message)

    assert len(message.to_json()) < 1000
    assert len(CONTEXT) * 6 > MOST_OF_A_MESSAGE
    assert (run.state, run.input.context) == (RunState.SUCCEEDED, CONTEXT)
    turns = await app.turns(accepted.run)
    assert turns[0].text == f"2 + 3\n\n<context>\n{CONTEXT}\n</context>"


async def test_the_longest_context_blocks_no_paused_session(app: App) -> None:
    """It is kept, and queued with those behind it when the session goes on."""
    await app.ask(session_id="chat")
    await app.services.conversations.pause.pause("default", "chat")
    first = (await app.submit(context=CONTEXT, session_id="chat")).run
    second = (await app.submit("4 + 4", session_id="chat")).run
    await app.services.conversations.pause.resume("default", "chat", app.queue.send)
    for message in app.queue.sent[1:]:
        await app.process(message)

    assert [(await app.stored(run))[0].state for run in (first, second)] == [RunState.SUCCEEDED] * 2
    assert all(len(message.to_json()) < 1000 for message in app.queue.sent)


async def test_a_long_answer_comes_back_whole_everywhere(app: App) -> None:
    """From the run, the messages, the export, and to the model as history."""
    services = wordy(app, app.services)
    run = await app.ask(session_id="chat")
    again = await app.services.runs.queries.get("default", run.id)
    turns = await app.turns(run)
    session = (await app.stored(run))[1]
    other = wordy(app, app.worker())
    transcript = await transcript_of(other.conversations.store, session)

    assert services is app.services
    assert again.answer == turns[1].text == transcript.turns[1].text == transcript.runs[0].answer == ANSWER
    assert session.long_texts
    rows = [row async for row in every(app.tables, TABLE, Span("0", partition_before="~"))]
    assert all(len(str(dict(row.values))) < 100_000 for row in rows)


async def test_erasing_takes_the_long_texts_along(app: App) -> None:
    """None is left once the receipt is there."""
    wordy(app, app.services)
    await app.ask(session_id="chat", context=CONTEXT)
    before = kept(app)
    receipt = await app.services.sessions.erasure.erase("default", "chat")

    assert before >= 2
    assert receipt.completed_at is not None
    assert kept(app) == 0


async def test_erasing_an_ordinary_session_asks_for_no_texts(app: App) -> None:
    """Only a session that says that it has long texts costs the request."""
    await app.ask(session_id="chat")

    class Untouched(MemoryTexts):
        async def delete(self, prefix: str) -> int:
            raise AssertionError

    app.services.core.texts._large = Untouched()
    await app.services.sessions.erasure.erase("default", "chat")


@pytest.mark.parametrize("after", [False, True])
async def test_no_long_text_outlives_its_session_whatever_dies(after: bool) -> None:
    """The session says that it has long texts before the first is kept."""
    number, died = 0, True
    while died:
        number, died = number + 1, False
        app = App()
        await app.declare(declared=spec(evaluation={"share": 0}))
        await app.submit(session_id="chat")
        dying = wordy(app, app.worker(fate := Fate(number, after)))
        try:
            await app.process(app.queue.sent[-1], worker=dying)
        except Crash:
            died = True
        died = died or fate.struck
        await abandon(dying)
        app.clock.move(hours=1)
        await app.services.sessions.erasure.erase("default", "chat")

        assert kept(app) == 0

    assert number > 2


async def test_many_long_runs_of_one_session_at_once(app: App) -> None:
    """They are committed together as far as a transaction takes them."""
    accepted = await asyncio.gather(
        *(app.submit(f"Q{n} {'x' * 60_000}", session_id="chat", run_id=new_id()) for n in range(40))
    )
    _, session = await app.stored(accepted[0].run)

    assert (session.runs, session.pending) == (40, 40)
    assert sorted(each.run.number for each in accepted) == list(range(1, 41))


async def test_a_long_text_of_a_session_that_never_came_to_be_goes_with_its_entry(app: App) -> None:
    """The text is kept before the session is stored; the timer that removes its entries removes it, too."""
    died = 0
    for number in range(1, 7):
        dying = wordy(app, app.worker(fate := Fate(number)))
        request = RunRequest(query="2 + 3", session_id=f"s-{number}", context=CONTEXT)
        with contextlib.suppress(Crash):
            await dying.runs.submission.submit("default", "bot", request, new_id(), app.signals, app.queue.send)
        died += fate.dead
        await abandon(dying)
    app.clock.move(days=3)
    await app.services.sessions.end.expire()
    for number in range(1, 7):
        with contextlib.suppress(NotFound):
            await app.services.sessions.erasure.erase("default", f"s-{number}")

    assert died
    assert kept(app) == 0
