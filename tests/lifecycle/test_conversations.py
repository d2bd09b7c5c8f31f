"""A session at a provider that keeps conversations: the real SDK, and what it sent to the fake Foundry."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kernel.errors import AppError, Unavailable
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate, spec

FOUNDRY = spec(provider="foundry", instructions="Be brief.")


@contextlib.asynccontextmanager
async def foundry_app(**settings: Any) -> AsyncIterator[tuple[App, FakeFoundry]]:
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint, **settings)
        await app.declare(declared=FOUNDRY)
        try:
            yield app, fake
        finally:
            await app.aclose()
            await app.services.aclose()


def told(fake: FakeFoundry) -> list[list[str]]:
    """Return the texts of the messages that each model call was given, oldest call first."""
    found: list[list[str]] = []
    for body in fake.bodies("create_response"):
        given = body["input"]
        items = [{"content": given}] if isinstance(given, str) else given
        found.append([_text(item["content"]) for item in items])
    return found


def conversations(fake: FakeFoundry) -> list[str]:
    """Return the conversation of each model call."""
    return [str(body["conversation"]) for body in fake.bodies("create_response")]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


async def test_a_run_that_follows_sends_only_what_the_conversation_does_not_hold() -> None:
    """Three runs in one conversation at the project, each told its own query alone."""
    async with foundry_app() as (app, fake):
        runs = [await app.ask(f"Question {n}", session_id="chat") for n in range(3)]
        _, session = await app.stored(runs[-1])

    assert told(fake) == [["Question 0"], ["Question 1"], ["Question 2"]]
    assert len(set(conversations(fake))) == fake.counts["create_conversation"] == 1
    assert session.held is not None
    assert (session.held.id, session.held.turns) == (conversations(fake)[0], 6)
    assert [kept.id for kept in session.kept] == [session.held.id]
    assert "heard 6 messages" in (runs[-1].answer or "")


async def test_a_failed_attempt_gives_the_conversation_up() -> None:
    """What it added is not known: the next one tells a new conversation everything, once."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        fake.fail_next("server_error", on="create_response")
        run = await app.ask("Question 1", session_id="chat")
        _, session = await app.stored(run)
    first, last = conversations(fake)[0], conversations(fake)[-1]

    assert run.attempt == 2
    assert told(fake)[-1] == ["Question 0", run_answer(0), "Question 1"]
    assert first != last
    assert [kept.id for kept in session.kept] == [first, last], "both can be forgotten"
    assert session.held is not None
    assert session.held.id == last


def run_answer(number: int) -> str:
    return f"heard 2 messages (system, user), the last: 'Question {number}'"


@pytest.mark.parametrize("effect", range(1, 9))
async def test_a_worker_that_died_gives_the_conversation_up(effect: int) -> None:
    """Wherever it died: no conversation that may hold more than the history is gone on with, and none gets lost."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        dying = app.worker(Fate(effect, after=True))
        accepted = await app.submit("Question 1", session_id="chat")
        with contextlib.suppress(Crash):
            await app.process(app.queue.sent[-1], worker=dying)
        await abandon(dying)
        await dying.agents.providers["foundry"].aclose()
        app.clock.move(seconds=61)
        run = await app.process(app.queue.sent[-1])
        _, session = await app.stored(accepted.run)
        turns = await app.turns(run)
        last = fake.project.conversations[session.held.id] if session.held else []

    assert run.state == "succeeded"
    assert [turn.text for turn in turns][::2] == ["Question 0", "Question 1"]
    assert [_text(item["content"]) for item in last] == [turn.text for turn in turns]
    assert {kept.id for kept in session.kept} == set(conversations(fake))


async def test_a_throttled_attempt_keeps_the_conversation() -> None:
    """Nothing was added: the next attempt tells only what is new."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        fake.fail_next("throttled", on="create_response", times=2, retry_after_s=0)
        run = await app.ask("Question 1", session_id="chat")

    assert run.attempt == 2
    assert set(map(tuple, told(fake))) == {("Question 0",), ("Question 1",)}
    assert len(set(conversations(fake))) == fake.counts["create_conversation"] == 1


async def test_a_version_that_is_gone_is_made_again_and_the_run_is_answered() -> None:
    """Somebody deleted it behind our back: the attempt fails, its actor looks, and a later attempt is answered."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        [name] = fake.project.agents
        del fake.project.agents[name]
        accepted = await app.submit("Question 1", session_id="chat")
        with pytest.raises(Unavailable) as caught:
            await app.process(app.queue.sent[-1])
        for _ in range(20):
            run, _ = await app.stored(accepted.run)
            if run.finished:
                break
            with contextlib.suppress(AppError):
                await app.process(app.queue.sent[-1])
        run, _ = await app.stored(accepted.run)

    assert caught.value.code == "agent_version_gone"
    assert run.state == "succeeded"
    assert told(fake)[-1] == ["Question 0", run_answer(0), "Question 1"]
    assert fake.counts["create_version"] == 2


async def test_a_conversation_that_is_gone_is_begun_anew() -> None:
    """Somebody deleted it at the project."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        fake.project.conversations.clear()
        run = await app.ask("Question 1", session_id="chat")

    assert run.state == "succeeded"
    assert told(fake)[-1] == ["Question 0", run_answer(0), "Question 1"]


async def test_a_session_goes_on_after_its_agent_was_retired_and_changed() -> None:
    """Context is the session's: another version answers in the same conversation."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        await app.declare(declared=spec(provider="foundry", instructions="Be exact."))
        app.services.agents.resolver.forget("default", "bot")
        run = await app.ask("Question 1", session_id="chat")

    assert run.version == "2"
    assert told(fake) == [["Question 0"], ["Question 1"]]
    assert len(set(conversations(fake))) == 1


async def test_a_conversation_that_has_grown_too_long_is_begun_anew_with_its_latest_part() -> None:
    """Also where the provider keeps the history, no more of it is told than the session allows."""
    async with foundry_app(HISTORY_TOKENS=200) as (app, fake):
        runs = [await app.ask(f"Question {number} {'x' * 100}", session_id="chat") for number in range(8)]
        _, session = await app.stored(runs[-1])
        turns = await app.turns(runs[-1])

    assert 1 < len(session.kept) < 8
    assert len(turns) == 16, "the transcript is whole"
    sizes = [sum(len(text) // 4 for text in texts) for texts in told(fake)]
    assert max(sizes) < 200
    assert max(len(texts) for texts in told(fake)) > 1


async def test_an_agent_retired_while_a_run_began_comes_back_with_it() -> None:
    """Another worker retired it after this one had looked it up: refused once, then answered."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        other = app.worker()
        accepted = await app.submit("Question 1", session_id="chat")
        await other.agents.administration.retire("default", "bot", other.agents.local_signals())
        with pytest.raises(Unavailable) as caught:
            await app.process(app.queue.sent[-1])
        run = await app.process(app.queue.sent[-1])
        await abandon(other)
        await other.agents.providers["foundry"].aclose()

    assert caught.value.code == "agent_retired"
    assert (run.id, run.state) == (accepted.run.id, "succeeded")
    assert fake.counts["create_version"] == 1


async def test_an_agent_switched_off_by_somebody_else_fails_the_run() -> None:
    """The app does not switch on at the provider what it has not switched off there."""
    async with foundry_app() as (app, fake):
        await app.ask("Question 0", session_id="chat")
        app.clock.move(seconds=1)
        [name] = fake.project.agents
        fake.project.agents[name].enabled = False
        run = await app.ask("Question 1", session_id="chat")

    assert run.error is not None
    assert (run.state, run.error.code) == ("failed", "provider_disabled")
