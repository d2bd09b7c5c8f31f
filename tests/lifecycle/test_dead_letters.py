"""Runs that the queue gave up on: listed by workspace, tried again, and accounted for when their workers died."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from kernel.errors import Conflict, NotFound, Unavailable
from kernel.ids import new_id
from kernel.tables import Span, Upsert, every
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import Submission
from lifecycle.conversations.session_rows import TABLE as CONVERSATIONS
from lifecycle.conversations.session_rows import partition_of
from lifecycle.runs.dead_letters import DeadLetters
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate, spec


@pytest.fixture
async def app() -> App:
    app = App(RUN_MAX_ATTEMPTS=2)
    await app.declare()
    return app


def letters(app: App) -> DeadLetters:
    return app.services.runs.dead_letters(app.queue)


async def redriven(app: App, ident: str) -> Submission:
    """Redrive a dead letter, and return the run's message."""
    submission = await letters(app).redrive("default", ident)
    assert isinstance(submission, Submission)
    return submission


async def dead_run(app: App, *, fail_first: int = 2) -> int:
    """Fail a run's every attempt, and bury its message."""
    await app.declare("broken", spec(simulate={"fail_first": fail_first}))
    await app.submit(agent="broken")
    message = app.queue.sent.pop()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await app.process(message)
    return app.queue.bury(message)


async def lost_run(app: App) -> int:
    """Let every worker of a run die, and bury its message."""
    await app.submit()
    message = app.queue.sent.pop()
    for _ in range(2):
        dying = app.worker(Fate(3, after=True))
        with pytest.raises(Crash):
            await app.process(message, worker=dying)
        await abandon(dying)
        app.clock.move(seconds=61)
    return app.queue.bury(message)


async def test_a_dead_letter_says_why(app: App) -> None:
    """The run's error, where there is one; else what became of it."""
    await dead_run(app)
    run = await app.ask()
    app.queue.bury(app.queue.sent[-1])
    app.queue.bury(Submission(agent="nobody", query="Hi", run_id=new_id(), session_id="s"))
    app.queue.bury(app.queue.sent[-1], body=b"SECRET not json")
    found, after = await letters(app).list("default", 10)

    assert [letter.code for letter in found] == [
        "provider_unavailable",
        "not_needed",
        "not_accepted",
        "invalid_message",
    ]
    assert [letter.redrivable for letter in found] == [True, False, True, False]
    assert (found[1].run_id, found[0].agent, found[3].run_id, after) == (run.id, "broken", None, None)
    assert "SECRET" not in repr(found)


async def spoil(app: App, run_id: str, session_id: str) -> None:
    """Make a run's row unreadable."""
    row = await app.tables.get(CONVERSATIONS, partition_of("default", session_id), f"run!{run_id}")
    assert row is not None
    texts = {name: "{" for name, value in row.values.items() if str(value).startswith("{")}
    await app.tables.commit(CONVERSATIONS, [Upsert(replace(row, values={**row.values, **texts}))])


async def test_a_failed_run_that_cannot_be_read_hides_no_other(app: App) -> None:
    """It is left out, as in all lists."""
    for _ in range(2):
        await dead_run(app)
    first, second = (await letters(app).list("default", 10))[0]
    assert first.session_id is not None
    await spoil(app, first.id, first.session_id)
    found, _ = await letters(app).list("default", 10)

    assert found[0] == second


async def test_a_run_that_cannot_be_read_is_a_dead_letter_like_others(app: App) -> None:
    """It may be why its message is dead: the list says so, others are listed and accounted for, and it is discarded."""
    run = await app.ask(session_id="spoiled")
    number = app.queue.bury(app.queue.sent[-1])
    await spoil(app, run.id, "spoiled")
    await lost_run(app)
    found, _ = await letters(app).list("default", 10)
    accounted = await letters(app).account()
    await letters(app).discard("default", str(number))

    assert (found[0].id, found[0].code, found[0].redrivable) == (str(number), "unreadable_value", False)
    assert (len(found), found[0].run_id, accounted) == (2, run.id, 1)
    assert [letter.code for letter in (await letters(app).list("default", 10))[0]] == ["worker_lost"]


async def test_letters_are_listed_by_pages_however_the_broker_pages(app: App) -> None:
    """A broker may answer a peek with less than there is; nothing is left out, nothing twice."""
    app.queue.page = 3
    for number in range(25):
        workspace = "team" if number % 5 == 0 else "default"
        app.queue.bury(Submission(agent="bot", query="Hi", run_id=new_id(), session_id="s", workspace=workspace))
    seen: list[int] = []
    after: str | int | None = 0
    while after is not None:
        page, after = await letters(app).list("default", 4, after)
        seen += [int(letter.id) for letter in page]

    assert seen == [number for number in range(1, 26) if (number - 1) % 5]
    assert [letter.id for letter in (await letters(app).list("team", 99))[0]] == ["1", "6", "11", "16", "21"]


async def test_a_redriven_run_has_all_its_attempts_again(app: App) -> None:
    """They go on counting, and the answer is one."""
    number = await dead_run(app)
    submission = await redriven(app, str(number))
    run = await app.services.runs.queries.get("default", submission.run_id)
    _, session = await app.stored(run)
    assert (run.state, run.redriven, session.pending) == (RunState.QUEUED, 1, 1)
    assert app.queue.redriven == [(submission, 1)]
    assert app.queue.letters == {}
    done = await app.process(submission)

    assert done.attempt == 3
    await app.check_answered_once(run)


async def test_a_redriven_run_that_fails_again_is_given_up_again(app: App) -> None:
    """After as many attempts as before."""
    number = await dead_run(app, fail_first=9)
    submission = await redriven(app, str(number))
    states: list[str] = []
    for _ in range(2):
        with pytest.raises(Unavailable):
            await app.process(submission)
        states.append((await app.services.runs.queries.get("default", submission.run_id)).state)

    assert states == ["queued", "failed"]


async def test_redriving_twice_counts_once(app: App) -> None:
    """The first one died before the broker was told: repeating it makes it right."""
    number = await dead_run(app)
    letter = app.queue.letters.pop(number)
    with pytest.raises(NotFound):
        await letters(app).redrive("default", str(number))
    app.queue.letters[number] = letter
    original, app.queue.redrive = app.queue.redrive, broken  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await letters(app).redrive("default", str(number))
    app.queue.redrive = original  # type: ignore[method-assign]
    submission = await redriven(app, str(number))
    run = await app.services.runs.queries.get("default", submission.run_id)

    assert (run.redriven, (await app.stored(run))[1].pending) == (1, 1)


async def broken(*_: object) -> None:
    raise Unavailable


async def test_another_workspaces_letter_is_not_found(app: App) -> None:
    """Neither shown nor redriven; what cannot be read belongs to the default workspace."""
    number = await dead_run(app)
    unreadable = app.queue.bury(Submission(agent="a", query="b", run_id="c", session_id="d"), body=b"x")
    for which in (number, unreadable):
        with pytest.raises(NotFound):
            await letters(app).redrive("team", str(which))
    with pytest.raises(Conflict) as caught:
        await letters(app).redrive("default", str(unreadable))

    assert caught.value.code == "dead_letter_invalid"
    assert (await letters(app).list("team", 10))[0] == []


async def test_a_message_that_may_not_name_its_workspace_is_nobodys_run() -> None:
    """It is listed with its reason where unreadable ones are, is not redriven, and fails no run of that workspace."""
    app = App(QUEUE_WORKSPACES="agent-runs=default", QUEUE_SIGNING_KEY="k" * 32)
    number = app.queue.bury(Submission(workspace="team", agent="a", query="b", run_id="c", session_id="d"))
    (refused,), _ = await letters(app).list("default", 10)
    with pytest.raises(Conflict):
        await letters(app).redrive("default", str(number))

    assert (refused.code, refused.redrivable, refused.run_id) == ("workspace_not_allowed", False, None)
    assert await letters(app).account() == 0
    assert (await letters(app).list("team", 10))[0] == []
    await app.aclose()


async def test_a_run_whose_workers_died_is_failed(app: App) -> None:
    """Nobody could record why; once accounted for, it is not accounted for again."""
    await lost_run(app)
    await dead_run(app)
    first, second = await letters(app).account(), await letters(app).account()
    found, _ = await letters(app).list("default", 10)
    run = await app.services.runs.queries.get("default", found[0].run_id or "")

    assert (first, second) == (1, 0)
    assert (found[0].code, run.state) == ("worker_lost", RunState.FAILED)
    assert (await app.stored(run))[1].pending == 0


async def test_a_lost_run_that_was_cancelled_ends_as_cancelled(app: App) -> None:
    """A cancellation that was accepted wins here too, and is not undone by redriving."""
    number = await lost_run(app)
    run_id = (await letters(app).list("default", 1))[0][0].run_id or ""
    await app.services.runs.queries.cancel("default", run_id)
    await letters(app).account()
    with pytest.raises(NotFound):
        await letters(app).redrive("default", str(number))  # nothing is to be made of it: it was removed

    assert (await app.services.runs.queries.get("default", run_id)).state is RunState.CANCELLED


async def test_a_run_that_is_running_is_not_lost(app: App) -> None:
    """Its worker lives, whatever became of the message."""
    await app.submit()
    message = app.queue.sent.pop()
    stored = await app.services.conversations.store.load("default", message.session_id, message.run_id)
    await app.services.runs.worker._claim(stored, message, None)
    app.queue.bury(message)

    assert await letters(app).account() == 0
    app.clock.move(seconds=61)
    assert await letters(app).account() == 1


async def test_a_run_that_was_redriven_is_not_lost_by_its_old_copy(app: App) -> None:
    """Redriving sends the copy first and removes the dead message then."""
    number = await dead_run(app)
    old = app.queue.letters[number]
    await letters(app).redrive("default", str(number))
    app.queue.letters[number] = old

    assert await letters(app).account() == 0


async def test_a_run_that_was_submitted_again_can_still_be_lost(app: App) -> None:
    """Queueing what was not queued is no redriving: when its workers die, it is accounted for."""
    key = new_id()
    app.queue.refuse = True
    with pytest.raises(Unavailable):
        await app.submit(run_id=key)
    app.queue.refuse = False
    await app.submit(run_id=key)
    app.queue.bury(app.queue.sent.pop())

    assert await letters(app).account() == 1


async def test_a_lost_run_can_be_redriven(app: App) -> None:
    """And is answered once."""
    number = await lost_run(app)
    await letters(app).account()
    submission = await redriven(app, str(number))
    run = await app.process(submission)

    await app.check_answered_once(run)


async def failed_run(app: App, **more: Any) -> Run:
    """Fail a run's every attempt; its message is gone, as after a delivery that found the run finished."""
    await app.declare("broken", spec(simulate={"fail_first": more.pop("fail_first", 2)}))
    run = (await app.submit(agent="broken", **more)).run
    message = app.queue.sent.pop()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await app.process(message)
    return run


async def test_a_failed_run_is_listed_whatever_became_of_its_message(app: App) -> None:
    """From its row, with why it failed."""
    run = await failed_run(app)
    found, after = await letters(app).list("default", 10)

    assert [(letter.id, letter.code, letter.redrivable, letter.deliveries) for letter in found] == [
        (run.id, "provider_unavailable", True, 2)
    ]
    assert after is None
    assert (await letters(app).list("team", 10))[0] == []


async def test_a_failed_run_is_redriven_without_its_message(app: App) -> None:
    """It gets a new one, leaves the list, and is answered once."""
    run = await failed_run(app)
    submission = await redriven(app, run.id)
    listed = (await letters(app).list("default", 10))[0]
    done = await app.process(app.queue.sent[-1])

    assert (submission.run_id, submission.redriven, listed) == (run.id, 1, [])
    assert (done.attempt, done.state) == (3, RunState.SUCCEEDED)
    with pytest.raises(NotFound):
        await letters(app).redrive("default", run.id)


async def test_a_run_that_fails_again_is_listed_again(app: App) -> None:
    """After a redrive, too."""
    run = await failed_run(app, fail_first=9)
    message = await redriven(app, run.id)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await app.process(message)
    found = (await letters(app).list("default", 10))[0]

    assert [(letter.id, letter.redrivable, letter.deliveries) for letter in found] == [(run.id, True, 4)]


async def test_a_run_with_a_dead_message_is_listed_once(app: App) -> None:
    """And redriven by either name; the message that is left then says that it is not needed."""
    number = await dead_run(app)
    found = (await letters(app).list("default", 10))[0]
    await letters(app).redrive("default", found[0].id)
    left = (await letters(app).list("default", 10))[0]

    assert [letter.id for letter in found] == [found[0].run_id]
    assert [(letter.id, letter.code, letter.redrivable) for letter in left] == [(str(number), "not_needed", False)]


async def test_a_redrive_whose_message_was_not_accepted_can_be_repeated(app: App) -> None:
    """The run is queued already; it stays on the list until the broker has its message."""
    run = await failed_run(app)
    app.queue.refuse = True
    with pytest.raises(Unavailable):
        await letters(app).redrive("default", run.id)
    listed = (await letters(app).list("default", 10))[0]
    app.queue.refuse = False
    await letters(app).redrive("default", run.id)
    _, session = await app.stored(run)

    assert [(letter.id, letter.code) for letter in listed] == [(run.id, "redriven")]
    assert ((await app.stored(run))[0].redriven, session.pending) == (1, 1)


@pytest.mark.parametrize("after", [False, True])
async def test_no_failed_run_is_lost_from_the_list_whatever_dies(after: bool) -> None:
    """Its entry is written before its row says that it failed."""
    number, died = 0, True
    while died:
        number, died = number + 1, False
        app = App(RUN_MAX_ATTEMPTS=1)
        await app.declare("broken", spec(simulate={"fail_first": 9}))
        run = (await app.submit(agent="broken")).run
        dying = app.worker(fate := Fate(number, after))
        with contextlib.suppress(Unavailable):
            try:
                await app.process(app.queue.sent[-1], worker=dying)
            except Crash:
                died = True
        died = died or fate.struck
        await abandon(dying)
        app.clock.move(minutes=5)
        stored, _ = await app.stored(run)
        listed = {letter.id for letter in (await letters(app).list("default", 10))[0]}

        assert (stored.state is RunState.FAILED) == (run.id in listed)

    assert number > 2


async def test_a_failed_run_of_an_ended_session_is_not_redrivable(app: App) -> None:
    """It says so, rather than fail once more."""
    run = await failed_run(app)
    await app.services.sessions.end.end("default", run.session_id)
    found = (await letters(app).list("default", 10))[0]
    with pytest.raises(Conflict) as caught:
        await letters(app).redrive("default", run.id)

    assert ([letter.redrivable for letter in found], caught.value.code) == ([False], "session_ended")


async def test_a_run_id_of_another_session_cannot_be_redriven(app: App) -> None:
    """Such a message can never be run."""
    run = await app.ask(session_id="first")
    number = app.queue.bury(Submission(agent="bot", query="2 + 3", run_id=run.id, session_id="second"))
    found = (await letters(app).list("default", 10))[0]
    with pytest.raises(Conflict) as caught:
        await letters(app).redrive("default", str(number))

    assert [(letter.code, letter.redrivable) for letter in found] == [("invalid_message", False)]
    assert caught.value.code == "dead_letter_invalid"


async def test_dead_letters_are_thrown_away_by_call_and_audited(app: App) -> None:
    """An unreadable message is removed, a failed run stays failed and is listed no more; another workspace's stays."""
    run = await failed_run(app)
    number = app.queue.bury(Submission(agent="bot", query="x", run_id=new_id(), session_id="s"), body=b"SECRET {")
    with pytest.raises(NotFound):
        await letters(app).discard("team", str(number), "ann")
    with pytest.raises(NotFound):
        await letters(app).discard("team", run.id, "ann")
    await letters(app).discard("default", str(number), "ann")
    await letters(app).discard("default", run.id, "ann")
    found = (await letters(app).list("default", 10))[0]
    rows = [str(dict(row.values)) async for row in every(app.tables, "events", Span("0", partition_before="~"))]
    audited = [text for text in rows if "dead_letter.discarded" in text]

    assert (found, app.queue.letters) == ([], {})
    assert (await app.stored(run))[0].state is RunState.FAILED
    assert sum(text.count("dead_letter.discarded") for text in audited) == 2
    assert all("ann" in text and "SECRET" not in text for text in audited)


async def test_what_can_never_be_run_degrades_nothing_for_ever(app: App) -> None:
    """Its producer has a day to hear of it; a failed run counts until somebody sees to it."""
    app.queue.bury(Submission(agent="bot", query="x", run_id=new_id(), session_id="s"), body=b"{")

    async def health() -> str:
        status = await app.services.status.system.look(app.services.status.today("default"), app.queue, letters(app))
        return next(part.health for part in status.components if part.name == "dead_letters")

    before = await health()
    app.clock.move(days=2)
    after = await health()
    await failed_run(app)

    assert (before, after, await health()) == ("degraded", "healthy", "degraded")


async def test_a_message_that_misuses_a_failed_runs_id_is_listed_besides_it(app: App) -> None:
    """The run is redrivable, the message is not."""
    run = await failed_run(app)
    app.queue.bury(Submission(agent="broken", query="another", run_id=run.id, session_id=run.session_id))
    found = (await letters(app).list("default", 10))[0]

    assert [(letter.code, letter.redrivable) for letter in found] == [
        ("provider_unavailable", True),
        ("invalid_message", False),
    ]
