"""How the whole is: each part with its reason, as well as the worst of them; and what happened, counted once."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from kernel.codec import skipped
from kernel.errors import Unavailable
from kernel.journal import SHARDS, TABLE, Event
from kernel.tables import Span, every
from kernel.timer_status import TimerRun, TimerStatus
from lifecycle.events.daily_counts import DailyEventCounts, handoffs_of, kind_of
from lifecycle.status import health_rules as rules
from lifecycle.status.health_rules import Component, Health, overall
from llmops.facts.performance_summary import PerformanceSummary
from tests.lifecycle.app import App
from tests.lifecycle.doubles import NOW, spec


def test_the_whole_is_as_well_as_its_worst_part() -> None:
    """And healthy without any."""
    parts = [Component(name, Health(name)) for name in ("healthy", "critical", "degraded")]

    assert [overall(parts[:end]) for end in range(4)] == ["healthy", "healthy", "critical", "critical"]
    assert overall([parts[2], parts[0]]) == "degraded"


@pytest.mark.parametrize(
    ("beat", "health"),
    [
        (TimerStatus("t", NOW - timedelta(minutes=9), timedelta(minutes=5)), "healthy"),
        (TimerStatus("t", NOW - timedelta(minutes=11), timedelta(minutes=5)), "degraded"),
        (TimerStatus("t", NOW - timedelta(minutes=59)), "healthy"),
        (TimerStatus("t", NOW - timedelta(minutes=66)), "degraded"),
        (TimerStatus("t", NOW - timedelta(minutes=2), None, NOW - timedelta(minutes=1), "x"), "degraded"),
        (TimerStatus("t", NOW - timedelta(minutes=1), None, NOW - timedelta(minutes=2), "x"), "healthy"),
        (TimerStatus("t", None, None, NOW, "x"), "degraded"),
    ],
)
def test_a_timer_is_late_or_fails(beat: TimerStatus, health: str) -> None:
    """Five minutes late, or an hour and five where nobody knows how often it runs; or its last run failed."""
    found = rules.timers([beat], NOW)

    assert found.health == health
    assert ("t" in found.reason) == (health == "degraded")


@pytest.mark.parametrize(
    ("recent", "health"),
    [
        (PerformanceSummary(), "healthy"),
        (PerformanceSummary(succeeded=20, retried=3, codes={"provider_unavailable": 3}), "healthy"),
        (PerformanceSummary(succeeded=9, retried=3, codes={"provider_throttled": 3}), "degraded"),
        (PerformanceSummary(failed=2, codes={"provider_unavailable": 2}), "healthy"),
        (PerformanceSummary(failed=5, codes={"provider_unavailable": 5}), "critical"),
        (PerformanceSummary(failed=9, codes={"tool_failed": 9}), "healthy"),
    ],
)
def test_providers_are_judged_by_what_attempts_met(recent: PerformanceSummary, health: str) -> None:
    """A few failures among many answers are normal; what is no provider's failure says nothing of them."""
    assert rules.providers(recent).health == health


async def test_the_status_of_timers_is_kept() -> None:
    """A failure stays known until the next success, and both after it."""
    statuses = App().services.events.timer_statuses
    every, later = timedelta(minutes=5), NOW + timedelta(minutes=2)
    await statuses.note([TimerRun("t", NOW, every), TimerRun("u", NOW, every)])
    await statuses.note([])
    await statuses.note([TimerRun("t", later, every, "storage_unavailable")])
    status, _ = await statuses.all()

    assert (status.succeeded_at, status.every, status.began_at) == (NOW, every, later)
    assert status.failing
    assert status.failure == "storage_unavailable"


async def test_the_status_says_what_is_wrong() -> None:
    """Without tables nothing can be said but that."""
    skipped.clear()  # what other tests of this process have passed over
    app = App()
    app.clock.move(seconds=30)
    await app.declare()
    await app.ask()
    dead = app.services.runs.dead_letters(app.queue)
    well = await app.services.status.system.look(app.services.status.today("default"), app.queue, dead)
    await app.services.events.timer_statuses.note(
        [TimerRun("aggregate_costs", app.clock(), failure="storage_unavailable")]
    )
    app.queue.bury(app.queue.sent[0])
    app.clock.move(seconds=90)
    ill = await app.services.status.system.look(app.services.status.today("default"), app.queue, dead)
    reasons = {part.name: part.reason for part in ill.components if part.health is not Health.HEALTHY}

    assert (well.health, [part.reason for part in well.components if part.reason]) == ("healthy", [])
    assert ill.health == "degraded"
    assert ill.uptime_s == 120, "since the process serves, not since it was first asked"
    assert reasons == {
        "dead_letters": "1 message could not be processed; see GET dead-letters",
        "timers": "aggregate_costs has never succeeded, failed with storage_unavailable",
    }
    await app.aclose()


@pytest.mark.parametrize("minutes", [0, 15 * 60 + 28], ids=["by day", "just before midnight"])
async def test_a_provider_that_fails_is_told_for_a_quarter_of_an_hour(minutes: int) -> None:
    """By the minute, across midnight as well: the hour's figures alone would tell of it for longer, or not at all."""
    app = App()
    app.clock.move(minutes=minutes)
    await app.declare("broken", spec(simulate={"fail_first": 99}))
    dead = app.services.runs.dead_letters(app.queue)
    for _ in range(5):
        await app.submit(agent="broken")
        with contextlib.suppress(Unavailable):
            await app.process(app.queue.sent[-1])
    found: list[str] = []
    for wait in (0, 10, 10):
        app.clock.move(minutes=wait)
        status = await app.services.status.system.look(app.services.status.today("default"), app.queue, dead)
        found += [part.health for part in status.components if part.name == "providers"]

    assert found == ["critical", "critical", "healthy"]
    await app.aclose()


async def test_what_happened_is_counted_once() -> None:
    """By two who count at the same time, again and again, before and after events were deleted."""
    app = App(EVENTS_RETENTION_S=3600)
    journal, tables = app.services.events.journal, app.services.core.tables
    for n in range(30):
        at = NOW + timedelta(hours=n)
        await journal.record("w", f"k{n}/", Event("run.stage", {"stage": "COMPLETED"}, at))
    tallies = [DailyEventCounts(tables, journal), DailyEventCounts(tables, journal)]
    counted = [await daily_counts.count("w") for daily_counts in tallies]
    app.clock.move(days=3)
    deleted = await app.services.conversations.event_retention.apply()
    await journal.record("w", "late/", Event("agent.created", {}, app.clock()))
    await tallies[0].count("w")
    days = [await tallies[1].between("w", day, day) for day in ((NOW + timedelta(days=n)).date() for n in range(4))]
    left = [row.key async for row in every(tables, TABLE, Span("w!0", partition_before=f"w!{SHARDS}"))]

    assert counted == [30, 0]
    assert days == [{"run.stage:COMPLETED": 16}, {"run.stage:COMPLETED": 14}, {}, {"agent.created": 1}]
    assert deleted.appends == 30
    assert len([key for key in left if key.startswith(("event!", "source!"))]) == 2


async def test_an_ended_sessions_events_go_when_it_has_ended_for_long_enough() -> None:
    """Its history stays, and whoever comes back later is told that something is missing."""
    app = App(EVENTS_RETENTION_S=3600)
    await app.declare()
    await app.ask(session_id="s")
    await app.services.sessions.end.end("default", "s")
    await app.services.conversations.publisher.flush()
    app.clock.move(minutes=50)
    early = await app.services.conversations.event_retention.apply()
    app.clock.move(hours=3)
    late = await app.services.conversations.event_retention.apply()

    assert (early.sessions, late.sessions) == (0, 1)
    assert await app.services.conversations.store.events("default", "s", 0, 10) == []
    assert len(await app.services.conversations.store.turns("default", "s", 0, 10)) == 2
    await app.aclose()


def test_events_are_counted_by_what_they_tell() -> None:
    """Their state, stage and a session's reason; not by what is different each time."""
    at = datetime(2026, 11, 21, tzinfo=UTC)
    ended = Event("session.state_changed", {"state": "ended", "reason": "idle_timeout", "session_id": "s"}, at)

    assert kind_of(ended) == "session.state_changed:ended:idle_timeout"
    assert kind_of(Event("run.stage", {"stage": "FAILED", "code": "x", "run_id": "r"}, at)) == "run.stage:FAILED"
    assert kind_of(Event("alert.fired", {"alert": "a"}, at)) == "alert.fired"
    handoff = Event("handoff.initiated", {"team": "helpdesk", "by": "model", "source": "a", "target": "b"}, at)
    counts = {kind_of(handoff): 3, "handoff.initiated": 2, "handoff.completed": 3}
    assert handoffs_of(counts) == {("helpdesk", "model"): 3}, "those counted before teams were told apart are left out"
