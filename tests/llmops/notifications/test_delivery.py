"""From the outbox to the receiver: once if all goes well, again if not, given up in the end, whoever dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from aiohttp import web

from adapters.memory_tables import MemoryTables
from kernel.errors import Conflict, EtagMismatch, InvalidInput, NotFound, Unavailable
from kernel.tables import Span, every
from llmops.notifications.channels import MOST, ChannelRequest
from llmops.notifications.notification_delivery import DeliveryAttempt, DeliveryRound, next_attempt
from llmops.notifications.outbox import KEEP_FOR
from tests.lifecycle.doubles import NOW, Crash, Fate, FatefulTables, ManualClock
from tests.llmops.notifications.support import SECRET, Post, Receiver, note


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def post(tables: MemoryTables, clock: ManualClock) -> Post:
    return Post(tables, clock)


async def left(tables: MemoryTables) -> list[str]:
    rows = every(tables, "outbox", Span("outbox", key_from="due!", key_before="due!~"))
    return [row.key async for row in rows]


async def test_a_notification_reaches_the_channels_that_want_it(
    tables: MemoryTables, post: Post, receiver: Receiver
) -> None:
    """Signed, with an id; the history says so; nothing is left to do."""
    await post.channel("ops", receiver.url, "budget.*", secret=SECRET)
    await post.channel("other", receiver.url + "/other", "alert.*")
    await post.channel("elsewhere", receiver.url + "/elsewhere", workspace="another")
    await post.outbox.put(note())
    done = [await post.courier.deliver(), await post.courier.deliver()]

    (webhook,) = receiver.received
    (delivery,) = await post.history("ops")
    assert done == [DeliveryRound(1, 0, 0), DeliveryRound(0, 0, 0)]
    assert webhook.path == "/hook"
    assert webhook.json()["type"] == "budget.blocked"
    assert webhook.headers["content-type"] == "application/json; charset=utf-8"
    assert webhook.headers["webhook-id"] == delivery.id
    assert webhook.headers["webhook-signature"].startswith("v1,")
    assert (delivery.state, delivery.attempts, delivery.status, delivery.error) == ("delivered", 1, 200, None)
    assert await post.history("other") == []
    assert await left(tables) == []


async def test_naming_channels_overrides_what_they_want(post: Post, receiver: Receiver) -> None:
    """An alert that names its channels reaches them and no others."""
    await post.channel("ops", receiver.url + "/ops", "budget.*")
    await post.channel("all", receiver.url + "/all")
    await post.outbox.put(note(event="alert.fired"), only=("ops", "gone"))
    await post.courier.deliver()

    assert [webhook.path for webhook in receiver.received] == ["/hook/ops"]


async def test_put_twice_is_one(post: Post, receiver: Receiver, clock: ManualClock) -> None:
    """Also at the same time, also long after it was delivered; the same id elsewhere is another one."""
    await post.channel("ops", receiver.url)
    await asyncio.gather(*(post.outbox.put(note()) for _ in range(5)))
    await post.courier.deliver()
    clock.move(days=20)
    await post.outbox.put(note(title="again"))
    await post.courier.deliver()
    await post.outbox.put(note(workspace="another"))
    await post.courier.deliver()

    assert len(receiver.received) == 1


async def test_what_fails_is_tried_again_later(post: Post, receiver: Receiver, clock: ManualClock) -> None:
    """Not before its time; the same id again; then it is done."""
    await post.channel("ops", receiver.url)
    receiver.answers = [web.Response(status=500), web.Response(status=503, headers={"Retry-After": "90"})]
    await post.outbox.put(note())
    first = await post.courier.deliver()
    (failed,) = await post.history("ops")
    clock.move(seconds=29)
    early = await post.courier.deliver()
    clock.move(seconds=1)
    second = await post.courier.deliver()
    clock.move(seconds=89)
    asked_to_wait = await post.courier.deliver()
    clock.move(seconds=1)
    third = await post.courier.deliver()

    (delivery,) = await post.history("ops")
    assert (failed.state, failed.error, failed.next_at) == ("retrying", "http_500", NOW + timedelta(seconds=30))
    assert [first, early, second] == [DeliveryRound(0, 1, 0), DeliveryRound(0, 0, 0), DeliveryRound(0, 1, 0)]
    assert [asked_to_wait, third] == [DeliveryRound(0, 0, 0), DeliveryRound(1, 0, 0)]
    assert (delivery.state, delivery.attempts) == ("delivered", 3)
    assert len({webhook.headers["webhook-id"] for webhook in receiver.received}) == 1


async def test_it_is_given_up_and_said_so(
    tables: MemoryTables, post: Post, receiver: Receiver, clock: ManualClock
) -> None:
    """After ten attempts; with the reason."""
    await post.channel("ops", receiver.url)
    receiver.answers = [web.Response(status=500) for _ in range(50)]
    await post.outbox.put(note())
    for _ in range(20):
        await post.courier.deliver()
        clock.move(hours=1)

    (delivery,) = await post.history("ops")
    assert len(receiver.received) == 10
    assert (delivery.state, delivery.attempts, delivery.error, delivery.next_at) == ("failed", 10, "http_500", None)
    assert await left(tables) == []


@pytest.mark.parametrize("status", [301, 307, 410])
async def test_what_will_not_change_is_given_up_at_once(post: Post, receiver: Receiver, status: int) -> None:
    """A redirect, and a receiver that is gone for good."""
    await post.channel("ops", receiver.url)
    receiver.answers = [web.Response(status=status)]
    await post.outbox.put(note())

    assert await post.courier.deliver() == DeliveryRound(0, 0, 1)


def test_pauses_double_up_to_an_hour_and_old_news_is_none() -> None:
    """Rule of the retries."""
    failed = DeliveryAttempt(500, "http_500", again=True)
    pauses = [next_attempt(failed, n, NOW, NOW) for n in range(1, 12)]
    seconds = [round((at - NOW).total_seconds()) if at else None for at in pauses]

    assert seconds == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, None, None]
    assert next_attempt(failed, 1, NOW, NOW + timedelta(days=1)) is None
    assert next_attempt(
        DeliveryAttempt(429, "http_429", again=True, retry_after_s=1e9), 1, NOW, NOW
    ) == NOW + timedelta(hours=1)


async def test_a_channel_that_fails_is_left_alone_and_holds_up_no_other(post: Post, receiver: Receiver) -> None:
    """One request a round to the one that is down; all to the one that works."""
    await post.channel("bad", receiver.url + "/bad")
    await post.channel("good", receiver.url + "/good")
    gone = "http://127.0.0.1:9/"
    await post.channels.put("default", "bad", ChannelRequest(gone))
    for n in range(5):
        await post.outbox.put(note(f"n-{n}"))

    assert await post.courier.deliver() == DeliveryRound(5, 1, 0)
    assert len(receiver.received) == 5


@pytest.mark.parametrize("error", [Crash, Unavailable])
@pytest.mark.parametrize("after", [False, True])
async def test_whoever_dies_wherever_it_is_delivered(error: type[BaseException], after: bool) -> None:
    """Put, fan out, claim, history, done: struck at each, every channel has the notification in the end.

    It comes twice only where the sender died after the receiver had it, and then with the same id.
    """
    for number in range(1, 12):
        async with Receiver() as receiver:
            tables, clock = MemoryTables(), ManualClock()
            whole = Post(tables, clock)
            await whole.channel("a", receiver.url + "/a")
            await whole.channel("b", receiver.url + "/b")
            struck = Post(FatefulTables(tables, Fate(number, after, error)), clock)
            with contextlib.suppress(Crash, Unavailable):
                await struck.outbox.put(note())
                await struck.courier.deliver()
            await whole.outbox.put(note())
            for _ in range(3):
                clock.move(minutes=3)
                await whole.courier.deliver()

            by_path = {path: [w for w in receiver.received if w.path == path] for path in ("/hook/a", "/hook/b")}
            assert all(1 <= len(webhooks) <= 2 for webhooks in by_path.values()), number
            assert len({webhook.headers["webhook-id"] for webhook in receiver.received}) == 1
            assert [each.state for name in "ab" for each in await whole.history(name)] == ["delivered"] * 2
            assert await left(tables) == []


async def test_two_that_deliver_at_once_send_each_once(tables: MemoryTables, receiver: Receiver) -> None:
    """A claim is one worker's."""
    clock = ManualClock()
    posts = [Post(tables, clock) for _ in range(3)]
    await posts[0].channel("ops", receiver.url)
    for n in range(10):
        await posts[0].outbox.put(note(f"n-{n}"))
    await asyncio.gather(*(each.courier.deliver() for each in posts))
    await posts[0].courier.deliver()

    assert len({webhook.json()["data"]["id"] for webhook in receiver.received}) == 10
    assert len(receiver.received) == 10


async def test_nothing_is_kept_for_ever(
    tables: MemoryTables, post: Post, receiver: Receiver, clock: ManualClock
) -> None:
    """Notifications and their deliveries go when they are a month old; newer ones stay."""
    await post.channel("ops", receiver.url)
    for n in range(40):
        await post.outbox.put(note(f"old-{n}"))
    await post.courier.deliver()
    clock.move(seconds=KEEP_FOR.total_seconds() + 1)
    await post.outbox.put(note("new", at=clock()))
    for _ in range(3):
        await post.courier.deliver()

    assert [each.notification for each in await post.history("ops")] == ["new"]
    assert len([row async for row in every(tables, "outbox", Span("outbox"))]) == 2


async def test_a_channel_that_is_removed_gets_nothing_more(
    tables: MemoryTables, post: Post, receiver: Receiver
) -> None:
    """What was on its way is dropped."""
    await post.channel("ops", receiver.url)
    receiver.answers = [web.Response(status=500)]
    await post.outbox.put(note())
    await post.courier.deliver()
    await post.channels.delete("default", "ops")
    await post.deliveries.clear("default", "ops")
    post.clock.move(minutes=5)
    await post.courier.deliver()

    assert len(receiver.received) == 1
    assert await left(tables) == []


async def test_channels_are_guarded_by_their_etag(post: Post) -> None:
    """As agents are; and there are only so many."""
    url = "http://127.0.0.1:9/"
    channel, new = await post.channels.put("default", "ops", ChannelRequest(url))
    again, newly = await post.channels.put("default", "ops", ChannelRequest(url))
    assert (channel, new, newly) == (again, True, False)
    for refused in (
        post.channels.put("default", "ops", ChannelRequest(url + "x"), '"7"'),
        post.channels.delete("default", "ops", '"7"'),
    ):
        with pytest.raises(EtagMismatch):
            await refused
    with pytest.raises(EtagMismatch):
        await post.channels.put("default", "none", ChannelRequest(url), "*")
    for n in range(MOST - 1):
        await post.channels.put("default", f"c{n}", ChannelRequest(url))
    with pytest.raises(Conflict) as full:
        await post.channels.put("default", "more", ChannelRequest(url))
    assert full.value.code == "too_many_channels"
    await post.channels.delete("default", "ops", channel.etag)
    for gone in (post.channels.get("default", "ops"), post.channels.delete("default", "ops")):
        with pytest.raises(NotFound):
            await gone
    with pytest.raises(InvalidInput):
        await post.channels.put("default", "ops", ChannelRequest("https://2130706433/"))


async def test_history_in_pages(post: Post, receiver: Receiver) -> None:
    """Newest notification first."""
    await post.channel("ops", receiver.url)
    for n in range(7):
        await post.outbox.put(note(f"n-{n}", at=NOW + timedelta(seconds=n)))
    await post.courier.deliver()
    found: list[str] = []
    after: str | None = None
    while True:
        page, after = await post.deliveries.list("default", "ops", 3, after)
        found += [each.notification for each in page]
        if after is None:
            break

    assert found == [f"n-{n}" for n in reversed(range(7))]


async def test_a_channel_that_is_gone_for_days_holds_nobody_up(
    tables: MemoryTables, post: Post, receiver: Receiver, clock: ManualClock
) -> None:
    """What waited for it for longer than a day is no news: it is given up without a call; what is news is sent."""
    await post.channel("dead", receiver.url)
    for number in range(5):
        await post.outbox.put(note(f"n-{number}"))
    clock.move(days=2)
    await post.outbox.put(note("n-5", at=clock.now))
    done = await post.courier.deliver()
    newest, *older = await post.history("dead")

    assert done == DeliveryRound(1, 0, 5)
    assert len(receiver.received) == 1
    assert (newest.state, newest.attempts) == ("delivered", 1)
    assert {(each.state, each.error, each.attempts, each.last_at) for each in older} == {("failed", "too_old", 0, None)}
    assert await left(tables) == []


async def test_a_refusal_for_good_ends_a_channels_round(post: Post, receiver: Receiver) -> None:
    """One call each round that fails: a slow receiver with a long queue does not keep the others waiting."""
    await post.channel("gone", receiver.url)
    for number in range(3):
        await post.outbox.put(note(f"n-{number}"))
    receiver.answers = [web.Response(status=410) for _ in range(3)]
    done = [await post.courier.deliver() for _ in range(3)]

    assert done == [DeliveryRound(0, 0, 1)] * 3
