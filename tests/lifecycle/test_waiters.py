"""Callers that wait for a run: handed it by the process that ends it, without reading it again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lifecycle.conversations.run import RunState
from lifecycle.runs.run_queries import CompletionWaiters
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables
from tests.virtual_time import virtually


async def _operations(*, waits: bool) -> int:
    """Have a run answered, and return the table operations that it took, those of a caller who waits included."""
    tables = CountingTables()
    app = App(tables)
    await app.declare()
    run = (await app.submit()).run
    tables.reset()
    waiting = asyncio.create_task(app.services.runs.queries.finished(run, 30 if waits else 0))
    await asyncio.sleep(0)
    done = await app.process(app.queue.sent[-1])
    found = await waiting
    if waits:
        assert (found.state, found.answer, found.id) == (RunState.SUCCEEDED, done.answer, run.id)
    count = sum(tables.operations.values())
    await app.aclose()
    return count


@virtually
async def test_who_waits_is_handed_the_run_and_reads_nothing() -> None:
    """A run whose caller waits in the same process takes as many operations as one whose caller does not."""
    assert await _operations(waits=False) == await _operations(waits=True)


async def test_a_run_of_the_same_id_in_another_workspace_is_nobody_elses() -> None:
    """Ids are the callers' own, so that two workspaces may have the same one."""
    app = App()
    await app.declare()
    run = (await app.submit()).run
    ended = replace(run, state=RunState.WAITING)
    waiters = CompletionWaiters()
    waiting = asyncio.create_task(waiters.wait(run, 0.05))
    await asyncio.sleep(0)

    waiters.committed(replace(ended, workspace="other"))
    waiters.committed(run)  # neither ended nor waiting

    assert await waiting is None
    await app.aclose()
