"""Events of a workspace sent to an Event Grid topic and to queues, read there by the CloudEvents project's parser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from adapters.event_targets import EventTargets
from adapters.webhooks import HttpWebhooks
from kernel.errors import InvalidInput
from kernel.journal import Event
from lifecycle.callbacks.callback_delivery import Reply
from lifecycle.callbacks.targets import CallbackTargets
from lifecycle.events.catalogue import CATALOGUE
from lifecycle.events.forwarding import EventForwarding
from llmops.notifications.channels import ChannelRequest, ChannelStore
from llmops.notifications.delivery_history import DeliveryHistory
from llmops.notifications.notification import EVENTS, STREAMED, Notification
from llmops.notifications.notification_delivery import NotificationDelivery
from llmops.notifications.outbox import Outbox
from tests.lifecycle.app import App
from tests.lifecycle.doubles import NOW
from tests.llmops.notifications.support import Receiver
from tests.waiting import QUIET_S

TOPIC = "orders.westeurope-1.eventgrid.azure.net"
KEY = "topic-key"


def parsed(body: bytes) -> list[BaseCloudEvent]:
    found = json.loads(body)
    each = found if isinstance(found, list) else [found]
    return [JSONFormat().read(CloudEvent, json.dumps(one).encode()) for one in each]


class EventGrid(Receiver):
    """A topic as Event Grid has it: takes CloudEvents, one or a batch, with its key or a token of the identity."""

    async def _take(self, request: web.Request) -> web.Response:
        kind = request.headers["content-type"].partition(";")[0]
        allowed = request.headers.get("aeg-sas-key") == KEY or request.headers.get("authorization") == "Bearer mine"
        if not allowed:
            return web.Response(status=401)
        if kind not in ("application/cloudevents+json", "application/cloudevents-batch+json"):
            return web.Response(status=415)
        body = await request.read()
        if len(body) > 1_048_576 or isinstance(json.loads(body), list) != kind.endswith("batch+json"):
            return web.Response(status=413)
        parsed(body)
        return await super()._take(request)


class Broker:
    """A namespace that takes messages."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Reply]] = []

    async def send(self, queue: str, reply: Reply) -> None:
        self.sent.append((queue, reply))


class World:
    """An app, and what sends its events; Event Grid's hosts resolve to this machine."""

    def __init__(self, *, key: str = KEY) -> None:
        async def resolve(_: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        async def token() -> str:
            return "mine"

        self.app, self.broker = App(), Broker()
        self.webhooks = HttpWebhooks(allow_private=True, resolve=resolve, timeout_s=QUIET_S)
        names = CallbackTargets(self.webhooks, lambda _: None, ["agent-events"])
        targets = EventTargets(self.webhooks, lambda: self.broker, names, key=key, token=token)
        tables, clock, self.journal = self.app.tables, self.app.clock, self.app.services.events.journal
        self.channels = ChannelStore(tables, targets, clock, None, CATALOGUE)
        self.forwarding = EventForwarding(tables, self.journal, self.channels, targets, clock)
        self.outbox, history = Outbox(tables, clock), DeliveryHistory(tables)
        self.courier = NotificationDelivery(self.outbox, self.channels, history, targets, clock)

    async def channel(self, url: str, *events: str) -> None:
        await self.forwarding.begin("default", "grid")
        await self.channels.put("default", "grid", ChannelRequest(url, "cloudevents", events or ("*",)))

    async def record(self, number: int, name: str = "agent.created") -> None:
        await self.journal.record("default", f"k{number}/", Event(name, {"agent": "bot", "n": number}, NOW))


async def test_a_topic_gets_what_happens_once_and_in_order() -> None:
    """From the time the channel was set; only what it asks for; with the topic's key, which goes nowhere else."""
    world = World()
    await world.record(0)
    async with EventGrid() as grid, Receiver() as other:
        await world.channel(f"http://{TOPIC}:{grid.port}/api/events?api-version=2018-01-01", "run.*", "session.*")
        await world.app.declare()
        run = await world.app.ask()
        await world.app.services.conversations.publisher.flush()
        await world.record(1)
        sent = await world.forwarding.run()
        nothing = await world.forwarding.run()
        await world.channel(other.url)
        await world.record(2)
        await world.forwarding.run()

    events = [event for each in grid.received for event in parsed(each.body)]
    assert (sent, nothing) == (len(events), 0)
    assert [event.get_type() for event in events] == [
        "session.state_changed",
        "run.queued",
        *["run.stage"] * 4,
        "session.state_changed",
    ]
    assert {event.get_subject() for event in events} == {f"sessions/{run.session_id}"}
    assert {event.get_source() for event in events} == {"/agent-lifecycle/workspaces/default"}
    assert {event.get_dataschema() for event in events[:2]} == {
        "urn:agent-lifecycle:event:session.state_changed:1",
        "urn:agent-lifecycle:event:run.queued:1",
    }
    assert len({event.get_id() for event in events}) == len(events)
    assert "aeg-sas-key" not in other.received[0].headers


async def test_a_token_of_the_identity_will_do() -> None:
    world = World(key="")
    async with EventGrid() as grid:
        await world.channel(f"http://{TOPIC}:{grid.port}/api/events")
        await world.record(1)

        assert await world.forwarding.run() == 1


async def test_a_topic_that_refuses_loses_nothing() -> None:
    """It is asked again later, with the same events under the same ids; meanwhile the channel says why."""
    world = World()
    async with EventGrid([web.Response(status=503), web.Response(status=500)]) as grid:
        await world.channel(f"http://{TOPIC}:{grid.port}/api/events")
        await world.record(1)
        await world.forwarding.run()
        at_once = await world.forwarding.run()
        failing = await world.forwarding.state("default", "grid")
        sent = 0
        for _ in range(2):
            world.app.clock.move(hours=1)
            sent = await world.forwarding.run()
        mended = await world.forwarding.state("default", "grid")

    assert failing is not None
    assert mended is not None
    assert (at_once, failing.failures, failing.error, sent) == (0, 1, "http_503", 1)
    assert (mended.failures, mended.error, mended.sent_at) == (0, None, world.app.clock.now)
    assert len({parsed(each.body)[0].get_id() for each in grid.received}) == 1


async def test_many_events_go_a_hundred_at_a_time() -> None:
    world = World()
    async with EventGrid() as grid:
        await world.channel(f"http://{TOPIC}:{grid.port}/api/events")
        for number in range(230):
            await world.record(number)
        sent = await world.forwarding.run()

    sizes = [len(parsed(each.body)) for each in grid.received]
    numbers = [event.get_data()["n"] for each in grid.received for event in parsed(each.body)]  # pyright: ignore[reportOptionalSubscript, reportArgumentType, reportCallIssue]
    assert (sent, sum(sizes), max(sizes)) == (230, 230, 100)
    assert sorted(numbers) == list(range(230))


async def test_who_finds_that_another_process_sends_the_events_stops() -> None:
    """What it had under way comes twice, and nothing else."""
    world = World()

    class Meanwhile(EventGrid):
        """A topic at whose first request another process has begun, and sends everything."""

        async def _take(self, request: web.Request) -> web.Response:
            if not self.received:
                answer = await super()._take(request)
                assert await world.forwarding.run() == 230
                return answer
            return await super()._take(request)

    async with Meanwhile() as grid:
        await world.channel(f"http://{TOPIC}:{grid.port}/api/events")
        for number in range(230):
            await world.record(number)
        sent = await world.forwarding.run()
        state = await world.forwarding.state("default", "grid")

    assert sent == 100
    assert [len(parsed(each.body)) for each in grid.received] == [100, 100, 100, 30]
    assert state is not None
    assert sum(state.positions) == 230


async def test_a_queue_gets_each_event_as_a_message() -> None:
    """In structured mode; MessageId names the event, SessionId what it is about."""
    world = World()
    await world.channel("queue:agent-events")
    await world.record(1)
    await world.forwarding.run()

    [(queue, message)] = world.broker.sent
    [event] = parsed(message.body)
    assert (queue, message.session_id, message.subject) == ("agent-events", "agents/bot", "agent.created")
    assert message.message_id == f"{event.get_source()}#{event.get_id()}"
    assert message.content_type.startswith("application/cloudevents+json")


async def test_notifications_come_the_same_way() -> None:
    """What is no event of the stream goes through the outbox, as a CloudEvent too; what is comes only once."""
    world = World()
    async with EventGrid() as grid:
        await world.channel(f"http://{TOPIC}:{grid.port}/api/events")
        for name in ("report.ready", "budget.blocked"):
            await world.outbox.put(Notification(name, "default", name, "info", "T", "Text.", at=NOW))
        done = await world.courier.deliver()

    assert (done.delivered, [event.get_type() for each in grid.received for event in parsed(each.body)]) == (
        1,
        ["report.ready"],
    )


async def test_a_channel_that_is_gone_is_forgotten() -> None:
    """And one that never came about; but not before it can no longer be on its way."""
    world = World()
    await world.forwarding.begin("default", "never")
    await world.forwarding.run()
    early = await world.forwarding.state("default", "never")
    world.app.clock.move(minutes=11)
    await world.forwarding.run()

    assert early is not None
    assert await world.forwarding.state("default", "never") is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ChannelRequest("queue:agent-runs", "cloudevents"), "reply_queue_not_allowed"),
        (ChannelRequest("queue:agent-events", "json"), "invalid_channel"),
        (ChannelRequest("", "cloudevents"), "invalid_webhook_url"),
        (ChannelRequest("https://a.example", "cloudevents", ("run.begun",)), "unknown_event"),
        (ChannelRequest("https://a.example", "json", ("run.stage",)), "unknown_event"),
        (ChannelRequest("https://a.example", "cloudevent"), "invalid_format"),
    ],
)
async def test_a_channel_that_leads_nowhere_is_refused(request_: Any, code: str) -> None:
    world = World()
    with pytest.raises(InvalidInput) as raised:
        await world.channels.put("default", "grid", request_)

    assert raised.value.code == code


def test_what_is_in_the_stream_is_known() -> None:
    """The two catalogues agree on what both have."""
    assert set(CATALOGUE) & set(EVENTS) == STREAMED
