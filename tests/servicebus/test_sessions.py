"""Sessions: who holds them, in which order their messages come, and what ends a hold."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.servicebus import AutoLockRenewer, ServiceBusMessage
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from tests.servicebus.support import Bus, eventually, nothing_left, one, receive, texts
from tests.waiting import QUIET_S


def in_session(session_id: str, *bodies: str) -> list[ServiceBusMessage]:
    """Make messages of one session."""
    return [ServiceBusMessage(body, session_id=session_id) for body in bodies]


def test_next_available_session_is_one_with_messages(bus: Bus, queue: Callable[[str], str]) -> None:
    """Accepting without an id gives a session that has messages, its id and the end of its lock."""
    name = queue("sessions")
    bus.send(name, *in_session("s1", "a"))
    before = time.time()

    receiver = bus.next_session(name)

    assert receiver.session.session_id == "s1"
    assert receiver.session.locked_until_utc
    assert before + 59 < receiver.session.locked_until_utc.timestamp() < time.time() + 61
    message = one(receiver)
    assert (str(message), message.session_id) == ("a", "s1")


def test_accepting_waits_for_a_session(bus: Bus, queue: Callable[[str], str]) -> None:
    """A receiver that found no session is given the first one that gets a message."""
    name = queue("sessions")
    sender = bus.sender(name)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: bus.next_session(name, max_wait_time=QUIET_S))
        time.sleep(0.7)
        assert not waiting.done()
        sender.send_messages(in_session("late", "a"))

        assert waiting.result().session.session_id == "late"


def test_accepting_times_out_without_a_session(bus: Bus, queue: Callable[[str], str]) -> None:
    """When no session has messages the client's own timeout ends the wait."""
    with pytest.raises(OperationTimeoutError, match="No session with messages"):
        bus.next_session(queue("sessions"), max_wait_time=1)


def test_two_receivers_never_hold_one_session(bus: Bus, queue: Callable[[str], str]) -> None:
    """A held session is refused by id and skipped by those who take any; when it is released it can be had."""
    name = queue("sessions")
    bus.send(name, *in_session("held", "a"), *in_session("free", "b"))
    holder = bus.receiver(name, session_id="held")

    with pytest.raises(SessionCannotBeLockedError):
        bus.receiver(name, session_id="held")
    assert bus.next_session(name).session.session_id == "free"
    with pytest.raises(OperationTimeoutError):
        bus.next_session(name, max_wait_time=0.5)
    holder.close()
    assert bus.next_session(name).session.session_id == "held"


def test_many_receivers_share_sessions_without_overlap(bus: Bus, queue: Callable[[str], str]) -> None:
    """Receivers that compete for sessions each get different ones."""
    name = queue("sessions")
    bus.send(name, *(message for number in range(6) for message in in_session(f"s{number}", "x")))

    with ThreadPoolExecutor() as pool:
        receivers = list(pool.map(lambda _: bus.next_session(name), range(6)))

    assert sorted(each.session.session_id for each in receivers) == [f"s{number}" for number in range(6)]


def test_session_is_fifo_with_interleaved_senders(bus: Bus, queue: Callable[[str], str]) -> None:
    """Messages of a session come in the order in which they were accepted, whoever sent them."""
    name = queue("sessions")
    senders = [bus.sender(name), bus.sender(name)]
    for number in range(40):
        senders[number % 2].send_messages(in_session("a" if number % 4 < 2 else "b", f"{number}"))

    for session_id, turns in (("a", (0, 1)), ("b", (2, 3))):
        messages = receive(bus.receiver(name, session_id=session_id), 20)
        assert texts(messages) == [str(number) for number in range(40) if number % 4 in turns]


def test_abandoned_message_comes_back_before_the_rest(bus: Bus, queue: Callable[[str], str]) -> None:
    """Order in the session survives a failure: the abandoned message is next again, then dead-lettered."""
    name = queue("sessions")
    bus.send(name, *in_session("s", "poison", "next"))
    receiver = bus.receiver(name, session_id="s")
    for attempt in range(3):
        message = one(receiver)
        assert (str(message), message.delivery_count) == ("poison", attempt)
        receiver.abandon_message(message)

    assert texts(receive(receiver)) == ["next"]
    dead = one(bus.receiver(name, sub_queue="deadletter"))
    assert (dead.session_id, dead.dead_letter_reason) == ("s", "MaxDeliveryCountExceeded")


def test_session_state_is_kept(bus: Bus, queue: Callable[[str], str]) -> None:
    """Session state outlives the receiver that set it and can be cleared."""
    name = queue("sessions")
    first = bus.receiver(name, session_id="s")
    assert first.session.get_state() is None
    first.session.set_state(b"\x00state")
    first.close()

    second = bus.receiver(name, session_id="s")

    assert second.session.get_state() == b"\x00state"
    second.session.set_state(None)
    assert second.session.get_state() is None


def test_closing_releases_the_session_uncounted(bus: Bus, queue: Callable[[str], str]) -> None:
    """Messages locked by a session that is closed are available at once, without a delivery counted."""
    name = queue("sessions")
    bus.send(name, *in_session("s", "a", "b"))
    first = bus.receiver(name, session_id="s")
    receive(first, 2)
    first.close()

    messages = receive(bus.receiver(name, session_id="s"), 2)

    assert [(str(message), message.delivery_count) for message in messages] == [("a", 0), ("b", 0)]


def test_dropped_connection_releases_the_session(bus: Bus, queue: Callable[[str], str]) -> None:
    """A client that vanishes without a goodbye loses its session at once."""
    name = queue("sessions")
    bus.send(name, *in_session("s", "a"))
    first = bus.receiver(name, session_id="s")
    one(first)
    first._handler._connection._transport.sock.close()  # type: ignore[union-attr]

    def accepted() -> object:
        try:
            return bus.receiver(name, session_id="s")
        except SessionCannotBeLockedError:
            return None

    assert str(one(eventually(accepted, "the session is free"))) == "a"


def test_expired_session_lock_is_lost(bus: Bus, queue: Callable[[str], str]) -> None:
    """When the lock expires the holder is told, its messages are counted, and another receiver gets the session."""
    name = queue("brief-sessions")
    bus.send(name, *in_session("s", "a"))
    first = bus.receiver(name, session_id="s")
    held = one(first)
    second = bus.next_session(name, max_wait_time=5)

    again = one(second)

    assert (str(again), again.delivery_count) == ("a", 1)
    with pytest.raises(SessionLockLostError):
        first.complete_message(held)
    with pytest.raises(SessionLockLostError):
        first.session.renew_lock()
    second.complete_message(again)


def test_renewed_session_lock_holds(bus: Bus, queue: Callable[[str], str]) -> None:
    """A session whose lock is renewed outlives its duration, and its messages can be settled all the while."""
    name = queue("renewable-sessions")
    bus.send(name, *in_session("s", "a"))
    with AutoLockRenewer(max_lock_renewal_duration=10) as renewer:
        receiver = bus.receiver(name, session_id="s", auto_lock_renewer=renewer)
        message = one(receiver)
        with pytest.raises(OperationTimeoutError):
            bus.next_session(name, max_wait_time=2.5)
        receiver.complete_message(message)
        assert nothing_left(receiver)


def test_session_lock_is_renewed_on_request(bus: Bus, queue: Callable[[str], str]) -> None:
    """Renewing by hand moves the end of the lock."""
    receiver = bus.receiver(queue("sessions"), session_id="s")
    before = receiver.session.locked_until_utc
    time.sleep(0.01)

    after = receiver.session.renew_lock()

    assert before
    assert after > before
    assert receiver.session.locked_until_utc == after


def test_message_without_session_is_refused(bus: Bus, queue: Callable[[str], str]) -> None:
    """A session queue refuses a message without a session, alone or in a batch, and takes nothing of the batch."""
    name = queue("sessions")
    sender = bus.sender(name)
    with pytest.raises(ServiceBusError, match="SessionId was not set"):
        sender.send_messages(ServiceBusMessage("x"))
    with pytest.raises(ServiceBusError, match="SessionId was not set"):
        sender.send_messages([*in_session("s", "a"), ServiceBusMessage("x")])

    assert nothing_left(bus.receiver(name, session_id="s"))


def test_receivers_must_fit_the_queue(bus: Bus, queue: Callable[[str], str]) -> None:
    """A session queue refuses receivers without a session, and a queue without sessions refuses session receivers."""
    with pytest.raises(ServiceBusError, match="requires sessions to create a non-sessionful"):
        bus.receiver(queue("sessions"))
    with pytest.raises(ServiceBusError, match="cannot be created on an entity that does not require sessions"):
        bus.receiver(queue("plain"), session_id="s")


def test_sessions_are_listed(bus: Bus, queue: Callable[[str], str]) -> None:
    """Sessions with messages or a state can be listed."""
    name = queue("sessions")
    assert list(bus.client.list_queue_sessions(name)) == []
    bus.send(name, *in_session("with-message", "a"))
    bus.receiver(name, session_id="with-state").session.set_state(b"1")
    bus.receiver(name, session_id="with-nothing")

    assert list(bus.client.list_queue_sessions(name)) == ["with-message", "with-state"]
