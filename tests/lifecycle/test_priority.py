"""Sessions of high priority: which queue their runs travel on, and what becomes of messages on the wrong one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.priority_queues import PriorityQueues
from kernel.errors import AppError, Conflict, InvalidInput, NotFound
from kernel.ids import new_id
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import RunRequest, Submission, parse_message
from lifecycle.conversations.session_priority import Priority
from lifecycle.runs.failed_runs import DeadLetter
from lifecycle.sessions.start import SessionOptions
from tests.lifecycle.app import App
from tests.lifecycle.doubles import MemoryQueue

HIGH = SessionOptions(priority=Priority.HIGH)


@pytest.fixture
async def app() -> Any:
    app = App(RUN_MAX_ATTEMPTS=2)
    await app.declare()
    yield app
    await app.aclose()


def shards() -> tuple[PriorityQueues, MemoryQueue, MemoryQueue]:
    normal, high = MemoryQueue(), MemoryQueue()
    return PriorityQueues({Priority.NORMAL: normal, Priority.HIGH: high}), normal, high


def message(session_id: str, priority: Priority, **more: Any) -> Submission:
    fields = {"agent": "bot", "query": "2 + 3", "run_id": new_id(), "session_id": session_id} | more
    return Submission.model_validate(fields | {"priority": priority})


async def test_a_session_keeps_its_priority_and_its_runs_have_it(app: App) -> None:
    """Whether it was created with it or started by a run; a run that says nothing follows."""
    created, _ = await app.services.sessions.start.start("default", "bot", "s1", HIGH)
    silent = (await app.submit(session_id="s1")).run
    said = (await app.submit(session_id="s1", priority="high")).run
    starting = (await app.submit(session_id="s2", priority="high")).run
    _, started = await app.stored(starting)
    usual, usual_session = await app.stored((await app.submit(session_id="s3")).run)

    assert created.priority is started.priority is Priority.HIGH
    assert {run.priority for run in (silent, said, starting)} == {Priority.HIGH}
    assert usual.priority is usual_session.priority is Priority.NORMAL
    assert [sent.priority for sent in app.queue.sent] == [Priority.HIGH] * 3 + [Priority.NORMAL]


@pytest.mark.parametrize(("held", "asked"), [("high", "normal"), ("normal", "high")])
async def test_a_run_with_another_priority_is_refused_and_changes_nothing(app: App, held: str, asked: str) -> None:
    """Neither the session nor a place for the run's id is left behind: the same id is good for a right request."""
    first = (await app.submit(session_id="s", priority=held)).run
    with pytest.raises(Conflict) as refused:
        await app.submit(session_id="s", priority=asked, run_id="11111111-1111-4111-8111-111111111111")
    again = await app.submit(session_id="s", run_id="11111111-1111-4111-8111-111111111111")
    _, session = await app.stored(first)

    assert refused.value.code == "session_priority_mismatch"
    assert again.created
    assert session.runs == 2


async def test_the_same_session_with_another_priority_differs(app: App) -> None:
    """Saying nothing of it is no other priority."""
    await app.services.sessions.start.start("default", "bot", "s", HIGH)
    again, new = await app.services.sessions.start.start("default", "bot", "s")
    with pytest.raises(Conflict) as refused:
        await app.services.sessions.start.start("default", "bot", "s", SessionOptions(priority=Priority.NORMAL))

    assert (again.priority, new) == (Priority.HIGH, False)
    assert refused.value.code == "session_differs"


async def test_kept_runs_are_queued_with_their_priority(app: App) -> None:
    """Paused and resumed, a session goes on where it was."""
    await app.services.sessions.start.start("default", "bot", "s", HIGH)
    await app.services.conversations.pause.pause("default", "s")
    kept = (await app.submit(session_id="s")).run
    await app.services.conversations.pause.resume("default", "s", app.queue.send)

    assert kept.state is RunState.WAITING
    assert [(sent.run_id, sent.priority) for sent in app.queue.sent] == [(kept.id, Priority.HIGH)]


def test_a_message_does_not_say_its_priority() -> None:
    """The queue that it is on says it."""
    assert "priority" not in json.loads(message("s", Priority.HIGH).to_json())


def test_a_request_is_the_same_whether_or_not_it_says_normal() -> None:
    """What was asked for before there were priorities can be repeated; high is another request."""
    plain, normal, high = (RunRequest(query="Hi", priority=each) for each in (None, Priority.NORMAL, Priority.HIGH))

    assert plain.digest("bot") == normal.digest("bot") != high.digest("bot")


def test_a_message_has_the_priority_of_its_queue() -> None:
    """It may say so and may not contradict; without an id of its own it is another run on another queue."""
    body = '{"agent": "bot", "query": "Hi"}'
    normal, high = _parsed(body, Priority.NORMAL), _parsed(body, Priority.HIGH)
    same = _parsed('{"agent": "bot", "query": "Hi", "priority": "high"}', Priority.HIGH)
    for wrong in ('"high"', '"urgent"', "[]"):
        with pytest.raises(InvalidInput, match="priority is not that of the queue"):
            _parsed(f'{{"agent": "bot", "query": "Hi", "priority": {wrong}}}', Priority.NORMAL)

    assert same == high
    assert (normal.priority, high.priority) == (Priority.NORMAL, Priority.HIGH)
    assert normal.run_id != high.run_id


async def test_a_producer_s_message_starts_a_session_of_its_queue_s_priority(app: App) -> None:
    """Producers choose by the queue."""
    run = await app.process(message("s", Priority.HIGH))
    _, session = await app.stored(run)

    assert (run.state, run.priority, session.priority) == (RunState.SUCCEEDED, Priority.HIGH, Priority.HIGH)


@pytest.mark.parametrize("known", [False, True])
async def test_a_message_on_the_wrong_queue_is_never_run(app: App, *, known: bool) -> None:
    """Be it of a run that exists or not: it becomes a dead letter that says why, and the run goes on without it."""
    queues, normal, _ = shards()
    accepted = (await app.submit(session_id="s", priority="high")).run
    stray = message("s", Priority.NORMAL, **({"run_id": accepted.id} if known else {}))
    for last in (False, True):
        with pytest.raises(AppError) as refused:
            await app.process(stray, last=last)
        assert not refused.value.retriable
    normal.bury(stray)
    letters = app.services.runs.dead_letters(queues)
    (letter,), _ = await letters.list("default", 10)
    with pytest.raises(Conflict) as kept:
        await letters.redrive("default", letter.id)

    assert (letter.code, letter.redrivable) == ("invalid_message", False)
    assert "high priority" in letter.detail
    assert kept.value.code == "dead_letter_invalid"
    assert await letters.account() == 0
    assert (await app.process(app.queue.sent[0])).state is RunState.SUCCEEDED
    _, session = await app.stored(accepted)
    assert (session.runs, session.pending) == (1, 0)


async def test_of_first_messages_on_both_queues_one_starts_the_session(app: App) -> None:
    """Whoever is first decides; the other one is refused, however close they were."""
    both = [message("s", priority) for priority in Priority]
    ends = await asyncio.gather(*(app.process(each) for each in both), return_exceptions=True)
    runs = [run async for run in app.services.conversations.store.runs("default", "s")]
    session = (await app.services.conversations.store.load("default", "s")).session

    assert session is not None
    (run,) = runs
    assert run.priority is session.priority
    assert [isinstance(end, AppError) for end in ends] == [each.priority is not session.priority for each in both]


async def test_dead_letters_of_both_queues_are_listed_accounted_and_redriven(app: App) -> None:
    """Their numbers are the same in both queues; their ids are not, and lead back to the queue they were on."""
    queues, normal, high = shards()
    for priority, queue in ((Priority.NORMAL, normal), (Priority.HIGH, high)):
        for n in range(3):
            queue.bury(message(f"{priority}-{n}", priority))
    letters = app.services.runs.dead_letters(queues)
    listed: list[DeadLetter] = []
    after: str | int | None = 0
    while True:
        page, more = await letters.list("default", 2, after)
        listed += page
        if more is None:
            break
        after = more
    for letter in listed:
        await letters.redrive("default", letter.id)

    assert [letter.id for letter in listed] == ["2", "3", "4", "5", "6", "7"]
    assert {letter.session_id for letter in listed} == {f"{name}-{n}" for name in ("normal", "high") for n in range(3)}
    assert [sent.session_id for sent, _ in normal.redriven] == ["normal-0", "normal-1", "normal-2"]
    assert [sent.session_id for sent, _ in high.redriven] == ["high-0", "high-1", "high-2"]
    assert {sent.priority for sent, _ in high.redriven} == {Priority.HIGH}
    with pytest.raises(NotFound):
        await queues.redrive(5, message("s", Priority.HIGH), 1)


numbers = st.sets(st.integers(1, 60), max_size=40)


@given(numbers, numbers, st.integers(1, 7), st.integers(1, 7), st.integers(1, 20))
def test_pages_over_both_queues_have_every_letter_once(
    normals: set[int], highs: set[int], short: int, shorter: int, limit: int
) -> None:
    """However short the pages are that a queue gives; and a page that is not full is the last, as lists take it."""
    queues, normal, high = shards()
    normal.page, high.page = short, shorter
    for queue, held, priority in ((normal, normals, Priority.NORMAL), (high, highs, Priority.HIGH)):
        for number in held:
            queue.bury(message("s", priority), number=number)

    async def read() -> list[int]:
        found: list[int] = []
        while page := await queues.dead(limit, found[-1] + 1 if found else 0):
            assert len(page) <= limit
            found += [each.id for each in page]
            if len(page) < limit:
                break
        return found

    assert asyncio.run(read()) == sorted([*(2 * each for each in normals), *(2 * each + 1 for each in highs)])


def _parsed(body: str, priority: Priority) -> Submission:
    return parse_message(
        body.encode(), message_id=None, session_id="s", sequence_number=7, priority=priority, max_query_bytes=1000
    )
