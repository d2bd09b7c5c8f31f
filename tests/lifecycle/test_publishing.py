"""Sessions' events in the workspace's stream: each once and in the session's order, whatever dies in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.services import Services
from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.journal import SHARDS, Event
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_request import RunRequest, submission_of
from lifecycle.conversations.session_store import ConversationChange, StoredConversation
from lifecycle.events.publisher import Publisher
from lifecycle.events.unpublished import EventRange, Pending
from tests.lifecycle.app import TOOLED, App, abandon
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate
from tests.waiting import eventually


async def published(app: App, workspace: str = "default") -> list[Event]:
    """Return what the workspace's stream tells of sessions and runs, shard by shard."""
    journal = app.services.events.journal
    told = [event for shard in range(SHARDS) for _, event in await journal.read(workspace, shard, 0, 1000)]
    return [event for event in told if event.name.startswith(("session.", "run."))]


async def committed(app: App, session_id: str, workspace: str = "default") -> list[Event]:
    """Return a session's events but its deltas, with what the workspace's stream says of the session besides."""
    found = await app.services.conversations.store.events(workspace, session_id, 0, 1000)
    where = {"session_id": session_id, "agent": "bot"}
    return [replace(event, data=where | event.data) for _, event in found if event.name != "run.delta"]


async def deliver(app: App, run: Run, worker: Services) -> None:
    """Do with a run's message what the queue trigger does."""
    await worker.runs.worker.process(submission_of(run), worker.agents.local_signals())
    await worker.conversations.publisher.publish_all_of(run.workspace, run.session_id)


async def test_a_runs_events_are_published_in_order() -> None:
    """Once the message is done with, nothing of the run is missing, and none comes twice."""
    app = App()
    await app.declare()
    runs = [(await app.submit(session_id=f"s{n % 2}")).run for n in range(4)]
    for run in runs:
        await deliver(app, run, app.services)

    told = await published(app)
    for session_id in ("s0", "s1"):
        assert [event for event in told if event.data["session_id"] == session_id] == await committed(app, session_id)
    assert len(told) == len(await committed(app, "s0")) + len(await committed(app, "s1"))
    await app.aclose()


async def test_what_nobody_waits_for_is_published_soon() -> None:
    """As after a submission, whose caller need not wait for it."""
    app = App()
    await app.declare()
    accepted = await app.submit(session_id="s")
    before = await published(app)
    wanted = await committed(app, accepted.run.session_id)

    async def soon() -> bool:
        return await published(app) == wanted

    await eventually(soon)
    assert before == []
    await app.aclose()


@pytest.mark.parametrize("error", [Crash, Unavailable], ids=["died", "storage failed"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_worker_may_die_at_any_write(after: bool, error: type[BaseException]) -> None:
    """The message comes again, and then the stream tells what the session does, each event once."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.declare(declared=TOOLED)
        run = (await app.submit(session_id="s")).run
        fate = Fate(number, after, error)
        worker = app.worker(fate)
        for _ in range(4):
            with contextlib.suppress(Crash, Unavailable):
                await deliver(app, run, worker)
                break
            app.clock.move(seconds=61)
            worker = app.worker() if error is Crash else worker
        await abandon(worker)

        assert await published(app) == await committed(app, "s")
        await app.aclose()
        if not fate.struck:
            break
    assert number > 8


async def test_a_submitter_that_dies_is_made_up_for_when_the_session_is_looked_at() -> None:
    """Its event is in the session only; ending the session for want of use publishes both."""
    app = App()
    await app.declare()
    fate = Fate()
    dead = app.worker(fate)
    agent = await dead.agents.catalog.get("default", "bot")
    await dead.runs.submission.accept(agent, RunRequest(query="2 + 3", session_id="s"), new_id())
    fate.dead = True
    await abandon(dead)
    lost = await published(app)
    app.clock.move(days=3)
    await app.services.sessions.end.expire()

    told = await published(app)
    assert lost == []
    assert told[-1].data["state"] == "ended"
    assert told == await committed(app, "s")
    await app.aclose()


async def test_many_processes_commit_to_one_session() -> None:
    """Each publishes what it has committed, in its own time: the stream is in the session's order all the same."""
    app = App()
    await app.declare()
    await app.submit(session_id="s")
    workers = [app.worker() for _ in range(4)]

    async def act(worker: Services, number: int) -> None:
        for step in range(6):
            name = "run.delta" if (number + step) % 3 == 0 else "run.stage"
            event = Event(name, {"run_id": f"{number}", "step": step}, NOW)

            def decide(stored: StoredConversation, event: Event = event) -> ConversationChange:
                assert stored.session is not None
                return ConversationChange(stored.session, events=[event])

            await worker.conversations.store.update("default", "s", None, decide)
            if random.random() < 0.5:
                await worker.conversations.publisher.flush()

    await asyncio.gather(*(act(worker, number) for number, worker in enumerate(workers)))
    await asyncio.gather(
        *(worker.conversations.publisher.flush() for worker in workers), app.services.conversations.publisher.flush()
    )
    await app.services.conversations.publisher.publish_all_of("default", "s")

    assert await published(app) == await committed(app, "s")
    await asyncio.gather(*(worker.conversations.publisher.aclose() for worker in workers))
    await app.aclose()


async def test_a_run_is_published_with_one_append() -> None:
    """A short run's submission, stages and answer go together: one write more, and nothing read of its session."""
    tables = CountingTables()
    app = App(tables, RECORD_USE_EVERY_S=1000)
    await app.declare()
    await app.ask(session_id="s")
    await app.services.conversations.publisher.publish_all_of("default", "s")
    run = (await app.submit(session_id="s")).run
    await app.process(submission_of(run))
    tables.reset()
    await app.services.conversations.publisher.publish_all_of("default", "s")

    assert dict(tables.operations) == {"commit events": 1}
    await app.aclose()


NUMBERS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), st.booleans()), max_size=20)


@given(NUMBERS, st.lists(st.integers(0, 20), max_size=4))
def test_what_is_noted_is_taken_once_and_in_order(parts: list[tuple[int, int, bool]], takes: list[int]) -> None:
    """Commits may be noted in any order and twice; stretches that are taken neither overlap nor invent numbers."""
    pending, noted, taken = Pending(), set[int](), list[int]()
    wanted: dict[int, bool] = {}
    for first, length, told in parts:
        for number in range(first, first + length):
            wanted.setdefault(number, told)
    for place, (first, length, _) in enumerate(parts):
        numbers = range(first, first + length)
        events = tuple((n, Event("run.stage", {"n": n}, NOW)) for n in numbers if wanted[n])
        pending.add(EventRange(first, first + length, events))
        noted.update(numbers)
        if place in takes:
            for stretch in pending.take():
                pending.add(stretch)  # as when publishing failed
    for stretch in pending.take():
        assert [n for n, _ in stretch.events] == [n for n in range(stretch.first, stretch.end) if wanted[n]]
        taken += range(stretch.first, stretch.end)

    assert taken == sorted(set(taken))
    assert {n for n in noted if wanted[n]} <= set(taken) <= noted
    assert not pending.wanted


async def test_a_session_waits_for_others_only_while_they_have_events() -> None:
    """Alone it is published at once, run after run: its next run cannot begin before its message is settled."""
    app = App()
    services, hour = app.services, timedelta(hours=1)
    publisher = Publisher(
        services.events.journal,
        services.conversations.store,
        services.core.due("sessionevents"),
        linger=hour,
        kept_for=hour,
        clock=app.clock,
    )
    services.conversations.publisher = publisher
    await app.declare()
    for _ in range(2):
        await deliver(app, (await app.submit(session_id="alone")).run, app.services)

    await app.submit(session_id="another")
    waiting = asyncio.create_task(publisher.publish_all_of("default", "alone"))
    await asyncio.wait({waiting}, timeout=0.1)

    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await publisher.flush()
    await app.aclose()
