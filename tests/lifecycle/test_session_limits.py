"""What ends a session by itself, and what a model is told of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Conflict, TooLarge
from lifecycle.configuration.preferences import Preferences
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import Limits, Session, SessionState, SessionTerms
from lifecycle.conversations.session_rules import is_idle
from lifecycle.conversations.session_store import Turn
from lifecycle.runs.model_history import compacted, fits
from lifecycle.sessions.list import Filter
from lifecycle.sessions.start import SessionOptions
from lifecycle.sessions.transcript import transcript_of
from lifecycle.specs.spec import fingerprint
from tests.lifecycle.app import App, Gate
from tests.lifecycle.doubles import NOW, CountingTables, spec


@pytest.fixture
async def app() -> App:
    app = App(CountingTables())
    await app.declare()
    return app


async def start(app: App, name: str = "chat", **limits: float) -> Session:
    options = SessionOptions(limits=Limits(**limits))  # pyright: ignore[reportArgumentType]
    return (await app.services.sessions.start.start("default", "bot", name, options))[0]


async def refused(app: App, **more: str) -> str:
    with pytest.raises(Conflict) as caught:
        await app.submit("One more", session_id="chat", **more)
    return f"{caught.value.code}: {caught.value.detail}"


async def session_of(app: App, name: str = "chat") -> Session:
    session = (await app.services.conversations.store.load("default", name)).session
    assert session is not None
    return session


async def test_the_last_answer_that_fits_ends_the_session(app: App) -> None:
    """In the transaction of the answer itself; a run that would not fit is not accepted before either."""
    await start(app, max_turns=5)
    first = await app.submit("Q0", session_id="chat")
    await app.submit("Q1", session_id="chat")
    full = await refused(app)
    for message in app.queue.sent:
        await app.process(message)
    _, session = await app.stored(first.run)

    assert full.startswith("session_full")
    assert (session.state, session.end_reason, session.turns, session.pending) == ("ended", "max_turns", 4, 0)
    assert "session_ended" in await refused(app)
    assert "max_turns" in await refused(app)
    assert (await app.event_names(first.run))[-1] == "session.state_changed ended"


async def test_a_run_that_fails_makes_room_again(app: App) -> None:
    """Only what stands in the history counts."""
    await start(app, max_turns=2)
    first = await app.submit("Q0", session_id="chat")
    await app.services.runs.queries.cancel("default", first.run.id)

    assert (await app.ask("Q1", session_id="chat")).state == "succeeded"


async def test_a_session_outlived_is_ended_on_use(app: App) -> None:
    """No timer has come by: the run is refused with the reason, and the session has ended."""
    await start(app, max_duration_s=3600)
    await app.ask("Q0", session_id="chat")
    app.clock.move(hours=1)
    reason = await refused(app)
    session = await session_of(app)

    assert reason == "session_ended: Session 'chat' has ended (max_duration); start a new one."
    assert (session.state, session.end_reason, session.ended_at) == ("ended", "max_duration", app.clock.now)
    assert not await app.services.conversations.directory.has_open_session("default", "bot")


async def test_an_idle_session_is_ended_on_use(app: App) -> None:
    """By its own timeout."""
    await start(app, idle_timeout_s=60)
    await app.ask("Q0", session_id="chat")
    app.clock.move(seconds=59)
    await app.ask("Q1", session_id="chat")
    app.clock.move(seconds=61)

    assert "idle_timeout" in await refused(app)


async def test_a_session_with_a_run_is_not_idle(app: App) -> None:
    """However long that takes: a second one waits behind it."""
    await start(app, idle_timeout_s=60)
    await app.submit("Q0", session_id="chat")
    app.clock.move(seconds=61)
    await app.submit("Q1", session_id="chat")


async def test_repeating_an_accepted_request_is_no_use(app: App) -> None:
    """The same key returns the run, in a session that has ended by now, too."""
    await start(app, max_duration_s=60)
    run = await app.ask("Q0", session_id="chat")
    app.clock.move(seconds=61)
    again = await app.submit("Q0", session_id="chat", run_id=run.id)

    assert (again.run, again.created) == (run, False)
    assert (await session_of(app)).state is SessionState.ACTIVE


async def test_another_user_ends_nothing(app: App) -> None:
    """Whose session it is comes first."""
    await app.services.sessions.start.start("default", "bot", "chat", SessionOptions("ann", Limits(max_duration_s=60)))
    app.clock.move(seconds=61)
    with pytest.raises(Exception, match="no session"):
        await app.submit("Hi", session_id="chat", user_id="bob")

    assert (await session_of(app)).state is SessionState.STARTED


@pytest.mark.parametrize("by", ["its message", "the timer"])
async def test_a_run_whose_turn_comes_too_late_fails_with_a_reason(app: App, by: str) -> None:
    """Queued in time, not begun in time; the one under way is finished."""
    await start(app, max_duration_s=3600)
    first = await app.submit("Q0", session_id="chat")
    gate = Gate()
    gate.open.set()
    late = await app.submit("Q1", session_id="chat")
    await app.process(app.queue.sent[0], worker=app.worker(gate=gate))
    app.clock.move(hours=1)
    if by == "the timer":
        assert await app.services.sessions.end.expire() == 1
    else:
        await app.process(app.queue.sent[1])
    run, session = await app.stored(late.run)

    assert (run.state, run.error and run.error.code, run.attempt) == ("failed", "session_expired", 0)
    assert (session.state, session.end_reason, session.pending) == ("ended", "max_duration", 0)
    assert (await app.stored(first.run))[0].state == "succeeded"
    await app.services.sessions.end.expire()
    assert not await app.services.conversations.directory.has_open_session("default", "bot")


async def test_runs_kept_by_a_paused_session_fail_when_it_has_lasted_too_long(app: App) -> None:
    """No message would ever come for them; time on hold is no idleness."""
    await start(app, max_duration_s=86400 * 3, idle_timeout_s=60)
    await app.submit("Q0", session_id="chat")
    await app.services.conversations.pause.pause("default", "chat")
    kept = await app.submit("Q1", session_id="chat")
    app.clock.move(days=2)
    assert await app.services.sessions.end.expire() == 0
    assert (await session_of(app)).state is SessionState.PAUSED
    app.clock.move(days=1)
    assert await app.services.sessions.end.expire() == 1
    run, session = await app.stored(kept.run)

    assert (run.state, run.error and run.error.code) == ("failed", "session_expired")
    assert (session.state, session.pending) == ("ended", 0)


async def test_a_session_of_other_limits_is_another_wish(app: App) -> None:
    """The same id with other limits is told apart from the same request again."""
    session = await start(app, max_turns=4)
    assert await start(app, max_turns=4) == session
    assert await start(app) == session
    with pytest.raises(Conflict) as caught:
        await start(app, max_turns=6)

    assert caught.value.code == "session_differs"


async def test_a_short_idle_timeout_is_due_in_its_own_hour(app: App) -> None:
    """The timer finds it without looking at all the others."""
    for number in range(50):
        await start(app, f"s{number}")
    await start(app, idle_timeout_s=60)
    app.clock.move(minutes=2)

    assert await app.services.sessions.end.expire() == 1
    assert (await session_of(app)).end_reason == "idle_timeout"


async def test_sessions_are_listed_by_state(app: App) -> None:
    """In pages that each look at a bounded number of sessions; together they show every one in the state, once."""
    for number in range(260):
        app.clock.move(seconds=1)
        await start(app, f"s{number}")
        if number % 97 == 0:
            await app.services.conversations.pause.pause("default", f"s{number}")
    tables = app.tables
    assert isinstance(tables, CountingTables)
    seen: list[str] = []
    after: str | None = None
    while True:
        tables.reset()
        page, after = await app.services.sessions.list.page("default", Filter(state=SessionState.PAUSED), 50, after)
        assert tables.operations["get conversations"] <= 250
        seen += [session.id for session in page]
        if after is None:
            break

    assert seen == ["s194", "s97", "s0"]


async def test_the_history_is_told_up_to_a_number_of_tokens(app: App) -> None:
    """The latest of it; the transcript stays whole, and the run says what it was told."""
    await start(app, max_history_tokens=300)
    run = [await app.ask(f"Question {number} {'x' * 150}", session_id="chat") for number in range(6)][-1]
    found = await app.services.conversations.store.events("default", "chat", 0, 1000)
    told = [event.data for _, event in found if event.name == "run.history_compacted"]

    assert len(await app.turns(run)) == 12
    assert told
    assert all(data["sent"] < data["of"] for data in told)
    assert f"in turn {told[-1]['sent'] // 2 + 1}" in (run.answer or "")


async def test_an_agent_says_how_much_of_its_conversations_is_told(app: App) -> None:
    """Where the session does not say; a change of it makes no new version."""
    await app.declare("brief", spec(max_history_tokens=300))
    runs = [await app.ask(f"Question {n} {'x' * 150}", agent="brief", session_id="chat") for n in range(6)]
    found = await app.services.conversations.store.events("default", "chat", 0, 1000)

    assert any(event.name == "run.history_compacted" for _, event in found)
    assert (await app.stored(runs[-1]))[1].limits.max_history_tokens is None
    assert fingerprint(spec(max_history_tokens=300)) == fingerprint(spec())


async def test_compaction_keeps_the_latest_and_changes_no_text() -> None:
    """The same history is always cut the same way; the last message is told whatever its size."""
    turns = [Turn("user" if n % 2 == 0 else "assistant", f"{n} " + "x" * 80, "r", NOW) for n in range(20)]
    some = await compacted(turns, 250)
    again = await compacted(turns, 250)
    huge = await compacted([Turn("user", "x" * 10_000, "r", NOW)], 10)

    assert 1 < len(some) < 20
    assert [message.text for message in some] == [turn.text for turn in turns[-len(some) :]]
    assert [message.text for message in again] == [message.text for message in some]
    assert [message.additional_properties for message in some] == [{}] * len(some)
    assert len(huge) == 1
    assert await compacted([], 10) == []
    assert len(await compacted(turns, 10_000)) == 20


@given(
    texts=st.lists(st.text(max_size=300) | st.text('\x01"\\é😀', max_size=300), min_size=1, max_size=8),
    most=st.integers(1, 1500),
)
async def test_a_history_that_fits_by_our_count_fits_by_the_frameworks(texts: list[str], most: int) -> None:
    """Its count is asked for only where ours leaves it open; so ours may say that it fits only where it does."""
    from agent_framework import (  # noqa: PLC0415
        CharacterEstimatorTokenizer,
        Message,
        TruncationStrategy,
        apply_compaction,
    )

    turns = [Turn("user" if n % 2 == 0 else "assistant", text, "r", NOW) for n, text in enumerate(texts)]
    tokenizer = CharacterEstimatorTokenizer()
    strategy = TruncationStrategy(max_n=most, compact_to=most, tokenizer=tokenizer)
    messages = [Message(turn.role, [turn.text]) for turn in turns]
    told = await apply_compaction(messages, strategy=strategy, tokenizer=tokenizer)

    assert len(told) == len(turns) or not fits(turns, most)
    assert fits(turns, 100 * len(turns) + 2 * sum(map(len, texts)))
    assert [message.text for message in await compacted(turns, most)] == [message.text for message in told]


async def test_the_model_is_told_what_the_user_prefers(app: App) -> None:
    """As words of the user's, before what was said; never in the history."""
    options = SessionOptions("ann", preferences=Preferences(language="de", verbosity="brief"))
    await app.services.sessions.start.start("default", "bot", "chat", options)
    run = await app.ask("Hello", session_id="chat", user_id="ann")

    assert "in turn 2; the turn before began 'How I like" in (run.answer or "")
    assert (await app.turns(run))[0].text == "Hello"


async def test_a_transcript_is_whole_and_bounded(app: App) -> None:
    """Everything in order; over the limit it is refused, not cut."""
    runs: list[Run] = [await app.ask(f"Q{n}", session_id="chat", stream=True) for n in range(5)]
    found = await transcript_of(app.services.conversations.store, await session_of(app))

    assert [turn.text for turn in found.turns][::2] == [f"Q{n}" for n in range(5)]
    assert [run.id for run in found.runs] == [run.id for run in runs]
    assert "run.delta" not in {event.name for _, event in found.events}
    with pytest.raises(TooLarge) as caught:
        await transcript_of(app.services.conversations.store, await session_of(app), most_items=9)
    assert caught.value.code == "export_too_large"


def test_limits_are_the_sessions_own_before_the_apps() -> None:
    """Time is compared to the second it is over."""
    session = Session("w", "s", "a", None, NOW, NOW, terms=SessionTerms(Limits(idle_timeout_s=10)))

    assert not is_idle(session, NOW + timedelta(seconds=9.9), timedelta(0))
    assert is_idle(session, NOW + timedelta(seconds=10), timedelta(days=9))
