"""The app's own queue over the wire."""

from collections.abc import Callable

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from adapters.service_bus import ServiceBusQueue
from tests.servicebus.support import Emulator


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
    queue = ServiceBusQueue.from_connection_string(emulator.connection_string, "dead")
    looks = [[message.id for message in await queue.dead(10, start)] for start in (0, 0, 1, 2)]
    await queue.aclose()

    assert looks == [[1, 2, 3], [1, 2, 3], [1, 2, 3], [2, 3]]
