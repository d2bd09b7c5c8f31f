"""What the tests of notifications share: a real receiver of webhooks, and the parts over it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from adapters.webhooks import HttpWebhooks
from kernel.tables import Tables
from llmops.notifications.channels import ChannelRequest, ChannelStore
from llmops.notifications.delivery_history import Delivery, DeliveryHistory
from llmops.notifications.notification import Notification, Severity
from llmops.notifications.notification_delivery import NotificationDelivery
from llmops.notifications.outbox import Outbox
from tests.lifecycle.doubles import NOW, ManualClock
from tests.waiting import QUIET_S

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


@dataclass
class Received:
    """A webhook as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server that takes webhooks, and answers as it is told to, then 200."""

    answers: list[web.Response] = field(default_factory=list[web.Response])
    received: list[Received] = field(default_factory=list[Received])
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path_qs, headers, await request.read()))
        return self.answers.pop(0) if self.answers else web.Response()


def note(ident: str = "n-1", workspace: str = "default", **fields: Any) -> Notification:
    severity: Severity = "warning"
    values: dict[str, Any] = {
        "event": "budget.blocked",
        "severity": severity,
        "title": "Budget exceeded",
        "text": "It is.",
        "facts": {"Agent": "bot"},
        "at": NOW,
    }
    return Notification(ident, workspace, **values | fields)


class Post:
    """Everything between a notification and its receiver, over some tables."""

    def __init__(self, tables: Tables, clock: ManualClock) -> None:
        self.clock = clock
        self.webhooks = HttpWebhooks(allow_private=True, timeout_s=QUIET_S)
        self.channels = ChannelStore(tables, self.webhooks, clock)
        self.outbox = Outbox(tables, clock)
        self.deliveries = DeliveryHistory(tables)
        self.courier = NotificationDelivery(self.outbox, self.channels, self.deliveries, self.webhooks, clock)

    async def channel(self, name: str, url: str, *events: str, workspace: str = "default", **request: Any) -> None:
        await self.channels.put(workspace, name, ChannelRequest(url, events=events or ("*",), **request))

    async def history(self, channel: str, workspace: str = "default") -> list[Delivery]:
        return list((await self.deliveries.list(workspace, channel, 100))[0])
