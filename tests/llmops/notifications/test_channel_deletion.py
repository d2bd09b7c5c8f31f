"""A channel is deleted with its history, whatever dies in between."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import EtagMismatch, NotFound
from kernel.tables import Span, every
from llmops.notifications.channel_deletion import delete_channel
from llmops.notifications.channels import ChannelStore
from llmops.notifications.delivery_history import Delivery, DeliveryHistory, DeliveryState
from tests.lifecycle.doubles import NOW, Crash, Fate, FatefulTables, ManualClock
from tests.llmops.notifications.support import Post, note

URL = "http://127.0.0.1:9/hook"


async def told(tables: MemoryTables, count: int = 1) -> Post:
    """Return a channel to which notifications were delivered."""
    post = Post(tables, ManualClock())
    await post.channel("ops", URL)
    for number in range(count):
        await record(post, f"n-{number}")
    return post


async def record(post: Post, ident: str) -> None:
    delivery = Delivery(ident, ident, "budget.blocked", "Over", NOW, DeliveryState.DELIVERED, 1, 200, None, NOW, None)
    await post.deliveries.record("ops", note(ident), delivery)


async def left(tables: MemoryTables) -> tuple[int, int]:
    """Return how many channels and deliveries are stored."""
    found = [
        [row async for row in every(tables, table, Span(" ", partition_before="~"))]
        for table in ("channels", "deliveries")
    ]
    return len(found[0]), len(found[1])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_channel_and_its_history_go_whatever_dies(after: bool) -> None:
    """A history is never left behind without its channel: the request can be made again until nothing is there."""
    number = 0
    for number in itertools.count(1):
        tables, fate = MemoryTables(), Fate(number, after)
        post = await told(tables, 150)
        worker = FatefulTables(tables, fate)
        channels = ChannelStore(worker, post.webhooks, post.clock)
        with contextlib.suppress(Crash):
            await delete_channel(channels, DeliveryHistory(worker), "default", "ops")
        channel, history = await left(tables)
        assert channel == 1 or history == 0
        with contextlib.suppress(NotFound):
            await delete_channel(post.channels, post.deliveries, "default", "ops")
        assert await left(tables) == (0, 0)
        if not fate.struck:
            break
    assert number == 4, "a hundred deliveries, the others, the channel"


async def test_a_channel_that_was_changed_keeps_its_history() -> None:
    tables = MemoryTables()
    post = await told(tables)
    with pytest.raises(EtagMismatch):
        await delete_channel(post.channels, post.deliveries, "default", "ops", '"9"')

    assert await left(tables) == (1, 1)


async def test_what_was_recorded_after_the_channel_went_goes_with_the_next_request() -> None:
    """Which still says that there is no such channel."""
    tables = MemoryTables()
    post = await told(tables)
    await delete_channel(post.channels, post.deliveries, "default", "ops")
    await record(post, "late")
    with pytest.raises(NotFound):
        await delete_channel(post.channels, post.deliveries, "default", "ops")

    assert await left(tables) == (0, 0)
