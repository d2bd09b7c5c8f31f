"""Listing runs: newest first, those in flight before others, at a bounded cost a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kernel.tables import Span, every
from lifecycle.conversations.run import RunState
from lifecycle.runs.run_queries import MOST_LOOKED_AT, RunFilter
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, spec


async def several(app: App, count: int = 12) -> list[str]:
    """Submit runs of two agents, users and sessions, answer all but the second, and return their ids in order."""
    await app.declare()
    await app.declare("other", spec())
    ids: list[str] = []
    for n in range(count):
        agent = "bot" if n % 2 else "other"
        accepted = await app.submit(f"Q{n}", agent=agent, session_id=f"s-{agent}", user_id="ann" if n % 2 else "bob")
        ids.append(accepted.run.id)
        if n != 1:
            await app.deliver(app.queue.sent[-1])
        app.clock.move(seconds=1)
    return ids


async def pages(app: App, wanted: RunFilter, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    after: str | None = None
    while True:
        page, after = await app.services.runs.list.page("default", wanted, limit, after)
        found.append([run.id for run in page])
        if after is None:
            return found


async def test_every_run_is_listed_once_newest_first() -> None:
    """However long the pages are; another workspace sees none."""
    app = App()
    ids = await several(app)
    for limit in (1, 5, 12, 50):
        listed = [run for page in await pages(app, RunFilter(), limit) for run in page]
        assert sorted(listed) == sorted(ids)
    assert [run for page in await pages(app, RunFilter(), 1) for run in page] == ids[::-1]
    assert await app.services.runs.list.page("team", RunFilter(), 10, None) == ([], None)


async def test_runs_in_flight_come_first() -> None:
    """In a page, however long ago they were accepted; the others after them, newest first."""
    app = App()
    await app.declare()
    waiting = (await app.submit("Q", session_id="long ago")).run.id
    ended: list[str] = []
    for n in range(3):
        app.clock.move(seconds=1)
        ended.append((await app.ask(session_id=f"s-{n}")).id)

    assert await pages(app, RunFilter(), 50) == [[waiting, *ended[::-1]]]


async def test_runs_are_filtered_by_agent_user_session_and_state() -> None:
    """Each narrows the list."""
    app = App()
    ids = await several(app)
    waiting = (await app.submit("Q", session_id="new")).run.id
    odd = [run for n, run in enumerate(ids) if n % 2]

    assert [run for page in await pages(app, RunFilter(agent="bot"), 4) for run in page] == [waiting, *odd[::-1]]
    assert [run for page in await pages(app, RunFilter(user_id="ann"), 4) for run in page] == odd[::-1]
    assert [run for page in await pages(app, RunFilter(RunState.QUEUED), 4) for run in page] == [waiting]
    first, after = await app.services.runs.list.of_session("default", "s-bot", RunFilter(), 2, None)
    rest, _ = await app.services.runs.list.of_session("default", "s-bot", RunFilter(), 50, after)
    assert [run.id for run in [*first, *rest]] == odd[::-1]
    count = app.services.runs.list.count
    assert [await count("default", RunFilter(agent=agent)) for agent in ("bot", "other", "none", None)] == [7, 6, 0, 13]
    assert [await count("default", RunFilter(state)) for state in RunState] == [1, 0, 0, 12, 0, 0]
    assert await count("default", RunFilter(agent="bot"), "s-bot") == 6


async def test_runs_are_listed_from_a_time_and_up_to_another() -> None:
    """The first moment is in, the last is not: in pages of any length and in a session. 1970 is no limit."""
    app = App()
    begun = app.clock.now
    ids = await several(app)
    wanted = RunFilter(first=begun + timedelta(seconds=2), before=begun + timedelta(seconds=9))

    for limit in (1, 3, 50):
        assert sorted(run for page in await pages(app, wanted, limit) for run in page) == sorted(ids[2:9])
    found, _ = await app.services.runs.list.of_session("default", "s-other", wanted, 50, None)
    assert {run.id for run in found} == {ids[2], ids[4], ids[6], ids[8]}
    ever = RunFilter(first=datetime(1970, 1, 1, tzinfo=UTC))
    assert len([run for page in await pages(app, ever, 50) for run in page]) == len(ids)


async def test_a_page_reads_a_bounded_number_of_runs() -> None:
    """Also when none is in the state that is asked for."""
    tables = CountingTables()
    app = App(tables)
    await app.declare()
    for _ in range(MOST_LOOKED_AT + 60):
        await app.submit()
    tables.reset()
    found, after = await app.services.runs.list.page("default", RunFilter(RunState.FAILED), 50, None)

    assert (found, after is not None) == ([], True)
    assert tables.operations["get conversations"] <= MOST_LOOKED_AT + 50


async def test_an_erased_run_is_not_listed() -> None:
    """Nor does an entry of it stay."""
    app = App()
    await several(app, 4)
    for session in ("s-bot", "s-other"):
        await app.services.sessions.erasure.erase("default", session)

    assert await pages(app, RunFilter(), 10) == [[]]
    assert [row async for row in every(app.tables, "runs", Span("0", partition_before="~"))] == []
