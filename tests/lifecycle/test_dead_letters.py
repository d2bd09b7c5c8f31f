"""Runs that the queue gave up on: listed by workspace, tried again, and accounted for when their workers died."""

from __future__ import annotations

import pytest

from kernel.errors import Conflict, NotFound, Unavailable
from kernel.ids import new_id
from lifecycle.conversations.run import RunState
from lifecycle.conversations.submission import Submission
from lifecycle.runs.dead_letters import DeadLetters
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, Fate, spec


@pytest.fixture
async def app() -> App:
    app = App(RUN_MAX_ATTEMPTS=2)
    await app.declare()
    return app


def letters(app: App) -> DeadLetters:
    return app.services.dead_letters(app.queue)


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
    assert [letter.redrivable for letter in found] == [True, True, True, False]
    assert (found[1].run_id, found[0].agent, found[3].run_id, after) == (run.id, "broken", None, None)
    assert "SECRET" not in repr(found)


async def test_letters_are_listed_by_pages_however_the_broker_pages(app: App) -> None:
    """A broker may answer a peek with less than there is; nothing is left out, nothing twice."""
    app.queue.page = 3
    for number in range(25):
        workspace = "team" if number % 5 == 0 else "default"
        app.queue.bury(Submission(agent="bot", query="Hi", run_id=new_id(), session_id="s", workspace=workspace))
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page, after = await letters(app).list("default", 4, after)
        seen += [letter.id for letter in page]

    assert seen == [number for number in range(1, 26) if (number - 1) % 5]
    assert [letter.id for letter in (await letters(app).list("team", 99))[0]] == [1, 6, 11, 16, 21]


async def test_a_redriven_run_has_all_its_attempts_again(app: App) -> None:
    """They go on counting, and the answer is one."""
    number = await dead_run(app)
    submission = await letters(app).redrive("default", number)
    run = await app.services.desk.get("default", submission.run_id)
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
    submission = await letters(app).redrive("default", number)
    states: list[str] = []
    for _ in range(2):
        with pytest.raises(Unavailable):
            await app.process(submission)
        states.append((await app.services.desk.get("default", submission.run_id)).state)

    assert states == ["queued", "failed"]


async def test_redriving_twice_counts_once(app: App) -> None:
    """The first one died before the broker was told: repeating it makes it right."""
    number = await dead_run(app)
    letter = app.queue.letters.pop(number)
    with pytest.raises(NotFound):
        await letters(app).redrive("default", number)
    app.queue.letters[number] = letter
    original, app.queue.redrive = app.queue.redrive, broken  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await letters(app).redrive("default", number)
    app.queue.redrive = original  # type: ignore[method-assign]
    submission = await letters(app).redrive("default", number)
    run = await app.services.desk.get("default", submission.run_id)

    assert (run.redriven, (await app.stored(run))[1].pending) == (1, 1)


async def broken(*_: object) -> None:
    raise Unavailable


async def test_another_workspaces_letter_is_not_found(app: App) -> None:
    """Neither shown nor redriven; what cannot be read belongs to the default workspace."""
    number = await dead_run(app)
    unreadable = app.queue.bury(Submission(agent="a", query="b", run_id="c", session_id="d"), body=b"x")
    for which in (number, unreadable):
        with pytest.raises(NotFound):
            await letters(app).redrive("team", which)
    with pytest.raises(Conflict) as caught:
        await letters(app).redrive("default", unreadable)

    assert caught.value.code == "dead_letter_invalid"
    assert (await letters(app).list("team", 10))[0] == []


async def test_a_message_that_may_not_name_its_workspace_is_nobodys_run() -> None:
    """It is listed with its reason where unreadable ones are, is not redriven, and fails no run of that workspace."""
    app = App(QUEUE_WORKSPACES="agent-runs=default", QUEUE_SIGNING_KEY="k" * 32)
    number = app.queue.bury(Submission(workspace="team", agent="a", query="b", run_id="c", session_id="d"))
    (refused,), _ = await letters(app).list("default", 10)
    with pytest.raises(Conflict):
        await letters(app).redrive("default", number)

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
    run = await app.services.desk.get("default", found[0].run_id or "")

    assert (first, second) == (1, 0)
    assert (found[0].code, run.state) == ("worker_lost", RunState.FAILED)
    assert (await app.stored(run))[1].pending == 0


async def test_a_lost_run_that_was_cancelled_ends_as_cancelled(app: App) -> None:
    """A cancellation that was accepted wins here too, and is not undone by redriving."""
    number = await lost_run(app)
    run_id = (await letters(app).list("default", 1))[0][0].run_id or ""
    await app.services.desk.cancel("default", run_id)
    await letters(app).account()
    await letters(app).redrive("default", number)

    assert (await app.services.desk.get("default", run_id)).state is RunState.CANCELLED


async def test_a_run_that_is_running_is_not_lost(app: App) -> None:
    """Its worker lives, whatever became of the message."""
    await app.submit()
    message = app.queue.sent.pop()
    stored = await app.services.conversations.load("default", message.session_id, message.run_id)
    await app.services.runner._claim(stored, message, None)
    app.queue.bury(message)

    assert await letters(app).account() == 0
    app.clock.move(seconds=61)
    assert await letters(app).account() == 1


async def test_a_run_that_was_redriven_is_not_lost_by_its_old_copy(app: App) -> None:
    """Redriving sends the copy first and removes the dead message then."""
    number = await dead_run(app)
    old = app.queue.letters[number]
    await letters(app).redrive("default", number)
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
    submission = await letters(app).redrive("default", number)
    run = await app.process(submission)

    await app.check_answered_once(run)
