"""Channels: where a workspace's notifications go.

Table `channels`, partition = workspace, row key = name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from kernel.clock import Clock
from kernel.codec import JsonCodec, all_readable
from kernel.errors import Conflict, EtagMismatch, InvalidInput, NotFound
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Tables, every
from llmops.notifications.bodies import Format, format_of
from llmops.notifications.notification import Notification, matches
from llmops.notifications.signing import check_secret

TABLE = "channels"
MOST = 20
"""Channels a workspace may have; a notification's deliveries are written in one transaction."""
MAX_PATTERNS = 50
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_PATTERN = re.compile(r"\*|[a-z0-9_]+(?:\.[a-z0-9_]+)*(?:\.\*)?")


@dataclass(frozen=True, slots=True)
class Channel:
    """Where notifications go.

    Attributes:
        name: Its name in the workspace.
        url: The webhook; itself a secret with many receivers, so it appears in no log and no history.
        format: What the body looks like.
        events: Patterns of the events it wants, like `budget.*`.
        secret: What its webhooks are signed with; empty for no signature.
        revision: Counts its changes, from 1.
        created_at: When it was set first, aware UTC.
        updated_at: When it last changed.
    """

    name: str
    url: str
    format: Format
    events: tuple[str, ...]
    secret: str
    revision: int
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Its revision, as an HTTP entity tag."""
        return f'"{self.revision}"'

    def wants(self, notification: Notification, only: Sequence[str]) -> bool:
        """Return whether the notification goes here: it is named by `only`, or, if that is empty, wants the event."""
        if only:
            return self.name in only
        return any(matches(pattern, notification.event) for pattern in self.events)


_CHANNEL = JsonCodec(Channel)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user wants a channel to be; a secret of None leaves the one it has, an empty one removes it."""

    url: str
    format: str = "json"
    events: tuple[str, ...] = ("*",)
    secret: str | None = None


class UrlCheck(Protocol):
    """Says whether a URL may be a webhook."""

    async def check(self, url: str) -> None:
        """Check the URL.

        Raises:
            InvalidInput: It is none, or names or resolves to an address that webhooks may not go to.
        """
        ...


def channel_name(text: str) -> str:
    """Return the name if it is a valid channel name, formed like an agent's.

    Raises:
        InvalidInput: It is not.
    """
    if not _NAME.fullmatch(text):
        rule = "1-63 characters of a-z, 0-9, '_' and '-', alphanumeric at both ends"
        raise InvalidInput(f"Not a valid channel name: use {rule}.", code="invalid_channel_name")
    return text


def changed(current: Channel | None, name: str, wish: Wish, now: datetime) -> Channel:
    """Return the channel as wished; the current one when that changes nothing.

    Raises:
        InvalidInput: Format, events or secret are not valid.
    """
    kind = format_of(wish.format)
    if not 1 <= len(wish.events) <= MAX_PATTERNS or not all(_PATTERN.fullmatch(event) for event in wish.events):
        rule = f"1 to {MAX_PATTERNS} patterns like 'budget.*', 'alert.fired' or '*'"
        raise InvalidInput(f"events holds {rule}.", code="invalid_events", fields={"/events": rule})
    if wish.secret:
        check_secret(wish.secret)
    if current is None:
        return Channel(name, wish.url, kind, wish.events, wish.secret or "", 1, now, now)
    secret = current.secret if wish.secret is None else wish.secret
    wished = replace(current, url=wish.url, format=kind, events=wish.events, secret=secret)
    return current if wished == current else replace(wished, revision=current.revision + 1, updated_at=now)


class Channels:
    """Sets and reads channels."""

    def __init__(self, tables: Tables, urls: UrlCheck, clock: Clock) -> None:
        self._tables = tables
        self._urls = urls
        self._clock = clock

    async def put(self, workspace: str, name: str, wish: Wish, if_match: str | None = None) -> tuple[Channel, bool]:
        """Set the channel and return it and whether it is new. Setting it to the same again changes nothing.

        Raises:
            InvalidInput: The wish is not valid.
            EtagMismatch: `if_match` is given and the channel is another one, or there is none.
            Conflict: The workspace has as many channels as it may.
        """
        await self._urls.check(wish.url)
        while True:
            row = await self._tables.get(TABLE, workspace, name)
            current = _CHANNEL.load(row.text("channel")) if row else None
            if if_match is not None and (current is None or if_match not in ("*", current.etag)):
                raise EtagMismatch
            channel = changed(current, name, wish, self._clock())
            if channel == current:
                return channel, False
            if current is None and len(await self.list(workspace)) >= MOST:
                raise Conflict(f"A workspace has at most {MOST} channels.", code="too_many_channels")
            stored = Row(workspace, name, {"channel": _CHANNEL.dump(channel)}, row.etag if row else "")
            try:
                await self._tables.commit(TABLE, [Replace(stored) if row else Insert(stored)])
            except (RowChanged, RowExists):
                continue
            return channel, current is None

    async def get(self, workspace: str, name: str) -> Channel:
        """Return the channel.

        Raises:
            NotFound: There is none of that name.
        """
        row = await self._tables.get(TABLE, workspace, name)
        if row is None:
            raise NotFound(f"There is no channel {name!r}.", code="channel_not_found")
        return _CHANNEL.load(row.text("channel"))

    async def list(self, workspace: str) -> Sequence[Channel]:
        """Return the workspace's channels by name."""
        rows = every(self._tables, TABLE, Span(workspace))
        return [one async for one in all_readable(rows, lambda row: _CHANNEL.load(row.text("channel")), "channel")]

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Remove the channel; what is not delivered to it yet never will be.

        Raises:
            NotFound: There is none of that name.
            EtagMismatch: `if_match` is given and the channel is another one.
        """
        while True:
            row = await self._tables.get(TABLE, workspace, name)
            if row is None:
                raise NotFound(f"There is no channel {name!r}.", code="channel_not_found")
            if if_match not in (None, "*", _CHANNEL.load(row.text("channel")).etag):
                raise EtagMismatch
            try:
                await self._tables.commit(TABLE, [Delete(workspace, name, row.etag)])
            except RowChanged:
                continue
            return
