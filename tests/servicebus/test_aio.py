"""The same service through the asynchronous SDK."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from tests.servicebus.support import Emulator, texts
from tests.waiting import Patience


class AsyncBus:
    """An asynchronous SDK client of the emulator that keeps what it opened, to close it at the end."""

    def __init__(self, client: ServiceBusClient) -> None:
        self.client = client
        self._opened: list[Any] = []

    async def open(self, *handlers: Any) -> tuple[Any, ...]:
        """Open senders and receivers."""
        self._opened += handlers
        return tuple([await handler.__aenter__() for handler in handlers])

    async def close(self) -> None:
        """Close what is open; the SDK's client would do so only for what is still referred to."""
        for handler in self._opened:
            await handler.close()

    def sender(self, queue: str) -> ServiceBusSender:
        """Make a sender."""
        return self.client.get_queue_sender(queue)

    def receiver(self, queue: str, **options: Any) -> ServiceBusReceiver:
        """Make a receiver."""
        return self.client.get_queue_receiver(queue, **options)


@pytest.fixture
async def aio(emulator: Emulator) -> AsyncIterator[AsyncBus]:
    """Give an asynchronous client of the shared emulator."""
    async with ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client:
        bus = AsyncBus(client)
        yield bus
        await bus.close()


async def receive(receiver: ServiceBusReceiver, count: int = 1) -> list[ServiceBusReceivedMessage]:
    """Receive exactly `count` messages, or fail when none comes any more."""
    messages: list[ServiceBusReceivedMessage] = []
    patience = Patience(f"{count} messages")
    while len(messages) < count:
        patience.look(len(messages))
        messages += await receiver.receive_messages(count - len(messages), max_wait_time=1)
    return messages


async def test_settles_in_every_way(aio: AsyncBus, queue: Callable[[str], str]) -> None:
    """Messages are completed, abandoned, deferred and dead-lettered, with the emulator's confirmation."""
    name = queue("plain")
    sender, receiver, dead_letters = await aio.open(
        aio.sender(name),
        aio.receiver(name),
        aio.receiver(name, sub_queue="deadletter"),
    )
    await sender.send_messages([ServiceBusMessage(body) for body in ("complete", "abandon", "defer", "bury")])
    complete, abandon, defer, bury = await receive(receiver, 4)
    await receiver.complete_message(complete)
    await receiver.abandon_message(abandon)
    await receiver.defer_message(defer)
    await receiver.dead_letter_message(bury, reason="r", error_description="d")

    (again,) = await receive(receiver)
    assert (str(again), again.delivery_count) == ("abandon", 1)
    (dead,) = await receive(dead_letters)
    assert (str(dead), dead.dead_letter_reason) == ("bury", "r")
    (deferred,) = await receiver.receive_deferred_messages(3)
    await receiver.complete_message(deferred)
    assert texts(await receiver.peek_messages(5, sequence_number=1)) == ["abandon"]


async def test_holds_a_session(aio: AsyncBus, queue: Callable[[str], str]) -> None:
    """A session is accepted, kept from others, given a state, renewed and drained in order."""
    name = queue("sessions")
    (sender,) = await aio.open(aio.sender(name))
    await sender.send_messages([ServiceBusMessage(str(number), session_id="s") for number in range(5)])
    (receiver,) = await aio.open(
        aio.receiver(name, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=2),
    )

    assert receiver.session.session_id == "s"
    with pytest.raises(SessionCannotBeLockedError):
        await aio.open(aio.receiver(name, session_id="s"))
    with pytest.raises(OperationTimeoutError):
        await aio.open(aio.receiver(name, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=0.3))
    await receiver.session.set_state(b"state")
    assert await receiver.session.get_state() == b"state"
    assert await receiver.session.renew_lock() >= receiver.session.locked_until_utc
    messages = await receive(receiver, 5)
    assert texts(messages) == ["0", "1", "2", "3", "4"]
    for message in messages:
        await receiver.complete_message(message)
    assert await receiver.peek_messages(1, sequence_number=1) == []


async def test_schedules_and_cancels(aio: AsyncBus, queue: Callable[[str], str]) -> None:
    """Scheduled messages are shown by peek, cancelled, and received when due."""
    name = queue("plain")
    sender, receiver = await aio.open(aio.sender(name), aio.receiver(name))
    due = datetime.now(UTC) + timedelta(seconds=0.8)
    numbers = await sender.schedule_messages([ServiceBusMessage("cancelled"), ServiceBusMessage("kept")], due)
    await sender.cancel_scheduled_messages(numbers[0])

    assert [(str(m), m.state.name) for m in await receiver.peek_messages(5)] == [("kept", "SCHEDULED")]
    assert texts(await receive(receiver)) == ["kept"]
    assert datetime.now(UTC) >= due - timedelta(milliseconds=5)


async def test_renews_locks(aio: AsyncBus, queue: Callable[[str], str]) -> None:
    """Message and session locks are kept by AutoLockRenewer, and lost without it."""
    plain, sessions = queue("renewable"), queue("renewable-sessions")
    to_plain, to_sessions, receiver, kept, lost = await aio.open(
        aio.sender(plain),
        aio.sender(sessions),
        aio.receiver(plain),
        aio.receiver(sessions, session_id="kept"),
        aio.receiver(sessions, session_id="lost"),
    )
    async with AutoLockRenewer(max_lock_renewal_duration=10) as renewer:
        # Its rounds of a second are made for locks that last longer than these.
        renewer._sleep_time = 0.2  # type: ignore[assignment]
        renewer.register(kept, kept.session)
        await to_plain.send_messages(ServiceBusMessage("x"))
        await to_sessions.send_messages([ServiceBusMessage("x", session_id=session) for session in ("kept", "lost")])
        (message,), (in_kept,), (in_lost,) = await asyncio.gather(receive(receiver), receive(kept), receive(lost))
        renewer.register(receiver, message)
        (again,) = await receive(
            (await aio.open(aio.receiver(sessions, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=5)))[0]
        )
        await receiver.complete_message(message)
        await kept.complete_message(in_kept)

    assert (again.session_id, again.delivery_count) == ("lost", 1)
    with pytest.raises(SessionLockLostError):
        await lost.complete_message(in_lost)


async def test_refuses_what_does_not_fit(aio: AsyncBus, queue: Callable[[str], str]) -> None:
    """Refusals reach asynchronous callers as the SDK's exceptions with the emulator's words."""
    name = queue("sessions")
    (sender,) = await aio.open(aio.sender(name))

    with pytest.raises(ServiceBusError, match="SessionId was not set"):
        await sender.send_messages(ServiceBusMessage("x"))
    with pytest.raises(ServiceBusError, match="non-sessionful message receiver"):
        await aio.open(aio.receiver(name))


async def test_serves_many_sessions_at_once(aio: AsyncBus, queue: Callable[[str], str]) -> None:
    """Concurrent workers drain many sessions; each session stays in order and no message is seen twice."""
    name = queue("sessions")
    (sender,) = await aio.open(aio.sender(name))
    for number in range(10):
        await sender.send_messages([ServiceBusMessage(str(number), session_id=f"s{session}") for session in range(8)])
    seen: dict[str, list[str]] = {}

    async def work() -> None:
        for _ in range(2):
            receiver = aio.receiver(name, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=5)
            async with receiver:
                bodies = seen.setdefault(receiver.session.session_id, [])
                for message in await receive(receiver, 10):
                    bodies.append(str(message))
                    await receiver.complete_message(message)

    await asyncio.gather(*(work() for _ in range(4)))

    assert seen == {f"s{session}": [str(number) for number in range(10)] for session in range(8)}
