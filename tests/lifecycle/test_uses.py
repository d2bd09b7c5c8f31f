"""Coalescing of uses: few signals, exact counts."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from kernel.errors import Unavailable
from lifecycle.loader.use_reports import UseRecorder
from lifecycle.registry.actor_operations import Operation, RecordUse
from lifecycle.registry.actor_signals import AgentSignals
from tests.lifecycle.doubles import ManualClock
from tests.waiting import eventually


class Recorded(AgentSignals):
    """What was told, by agent; can be made to fail or to take its time."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.fail = False
        self.slow_s = 0.0

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        assert isinstance(operation, RecordUse)
        await asyncio.sleep(self.slow_s)
        if self.fail:
            raise Unavailable
        self.told.append((f"{workspace}/{name}", operation.uses))

    @property
    def total(self) -> int:
        return sum(uses for _, uses in self.told)


def wall() -> datetime:
    return datetime.now(UTC)


async def test_many_uses_are_few_signals_and_none_is_lost() -> None:
    """The first is told at once, the rest together."""
    signals, uses = Recorded(), UseRecorder(ManualClock(), ManualClock().seconds, timedelta(hours=1))
    for _ in range(500):
        await uses.record("default", "bot", signals)
    assert signals.told == [("default/bot", 1)]
    await uses.aclose(signals)

    assert signals.told == [("default/bot", 1), ("default/bot", 499)]


async def test_uses_are_told_once_per_interval() -> None:
    """Without anyone asking, by a timer."""
    signals, uses = Recorded(), UseRecorder(wall, time.monotonic, timedelta(milliseconds=50))
    for _ in range(8):
        for _ in range(10):
            await uses.record("default", "bot", signals)
        await asyncio.sleep(0.02)
    await eventually(lambda: signals.total == 80, progress=lambda: signals.total)

    assert 2 <= len(signals.told) <= 20
    await uses.aclose(signals)
    assert signals.total == 80


async def test_agents_do_not_share_their_counts() -> None:
    """Nor do workspaces."""
    signals, uses = Recorded(), UseRecorder(ManualClock(), ManualClock().seconds, timedelta(hours=1))
    for workspace, name, count in (("a", "x", 2), ("b", "x", 3), ("a", "y", 4)):
        for _ in range(count):
            await uses.record(workspace, name, signals)
    await uses.aclose(signals)

    assert sorted(signals.told) == [("a/x", 1), ("a/x", 1), ("a/y", 1), ("a/y", 3), ("b/x", 1), ("b/x", 2)]


async def test_a_failure_keeps_the_counts() -> None:
    """What could not be told is told with the next use, and a run does not fail for it."""
    signals, clock = Recorded(), ManualClock()
    uses = UseRecorder(clock, clock.seconds, timedelta(seconds=1))
    signals.fail = True
    await uses.record("default", "bot", signals)
    clock.move(seconds=2)
    await uses.record("default", "bot", signals)
    signals.fail = False
    clock.move(seconds=2)
    await uses.record("default", "bot", signals)

    assert signals.told == [("default/bot", 3)]
    await uses.aclose(signals)


async def test_closing_waits_for_what_is_being_told() -> None:
    """A signal under way is neither cut off nor told twice; when it fails, it is told again."""
    for fail in (False, True):
        signals, uses = Recorded(), UseRecorder(wall, time.monotonic, timedelta(milliseconds=10))
        for _ in range(5):
            await uses.record("default", "bot", signals)
        signals.slow_s, signals.fail = 0.05, fail
        await asyncio.sleep(0.03)
        closing = asyncio.create_task(uses.aclose(signals))
        await asyncio.sleep(0.03)
        signals.slow_s, signals.fail = 0, False
        await closing

        assert signals.total == 5


async def test_the_last_use_is_the_latest() -> None:
    """Told together, uses carry the time of the last one."""
    sent: list[RecordUse] = []

    class Kept(Recorded):
        async def send(self, workspace: str, name: str, operation: Operation) -> None:
            assert isinstance(operation, RecordUse)
            sent.append(operation)

    clock, signals = ManualClock(), Kept()
    uses = UseRecorder(clock, clock.seconds, timedelta(hours=1))
    for _ in range(3):
        clock.move(seconds=5)
        await uses.record("default", "bot", signals)
    await uses.aclose(signals)

    assert [use.uses for use in sent] == [1, 2]
    assert sent[-1].last_used == clock.now
