"""Delivering the outbox: at least once, with growing pauses between attempts, finally given up and recorded."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from kernel.codec import Unreadable, pass_over
from kernel.errors import AppError, NotFound
from kernel.lazy_dataclass import dataclass
from llmops.notifications.delivery_history import Delivery, DeliveryHistory, DeliveryState
from llmops.notifications.email import Mailer, email_of
from llmops.notifications.notification import Notification
from llmops.notifications.receiver_formats import body_of, content_type_of
from llmops.notifications.signing import signed

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.notifications.channels import Channel, ChannelStore
    from llmops.notifications.outbox import Due, Outbox

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 10
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=1)
"""Age after which a notification is not sent any more."""
_CLAIM = timedelta(minutes=2)  # longer than a webhook can take, so that no other process sends it meanwhile
_ROUND = timedelta(minutes=1)  # longest time spent on one channel before the next round may serve the others
_AT_ONCE = 8
_FORGOTTEN_AT_ONCE = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's response: status, and the pause it asks for in seconds (None without)."""

    status: int
    retry_after_s: float | None = None


class Webhooks(Protocol):
    """Sends webhooks."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send the body and return the response, whatever its status; redirects are not followed.

        Raises:
            InvalidInput: Webhooks must not be sent to the URL.
            Unavailable: There was no response; the error code says why.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """The outcome of an attempt.

    Attributes:
        status: HTTP status or SMTP reply code; None without a response.
        error: Error code; None for a success.
        again: Whether to try again.
        retry_after_s: Pause that the receiver asks for, in seconds; None without.
    """

    status: int | None
    error: str | None
    again: bool
    retry_after_s: float | None = None


TOO_OLD = DeliveryAttempt(None, "too_old", again=False)
"""The outcome of a delivery that is given up without being sent."""


@dataclass(frozen=True, slots=True)
class DeliveryRound:
    """What one round did: the numbers of deliveries made, failed, and given up."""

    delivered: int
    retrying: int
    failed: int


def attempt_of(answer: Answer) -> DeliveryAttempt:
    """Return the outcome of a response: 2xx is a success, redirects and 410 are final failures, all else is retried."""
    if 200 <= answer.status < 300:
        return DeliveryAttempt(answer.status, None, again=False)
    final = 300 <= answer.status < 400 or answer.status == 410
    return DeliveryAttempt(answer.status, f"http_{answer.status}", again=not final, retry_after_s=answer.retry_after_s)


def next_attempt(tried: DeliveryAttempt, attempts: int, happened: datetime, now: datetime) -> datetime | None:
    """Return when a failed delivery is tried again; None when it is given up."""
    if not tried.again or attempts >= MAX_ATTEMPTS:
        return None
    pause = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
    asked = timedelta(seconds=min(tried.retry_after_s or 0, LONGEST_PAUSE.total_seconds()))
    at = now + max(pause, asked)
    return at if at - happened < GIVE_UP_AFTER else None


Completed = Callable[[Notification], Awaitable[Notification]]
"""Returns a notification with what is added at the time of sending and not stored."""


class NotificationDelivery:
    """Makes the deliveries that are due. Two processes do not send the same one unless one exceeds its claim."""

    def __init__(
        self,
        outbox: Outbox,
        channels: ChannelStore,
        deliveries: DeliveryHistory,
        webhooks: Webhooks,
        clock: Clock,
        mailer: Mailer | None = None,
        completed: Completed | None = None,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._deliveries = deliveries
        self._webhooks = webhooks
        self._clock = clock
        self._mailer = mailer
        self._completed = completed

    async def deliver(self) -> DeliveryRound:
        """Make the deliveries that are due, in order per channel; a channel that fails waits for the next round."""
        async for due in self._outbox.due(self._clock()):
            if due.channel is None:
                await self._fan_out(due)
        by_channel: dict[tuple[str, str], list[Due]] = {}
        async for due in self._outbox.due(self._clock()):
            if due.channel is not None:
                by_channel.setdefault((due.workspace, due.channel), []).append(due)
        turnstile = asyncio.Semaphore(_AT_ONCE)
        rounds = [self._channel(turnstile, *where, queue) for where, queue in by_channel.items()]
        ended = await asyncio.gather(
            *rounds, return_exceptions=True
        )  # all channels are finished before the first failure is raised
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure
        await self._forget()
        counts = Counter(state for states in ended if not isinstance(states, BaseException) for state in states)
        kinds = (DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.FAILED)
        return DeliveryRound(*(counts[kind] for kind in kinds))

    async def _fan_out(self, due: Due) -> None:
        notification = await self._outbox.notification(due.digest)
        wanting: list[str] = []
        if notification is not None:
            channels = await self._channels.list(due.workspace)
            wanting = [channel.name for channel in channels if channel.wants(notification.event, due.only)]
        await self._outbox.fan_out(due, wanting, self._clock())

    async def _channel(
        self, turnstile: asyncio.Semaphore, workspace: str, name: str, queue: Sequence[Due]
    ) -> Sequence[DeliveryState]:
        states: list[DeliveryState] = []
        until = self._clock() + _ROUND
        async with turnstile:
            try:
                channel = await self._channels.get(workspace, name)
            except NotFound:
                channel = None
            except Unreadable as error:  # its deliveries wait until it can be read, or are too old
                pass_over("channel", f"{workspace}/{name}", error)
                return states
            for due in queue:
                claimed = await self._outbox.claim(due, self._clock() + _CLAIM)
                if claimed is None:
                    continue
                notification = await self._outbox.notification(due.digest)
                if channel is None or notification is None:
                    await self._outbox.done(claimed)
                    continue
                old = notification.at + GIVE_UP_AFTER <= self._clock()
                tried = TOO_OLD if old else await self._try(channel, notification)
                states.append(await self._settle(channel, notification, claimed, tried))
                if (tried.error and not old) or self._clock() >= until:
                    break
        return states

    async def _settle(
        self, channel: Channel, notification: Notification, due: Due, tried: DeliveryAttempt
    ) -> DeliveryState:
        sent = tried is not TOO_OLD
        now = self._clock()
        again = next_attempt(tried, due.attempts, notification.at, now) if tried.error else None
        state = DeliveryState.DELIVERED
        if tried.error:
            state = DeliveryState.RETRYING if again else DeliveryState.FAILED
            log.warning(
                "delivery to channel %s of %s: %s, attempt %d, %s",
                channel.name,
                due.workspace,
                tried.error,
                due.attempts,
                state.value,
                extra={"event": "notification.failed"},
            )
        delivery = Delivery(
            id=_message_id(notification),
            notification=notification.id,
            event=notification.event,
            title=notification.title,
            at=notification.at,
            state=state,
            attempts=due.attempts if sent else due.attempts - 1,
            status=tried.status,
            error=tried.error,
            last_at=now if sent else None,
            next_at=again,
        )
        # The history first: dying in between sends once more, which the receiver recognises by the id. In the other
        # order a delivery could be missing from the history for ever.
        await self._deliveries.record(channel.name, notification, delivery)
        await (self._outbox.reschedule(due, again) if again else self._outbox.done(due))
        return state

    async def _try(self, channel: Channel, notification: Notification) -> DeliveryAttempt:
        if self._completed is not None:
            notification = await self._completed(notification)
        if channel.format == "email":
            return await self._try_email(channel, notification)
        body = body_of(notification, channel.format)
        headers = {
            "content-type": content_type_of(channel.format),
            **signed(channel.secret, _message_id(notification), self._clock(), body),
        }
        try:
            return attempt_of(await self._webhooks.post(channel.url, headers, body))
        except AppError as error:
            return DeliveryAttempt(None, error.code, again=error.retriable)

    async def _try_email(self, channel: Channel, notification: Notification) -> DeliveryAttempt:
        if self._mailer is None:
            return DeliveryAttempt(None, "email_not_configured", again=True)
        email = email_of(notification, _message_id(notification), channel.to, self._clock())
        try:
            return DeliveryAttempt(await self._mailer.send(email), None, again=False)
        except AppError as error:
            return DeliveryAttempt(None, error.code, again=error.retriable, retry_after_s=error.retry_after_s)

    async def _forget(self) -> None:
        """Delete the oldest notifications that need not be kept any more, their deliveries first."""
        now = self._clock()
        outlived = await self._outbox.outlived(now, _FORGOTTEN_AT_ONCE)
        for notification in outlived:
            for channel in await self._channels.list(notification.workspace):
                await self._deliveries.forget(channel.name, notification)
        if outlived:
            await self._outbox.forget(now, _FORGOTTEN_AT_ONCE)


def _message_id(notification: Notification) -> str:
    return f"msg_{notification.digest}"
