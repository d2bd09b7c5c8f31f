"""The outbox: a notification is put in once, and sent to every subscribed channel until delivered or given up.

Table `outbox`, one partition, so that each step is one transaction. Rows:
`note!{digest}`                     the notification, kept for a while so that putting it again changes nothing;
`kept!{time}!{digest}`              when it was put, to find those that need not be kept any more;
`due!{time}!{digest}`               a notification whose channels are to be determined;
`due!{time}!{digest}!{channel}`     a delivery to be attempted at that time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import readable
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Tables, Write, every, first_rows
from llmops.notifications.notification import EVENTS, NOTIFICATION, Notification

if TYPE_CHECKING:
    from kernel.clock import Clock

TABLE = "outbox"
KEEP_FOR = timedelta(days=30)
"""How long a notification is kept; putting the same one later sends it again."""
_PARTITION = "outbox"


@dataclass(frozen=True, slots=True)
class Due:
    """A step that is due: determining a notification's channels, or one delivery.

    Attributes:
        row: The stored row, by whose key and ETag the step is claimed.
        digest: Digest of the notification.
        workspace: Workspace of the notification.
        channel: Name of the channel; None while the channels are to be determined.
        attempts: Number of attempts begun.
        only: Channels the notification is restricted to; empty for all that subscribe to it.
    """

    row: Row
    digest: str
    workspace: str
    channel: str | None
    attempts: int
    only: tuple[str, ...]


class Outbox:
    """Stores notifications, and the steps that are due."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def put(self, notification: Notification, only: Sequence[str] = ()) -> None:
        """Store the notification for delivery, at least once, to the workspace's channels; a repeated id does nothing.

        Args:
            notification: The notification.
            only: Channels to send it to, whatever they subscribe to; empty for all that subscribe to its event.

        Raises:
            ValueError: Its event is not in the catalogue.
        """
        if notification.event not in EVENTS:
            msg = f"{notification.event} is not in the catalogue: no channel could ask for it"
            raise ValueError(msg)
        now, digest = self._clock(), notification.digest
        due = {"workspace": notification.workspace, "only": "\n".join(only)}
        writes = [
            Insert(Row(_PARTITION, f"note!{digest}", {"notification": NOTIFICATION.dump(notification)})),
            Insert(Row(_PARTITION, f"kept!{_stamp(now)}!{digest}", {"workspace": notification.workspace})),
            Insert(Row(_PARTITION, f"due!{_stamp(now)}!{digest}", due)),
        ]
        try:
            await self._tables.commit(TABLE, writes)
        except RowExists:
            return  # put before, perhaps by this very call

    async def due(self, now: datetime) -> AsyncIterator[Due]:
        """Yield the steps due by now, oldest first."""
        span = Span(_PARTITION, key_from="due!", key_before=f"due!{_stamp(now)}~")
        async for row in every(self._tables, TABLE, span):
            yield _due(row)

    async def notification(self, digest: str) -> Notification | None:
        """Return the notification; None when it is not kept any more, or cannot be read."""
        row = await self._tables.get(TABLE, _PARTITION, f"note!{digest}")
        rows = [row] if row else []
        return next(readable(rows, lambda row: NOTIFICATION.load(row.text("notification")), "notification"), None)

    async def fan_out(self, due: Due, channels: Sequence[str], now: datetime) -> None:
        """Replace the step of a notification by one due step for each channel; does nothing if already done."""
        values = {"workspace": due.workspace, "attempts": 0}
        rows = [Insert(Row(_PARTITION, f"due!{_stamp(now)}!{due.digest}!{name}", values)) for name in channels]
        try:
            await self._tables.commit(TABLE, [Delete(_PARTITION, due.row.key, due.row.etag), *rows])
        except (RowChanged, RowExists):
            return  # another process was faster

    async def claim(self, due: Due, until: datetime) -> Due | None:
        """Claim the delivery until a time, and return it; None if another process has it."""
        return await self._move(due, until, due.attempts + 1)

    async def reschedule(self, due: Due, at: datetime) -> None:
        """Release a claimed delivery, to be tried again at that time."""
        await self._move(due, at, due.attempts)

    async def done(self, due: Due) -> None:
        """Delete the step of a claimed delivery that was made or given up."""
        try:
            await self._tables.commit(TABLE, [Delete(_PARTITION, due.row.key, due.row.etag)])
        except RowChanged:
            return  # our earlier try took effect, or the claim expired and another process has it

    async def outlived(self, now: datetime, limit: int = 100) -> Sequence[Notification]:
        """Return the oldest notifications that need not be kept any more, at most `limit` (1-1000) of them."""
        span = Span(_PARTITION, key_from="kept!", key_before=f"kept!{_stamp(now - KEEP_FOR)}")
        rows = await first_rows(self._tables, TABLE, span, limit)
        found = [await self.notification(row.key.rsplit("!", 1)[-1]) for row in rows]
        return [notification for notification in found if notification is not None]

    async def forget(self, now: datetime, limit: int = 30) -> None:
        """Delete the oldest notifications that need not be kept any more, at most `limit` (1-50) of them."""
        span = Span(_PARTITION, key_from="kept!", key_before=f"kept!{_stamp(now - KEEP_FOR)}")
        rows = await first_rows(self._tables, TABLE, span, limit)
        keys = [key for row in rows for key in (row.key, f"note!{row.key.rsplit('!', 1)[-1]}")]
        if keys:
            try:
                await self._tables.commit(TABLE, [Delete(_PARTITION, key) for key in keys])
            except RowChanged:
                return  # another process does the same

    async def _move(self, due: Due, at: datetime, attempts: int) -> Due | None:
        values = {"workspace": due.workspace, "attempts": attempts}
        key = f"due!{_stamp(at)}!{due.digest}!{due.channel}"
        if key == due.row.key:
            writes: list[Write] = [Replace(Row(_PARTITION, key, values, due.row.etag))]
        else:
            writes = [Delete(_PARTITION, due.row.key, due.row.etag), Insert(Row(_PARTITION, key, values))]
        try:
            etags = await self._tables.commit(TABLE, writes)
        except (RowChanged, RowExists):
            return None
        return _due(Row(_PARTITION, key, values, etags[-1]))


def _due(row: Row) -> Due:
    _, _, digest, *channel = row.key.split("!")
    only = tuple(filter(None, row.text("only").split("\n")))
    return Due(row, digest, row.text("workspace"), channel[0] if channel else None, row.integer("attempts"), only)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
