"""What goes on at the moment: open sessions, running and waiting runs, wherever they begin and end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from kernel.tables import MAX_WRITES
from lifecycle.conversations.run import RunState
from lifecycle.metrics.current_activity import Current, Waiting
from lifecycle.metrics.stored_gauges import samples
from lifecycle.runs.run_queries import RunFilter
from llmops.alerts.alert_metrics import WHOLE_WORKSPACE
from llmops.budgets.budget_rules import Budget, Limit, Scope
from tests.lifecycle.app import App, Gate
from tests.lifecycle.approvals.kit import asking, decide
from tests.lifecycle.approvals.kit import waiting as until_asked

NOTHING = Current(0, 0, Waiting(0, 0.0), 0)


async def current(app: App) -> Current:
    await app.services.conversations.publisher.flush()
    return await app.services.alerts.activity.read("default", app.clock())


async def test_open_sessions_are_those_that_have_not_ended() -> None:
    """By request, by erasing while open, by erasing afterwards; counted from the beginning, events deleted or not."""
    app = App(EVENTS_RETENTION_S=3600)
    await app.declare()
    for name in ("a", "b", "c", "d"):
        await app.ask(session_id=name)
    seen = [(await current(app)).sessions_open]
    for name in ("a", "b"):
        await app.services.sessions.end.end("default", name)
        seen.append((await current(app)).sessions_open)
    for name in ("b", "c"):  # one that had ended, and one that is open
        await app.services.sessions.erasure.erase("default", name)
        seen.append((await current(app)).sessions_open)
    app.clock.move(days=3)
    await app.services.conversations.event_retention.apply()
    seen.append((await current(app)).sessions_open)

    assert seen == [4, 3, 2, 2, 1, 1]
    await app.aclose()


async def test_running_runs_are_counted_while_they_run() -> None:
    """As the worker itself and, once it has stored it, all others say; and no longer."""
    app, gate = App(METRICS_EVERY_S=0.01), Gate()
    await app.declare()
    await app.submit()
    worker = app.worker(gate=gate)
    running = asyncio.create_task(app.process(app.queue.sent[-1], worker=worker))
    await gate.entered.wait()
    await worker.metrics.workers.store()
    during = [(await each.alerts.activity.read("default", app.clock())).runs_running for each in (worker, app.services)]
    gate.open.set()
    done = await running
    await worker.metrics.workers.store()
    after = [(await each.alerts.activity.read("default", app.clock())).runs_running for each in (worker, app.services)]

    assert done.state is RunState.SUCCEEDED
    assert (during, after) == ([1, 1], [0, 0])
    await worker.aclose()
    await app.aclose()


async def test_waiting_runs_are_counted_until_they_go_on() -> None:
    """With how long the first of them has waited, by rules' metrics too."""
    app = App(BUDGET_WAIT_S=0.05)
    await app.declare()
    budgets = app.services.budgets.store
    await budgets.put("default", Budget(Scope("workspace"), (Limit("calls", "total", 1),)), None)
    await app.ask()
    await app.submit()
    waits = await app.process(app.queue.sent[-1])
    app.clock.move(minutes=5)
    during = await current(app)
    metrics = await _metrics(app)
    await budgets.put("default", Budget(Scope("workspace"), (Limit("calls", "total", 9),)), None)
    await app.services.runs.resume.resume_in("default", app.queue.send)
    after = await current(app)

    assert waits.state is RunState.WAITING
    assert (during.waiting, during.held, during.runs_running) == (Waiting(1, 300.0), 0, 0)
    assert (after.waiting, after.held) == (Waiting(0, 0.0), 0)
    assert {
        name: metrics[name]
        for name in ("runs_waiting", "runs_held", "longest_wait_s", "budget_used_share", "agents_active")
    } == {
        "runs_waiting": 1.0,
        "runs_held": 0.0,
        "longest_wait_s": 300.0,
        "budget_used_share": 1.0,
        "agents_active": 1.0,
    }
    later = {
        "drift",
        "leaks",
        "pool_used_share",
        "handoffs_returned_share",
        "person_answer_s",
        "cache_hit_rate_fall",
    }
    assert set(metrics) | later == WHOLE_WORKSPACE, "drift is known after a look for it, the others where there is any"
    await app.aclose()


async def waiting(app: App) -> tuple[int, int, int]:
    """Return how many runs wait, how many of these are held, and how many the list of runs has that wait."""
    found = await current(app)
    listed, _ = await app.services.runs.list.page("default", RunFilter(RunState.WAITING), 100, None)
    return found.waiting.count, found.held, len(listed)


async def test_runs_that_a_session_keeps_are_counted_until_they_go_on() -> None:
    """Those that came before it was paused and after it, those behind one that waits; until they are taken or gone."""
    app = App()
    await app.declare()
    before = await app.submit(session_id="paused")
    await app.services.conversations.pause.pause("default", "paused")
    await app.process(app.queue.sent[-1])
    for number in range(3):
        await app.submit(session_id="paused", query=f"more {number}")
    seen = [await waiting(app)]
    await app.services.runs.cancel.cancel("default", before.run.id, app.queue.send)
    seen.append(await waiting(app))
    sent = len(app.queue.sent)
    await app.services.conversations.pause.resume("default", "paused", app.queue.send)
    seen.append(await waiting(app))
    for message in app.queue.sent[sent:]:
        await app.process(message)
    seen.append(await waiting(app))

    assert seen == [(4, 4, 4), (3, 3, 3), (0, 0, 0), (0, 0, 0)]
    await app.aclose()


async def test_runs_that_wait_in_an_erased_session_are_counted_no_more() -> None:
    """However many it held, and those of other sessions still are; counted by two at the same time."""
    app = App()
    await app.declare()
    many = MAX_WRITES + 20
    for session, count in (("gone", many), ("stays", 2)):
        await app.submit(session_id=session)
        await app.services.conversations.pause.pause("default", session)
        for number in range(1, count):
            await app.submit(session_id=session, query=f"more {number}")
    for message in list(app.queue.sent):
        await app.process(message)
    before = await asyncio.gather(current(app), current(app))
    await app.services.sessions.erasure.erase("default", "gone")
    after = await asyncio.gather(current(app), current(app))

    assert [(each.waiting.count, each.held) for each in before] == [(many + 2, many + 2)] * 2
    assert [(each.waiting.count, each.held) for each in after] == [(2, 2)] * 2
    await app.aclose()


async def test_approvals_are_counted_until_they_are_decided() -> None:
    """With how long the first of them has waited: by rules' metrics, and for whoever scrapes."""
    app = App()
    await app.declare(declared=asking())
    run = await until_asked(app)
    app.clock.move(minutes=5)
    await until_asked(app)
    app.clock.move(minutes=5)
    during = await app.services.alerts.activity.approvals("default", app.clock())
    metrics = await _metrics(app)
    totals = await app.services.metrics.lifecycle_counts.read("default", app.clock(), 1)
    scraped = {one.name: number for one, _, (number,) in samples(totals, {}, NOTHING, during)}
    await decide(app, run)
    after = await app.services.alerts.activity.approvals("default", app.clock())

    assert during == Waiting(2, 600.0)
    assert (metrics["approvals_pending"], metrics["approval_wait_s"]) == (2.0, 600.0)
    assert (scraped["agent.approvals.pending"], scraped["agent.approvals.longest_wait"]) == (2, 600.0)
    assert after == Waiting(1, 300.0)
    await app.aclose()


async def _metrics(app: App) -> dict[str, float]:
    found: dict[str, float] = {}
    now = app.clock()
    for source in set(app.services.alerts.workspace_state.sources.values()):
        found |= dict(await source("default", now - timedelta(hours=1), now))
    return found
