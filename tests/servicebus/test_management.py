"""Scheduled and deferred messages, and looking at a queue without taking from it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageState, ServiceBusReceiveMode
from azure.servicebus.exceptions import MessageNotFoundError

from tests.servicebus.support import Bus, nothing_left, one, receive, texts


def soon(seconds: float) -> datetime:
    """Return the moment so many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_scheduled_message_appears_at_its_time(bus: Bus, queue: Callable[[str], str]) -> None:
    """A scheduled message is received when it is due, not before, under a new sequence number."""
    sender, receiver = bus.pair(queue("plain"))
    due = soon(1)
    (number,) = sender.schedule_messages(ServiceBusMessage("later"), due)
    sender.send_messages(ServiceBusMessage("now"))

    assert texts(receive(receiver)) == ["now"]
    message = one(receiver)
    assert datetime.now(UTC) >= due - timedelta(milliseconds=5)
    assert str(message) == "later"
    assert message.sequence_number
    assert message.sequence_number > number
    assert message.scheduled_enqueue_time_utc
    assert message.state == ServiceBusMessageState.ACTIVE


def test_message_can_be_sent_with_a_schedule(bus: Bus, queue: Callable[[str], str]) -> None:
    """The scheduled time may also be a property of a message that is sent; a time in the past means now."""
    sender, receiver = bus.pair(queue("plain"))
    sender.send_messages(ServiceBusMessage("later", scheduled_enqueue_time_utc=soon(0.8)))
    sender.send_messages(ServiceBusMessage("past", scheduled_enqueue_time_utc=soon(-60)))

    assert [message.state.name for message in receiver.peek_messages(5)] == ["SCHEDULED", "ACTIVE"]
    assert texts(receive(receiver, 2)) == ["past", "later"]


def test_scheduled_message_can_be_cancelled(bus: Bus, queue: Callable[[str], str]) -> None:
    """A cancelled message never appears; cancelling it again finds nothing."""
    sender, receiver = bus.pair(queue("plain"))
    numbers = sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], soon(60))
    sender.cancel_scheduled_messages(numbers[0])

    assert texts(receiver.peek_messages(5)) == ["b"]
    with pytest.raises(MessageNotFoundError):
        sender.cancel_scheduled_messages(numbers[0])


def test_scheduled_message_keeps_its_session(bus: Bus, queue: Callable[[str], str]) -> None:
    """Messages can be scheduled into a session, which becomes available when they are due."""
    name = queue("sessions")
    bus.sender(name).schedule_messages(ServiceBusMessage("later", session_id="s"), soon(0.8))

    assert texts(receive(bus.next_session(name, max_wait_time=5))) == ["later"]


def test_peek_shows_every_state_and_locks_nothing(bus: Bus, queue: Callable[[str], str]) -> None:
    """Peeking shows active, locked, deferred and scheduled messages in order, in pages."""
    sender, receiver = bus.pair(queue("plain"))
    sender.send_messages([ServiceBusMessage("deferred"), ServiceBusMessage("locked"), ServiceBusMessage("active")])
    sender.schedule_messages(ServiceBusMessage("scheduled"), soon(60))
    receiver.defer_message(one(receiver))
    one(receiver)

    seen = receiver.peek_messages(10, sequence_number=1)

    assert [(str(message), message.state.name) for message in seen] == [
        ("deferred", "DEFERRED"),
        ("locked", "ACTIVE"),
        ("active", "ACTIVE"),
        ("scheduled", "SCHEDULED"),
    ]
    assert texts(receiver.peek_messages(2, sequence_number=2)) == ["locked", "active"]
    assert texts(receiver.peek_messages(2)) == ["scheduled"]
    assert texts(receive(receiver)) == ["active"]


def test_peek_of_a_session_shows_only_that_session(bus: Bus, queue: Callable[[str], str]) -> None:
    """A session receiver sees the messages of its session."""
    name = queue("sessions")
    bus.send(name, *(ServiceBusMessage(session, session_id=session) for session in ("a", "b", "a")))

    assert texts(bus.receiver(name, session_id="a").peek_messages(10)) == ["a", "a"]


def test_deferred_message_is_received_by_number(bus: Bus, queue: Callable[[str], str]) -> None:
    """A deferred message is skipped until asked for by number; it can then be settled in every way."""
    name = queue("plain")
    sender, receiver, dead_letters = (bus.sender(name), bus.receiver(name), bus.receiver(name, sub_queue="deadletter"))
    sender.send_messages([ServiceBusMessage(body) for body in ("complete", "abandon", "defer", "bury")])
    for message in receive(receiver, 4):
        receiver.defer_message(message)
    assert nothing_left(receiver)

    complete, abandon, defer, bury = receiver.receive_deferred_messages([1, 2, 3, 4])
    receiver.complete_message(complete)
    receiver.abandon_message(abandon)
    receiver.defer_message(defer)
    receiver.dead_letter_message(bury, reason="r", error_description="d")

    assert texts(receiver.peek_messages(10, sequence_number=1)) == ["abandon", "defer"]
    counts = [message.delivery_count for message in receiver.receive_deferred_messages([2, 3])]
    assert counts == [1, 0]
    dead = one(dead_letters)
    assert (str(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == ("bury", "r", "d")
    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages([1])


def test_deferred_message_of_a_session_is_received_in_it(bus: Bus, queue: Callable[[str], str]) -> None:
    """In a session deferred messages are received and settled under the session lock."""
    name = queue("sessions")
    bus.send(name, ServiceBusMessage("x", session_id="s"))
    receiver = bus.receiver(name, session_id="s")
    receiver.defer_message(one(receiver))

    (message,) = receiver.receive_deferred_messages(1)
    receiver.complete_message(message)

    assert receiver.peek_messages(1, sequence_number=1) == []


def test_deferred_message_can_be_deleted_on_receipt(bus: Bus, queue: Callable[[str], str]) -> None:
    """Receive-and-delete by number removes at once."""
    name = queue("plain")
    sender, receiver, eraser = (
        bus.sender(name),
        bus.receiver(name),
        bus.receiver(name, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE),
    )
    sender.send_messages(ServiceBusMessage("x"))
    # The eraser has not asked for messages yet, so the other receiver gets this one.
    receiver.defer_message(one(receiver))

    assert texts(eraser.receive_deferred_messages(1)) == ["x"]
    assert receiver.peek_messages(1, sequence_number=1) == []
