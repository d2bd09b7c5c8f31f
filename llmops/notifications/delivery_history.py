"""The delivery history: one row for each notification and channel, kept as long as the notification.

Table `deliveries`, partition `{workspace}!{channel}`, newest notification first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, readable
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, first_rows

if TYPE_CHECKING:
    from llmops.notifications.notification import Notification

TABLE = "deliveries"


class DeliveryState(StrEnum):
    """The state of a delivery."""

    RETRYING = "retrying"  # failed so far; `next_at` is the time of the next attempt
    DELIVERED = "delivered"  # the receiver accepted it
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of a notification to a channel.

    Attributes:
        id: Sent as `webhook-id`, or in an email's `Message-ID`.
        notification: Id of the notification.
        event: Event of the notification.
        title: Title of the notification.
        at: When the event happened, aware UTC.
        state: See DeliveryState.
        attempts: Number of attempts.
        status: HTTP status of the last response, or SMTP reply code; None without a response.
        error: Error code of the last attempt; None after a success.
        last_at: When it was last sent; None if never, or when given up for its age.
        next_at: When it is tried again; None for never.
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
    """Stores the history of deliveries."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, channel: str, notification: Notification, delivery: Delivery) -> None:
        """Write the state of the delivery; it replaces the earlier one."""
        home = _partition(notification.workspace, channel)
        row = Row(home, _key(notification), {"delivery": _DELIVERY.dump(delivery)})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def list(
        self, workspace: str, channel: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[Delivery], str | None]:
        """Return up to `limit` (1-999) deliveries, newest first, and the cursor of the next page; None at the end."""
        span = Span(_partition(workspace, channel), key_from=None if after is None else f"{after}\x20")
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: _DELIVERY.load(row.text("delivery")), "delivery"))
        return found, rows[limit - 1].key if len(rows) > limit else None

    async def forget(self, channel: str, notification: Notification) -> None:
        """Delete the delivery of a notification; does nothing if there is none."""
        try:
            await self._tables.commit(TABLE, [Delete(_partition(notification.workspace, channel), _key(notification))])
        except RowChanged:
            return

    async def clear(self, workspace: str, channel: str) -> None:
        """Delete the history of a channel."""
        home = _partition(workspace, channel)
        while rows := await first_rows(self._tables, TABLE, Span(home), 100):
            try:
                await self._tables.commit(TABLE, [Delete(home, row.key) for row in rows])
            except RowChanged:
                continue  # our earlier try took effect, or another process does the same


def _partition(workspace: str, channel: str) -> str:
    return f"{workspace}!{channel}"


def _key(notification: Notification) -> str:
    return newest_first(notification.at, notification.digest)
