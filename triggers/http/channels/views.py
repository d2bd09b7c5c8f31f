"""Request and response models of channels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from llmops.notifications.channels import QUEUE_SCHEME, ChannelRequest
from triggers.http.base_models import Page, View


class ChannelBody(View):
    """The settings of a channel.

    `url` is a webhook, `format` json (default), slack or teams; or `format` is email, and `to` has 1 to 20 addresses;
    or `format` is cloudevents, and the workspace's events go to `url`, for example an Event Grid topic, or to `queue`.
    `events` are patterns of the events it subscribes to, default `*`. `secret`, for webhooks only, is `whsec_` and 24
    to 64 bytes in base64; left out it stays unchanged, null or empty removes it. It is never returned.
    """

    url: str = ""
    queue: str = ""
    to: Sequence[str] = ()
    format: str = "json"
    events: Sequence[str] = ("*",)
    secret: str | None = Field(default=None, json_schema_extra={"writeOnly": True})

    def wish(self) -> ChannelRequest:
        """Return the requested channel."""
        secret = (self.secret or "") if "secret" in self.model_fields_set else None
        url = f"{QUEUE_SCHEME}{self.queue}" if self.queue and not self.url else self.url
        return ChannelRequest(url, self.format, tuple(self.events), secret, tuple(self.to))


class StreamView(View):
    """Delivery of the workspace's event stream to a channel: when last, and after a failure why and when next."""

    sent_at: datetime | None
    failures: int
    error: str | None
    next_at: datetime | None


class ChannelView(View):
    """A channel: its URL, queue, or addresses, and whether its webhooks are signed.

    `stream` is set for a single channel of format cloudevents.
    """

    name: str
    url: str
    queue: str
    to: Sequence[str]
    format: str
    events: Sequence[str]
    signed: bool
    stream: StreamView | None
    created_at: datetime
    updated_at: datetime


class DeliveryView(View):
    """The delivery of a notification to a channel: `retrying`, `delivered` or `failed` (given up)."""

    id: str
    notification: str
    event: str
    title: str
    at: datetime
    state: str
    attempts: int
    status: int | None
    error: str | None
    last_at: datetime | None
    next_at: datetime | None


class ChannelPage(Page[ChannelView]):
    """Channels by name."""


class DeliveryPage(Page[DeliveryView]):
    """Deliveries, newest notification first."""
