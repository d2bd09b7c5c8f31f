"""The run queue on Azure Service Bus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from adapters.service_bus_clients import PATIENCE_S
from adapters.tls import bundled
from kernel.errors import AppError, NotFound, Unavailable
from kernel.ids import new_id
from kernel.tracing import PRODUCER, carrier, span
from lifecycle.conversations.message_headers import headers_of
from lifecycle.conversations.session_priority import Priority
from lifecycle.runs.message_signatures import SIGNATURE, Origin, sign
from lifecycle.runs.run_queue import DeadMessage, QueueMessage

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

    from lifecycle.conversations.run_request import Submission

T = TypeVar("T")

SUBJECT = "agent.run"
CONTENT_TYPE = "application/json"
REDRIVEN = "redriven"
"""Application property: the number of times the message was redriven."""

_SENDERS = 8
_BATCH = 50
_LONGEST_SEARCH = 1000
_CLOSING_S = 5.0
"""Seconds that what is under way gets at the end."""


class ServiceBusQueue:
    """Sends runs, and handles dead letters, whose ids are their sequence numbers.

    The client and its connection are created on first use, or by `open`, and kept.
    """

    def __init__(
        self,
        connect: Callable[[], ServiceBusClient],
        queue: str,
        priority: Priority = Priority.NORMAL,
        signing_key: str = "",
    ) -> None:
        self._connect = connect
        self._signing_key = signing_key
        self._queue = queue
        self._priority = priority
        self._slots = asyncio.Semaphore(_SENDERS)
        self._redriving = asyncio.Lock()
        self._client: ServiceBusClient | None = None
        self._senders: list[ServiceBusSender] = []
        self._opening: asyncio.Task[ServiceBusSender] | None = None
        self._peeking = asyncio.Lock()
        self._peeker: ServiceBusReceiver | None = None
        self._running: set[asyncio.Task[Any]] = set()

    def open(self) -> None:
        """Connect in the background, unless it is connected; the first `send` then does not wait as long.

        The SDK takes about half a second to open its first sender, most of it in pauses between polls.
        """
        if self._client is None and self._opening is None:
            self._opening = asyncio.create_task(self._opened())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # the next `send` tries

    async def _opened(self) -> ServiceBusSender:
        await asyncio.to_thread(bundled)
        sender = self._connected().get_queue_sender(self._queue)
        return await sender.__aenter__()

    async def send(self, submission: Submission, at: datetime | None = None) -> None:
        """Put the submission on the queue, as one message with SessionId = session; the run's id is in its body.

        With a time it is scheduled (ScheduledEnqueueTimeUtc): the broker delivers it from then on.
        """
        await self._finished(self._send(submission, 0, at))

    async def dead(self, limit: int, from_id: int = 0) -> Sequence[DeadMessage]:
        """Return up to `limit` dead letters in order of id, starting at an id, without removing them.

        Raises:
            Unavailable: The broker cannot be reached, or did not answer within 30 seconds.
        """
        return await self._finished(self._dead(limit, from_id))

    async def _dead(self, limit: int, from_id: int) -> Sequence[DeadMessage]:
        async with self._peeking:
            # Kept open: the SDK takes up to a second to close a receiver.
            receiver = self._peeker or self._dead_letters()
            self._peeker = None
            try:
                # The SDK takes 0 as "after what this receiver saw last", so that a second call would miss the first
                # ones.
                peeked = await receiver.peek_messages(limit, sequence_number=max(1, from_id), timeout=PATIENCE_S)
            except _failures() as error:
                await receiver.close()
                raise _unavailable() from error
            self._peeker = receiver
        return [_dead_message(message, self._queue, self._priority) for message in peeked]

    async def redrive(self, letter_id: int, submission: QueueMessage, redriven: int) -> None:
        """Send a copy, then delete the dead letter; after a crash in between both exist, and the run still runs once.

        Raises:
            NotFound: It is no longer there, or among the first thousand.
            Unavailable: Somebody else holds it for a moment, redriving or looking at it.
        """
        await self._finished(self._remove(letter_id, lambda: self._send(submission, redriven)))

    async def discard(self, letter_id: int) -> None:
        """Delete a dead letter.

        Raises:
            NotFound: It no longer exists, or is not among the first thousand.
            Unavailable: Another call has locked it for a moment.
        """
        await self._finished(self._remove(letter_id))

    async def _remove(self, letter_id: int, first: Callable[[], Awaitable[None]] | None = None) -> None:
        try:
            # One at a time, because the search locks other messages on its way.
            async with self._redriving, self._dead_letters() as receiver:
                message = await _locked(receiver, letter_id)
                if message is None:
                    raise await _not_free(receiver, letter_id)
                if first is not None:
                    await first()
                await receiver.complete_message(message)
        except _failures() as error:
            raise _unavailable() from error

    async def aclose(self) -> None:
        """Close the connection."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_CLOSING_S)
            for task in late:
                task.cancel()
        opening, self._opening = self._opening, None
        if opening is not None:
            await asyncio.wait([opening], timeout=_CLOSING_S)  # interrupted, the SDK leaves its connection open
            opening.cancel()
            for sender in await asyncio.gather(opening, return_exceptions=True):
                if not isinstance(sender, BaseException):
                    await sender.close()
        while self._senders:
            await self._senders.pop().close()
        if self._peeker is not None:
            await self._peeker.close()
            self._peeker = None
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _finished(self, call: Coroutine[Any, Any, T]) -> T:
        """Return what a call gives. When its caller is cancelled it goes on: interrupted, the SDK leaves links open."""
        task = asyncio.create_task(call)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _send(self, submission: QueueMessage, redriven: int, at: datetime | None = None) -> None:
        """Send a message with a unique MessageId, so that the broker's duplicate detection never drops it.

        A run that could not be queued, or was dead-lettered, must be sent again within the broker's detection window;
        and the same run id is a different run in another workspace. Repeated requests are recognised by the run's row
        instead.
        """
        attributes = {"messaging.system": "servicebus", "messaging.destination.name": self._queue}
        with span(f"send {self._queue}", {**attributes, "messaging.operation.type": "send"}, kind=PRODUCER):
            await self._send_message(_message(submission, redriven, self._signing_key, at))

    async def _send_message(self, message: ServiceBusMessage) -> None:
        async with self._slots:
            # A sender serves one task at a time and waits for the broker, so several are kept.
            sender = await self._sender()
            try:
                await sender.send_messages(message, timeout=PATIENCE_S)
            except _failures() as error:
                await sender.close()
                raise _unavailable() from error
            self._senders.append(sender)

    async def _sender(self) -> ServiceBusSender:
        if self._senders:
            return self._senders.pop()
        opening, self._opening = self._opening, None
        if opening is None or (opening.done() and opening.exception()):
            return self._connected().get_queue_sender(self._queue)
        try:
            return await opening
        except _failures() as error:
            raise _unavailable() from error

    def _connected(self) -> ServiceBusClient:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _dead_letters(self) -> ServiceBusReceiver:
        from azure.servicebus import ServiceBusSubQueue  # noqa: PLC0415 - see adapters/service_bus_clients.py

        return self._connected().get_queue_receiver(self._queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)


def _message(
    submission: QueueMessage, redriven: int, signing_key: str, at: datetime | None = None
) -> ServiceBusMessage:
    """Return the message of a submission, with the current trace context in the form the SDK's own tracing uses."""
    from azure.servicebus import ServiceBusMessage  # noqa: PLC0415 - see adapters/service_bus_clients.py

    # Keys in bytes: if the SDK's tracing is enabled, it finds them and adds no duplicates.
    properties: dict[str | bytes, Any] = {REDRIVEN: redriven}
    for name, value in carrier().items():
        properties[name.encode()] = value
        if name == "traceparent":
            properties[b"Diagnostic-Id"] = value  # what the Functions host reads
    body, message_id = submission.to_json().encode(), f"{submission.run_id}:{new_id()}"
    if signing_key:
        properties[SIGNATURE] = sign(signing_key, message_id, submission.workspace, body)
    return ServiceBusMessage(
        body,
        message_id=message_id,
        session_id=submission.session_id,
        subject=SUBJECT,
        content_type=CONTENT_TYPE,
        application_properties=properties,
        scheduled_enqueue_time_utc=at,
    )


async def _locked(receiver: ServiceBusReceiver, sequence_number: int) -> ServiceBusReceivedMessage | None:
    """Return the dead letter, locked, or None when it cannot be found.

    The service delivers dead letters only in order, so others are locked and released on the way.
    """
    others: list[Any] = []
    try:
        while len(others) < _LONGEST_SEARCH:
            batch = await receiver.receive_messages(max_message_count=_BATCH, max_wait_time=2)
            found = next((message for message in batch if message.sequence_number == sequence_number), None)
            others += [message for message in batch if message is not found]
            if found is not None:
                return found
            if not batch:
                break
        return None
    finally:
        for message in others:
            await receiver.abandon_message(message)


async def _not_free(receiver: ServiceBusReceiver, sequence_number: int) -> AppError:
    peeked = await receiver.peek_messages(1, sequence_number=sequence_number)
    if peeked and peeked[0].sequence_number == sequence_number:
        msg = "The dead letter is in use by another call; try again."
        return Unavailable(msg, code="dead_letter_busy", retry_after_s=1)
    return NotFound("There is no such dead letter any more.", code="dead_letter_not_found")


def _dead_message(message: ServiceBusReceivedMessage, queue: str, priority: Priority) -> DeadMessage:
    properties = message.application_properties or {}
    redriven = properties.get(REDRIVEN.encode(), properties.get(REDRIVEN, 0))
    signature = properties.get(SIGNATURE.encode(), properties.get(SIGNATURE, ""))
    signature = signature.decode(errors="replace") if isinstance(signature, bytes) else str(signature)
    number = message.sequence_number or 0
    return DeadMessage(
        number,
        number,
        message.message_id,
        message.session_id,
        _body(message),
        redriven if isinstance(redriven, int) else 0,
        message.dead_letter_reason or "",
        (message.delivery_count or 0),
        message.enqueued_time_utc or datetime.fromtimestamp(0, UTC),
        priority,
        Origin(queue, message.subject or "", message.message_id or "", signature),
        headers_of(properties, message.reply_to, message.reply_to_session_id, message.correlation_id),
    )


def _body(message: ServiceBusReceivedMessage) -> bytes:
    from azure.servicebus.amqp import AmqpMessageBodyType  # noqa: PLC0415 - see adapters/service_bus_clients.py

    # Messages with an AMQP value or sequence instead of data are not from this app, and cannot be read.
    return b"".join(message.body) if message.body_type is AmqpMessageBodyType.DATA else b""


def _failures() -> tuple[type[Exception], ...]:
    from azure.core.exceptions import AzureError  # noqa: PLC0415 - see adapters/service_bus_clients.py
    from azure.servicebus.exceptions import ServiceBusError  # noqa: PLC0415 - see adapters/service_bus_clients.py

    return (ServiceBusError, AzureError, OSError, ValueError)


def _unavailable() -> Unavailable:
    return Unavailable("The queue cannot be reached; try again.", code="queue_unavailable", retry_after_s=1)
