"""Forwards a workspace's events to other systems as CloudEvents: at least once, each shard in order.

Table `forwards`, partition `forwards`, row `{workspace}!{channel}`: how far a channel has been sent the stream. The row
is written before the channel; a row without a channel is removed when it is read.

CloudEvents 1.0, JSON event format and its batches (github.com/cloudevents/spec). `source` and `id` identify an event
for good, so that a receiver can detect duplicates.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kernel.clock import rfc3339
from kernel.codec import JsonCodec, all_readable
from kernel.errors import AppError, NotFound
from kernel.event_versions import schema_of
from kernel.journal import SHARDS
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, every
from llmops.notifications.notification import matches
from llmops.notifications.notification_delivery import FIRST_PAUSE, LONGEST_PAUSE, attempt_of
from llmops.notifications.receiver_formats import CLOUD_EVENTS_BATCH, source_of
from llmops.notifications.signing import signed

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.journal import Event, Journal
    from kernel.tables import Tables
    from llmops.notifications.channels import Channel, ChannelStore
    from llmops.notifications.notification_delivery import Webhooks

log = logging.getLogger(__name__)

TABLE = "forwards"
AT_ONCE = 100
"""Most events of one request: Event Grid accepts 1 MiB."""
_PARTITION = "forwards"
_ROUNDS = 50
_LEAST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Forward:
    """How far a channel has been sent the workspace's events.

    Attributes:
        positions: For each shard, the number of the next event to send.
        created_at: When forwarding began, aware UTC.
        failures: Failed tries since the last success.
        error: Code of the last error; None after a success.
        sent_at: When events were last sent, aware UTC; None for never.
        next_at: When it is tried next, aware UTC; None for at once.
    """

    positions: tuple[int, ...]
    created_at: datetime
    failures: int = 0
    error: str | None = None
    sent_at: datetime | None = None
    next_at: datetime | None = None


_FORWARD = JsonCodec(Forward)


@dataclass(frozen=True, slots=True)
class _Stored:
    workspace: str
    channel: str
    forward: Forward
    row: Row


def cloud_event(workspace: str, shard: int, number: int, event: Event) -> dict[str, Any]:
    """Return an event of a workspace's stream as a CloudEvent."""
    session, agent = event.data.get("session_id"), event.data.get("agent")
    subject = f"sessions/{session}" if session else f"agents/{agent}" if agent else None
    return {
        "specversion": "1.0",
        "id": f"{shard}-{number}",
        "source": source_of(workspace),
        "type": event.name,
        "time": rfc3339(event.at),
        **({"subject": subject} if subject else {}),
        "datacontenttype": "application/json",
        "dataschema": schema_of(event.name),
        "data": event.data,
    }


class EventForwarding:
    """Sends new events to every channel of kind CloudEvents."""

    def __init__(
        self, tables: Tables, journal: Journal, channels: ChannelStore, webhooks: Webhooks, clock: Clock
    ) -> None:
        self._tables = tables
        self._journal = journal
        self._channels = channels
        self._webhooks = webhooks
        self._clock = clock

    async def begin(self, workspace: str, channel: str) -> None:
        """Start forwarding to a channel; call it before the channel is stored. Idempotent."""
        if await self.state(workspace, channel) is not None:
            return
        ends = tuple(await self._journal.ends(workspace))
        row = _row(workspace, channel, Forward(ends, self._clock()))
        try:
            await self._tables.commit(TABLE, [Insert(row)])
        except RowExists:
            return

    async def state(self, workspace: str, channel: str) -> Forward | None:
        """Return how far the channel has been sent; None for a channel of another kind."""
        row = await self._tables.get(TABLE, _PARTITION, f"{workspace}!{channel}")
        return _FORWARD.load(row.text("forward")) if row else None

    async def run(self) -> int:
        """Send new events to all channels, and return how many were sent."""
        sent = 0
        now = self._clock()
        async for stored in all_readable(every(self._tables, TABLE, Span(_PARTITION)), _stored, "forward"):
            if stored.forward.next_at is None or stored.forward.next_at <= now:
                try:
                    sent += await self._forward(stored, now)
                except AppError as error:
                    log.warning("events not forwarded yet: %s", error.code, extra={"event": "events.not_forwarded"})
        return sent

    async def _forward(self, stored: _Stored, now: datetime) -> int:
        try:
            channel = await self._channels.get(stored.workspace, stored.channel)
        except NotFound:
            channel = None
        if channel is None or channel.format != "cloudevents":
            if now - stored.forward.created_at > _LEAST:
                await self._remove(stored)
            return 0
        sent = 0
        for _ in range(_ROUNDS):
            positions, events = await self._new(stored, channel)
            if positions == stored.forward.positions:
                break
            error = await self._post(channel, events) if events else None
            sent += len(events) if error is None else 0
            moved = await self._moved(stored, channel, positions if error is None else None, error, sent=bool(events))
            if error is not None or moved is None:
                break
            stored = moved
        return sent

    async def _new(self, stored: _Stored, channel: Channel) -> tuple[tuple[int, ...], Sequence[dict[str, Any]]]:
        """Return the positions after the next request, and its events: those that the channel wants, as many as fit."""
        positions = list(stored.forward.positions)
        events: list[dict[str, Any]] = []
        for shard in range(SHARDS):
            if len(events) >= AT_ONCE:
                break
            found = await self._journal.read(stored.workspace, shard, positions[shard], AT_ONCE - len(events))
            for number, event in found:
                positions[shard] = number + 1
                if any(matches(pattern, event.name) for pattern in channel.events):
                    events.append(cloud_event(stored.workspace, shard, number, event))
        return tuple(positions), events

    async def _post(self, channel: Channel, events: Sequence[dict[str, Any]]) -> str | None:
        """Send the events; return None, or the error's code."""
        body = json.dumps(events, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        ident = f"{events[0]['source']}#{events[0]['id']}"
        headers = {"content-type": CLOUD_EVENTS_BATCH, **signed(channel.secret, ident, self._clock(), body)}
        try:
            return attempt_of(await self._webhooks.post(channel.url, headers, body)).error
        except AppError as error:
            return error.code

    async def _moved(
        self, stored: _Stored, channel: Channel, positions: tuple[int, ...] | None, error: str | None, *, sent: bool
    ) -> _Stored | None:
        """Store how far the channel was sent; None if another process sends to it, or it is gone."""
        now, was = self._clock(), stored.forward
        if positions is not None:
            sent_at = now if sent else was.sent_at
            forward = replace(was, positions=positions, failures=0, error=None, next_at=None, sent_at=sent_at)
        else:
            pause = min(FIRST_PAUSE * 2 ** min(was.failures, 10), LONGEST_PAUSE)
            forward = replace(was, failures=was.failures + 1, error=error, next_at=now + pause)
            text = "events to channel %s of %s: %s, attempt %d"
            values = (channel.name, stored.workspace, error, forward.failures)
            log.warning(text, *values, extra={"event": "events.not_forwarded"})
        row = replace(_row(stored.workspace, stored.channel, forward), etag=stored.row.etag)
        try:
            etags = await self._tables.commit(TABLE, [Replace(row)])
        except RowChanged:
            return None
        return replace(stored, forward=forward, row=replace(row, etag=etags[0]))

    async def _remove(self, stored: _Stored) -> None:
        try:
            await self._tables.commit(TABLE, [Delete(_PARTITION, stored.row.key, stored.row.etag)])
        except RowChanged:
            return


def _row(workspace: str, channel: str, forward: Forward) -> Row:
    return Row(_PARTITION, f"{workspace}!{channel}", {"forward": _FORWARD.dump(forward)})


def _stored(row: Row) -> _Stored:
    workspace, channel = row.key.split("!")
    return _Stored(workspace, channel, _FORWARD.load(row.text("forward")), row)
