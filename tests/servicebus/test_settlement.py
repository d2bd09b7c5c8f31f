"""Peek-lock and receive-and-delete on a queue without sessions."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from azure.servicebus import AutoLockRenewer, ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.exceptions import MessageLockLostError

from tests.servicebus.support import Bus, nothing_left, one, receive, texts


def test_hands_on_what_was_sent(bus: Bus, queue: Callable[[str], str]) -> None:
    """Every property that a sender may set reaches the receiver with its type."""
    sender, receiver = bus.pair(queue("plain"))
    message_id, before = str(uuid4()), time.time()
    properties: dict[str | bytes, Any] = {
        "text": "é",
        "number": 2**30,
        "float": 1.5,
        "flag": True,
        "none": None,
        "uuid": uuid4(),
    }
    sender.send_messages(
        ServiceBusMessage(
            b"\x00body\xff",
            application_properties=properties,
            message_id=message_id,
            subject="agent.run",
            content_type="application/json",
            correlation_id="c",
            to="t",
            reply_to="r",
            reply_to_session_id="rs",
            partition_key="p",
        )
    )

    message = one(receiver)

    assert b"".join(message.body) == b"\x00body\xff"  # type: ignore[arg-type]
    assert {k.decode(): v for k, v in message.application_properties.items()} == {  # type: ignore[union-attr]
        **properties,
        "text": "é".encode(),
    }
    assert (message.message_id, message.subject, message.content_type) == (message_id, "agent.run", "application/json")
    assert (message.correlation_id, message.to, message.reply_to) == ("c", "t", "r")
    assert (message.reply_to_session_id, message.partition_key) == ("rs", "p")
    assert (message.sequence_number, message.delivery_count) == (1, 0)
    assert message.enqueued_time_utc
    assert before - 1 < message.enqueued_time_utc.timestamp() < time.time() + 1
    assert message.locked_until_utc
    assert before + 59 < message.locked_until_utc.timestamp() < time.time() + 61


def test_completed_message_is_gone(bus: Bus, queue: Callable[[str], str]) -> None:
    """Completing removes the message."""
    name = queue("plain")
    sender, receiver = bus.pair(name)
    sender.send_messages(ServiceBusMessage("x"))
    receiver.complete_message(one(receiver))

    assert nothing_left(receiver)
    assert bus.receiver(name).peek_messages(1) == []


def test_abandoned_message_comes_back_first(bus: Bus, queue: Callable[[str], str]) -> None:
    """Abandoning makes the message available again at its old place, with its delivery counted."""
    sender, receiver = bus.pair(queue("plain"))
    sender.send_messages([ServiceBusMessage("first"), ServiceBusMessage("second")])
    receiver.abandon_message(one(receiver))

    again, second = receive(receiver, 2)

    assert texts([again, second]) == ["first", "second"]
    assert (again.delivery_count, second.delivery_count) == (1, 0)


def test_dead_letter_keeps_reason_and_properties(bus: Bus, queue: Callable[[str], str]) -> None:
    """A dead-lettered message waits in the dead-letter queue and says why; there it can be locked and completed."""
    name = queue("plain")
    sender, receiver, dead_letters = (bus.sender(name), bus.receiver(name), bus.receiver(name, sub_queue="deadletter"))
    sender.send_messages(ServiceBusMessage("x", application_properties={"kept": 1}))
    receiver.dead_letter_message(one(receiver), reason="poison", error_description="does not parse")

    assert texts(dead_letters.peek_messages(5)) == ["x"]
    dead = one(dead_letters)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("poison", "does not parse")
    assert dead.application_properties
    assert dead.application_properties[b"kept"] == 1
    assert dead_letters.renew_message_lock(dead)
    dead_letters.complete_message(dead)
    assert nothing_left(dead_letters)


def test_dead_letters_after_the_maximum_of_deliveries(bus: Bus, queue: Callable[[str], str]) -> None:
    """The last allowed failure moves the message to the dead-letter queue."""
    name = queue("plain")
    sender, receiver, dead_letters = (bus.sender(name), bus.receiver(name), bus.receiver(name, sub_queue="deadletter"))
    sender.send_messages(ServiceBusMessage("x"))
    for attempt in range(3):
        message = one(receiver)
        assert message.delivery_count == attempt
        receiver.abandon_message(message)

    dead = one(dead_letters)

    assert (dead.dead_letter_reason, dead.delivery_count) == ("MaxDeliveryCountExceeded", 3)
    assert nothing_left(receiver)


def test_receive_and_delete_removes_at_once(bus: Bus, queue: Callable[[str], str]) -> None:
    """In receive-and-delete mode a message is gone when it is handed out."""
    name = queue("plain")
    sender, receiver = bus.pair(name, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
    sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])

    assert texts(receive(receiver, 2)) == ["a", "b"]
    assert receiver.peek_messages(5, sequence_number=1) == []


def test_expired_lock_returns_the_message(bus: Bus, queue: Callable[[str], str]) -> None:
    """A message whose lock expired goes to the next receiver, counted; the old lock is of no use any more."""
    name = queue("brief")
    sender, slow, other = (bus.sender(name), bus.receiver(name), bus.receiver(name))
    sender.send_messages(ServiceBusMessage("x"))
    held = one(slow)

    again = one(other)

    assert again.delivery_count == 1
    with pytest.raises(MessageLockLostError):
        slow.complete_message(held)
    with pytest.raises(MessageLockLostError):
        slow.renew_message_lock(held)
    other.complete_message(again)


def test_settling_with_a_lost_lock_is_refused_by_the_emulator(bus: Bus, queue: Callable[[str], str]) -> None:
    """The emulator itself refuses a lost lock; it does not depend on the client's clock."""
    name = queue("brief")
    sender, slow, other = (bus.sender(name), bus.receiver(name), bus.receiver(name))
    sender.send_messages(ServiceBusMessage("x"))
    held = one(slow)
    one(other)
    # Without this the SDK would not even ask.
    held._raw_amqp_message.annotations[b"x-opt-locked-until"] = (time.time() + 60) * 1000  # type: ignore[index]
    held._expiry = None

    with pytest.raises(MessageLockLostError, match="lock supplied is invalid"):
        slow.complete_message(held)


def test_renewed_lock_holds(bus: Bus, queue: Callable[[str], str]) -> None:
    """A lock that is renewed in time outlives its duration."""
    name = queue("renewable")
    sender, receiver, other = (bus.sender(name), bus.receiver(name), bus.receiver(name))
    sender.send_messages(ServiceBusMessage("x"))
    with AutoLockRenewer(max_lock_renewal_duration=10) as renewer:
        message = one(receiver)
        renewer.register(receiver, message)
        assert other.receive_messages(1, max_wait_time=2.5) == []
        receiver.complete_message(message)

    assert nothing_left(other)


def test_closing_a_receiver_gives_unread_messages_back_uncounted(bus: Bus, queue: Callable[[str], str]) -> None:
    """What a receiver prefetched and never handed out is available again when it closes."""
    name = queue("plain")
    sender = bus.sender(name)
    sender.send_messages([ServiceBusMessage(str(number)) for number in range(5)])
    first = bus.client.get_queue_receiver(name, prefetch_count=5)
    first.complete_message(one(first))
    first.close()

    messages = receive(bus.receiver(name), 4)

    assert texts(messages) == ["1", "2", "3", "4"]
    assert {message.delivery_count for message in messages} == {0}


def test_receivers_take_turns(bus: Bus, queue: Callable[[str], str]) -> None:
    """Two receivers that ask for messages each get what they have credit for."""
    name = queue("plain")
    sender, left, right = (
        bus.sender(name),
        bus.receiver(name, prefetch_count=3),
        bus.receiver(name, prefetch_count=3),
    )
    # The SDK asks for one message more than it prefetches.
    sender.send_messages([ServiceBusMessage(str(number)) for number in range(8)])

    with ThreadPoolExecutor() as pool:
        received = [texts(each) for each in pool.map(lambda receiver: receive(receiver, 4), (left, right))]

    assert sorted(received[0] + received[1]) == [str(number) for number in range(8)]
