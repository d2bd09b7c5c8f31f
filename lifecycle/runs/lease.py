"""Holding a run: while a worker has it, its lease is renewed, its progress written and a request to cancel noticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from kernel.clock import Clock
from kernel.errors import Unavailable
from kernel.tracing import event
from lifecycle.runs import rules as runs
from lifecycle.runs import spans
from lifecycle.runs.rules import Run, RunState, Stage
from lifecycle.sessions.conversations import Change, Conversations, Event, Stored, Turn
from lifecycle.sessions.rules import Held, Session, SessionState

log = logging.getLogger(__name__)

Step = Callable[[Run, datetime], Run]
"""A rule of `lifecycle.runs.rules` with everything but the run and the time filled in."""


class RunLease:
    """One attempt's hold on a run.

    Attributes:
        lost: Whether somebody else took the run over; nothing this attempt does counts any more.
        cancelled: Whether the run is to be cancelled.
    """

    def __init__(
        self,
        conversations: Conversations,
        stored: Stored,
        holder: str,
        *,
        clock: Clock,
        lasts: timedelta,
        look_every: timedelta,
    ) -> None:
        self._conversations = conversations
        self._stored = stored
        self._holder = holder
        self._clock = clock
        self._lasts = lasts
        self._look_every = look_every
        self._lock = asyncio.Lock()
        self._events: list[Event] = []
        self.lost = False
        self.cancelled = False

    @property
    def run(self) -> Run:
        """The run as last written or read."""
        if self._stored.run is None:
            msg = "a lease without a run"
            raise RuntimeError(msg)
        return self._stored.run

    @property
    def session(self) -> Session:
        """The session as last written or read."""
        if self._stored.session is None:
            msg = "a lease without a session"
            raise RuntimeError(msg)
        return self._stored.session

    def enter(self, stage: Stage) -> None:
        """Note that the run entered a stage; it is written with the next write, within `look_every` at the latest."""
        self._events.append(stage_event(self.run, stage, self._clock()))
        event("run.stage", {"stage": stage.value})

    async def watch(self, work: asyncio.Task[Any]) -> None:
        """Look after the run until the work is done; stop the work when the run is lost or to be cancelled."""
        while True:
            await asyncio.wait([work], timeout=self._look_every.total_seconds())
            if work.done():
                return
            try:
                await self._look()
            except Unavailable as error:
                # The work may still be done before the lease runs out; if not, another worker repeats it.
                log.warning("run not looked after: %s", error.code, extra={"event": "run.lease_unavailable"})
            if self.lost or self.cancelled:
                work.cancel()
                return

    async def end(self, step: Step, turns: Sequence[Turn] = (), held: Held | None = None) -> Run:
        """Write how the attempt ended, with the stages not written yet, in one transaction.

        A request to cancel that was accepted before wins over the attempt's outcome. When the run was lost, nothing is
        written and the run is returned as it is now.

        Args:
            step: What becomes of the run.
            turns: What the attempt adds to the history.
            held: The conversation at the provider that holds the history with these turns; None if that is not sure.
        """
        async with self._lock:
            await self._write(step, turns, held)
        spans.settled(self.run, here=not self.lost)
        return self.run

    async def _look(self) -> None:
        async with self._lock:
            run = self.run
            self._stored = await self._conversations.load(run.workspace, run.session_id, run.id)
            if not self.run.held_by(self._holder):
                self.lost = True
            elif self.run.cancel_requested:
                self.cancelled = True
            elif self._events or self._renewal_due():
                await self._write(lambda run, now: runs.renewed(run, now, self._lasts))

    def _renewal_due(self) -> bool:
        until = self.run.lease_until
        return until is not None and until - self._clock() < self._lasts * 2 / 3

    async def _write(self, step: Step, turns: Sequence[Turn] = (), held: Held | None = None) -> None:
        run = self.run
        written = False

        def decide(stored: Stored) -> Change | None:
            nonlocal written
            written = False
            if stored.run is None or stored.session is None or not stored.run.held_by(self._holder):
                return None
            now = self._clock()
            changed = step(stored.run, now)
            cancelled = stored.run.cancel_requested and changed.state is not RunState.RUNNING
            if cancelled:
                changed = runs.cancelled(replace(stored.run, spend=changed.spend, wasted=changed.spend), now)
            written = True
            if cancelled:
                return outcome(stored.session, stored.run, changed, self._events, (), now)
            return outcome(stored.session, stored.run, changed, self._events, turns, now, held)

        self._stored = await self._conversations.update(
            run.workspace, run.session_id, run.id, decide, known=self._stored
        )
        if written:
            self._events = []
        self.lost = not written


def stage_event(run: Run, stage: Stage, now: datetime, code: str | None = None) -> Event:
    """Return the event of a run entering a stage."""
    data = {"run_id": run.id, "stage": stage.value, "attempt": run.attempt}
    return Event("run.stage", data | ({"code": code} if code else {}), now)


def outcome(
    session: Session,
    before: Run,
    after: Run,
    noted: Sequence[Event],
    turns: Sequence[Turn],
    now: datetime,
    held: Held | None = None,
) -> Change:
    """Return the change of a run and its session: counters, spend, history and events, all from the two runs.

    An attempt that ends, however it does, leaves the session with the provider's conversation in `held`: what one that
    failed or died may have added to a conversation is not known.
    """
    events = list(noted)
    if after.stage is not None and after.finished:
        events.append(stage_event(after, after.stage, now, after.error.code if after.error else None))
    elif after.state is RunState.QUEUED and after.error is not None:
        events.append(
            Event("run.retrying", {"run_id": after.id, "attempt": after.attempt, "code": after.error.code}, now)
        )
    if not events and after.spend == before.spend and not turns:
        return Change(run=after)
    if after.state is RunState.SUCCEEDED and session.state is SessionState.STARTED:
        session = replace(session, state=SessionState.ACTIVE)
        events.append(Event("session.state_changed", {"state": session.state.value}, now))
    if before.state is RunState.RUNNING and (after.state is not RunState.RUNNING or after.attempt > before.attempt):
        session = replace(session, held=held)
    if after.finished:
        session = replace(session, pending=session.pending - 1, last_activity=now)
    session = replace(session, spend=session.spend + (after.spend - before.spend))
    return Change(session, after, turns, events)
