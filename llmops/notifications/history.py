"""What became of deliveries: one row for each notification and channel, kept as long as the notification is.

Table `deliveries`, partition `{workspace}!{channel}`, newest notification first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kernel.codec import JsonCodec, readable
from kernel.ids import newest_first
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, first_rows
from llmops.notifications.notification import Notification

TABLE = "deliveries"


class DeliveryState(StrEnum):
    """How a delivery stands."""

    RETRYING = "retrying"  # failed so far; `next_at` says when it is tried again
    DELIVERED = "delivered"  # the receiver took it
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notification on its way to a channel.

    Attributes:
        id: What its webhook says as `webhook-id`, and its email in `Message-ID`.
        notification: The notification's id.
        event: Its event.
        title: Its title.
        at: When it happened, aware UTC.
        state: See DeliveryState.
        attempts: How often it was sent.
        status: HTTP status of the last answer, SMTP's reply code for an email that went; None when there was none.
        error: Why the last attempt failed, as a code; None after a success.
        last_at: When it was sent last; None when it never was, or was given up as too old to be sent (again).
        next_at: When it is sent again; None for never.
    """

    id: str
    notification: str
    event: str
    title: str
    at: datetime
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    last_at: datetime | None
    next_at: datetime | None


_DELIVERY = JsonCodec(Delivery)


class DeliveryHistory:
    """Writes and reads the history of deliveries."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, channel: str, notification: Notification, delivery: Delivery) -> None:
        """Write how the delivery stands; the last one written is the one that is shown."""
        home = _partition(notification.workspace, channel)
        row = Row(home, _key(notification), {"delivery": _DELIVERY.dump(delivery)})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def list(
        self, workspace: str, channel: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[Delivery], str | None]:
        """Return up to `limit` (1-999) deliveries, the newest first, and the key to continue after; None at the end."""
        span = Span(_partition(workspace, channel), key_from=None if after is None else f"{after}\x20")
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: _DELIVERY.load(row.text("delivery")), "delivery"))
        return found, rows[limit - 1].key if len(rows) > limit else None

    async def forget(self, channel: str, notification: Notification) -> None:
        """Remove what became of a notification; nothing there is fine."""
        try:
            await self._tables.commit(TABLE, [Delete(_partition(notification.workspace, channel), _key(notification))])
        except RowChanged:
            return

    async def clear(self, workspace: str, channel: str) -> None:
        """Remove all that is kept of a channel."""
        home = _partition(workspace, channel)
        while rows := await first_rows(self._tables, TABLE, Span(home), 100):
            try:
                await self._tables.commit(TABLE, [Delete(home, row.key) for row in rows])
            except RowChanged:
                continue  # our own earlier try took effect, or somebody else is at it


def _partition(workspace: str, channel: str) -> str:
    return f"{workspace}!{channel}"


def _key(notification: Notification) -> str:
    return newest_first(notification.at, notification.digest)
