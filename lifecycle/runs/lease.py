"""Holding a run: while a worker has it, its lease is renewed, its progress written and a request to cancel noticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from kernel.clock import Clock
from kernel.errors import Unavailable
from kernel.journal import Event
from kernel.tracing import event
from lifecycle.conversations import run_rules as runs
from lifecycle.conversations.run import Run, RunState, Stage
from lifecycle.conversations.session import ProviderConversation, RetainedConversation, Session
from lifecycle.conversations.store import ConversationChange, ConversationStore, StoredConversation, Turn
from lifecycle.conversations.transitions import outcome, stage_event
from lifecycle.runs import spans
from llmops.facts.model import Call, ToolCall

log = logging.getLogger(__name__)

Step = Callable[[Run, datetime], Run]
"""A rule of `lifecycle.conversations.run` with everything but the run and the time filled in."""

Moving = Callable[[Session, Run, datetime], tuple[Session, Run, Sequence[Event]]]
"""Returns the session and the run as a handoff leaves them, and the events of that."""


class RunLease:
    """One attempt's hold on a run.

    Attributes:
        lost: Whether somebody else took the run over; nothing this attempt does counts any more.
        cancelled: Whether the run is to be cancelled.
        tool_calls: Returns the tool calls that the attempt has made, which are noted with its model calls.
    """

    def __init__(
        self,
        conversations: ConversationStore,
        stored: StoredConversation,
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
        self._stage: Stage | None = None
        self._text = ""
        self.lost = False
        self.cancelled = False
        self.tool_calls: Callable[[], Sequence[ToolCall]] = tuple

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
        if stage is self.run.stage and self._stage is None:
            return  # the claim has said so
        self._events.append(stage_event(self.run, stage, self._clock()))
        self._stage = stage
        event("run.stage", {"stage": stage.value})

    def note(self, name: str, data: Mapping[str, Any]) -> None:
        """Note an event of the run; it is written as a stage is."""
        self._events.append(Event(name, {"run_id": self.run.id, "attempt": self.run.attempt, **data}, self._clock()))

    @property
    def text(self) -> str:
        """All that was said."""
        return self._text

    def add_text(self, text: str) -> None:
        """Add to the answer's text; what is new of it is published with the next write."""
        self._text += text

    async def flush_text(self) -> None:
        """Publish the text that is not published yet, if any."""
        async with self._lock:
            if len(self._text) > self.run.last.streamed and not self.lost:
                await self._write(lambda run, now: run)

    async def calling(self, calls: Sequence[Call], following: Call) -> None:
        """Note the attempt's calls that are settled and the one that is about to be made, and renew the lease.

        The first one needs no write where the claim has noted it.

        Raises:
            Unavailable: It cannot be noted, or another worker took the run over; the call must not be made.
        """
        if not calls and self.run.last.open is not None:
            return

        def step(run: Run, now: datetime) -> Run:
            return runs.calling(runs.renewed(run, now, self._lasts), calls, following, self.tool_calls())

        async with self._lock:
            await self._write(step)
        if self.lost:
            raise Unavailable("Another worker took the run over.", code="run_busy")

    async def retain_conversation(self, kept: RetainedConversation) -> None:
        """Note the conversation with the session before anything is said in it, so that it can be forgotten one day."""
        async with self._lock:
            await self._write(lambda run, now: run, kept=kept)
        if self.lost:
            raise Unavailable("Another worker took the run over.", code="run_busy")

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

    async def end(self, step: Step, turns: Sequence[Turn] = (), held: ProviderConversation | None = None) -> Run:
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

    async def hand_over(self, moving: Moving) -> Run:
        """Write that the attempt has ended by handing over, with the session that changes hands, in one transaction.

        A request to cancel that was accepted before wins, as in `end`.
        """
        async with self._lock:
            await self._write(lambda run, now: run, moving=moving)
        spans.settled(self.run, here=not self.lost)
        return self.run

    async def _look(self) -> None:
        async with self._lock:
            run = self.run
            found = await self._conversations.load(run.workspace, run.session_id, run.id)
            if found.run is None or found.session is None:
                self.lost = True  # it was erased
                return
            self._stored = found
            if not self.run.held_by(self._holder):
                self.lost = True
            elif self.run.cancel_requested:
                self.cancelled = True
            elif self._events or self._renewal_due():
                await self._write(lambda run, now: runs.renewed(run, now, self._lasts))

    def _renewal_due(self) -> bool:
        until = self.run.lease.until if self.run.lease else None
        return until is not None and until - self._clock() < self._lasts * 2 / 3

    async def _write(
        self,
        step: Step,
        turns: Sequence[Turn] = (),
        held: ProviderConversation | None = None,
        kept: RetainedConversation | None = None,
        moving: Moving | None = None,
    ) -> None:
        run = self.run
        written = False
        ends: set[datetime] = set()

        def decide(stored: StoredConversation) -> ConversationChange | None:
            nonlocal written
            written = False
            if stored.run is None or stored.session is None:
                return None
            if not stored.run.held_by(self._holder):
                # An end that stands there as it was decided here is this write's own: it took effect unnoticed, and
                # was taken for somebody else's when the client repeated it.
                last = stored.run.last
                written = last.number == run.attempt and last.ended_at in ends
                return None
            now = self._clock()
            session: Session = stored.session
            moved: Sequence[Event] = ()
            changed = step(stored.run, now)
            if moving is not None:
                session, changed, moved = moving(session, changed, now)
            cancelled = stored.run.cancel_requested and changed.state is not RunState.RUNNING
            if cancelled:
                changed = runs.cancelled(stored.run, now, changed.last.effort)
            if changed.state is RunState.RUNNING:
                changed = replace(changed, stage=self._stage or changed.stage)
            changed = replace(changed, lost=None)  # it is recorded before the attempt goes on
            written = True
            if changed.last.ended_at is not None:
                ends.add(changed.last.ended_at)
            if cancelled:
                return outcome(stored.session, stored.run, changed, self._events, (), now)
            events, changed = self._told(changed, now)
            change = outcome(session, stored.run, changed, [*events, *moved], turns, now, held)
            if kept is not None:
                session = change.session or session
                known = tuple(each for each in session.kept if each != kept)  # an earlier try may have taken effect
                change = replace(
                    change, session=replace(session, at_provider=replace(session.at_provider, kept=(*known, kept)))
                )
            return change

        found = await self._conversations.update(run.workspace, run.session_id, run.id, decide, known=self._stored)
        if found.run is not None and found.session is not None:
            self._stored = found
        if written:
            self._events = []
        self.lost = not written

    def _told(self, run: Run, now: datetime) -> tuple[Sequence[Event], Run]:
        """Return the events to write, with the text that this run was not told yet, and the run that it then was.

        What was told stands with the run, so that a write that took effect unnoticed is not repeated.
        """
        text = self._text[run.last.streamed :]
        if not text or run.state not in (RunState.RUNNING, RunState.SUCCEEDED):
            return self._events, run
        data = {"run_id": run.id, "attempt": run.attempt, "offset": run.last.streamed, "text": text}
        done = next((n for n, e in enumerate(self._events) if e.data.get("stage") == Stage.EVALUATING), None)
        at = len(self._events) if done is None else done
        events = [*self._events[:at], Event("run.delta", data, now), *self._events[at:]]
        return events, replace(run, last=replace(run.last, streamed=len(self._text)))
