"""Streamed runs: the text is told while it is written, each piece once, and is the answer in the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence

import pytest

from kernel.errors import Unavailable
from kernel.journal import Event
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_request import RunRequest, submission_of
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.app import TOOLED, App, abandon
from tests.lifecycle.doubles import Crash, Fate, spec
from tests.virtual_time import run_virtually
from tests.waiting import QUIET_S, eventually

REPLY = "The quick brown fox jumps over the lazy dog. " * 12
SLOW = spec(simulate={"reply": REPLY, "stream_chunk_ms": 30})
BRIEF = spec(simulate={"reply": REPLY[:240], "stream_chunk_ms": 30})


async def events(app: App, run: Run) -> Sequence[Event]:
    found = await app.services.conversations.store.events(run.workspace, run.session_id, 0, 1000)
    return [event for _, event in found if event.data.get("run_id") == run.id]


def told(found: Sequence[Event], attempt: int) -> str:
    """Return the text an attempt was told as, each piece where the one before it ended."""
    text = ""
    for event in found:
        if event.name == "run.delta" and event.data["attempt"] == attempt:
            assert event.data["offset"] == len(text)
            text += event.data["text"]
    return text


def ends(found: Sequence[Event]) -> list[tuple[int, str]]:
    return [(each.data["attempt"], each.data["outcome"]) for each in found if each.name == "run.stream_ended"]


async def test_the_text_is_told_while_it_is_written() -> None:
    """In pieces, at most four a second, that make up the answer; the end comes after the last piece."""
    app = App()
    await app.declare(declared=SLOW)
    run = await app.ask(stream=True)
    found = await events(app, run)
    names = [event.name for event in found]
    stages = [event.data["stage"] for event in found if event.name == "run.stage"]

    assert run.answer == REPLY
    assert told(found, 1) == run.answer
    assert 2 <= names.count("run.delta") <= 6, "some 700 ms"
    assert ends(found) == [(1, "completed")]
    assert names.index("run.stream_ended") > max(n for n, name in enumerate(names) if name == "run.delta")
    assert stages == ["INITIALIZING", "RUNNING", "EVALUATING", "COMPLETED"]
    assert len(await app.lines(run)) == 1, "a streamed call is paid for, too"
    await app.check_answered_once(run)


async def test_a_run_that_is_not_streamed_is_told_once() -> None:
    """As its answer."""
    app = App()
    await app.declare()
    run = await app.ask()

    assert not {"run.delta", "run.stream_ended"} & {event.name for event in await events(app, run)}


async def test_a_streamed_tool_call_is_told_as_the_answer_is() -> None:
    """Several model calls, one text."""
    app = App()
    await app.declare(declared=TOOLED)
    run = await app.ask(stream=True)

    assert told(await events(app, run), 1) == run.answer
    assert len(await app.lines(run)) == 2
    await app.check_answered_once(run)


async def test_a_failed_attempt_ends_its_stream_and_the_next_one_begins_anew() -> None:
    """Whoever follows drops the text of the attempt that failed."""
    app = App()
    await app.declare(declared=spec(simulate={"reply": REPLY, "stream_chunk_ms": 5, "fail_first": 1}))
    run = await app.ask(stream=True)
    found = await events(app, run)

    assert run.attempt == 2
    assert ends(found) == [(1, "failed"), (2, "completed")]
    assert told(found, 2) == run.answer


async def test_a_cancelled_stream_ends() -> None:
    """In the middle of its text, which the run then does not have as its answer."""
    app = App()
    await app.declare(declared=spec(simulate={"reply": REPLY, "stream_chunk_ms": 100}))
    accepted = await app.submit(stream=True)
    working = asyncio.create_task(app.process(app.queue.sent[-1]))

    async def streams() -> bool:
        return bool(told(await events(app, accepted.run), 1))

    await eventually(streams)
    await app.services.runs.queries.cancel("default", accepted.run.id)
    run = await asyncio.wait_for(working, QUIET_S)
    found = await events(app, run)

    assert (run.state, run.answer) == ("cancelled", None)
    assert ends(found) == [(1, "cancelled")]
    assert REPLY.startswith(told(found, 1))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_stream_survives_its_worker_dying_at_any_write(after: bool) -> None:
    """The next worker ends what the dead one had begun to tell, tells it again, and no piece is told twice."""
    assert run_virtually(lambda _: _workers_that_die(after)) > 8


async def _workers_that_die(after: bool) -> int:
    """Have a worker die at each write of a stream; return how many there are."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.services.agents.catalog.declare("default", "bot", BRIEF)
        agent = await app.services.agents.catalog.get("default", "bot")
        request = RunRequest(query="?", stream=True)
        accepted = await app.services.runs.submission.accept(
            agent, request, f"{number:08x}-0000-7000-8000-000000000001"
        )
        fate = Fate(number, after)
        dying = app.worker(fate)
        with contextlib.suppress(Crash):
            await dying.runs.worker.process(submission_of(accepted.run), dying.agents.local_signals())
        await abandon(dying)
        if not fate.dead:
            break
        app.clock.move(seconds=61)
        done = await app.process(submission_of(accepted.run))
        found = await events(app, done)

        assert told(found, done.attempt) == done.answer
        assert ends(found)[-1] == (done.attempt, "completed")
        assert len(ends(found)) == done.attempt
        if done.attempt == 2:
            assert ends(found)[0] == (1, "superseded")
        await app.aclose()

    return number


def test_a_write_that_took_effect_unnoticed_is_not_told_twice() -> None:
    """Storage answers that it is away, again and again, after it has written."""
    run_virtually(lambda _: _writes_that_took_effect())


async def _writes_that_took_effect() -> None:
    for number in range(1, 14):
        app = App()
        await app.declare(declared=BRIEF)
        accepted = await app.submit(stream=True)
        fate = Fate(number, after=True, error=Unavailable)
        worker = app.worker(fate)
        for _ in range(4):
            with contextlib.suppress(Unavailable):
                await app.process(app.queue.sent[-1], worker=worker)
                break
            app.clock.move(seconds=61)
        run, _ = await app.stored(accepted.run)

        assert run.state == "succeeded"
        assert told(await events(app, run), run.attempt) == run.answer


async def test_the_same_text_is_told_by_a_provider_that_streams() -> None:
    """Foundry over the wire, with a tool call between two model calls."""
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint)
        await app.declare(declared=spec(provider="foundry", tools=("calculator",)))
        run = await app.ask('/tool calculator {"expression": "2 + 3"}', stream=True)
        found = await events(app, run)
        followed = await app.ask("And now?", stream=True, session_id=run.session_id)
        again = await events(app, followed)
        await app.aclose()
        await app.services.aclose()

    assert run.answer
    assert told(found, 1) == run.answer
    assert told(again, 1) == followed.answer
    assert len(await app.lines(run)) == 2
    assert all(body["stream"] for body in fake.bodies("create_response"))


async def test_a_stream_that_breaks_is_told_to_have_failed() -> None:
    """The provider's connection breaks in the middle: the text so far is void, the next attempt's is whole."""
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint)
        await app.declare(declared=spec(provider="foundry"))
        fake.fail_next("stream_error", on="create_response")
        run = await app.ask("Hello?", stream=True)
        found = await events(app, run)
        await app.aclose()
        await app.services.aclose()

    assert run.attempt == 2
    assert ends(found) == [(1, "failed"), (2, "completed")]
    assert told(found, 2) == run.answer


def test_streaming_makes_another_request_and_not_streaming_the_same_as_ever() -> None:
    """A request from before there were streams can be repeated."""
    plain = RunRequest(query="Hi")

    assert plain.digest("bot") != RunRequest(query="Hi", stream=True).digest("bot")
    assert plain.digest("bot") == RunRequest.model_validate({"query": "Hi", "stream": False}).digest("bot")
