"""The app's own queue over the wire."""

import asyncio
import gc
import logging
from collections.abc import Callable

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from adapters.service_bus import ServiceBusQueue
from adapters.service_bus_clients import by_connection_string
from kernel.errors import Unavailable
from lifecycle.conversations.run_request import Submission
from lifecycle.conversations.session_priority import Priority
from tests.servicebus.support import Emulator
from tests.waiting import QUIET_S, eventually


async def test_dead_messages_are_all_seen_at_every_look(start_emulator: Callable[..., Emulator]) -> None:
    """From 0 as from 1: the SDK goes on from where a receiver looked last when it is told 0."""
    emulator = start_emulator(dead={"RequiresSession": True})
    client = ServiceBusClient.from_connection_string(emulator.connection_string)
    async with client, client.get_queue_sender("dead") as sender:
        for number in range(3):
            await sender.send_messages(ServiceBusMessage("x", session_id=f"s{number}"))
            async with client.get_queue_receiver("dead", session_id=f"s{number}") as receiver:
                for message in await receiver.receive_messages(1, max_wait_time=5):
                    await receiver.dead_letter_message(message)
    queue = ServiceBusQueue(by_connection_string(emulator.connection_string), "dead")
    looks = [[message.id for message in await queue.dead(10, start)] for start in (0, 0, 1, 2)]
    await queue.aclose()

    assert looks == [[1, 2, 3], [1, 2, 3], [1, 2, 3], [2, 3]]


def submission(number: int) -> Submission:
    return Submission(agent="a", run_id=f"r{number}", session_id=f"s{number}", query="?")


async def test_a_queue_that_is_opened_ahead_of_time_sends_every_run_once(
    start_emulator: Callable[..., Emulator],
) -> None:
    """The first takes the connection that is being opened; others, meanwhile, one of their own."""
    emulator = start_emulator(runs={"RequiresSession": True})
    queue = ServiceBusQueue(by_connection_string(emulator.connection_string), "runs")
    queue.open()
    queue.open()
    await asyncio.gather(*(queue.send(submission(number)) for number in range(3)))
    await queue.aclose()

    client = ServiceBusClient.from_connection_string(emulator.connection_string)
    async with client:
        for number in range(3):
            async with client.get_queue_receiver("runs", session_id=f"s{number}") as receiver:
                assert len(await receiver.peek_messages(5)) == 1


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.3])
async def test_opening_that_is_not_waited_for_leaves_nothing_open(
    start_emulator: Callable[..., Emulator], after_s: float
) -> None:
    """However far it is: a stream that is left open would warn when it is collected, which fails the test."""
    emulator = start_emulator(runs={"RequiresSession": True})
    queue = ServiceBusQueue(by_connection_string(emulator.connection_string), "runs")
    queue.open()
    await asyncio.sleep(after_s)
    await queue.aclose()
    del queue
    gc.collect()


async def test_a_caller_that_goes_leaves_the_connection_to_the_next(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator(runs={"RequiresSession": True})
    queue = ServiceBusQueue(by_connection_string(emulator.connection_string), "runs")
    queue.open()
    gone = asyncio.create_task(queue.send(submission(1)))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await queue.send(submission(2))
    await queue.aclose()


@pytest.mark.parametrize("what", ["look", "send"])
async def test_callers_that_go_leave_no_links_open(start_emulator: Callable[..., Emulator], what: str) -> None:
    """Whenever they go: a link that nobody closes would stay at the broker, and its stream warn when collected."""
    emulator = start_emulator(runs={"RequiresSession": True})
    client = ServiceBusClient.from_connection_string(emulator.connection_string)
    queue = ServiceBusQueue(lambda: client, "runs")
    for number in range(20):
        gone = asyncio.create_task(queue.dead(1) if what == "look" else queue.send(submission(number)))  # type: ignore[arg-type]
        await asyncio.sleep(number / 1000)
        gone.cancel()
        await asyncio.wait([gone])
    await queue.send(submission(20))
    assert await queue.dead(1) == []
    links = len(client._handlers)
    await queue.aclose()
    gc.collect()

    assert links <= 9, "a look, and eight senders"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK's, of what it gave up opening
def test_a_broker_that_does_not_answer_is_given_up_and_found_again(
    start_emulator: Callable[..., Emulator], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "azure.servicebus")  # its records would keep the streams beyond this test
    emulator = start_emulator(runs={"RequiresSession": True})

    def connect() -> ServiceBusClient:
        return ServiceBusClient.from_connection_string(emulator.connection_string, try_timeout=0.5, retry_total=0)

    async def use() -> tuple[list[object], object]:
        queue = ServiceBusQueue(connect, "runs")
        await queue.send(submission(1))
        await queue.dead(1)
        with emulator.mute():
            calls = (queue.dead(1), queue.send(submission(2)), queue.discard(1), queue.dead(1))
            async with asyncio.timeout(QUIET_S):
                errors = await asyncio.gather(*calls, return_exceptions=True)
        again = await queue.dead(1)
        await queue.send(submission(3))
        await queue.aclose()
        return [getattr(error, "code", error) for error in errors], again

    errors, again = asyncio.run(use())
    gc.collect()

    assert errors == ["queue_unavailable"] * 4
    assert again == []
    assert by_connection_string(emulator.connection_string)()._config.try_timeout == 10


async def test_a_connection_that_could_not_be_opened_is_tried_again(start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator(runs={"RequiresSession": True})
    tries: list[int] = []

    def connect() -> ServiceBusClient:
        tries.append(1)
        if len(tries) == 1:
            raise OSError
        return ServiceBusClient.from_connection_string(emulator.connection_string)

    queue = ServiceBusQueue(connect, "runs", Priority.NORMAL)
    queue.open()
    await eventually(lambda: bool(tries))
    await asyncio.sleep(0)
    await queue.send(submission(1))
    await queue.aclose()

    assert len(tries) == 2


async def test_a_failure_to_open_is_the_error_of_the_send_that_waits_for_it() -> None:
    def connect() -> ServiceBusClient:
        raise OSError

    queue = ServiceBusQueue(connect, "runs", Priority.NORMAL)
    queue.open()
    with pytest.raises(Unavailable) as error:
        await queue.send(submission(1))
    await queue.aclose()

    assert error.value.code == "queue_unavailable"
