"""What the emulator accepts and what it refuses."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
)

from tests.servicebus.support import Bus, eventually, nothing_left, one, receive, texts

KIB = 1024


def test_batch_arrives_whole_and_in_order(bus: Bus, queue: Callable[[str], str]) -> None:
    """The messages of a batch come out one by one, with their own ids and properties."""
    sender, receiver = bus.pair(queue("plain"))
    batch = sender.create_message_batch()
    for number in range(50):
        batch.add_message(
            ServiceBusMessage(f"m{number}", message_id=f"id{number}", application_properties={"n": number})
        )
    sender.send_messages(batch)

    messages = receive(receiver, 50)

    assert texts(messages) == [f"m{number}" for number in range(50)]
    assert [message.message_id for message in messages] == [f"id{number}" for number in range(50)]
    assert [(message.application_properties or {})[b"n"] for message in messages] == list(range(50))


def test_batch_is_filled_to_the_limit(bus: Bus, queue: Callable[[str], str]) -> None:
    """The SDK learns the largest batch from the link, and such a batch is accepted."""
    sender, receiver = bus.pair(queue("plain"))
    batch = sender.create_message_batch()
    with suppress(MessageSizeExceededError):
        while True:
            batch.add_message(ServiceBusMessage("x" * KIB))
    sender.send_messages(batch)

    assert batch.max_size_in_bytes == 256 * KIB
    assert len(receive(receiver, len(batch))) == len(batch) > 200


def test_large_message_crosses_many_frames(bus: Bus, queue: Callable[[str], str]) -> None:
    """A message just under 256 KiB arrives unchanged, both ways over several frames."""
    sender, receiver = bus.pair(queue("plain"))
    body = bytes(range(256)) * 1020
    sender.send_messages(ServiceBusMessage(body))

    assert b"".join(one(receiver).body) == body  # type: ignore[arg-type]


def test_too_large_message_is_refused(bus: Bus, queue: Callable[[str], str]) -> None:
    """A message over 256 KiB is refused, and the sender stays usable."""
    sender, receiver = bus.pair(queue("plain"))
    with pytest.raises(MessageSizeExceededError):
        sender.send_messages(ServiceBusMessage("x" * 257 * KIB))
    sender.send_messages(ServiceBusMessage("small"))

    assert texts(receive(receiver)) == ["small"]


def test_unknown_queue_is_not_found(bus: Bus) -> None:
    """Links to a queue that the topology does not have are refused by name."""
    with pytest.raises(MessagingEntityNotFoundError, match="'nowhere' could not be found"):
        bus.sender("nowhere")
    with pytest.raises(MessagingEntityNotFoundError, match="'nowhere' could not be found"):
        bus.receiver("nowhere")


def test_what_is_not_a_queue_is_not_implemented(bus: Bus, queue: Callable[[str], str]) -> None:
    """Subscriptions are refused as not supported, and nobody may send to a dead-letter queue."""
    with pytest.raises(ServiceBusError, match="subscriptions are not supported"):
        bus.client.get_subscription_receiver("topic", "subscription").receive_messages(1, max_wait_time=1)
    with pytest.raises(ServiceBusError, match="cannot be sent to a dead-letter queue"):
        bus.sender(queue("plain") + "/$DeadLetterQueue")


def test_duplicates_within_the_window_are_dropped(bus: Bus, queue: Callable[[str], str]) -> None:
    """A repeated message id is accepted and dropped within the window, even after its first message is gone."""
    sender, receiver = bus.pair(queue("deduplicating"))
    for body in ("first", "second"):
        sender.send_messages(ServiceBusMessage(body, message_id="same"))
    first = one(receiver)
    receiver.complete_message(first)
    sender.send_messages(
        [ServiceBusMessage("third", message_id="same"), ServiceBusMessage("other", message_id="other")]
    )

    assert str(first) == "first"
    assert texts(receive(receiver)) == ["other"]
    assert nothing_left(receiver)

    def accepted_again() -> list[str]:
        sender.send_messages(ServiceBusMessage("later", message_id="same"))
        return texts(receiver.receive_messages(1, max_wait_time=0.2))

    assert eventually(accepted_again, "the id is accepted again after the window") == ["later"]


def test_expired_message_is_dead_lettered_where_the_queue_says_so(bus: Bus, queue: Callable[[str], str]) -> None:
    """A message that nobody received in time goes to the dead-letter queue with its reason."""
    name = queue("expiring")
    sender, dead_letters = (bus.sender(name), bus.receiver(name, sub_queue="deadletter"))
    sender.send_messages(ServiceBusMessage("x", time_to_live=timedelta(days=1)))

    assert one(dead_letters).dead_letter_reason == "TTLExpiredException"


def test_expired_message_is_dropped_otherwise(bus: Bus, queue: Callable[[str], str]) -> None:
    """Without dead-lettering an expired message vanishes; a sender may ask for less time than the queue gives."""
    name = queue("plain")
    sender, receiver, dead_letters = (bus.sender(name), bus.receiver(name), bus.receiver(name, sub_queue="deadletter"))
    sender.send_messages([ServiceBusMessage("short", time_to_live=timedelta(seconds=1)), ServiceBusMessage("long")])

    assert receiver.peek_messages(5, sequence_number=1)[0].time_to_live == timedelta(seconds=1)
    eventually(lambda: texts(receiver.peek_messages(5, sequence_number=1)) == ["long"], "the short-lived one vanishes")
    assert nothing_left(dead_letters)
