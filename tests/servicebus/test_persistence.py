"""Nothing that was accepted is lost when the emulator stops, crashes or is killed."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

from tests.servicebus.support import Bus, Emulator, nothing_left, one, receive, texts
from tests.waiting import QUIET_S

QUEUE = {"MaxDeliveryCount": 3, "RequiresDuplicateDetection": True}
SESSIONS = {"RequiresSession": True}
StartEmulator = Callable[..., Emulator]
Connect = Callable[[Emulator], Bus]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_everything_survives_a_restart(start_emulator: StartEmulator, connect: Connect, ending: str) -> None:
    """Messages with their states and counts, session state and seen ids survive a stop and a kill -9."""
    emulator = start_emulator(q=QUEUE, s=SESSIONS)
    before = connect(emulator)
    sender, receiver, session_sender, session = (
        before.sender("q"),
        before.receiver("q"),
        before.sender("s"),
        before.receiver("s", session_id="chat"),
    )
    sender.send_messages(
        [
            ServiceBusMessage(body, message_id=body)
            for body in ("done", "dead", "deferred", "failed", "locked", "waiting")
        ]
    )
    sender.schedule_messages(ServiceBusMessage("scheduled"), datetime.now(UTC) + timedelta(days=1))
    done, dead, deferred, failed = receive(receiver, 4)
    receiver.complete_message(done)
    receiver.dead_letter_message(dead, reason="r", error_description="d")
    receiver.defer_message(deferred)
    receiver.abandon_message(failed)
    receive(receiver, 2)
    session_sender.send_messages([ServiceBusMessage(f"turn {number}", session_id="chat") for number in (1, 2)])
    session.session.set_state(b"memory")
    one(session)
    getattr(emulator, ending)()

    emulator.start()
    after = connect(emulator)
    sender, receiver, dead_letters, session = (
        after.sender("q"),
        after.receiver("q"),
        after.receiver("q", sub_queue="deadletter"),
        after.next_session("s"),
    )
    assert [(str(m), m.state.name, m.delivery_count) for m in receiver.peek_messages(10)] == [
        ("deferred", "DEFERRED", 0),
        ("failed", "ACTIVE", 1),
        ("locked", "ACTIVE", 0),
        ("waiting", "ACTIVE", 0),
        ("scheduled", "SCHEDULED", 0),
    ]
    assert texts(receive(receiver, 3)) == ["failed", "locked", "waiting"]
    dead = one(dead_letters)
    assert (str(dead), dead.dead_letter_reason) == ("dead", "r")
    assert session.session.get_state() == b"memory"
    assert texts(receive(session, 2)) == ["turn 1", "turn 2"]
    sender.send_messages(ServiceBusMessage("again", message_id="done"))
    assert nothing_left(receiver)


def test_no_accepted_message_is_lost_by_kill(start_emulator: StartEmulator, connect: Connect) -> None:
    """Whatever the sender saw accepted when the emulator is killed in full flight is there afterwards, in order."""
    emulator = start_emulator(q={})
    bus = connect(emulator)
    sender = bus.sender("q")
    accepted: list[str] = []
    enough = threading.Event()

    def send_until_it_breaks() -> None:
        with suppress(ServiceBusError):
            while True:
                sender.send_messages(ServiceBusMessage(str(len(accepted))), timeout=QUIET_S)
                accepted.append(str(len(accepted)))
                if len(accepted) == 200:
                    enough.set()

    thread = threading.Thread(target=send_until_it_breaks)
    thread.start()
    assert enough.wait(10)
    emulator.kill()
    thread.join(10)

    emulator.start()
    again = connect(emulator)
    receiver = again.receiver("q", prefetch_count=500)
    # The message under way at the kill may have been kept although its sender never heard so.
    assert texts(receive(receiver, len(accepted))) == accepted


def test_torn_last_record_is_dropped_and_reported(start_emulator: StartEmulator, connect: Connect) -> None:
    """A record that a crash cut in half does not keep the emulator from starting; it says so on stderr."""
    emulator = start_emulator(q={})
    connect(emulator).send("q", ServiceBusMessage("whole"))
    emulator.kill()
    with (emulator.directory / "data" / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"q":"q","op":"enq')

    emulator.start()

    assert texts(connect(emulator).receiver("q").peek_messages(5)) == ["whole"]
    assert "18 bytes of an unfinished record" in emulator.stderr


def test_messages_of_a_queue_that_left_the_topology_are_kept(start_emulator: StartEmulator, connect: Connect) -> None:
    """A queue that is missing from the topology is reported, and its messages are back when it is."""
    first = start_emulator(q={}, other={})
    connect(first).send("q", ServiceBusMessage("x"))
    first.kill()
    second = start_emulator(other={})
    second.kill()
    third = start_emulator(Q={})

    assert "Queue 'q' has 1 stored message(s) but is not in the topology" in second.stderr
    assert texts(connect(third).receiver("q").peek_messages(5)) == ["x"]
