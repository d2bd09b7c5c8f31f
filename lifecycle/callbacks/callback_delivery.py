"""Sends callbacks: at least once, retried with growing pauses, finally given up with that recorded.

The process that ends a run sends its callback at once. What was not sent, because it failed or the process died, is
sent by a timer that reads the index of due callbacks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from kernel.codec import if_readable
from kernel.errors import AppError, Conflict, NotFound
from kernel.lazy_dataclass import dataclass
from lifecycle.callbacks.a2a import headers_of, notification_of
from lifecycle.callbacks.delivery_status import CallbackRecord
from lifecycle.callbacks.targets import LARGEST_MESSAGE, event_of, no_broker, report_id, report_of, shown
from lifecycle.conversations.run_callbacks import Push, ends_of, reports_of
from llmops.notifications.delivery_history import DeliveryState
from llmops.notifications.notification_delivery import GIVE_UP_AFTER, DeliveryAttempt, attempt_of, next_attempt
from llmops.notifications.signing import signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.clock import Clock
    from lifecycle.callbacks.delivery_status import CallbackRecords
    from lifecycle.callbacks.targets import CallbackTargets
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.run_callbacks import Callback, RunEnd, RunEnds
    from lifecycle.conversations.session_store import ConversationStore
    from llmops.notifications.notification_delivery import Webhooks

log = logging.getLogger(__name__)

KEEP_FOR = timedelta(days=30)
"""How long the delivery status of a callback is kept."""
_CLAIM = timedelta(minutes=2)  # longer than sending can take, so that no other process sends it too
_NOT_ENDED_YET = timedelta(seconds=30)
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Reply:
    """A message to a reply queue.

    Attributes:
        message_id: Always the same for the same report, so that a queue with duplicate detection accepts it once.
        session_id: Its SessionId.
        correlation_id: Its CorrelationId.
        subject: Its subject.
        body: Its body, JSON.
    """

    message_id: str
    session_id: str
    correlation_id: str
    subject: str
    body: bytes
    content_type: str = "application/json"


class Replies(Protocol):
    """Sends messages to queues of the app's own namespace."""

    async def send(self, queue: str, reply: Reply) -> None:
        """Put the message on the queue; return once the broker has accepted it.

        Raises:
            Unavailable: The broker did not accept it.
        """
        ...


class CallbackSender:
    """Sends one callback."""

    def __init__(self, targets: CallbackTargets, webhooks: Webhooks, replies: Replies | None, clock: Clock) -> None:
        """Set the collaborators; without `replies` there is no Service Bus."""
        self._targets = targets
        self._webhooks = webhooks
        self._replies = replies
        self._clock = clock

    async def send(self, target: Callback | Push, run: Run, ident: str) -> DeliveryAttempt:
        """Send the report of the run's end or state under its id, and return how that ended."""
        try:
            if isinstance(target, Push):
                return await self._post(target.url, ident, notification_of(run, target.format), headers_of(target))
            if target.queue:
                await self._reply(target, run, ident)
                return DeliveryAttempt(None, None, again=False)
            return await self._post(target.url, ident, report_of(run), {}, target.secret_setting)
        except AppError as error:
            # A missing or wrong setting may be corrected, so it is retried; a refused address is final.
            again = error.retriable or error.code == "callback_secret_unknown"
            return DeliveryAttempt(None, error.code, again=again, retry_after_s=error.retry_after_s)

    async def _post(
        self, url: str, ident: str, body: bytes, headers: Mapping[str, str], secret_setting: str = ""
    ) -> DeliveryAttempt:
        signature = signed(self._targets.secret(secret_setting), ident, self._clock(), body)
        sent = {"content-type": "application/json; charset=utf-8", **headers, **signature}
        return attempt_of(await self._webhooks.post(url, sent, body))

    async def _reply(self, callback: Callback, run: Run, ident: str) -> None:
        if self._replies is None:
            raise no_broker()
        reply = Reply(
            message_id=ident,
            session_id=callback.session_id or run.session_id,
            correlation_id=callback.correlation_id or run.id,
            subject=event_of(run),
            body=report_of(run, most_bytes=LARGEST_MESSAGE),
        )
        await self._replies.send(self._targets.queue(callback.queue), reply)


@dataclass(frozen=True, slots=True)
class Reported:
    """Result of one round: how many callbacks were sent, failed, and given up."""

    delivered: int
    retrying: int
    failed: int


class CallbackDelivery:
    """Sends due callbacks. Concurrent rounds do not send the same one, unless sending takes longer than the claim."""

    def __init__(
        self,
        ends: RunEnds,
        records: CallbackRecords,
        conversations: ConversationStore,
        sender: CallbackSender,
        clock: Clock,
    ) -> None:
        self._ends = ends
        self._records = records
        self._conversations = conversations
        self._sender = sender
        self._clock = clock
        self._turnstile = asyncio.Semaphore(_AT_ONCE)
        self._soon: set[asyncio.Task[None]] = set()

    def run_changed(self, before: Run | None, after: Run) -> None:
        """Report what this process has just committed, in the background."""
        for report in reports_of(before, after):
            task = asyncio.create_task(self._report_now(report))
            self._soon.add(task)
            task.add_done_callback(self._soon.discard)

    async def deliver(self) -> Reported:
        """Send all due callbacks."""
        now = self._clock()
        due = [end async for end in self._ends.due(now)]
        reports = (if_readable(self._report(end), "run", f"{end.session_id}/{end.run_id}") for end in due)
        states = await asyncio.gather(*reports, return_exceptions=True)
        for state in states:
            if isinstance(state, BaseException):
                raise state
        counts = Counter(states)
        kinds = (DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.FAILED)
        return Reported(*(counts[kind] for kind in kinds))

    async def redeliver(self, run: Run) -> None:
        """Report a run's end again to all that it goes to, however often that was tried, and whether it succeeded.

        Raises:
            NotFound: The run has no callback (`callback_not_found`).
            Conflict: It has not ended (`run_not_finished`).
        """
        if run.input.callback is None:
            raise no_callback(run.id)
        if not run.finished:
            raise Conflict("The run has not ended; there is nothing to report yet.", code="run_not_finished")
        for end in ends_of(run):
            if (record := await self._records.get(run.workspace, run.created_at, run.id, end.push)) is not None:
                again = replace(record, state=DeliveryState.RETRYING, next_at=self._clock())
                await self._records.put(run.workspace, again)
            await self._ends.again(end, self._clock())

    async def aclose(self) -> None:
        """Wait for callbacks that are being sent in the background."""
        await asyncio.gather(*self._soon, return_exceptions=True)

    async def _report_now(self, end: RunEnd) -> None:
        try:
            found = await self._ends.find(end)
            if found is not None:
                await self._report(found)
        except AppError as error:
            log.warning("callback not sent yet: %s", error.code, extra={"event": "callback.postponed"})

    async def _report(self, end: RunEnd) -> DeliveryState | None:
        async with self._turnstile:
            if end.reported:
                await self._records.forget(end.workspace, end.created_at, end.run_id, end.push)
                await self._ends.remove(end)
                return None
            claimed = await self._ends.move(end, self._clock() + _CLAIM, attempts=end.attempts + 1)
            if claimed is None:
                return None
            run = await self._conversations.run(end.workspace, end.session_id, end.run_id)
            target = end.target(run) if run is not None else None
            if run is None or target is None or end.over(run):
                # Erased; or told to nobody any more; or gone on, or put back since, so that what came next is
                # reported; or refused as it was submitted.
                await self._ends.remove(claimed)
                return None
            if end.ahead(run):
                return await self._reschedule(claimed)
            if end.state:
                return await self._send(run, target, claimed)
            record = await self._records.get(run.workspace, run.created_at, run.id, end.push)
            if record is not None and record.redriven == end.redriven and record.state is DeliveryState.DELIVERED:
                await self._ends.remove(claimed)  # a second entry for the same end
                return None
            return await self._send(run, target, claimed)

    async def _reschedule(self, end: RunEnd) -> None:
        """Reschedule the entry: it is written before the run ends, and the run may not have ended yet."""
        now = self._clock()
        if now - end.ended_at >= GIVE_UP_AFTER:
            await self._ends.remove(end)
        else:
            pause = min(_NOT_ENDED_YET * 2 ** min(end.attempts, 7), timedelta(hours=1))
            await self._ends.move(end, now + pause, attempts=end.attempts)

    async def _send(self, run: Run, target: Callback | Push, end: RunEnd) -> DeliveryState:
        ident = report_id(run.id, run.redriven, end.push, end.state)
        tried = await self._sender.send(target, run, ident)
        now = self._clock()
        at = next_attempt(tried, end.attempts, end.ended_at, now) if tried.error else None
        state = DeliveryState.DELIVERED
        if tried.error:
            state = DeliveryState.RETRYING if at else DeliveryState.FAILED
            text = "callback of run %s to %s: %s, attempt %d, %s"
            values = (run.id, shown(target), tried.error, end.attempts, state.value)
            log.warning(text, *values, extra={"event": "callback.failed"})
        if end.state:  # what is listed is what became of ends
            await (self._ends.move(end, at, attempts=end.attempts) if at else self._ends.remove(end))
            return state
        record = CallbackRecord(
            id=ident,
            run_id=run.id,
            created_at=run.created_at,
            agent=run.agent,
            target=shown(target),
            redriven=run.redriven,
            state=state,
            attempts=end.attempts,
            status=tried.status,
            error=tried.error,
            last_at=now,
            next_at=at,
            push=end.push,
        )
        # The record is written before the entry is removed: dying in between sends the callback once more, which the
        # receiver notices by its id. The other order could lose the record.
        await self._records.put(run.workspace, record)
        await self._ends.move(end, at or now + KEEP_FOR, attempts=end.attempts, reported=at is None)
        return state


def no_callback(run_id: str) -> NotFound:
    """Return the error for a run without a callback."""
    return NotFound(f"Run {run_id!r} has no callback.", code="callback_not_found")
