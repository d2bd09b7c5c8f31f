"""A worker's lease of a run: renews it, stores progress, and notices requests to cancel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kernel.errors import Unavailable
from kernel.journal import Event
from kernel.tracing import event
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run, RunState, Stage
from lifecycle.conversations.session import ProviderConversation, RetainedConversation, Session
from lifecycle.conversations.session_updates import outcome, stage_event
from lifecycle.runs import trace_spans as spans

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation, Turn
    from llmops.facts.attempt_fact import Call, ToolCall

log = logging.getLogger(__name__)

Step = Callable[[Run, datetime], Run]
"""A rule of `lifecycle.conversations.run_transitions` that needs only the run and the time."""

Moving = Callable[[Session, Run, datetime], tuple[Session, Run, Sequence[Event]]]
"""Returns the session and the run after a handoff, with its events."""


class RunLease:
    """The lease of a run for one attempt.

    Attributes:
        lost: Whether another worker took the run over; the attempt's results then do not count.
        cancelled: Whether the run is to be cancelled.
        tool_calls: Returns the attempt's tool calls, which are stored with its model calls.
        calls_before: Settled model calls that precede those that `calling` stores.
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
        self.calls_before: Sequence[Call] = ()

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
        """Record that the run entered a stage; written with the next write, within `look_every` at the latest."""
        if stage is self.run.stage and self._stage is None:
            return  # written by the claim
        self._events.append(stage_event(self.run, stage, self._clock()))
        self._stage = stage
        event("run.stage", {"stage": stage.value})

    def note(self, name: str, data: Mapping[str, Any]) -> None:
        """Record an event of the run; written like a stage."""
        self._events.append(Event(name, {"run_id": self.run.id, "attempt": self.run.attempt, **data}, self._clock()))

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._text

    def add_text(self, text: str) -> None:
        """Add to the answer's text; it is published with the next write."""
        self._text += text

    async def flush_text(self) -> None:
        """Publish the text that is not published yet."""
        async with self._lock:
            if len(self._text) > self.run.last.streamed and not self.lost:
                await self._write(lambda run, now: run)

    async def calling(self, calls: Sequence[Call], following: Call) -> None:
        """Store the attempt's settled calls and the one that is about to be made, and renew the lease.

        The first call needs no write if the claim has stored it.

        Raises:
            Unavailable: It cannot be stored, or another worker took the run over; the call must not be made.
        """
        if not calls and self.run.last.open is not None:
            return

        def step(run: Run, now: datetime) -> Run:
            renewed, settled = runs.renewed(run, now, self._lasts), (*self.calls_before, *calls)
            return runs.calling(renewed, settled, following, self.tool_calls())

        async with self._lock:
            await self._write(step)
        if self.lost:
            raise Unavailable("Another worker took the run over.", code="run_busy")

    async def retain_conversation(self, kept: RetainedConversation) -> None:
        """Store the provider's conversation with the session before it is used, so that erasing can find it."""
        async with self._lock:
            await self._write(lambda run, now: run, kept=kept)
        if self.lost:
            raise Unavailable("Another worker took the run over.", code="run_busy")

    async def keep_summary(self, moving: Moving) -> None:
        """Store the session with its summary, together with the calls for it (`calls_before`).

        Raises:
            Unavailable: It cannot be stored, or another worker took the run over.
        """
        async with self._lock:
            await self._write(lambda run, now: runs.calling(run, self.calls_before, None), moving=moving)
        if self.lost:
            raise Unavailable("Another worker took the run over.", code="run_busy")

    async def watch(self, work: asyncio.Task[Any]) -> None:
        """Renew the lease until the work is done; stop the work when the run is lost or cancelled."""
        while True:
            await asyncio.wait([work], timeout=self._look_every.total_seconds())
            if work.done():
                return
            try:
                await self._check()
            except Unavailable as error:
                # The work may still end before the lease expires; if not, another worker repeats it.
                log.warning("lease not renewed: %s", error.code, extra={"event": "run.lease_unavailable"})
            if self.lost or self.cancelled:
                work.cancel()
                return

    async def end(self, step: Step, turns: Sequence[Turn] = (), held: ProviderConversation | None = None) -> Run:
        """Write the end of the attempt, with recorded stages and events, in one transaction.

        A request to cancel that was accepted before wins over the attempt's result. If the run was lost, nothing is
        written and the present run is returned.

        Args:
            step: Transition of the run.
            turns: History messages of the attempt.
            held: The provider's conversation that holds the history with these messages; None if that is uncertain.
        """
        async with self._lock:
            await self._write(step, turns, held)
        spans.settled(self.run, here=not self.lost)
        return self.run

    async def hand_over(self, moving: Moving) -> Run:
        """Write the end of an attempt that hands over, with the session's new member, in one transaction.

        A request to cancel that was accepted before wins, as in `end`.
        """
        async with self._lock:
            await self._write(lambda run, now: run, moving=moving)
        spans.settled(self.run, here=not self.lost)
        return self.run

    async def _check(self) -> None:
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
                # If the end is already stored as decided here, it is this write's own: it took effect, but its response
                # was lost, and the client's repetition was refused.
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
            changed = replace(changed, lost=None)  # its fact is written before the attempt continues
            written = True
            if changed.last.ended_at is not None:
                ends.add(changed.last.ended_at)
            if cancelled:
                return outcome(stored.session, stored.run, changed, self._events, (), now)
            events, changed = self._with_unpublished(changed, now)
            change = outcome(session, stored.run, changed, [*events, *moved], turns, now, held)
            if kept is not None:
                session = change.session or session
                other_conversations = tuple(
                    each for each in session.kept if each != kept
                )  # it may be there from an earlier try
                change = replace(
                    change,
                    session=replace(
                        session, at_provider=replace(session.at_provider, kept=(*other_conversations, kept))
                    ),
                )
            return change

        found = await self._conversations.update(run.workspace, run.session_id, run.id, decide, known=self._stored)
        if found.run is not None and found.session is not None:
            self._stored = found
        if written:
            self._events = []
        self.lost = not written

    def _with_unpublished(self, run: Run, now: datetime) -> tuple[Sequence[Event], Run]:
        """Return the events to write, with unpublished text, and the run that includes them.

        The amount of published text is stored with the run, so that a write whose response was lost is not repeated.
        """
        text = self._text[run.last.streamed :]
        if not text or run.state not in (RunState.RUNNING, RunState.SUCCEEDED):
            return self._events, run
        data = {"run_id": run.id, "attempt": run.attempt, "offset": run.last.streamed, "text": text}
        done = next((n for n, e in enumerate(self._events) if e.data.get("stage") == Stage.EVALUATING), None)
        at = len(self._events) if done is None else done
        events = [*self._events[:at], Event("run.delta", data, now), *self._events[at:]]
        return events, replace(run, last=replace(run.last, streamed=len(self._text)))
