"""Channels: the receivers of a workspace's notifications.

Table `channels`, partition = workspace, row key = name.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from kernel.codec import JsonCodec, all_readable
from kernel.errors import Conflict, InvalidInput, NotFound
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import change_row, check_match, delete_row
from kernel.tables import Row, Span, Tables, Write, every, put
from llmops.notifications.email import check_recipients
from llmops.notifications.notification import STREAMED, check_patterns, matches
from llmops.notifications.receiver_formats import Format, format_of
from llmops.notifications.signing import check_secret

if TYPE_CHECKING:
    from kernel.clock import Clock

TABLE = "channels"
QUEUE_SCHEME = "queue:"
"""Prefix of a channel URL that names a Service Bus queue."""
MOST = 20
"""Most channels of a workspace: the deliveries of a notification are written in one transaction."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Channel:
    """A receiver of notifications.

    Attributes:
        name: Its name in the workspace.
        url: The webhook, or `queue:` and a queue. Many receivers' URLs are secrets, so it appears in no log and no
            history. Empty for email.
        format: Format of the body; `email` for an email.
        events: Patterns of the events it subscribes to, such as `budget.*`.
        secret: Key with which webhooks are signed; empty for no signature.
        revision: Number of its changes, from 1.
        created_at: When it was first set, aware UTC.
        updated_at: When it last changed, aware UTC.
        to: The addresses of an email.
    """

    name: str
    url: str
    format: Format
    events: tuple[str, ...]
    secret: str
    revision: int
    created_at: datetime
    updated_at: datetime
    to: tuple[str, ...] = ()

    @property
    def etag(self) -> str:
        """The revision as an HTTP entity tag."""
        return f'"{self.revision}"'

    def wants(self, event: str, only: Sequence[str]) -> bool:
        """Return whether it receives an event: it is named in `only`, or, if that is empty, it subscribes to it."""
        if only:
            return self.name in only
        if self.format == "cloudevents" and event in STREAMED:
            return False  # it receives the event from the workspace's stream
        return any(matches(pattern, event) for pattern in self.events)


_CHANNEL = JsonCodec(Channel)


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """The requested settings of a channel; a secret of None keeps the current one, an empty one removes it."""

    url: str = ""
    format: str = "json"
    events: tuple[str, ...] = ("*",)
    secret: str | None = None
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmailPolicy:
    """The domains, in lower case, that email may be sent to; empty for all."""

    domains: tuple[str, ...] = ()


class UrlCheck(Protocol):
    """Checks whether a URL may be a webhook."""

    async def check(self, url: str) -> None:
        """Check the URL.

        Raises:
            InvalidInput: It is not a URL, or it names or resolves to an address that webhooks must not reach.
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


def changed(
    current: Channel | None, name: str, request: ChannelRequest, now: datetime, streamed: Collection[str] = ()
) -> Channel:
    """Return the channel with the request applied; the same object when that changes nothing.

    Raises:
        InvalidInput: Format, events or secret are not valid.
    """
    kind = format_of(request.format)
    check_patterns(request.events, streamed if kind == "cloudevents" else ())
    if request.secret:
        check_secret(request.secret)
    if current is None:
        return Channel(name, request.url, kind, request.events, request.secret or "", 1, now, now, request.to)
    secret = current.secret if request.secret is None and kind != "email" else request.secret or ""
    changed_channel = replace(
        current, url=request.url, format=kind, events=request.events, secret=secret, to=request.to
    )
    return (
        current
        if changed_channel == current
        else replace(changed_channel, revision=current.revision + 1, updated_at=now)
    )


class ChannelStore:
    """Stores channels."""

    def __init__(
        self,
        tables: Tables,
        urls: UrlCheck,
        clock: Clock,
        email: EmailPolicy | None = None,
        streamed: Collection[str] = (),
    ) -> None:
        """Set the dependencies; `urls` checks URLs, `streamed` are further events for channels of CloudEvents."""
        self._tables = tables
        self._urls = urls
        self._clock = clock
        self._email = email
        self._streamed = streamed

    async def put(
        self, workspace: str, name: str, request: ChannelRequest, if_match: str | None = None
    ) -> tuple[Channel, bool]:
        """Set the channel; return it and whether it is new. Setting it to the same again changes nothing.

        Raises:
            InvalidInput: The request is not valid.
            EtagMismatch: `if_match` is given and the channel has another ETag, or does not exist.
            Conflict: The workspace already has the most channels allowed.
        """
        await self._check_address(request)

        async def decide(stored: Row | None) -> tuple[tuple[Channel, bool], Sequence[Write]]:
            current = _read(stored) if stored else None
            check_match(if_match, current.etag if current else None)
            channel = changed(current, name, request, self._clock(), self._streamed)
            if channel == current:
                return (channel, False), ()
            if current is None and len(await self.list(workspace)) >= MOST:
                raise Conflict(f"A workspace has at most {MOST} channels.", code="too_many_channels")
            row = Row(workspace, name, {"channel": _CHANNEL.dump(channel)}, stored.etag if stored else "")
            return (channel, current is None), [put(row)]

        done, _ = await change_row(self._tables, TABLE, (workspace, name), decide)
        return done

    async def get(self, workspace: str, name: str) -> Channel:
        """Return the channel.

        Raises:
            NotFound: There is no channel of that name.
        """
        row = await self._tables.get(TABLE, workspace, name)
        if row is None:
            raise _missing(name)
        return _read(row)

    async def list(self, workspace: str) -> Sequence[Channel]:
        """Return the workspace's channels by name."""
        rows = every(self._tables, TABLE, Span(workspace))
        return [one async for one in all_readable(rows, _read, "channel")]

    async def _check_address(self, request: ChannelRequest) -> None:
        """Check the receiver: addresses for email, a URL for everything else."""
        if request.format != "email":
            if request.to:
                raise _misplaced("to", "is for channels of format email")
            if request.url.startswith(QUEUE_SCHEME) and request.format != "cloudevents":
                raise _misplaced("queue", "is for channels of format cloudevents")
            await self._urls.check(request.url)
            return
        if request.url or request.secret:
            raise _misplaced("url" if request.url else "secret", "is not for channels of format email")
        if self._email is None:
            msg = "The app is not set up to send email: see EMAIL_FROM."
            raise InvalidInput(msg, code="email_not_configured", fields={"/format": msg})
        check_recipients(request.to, self._email.domains)

    async def workspaces(self) -> AsyncIterator[str]:
        """Yield the workspace of each channel; one with several channels is yielded several times."""
        async for row in every(self._tables, TABLE, Span(" ", partition_before="~")):
            yield row.partition

    async def delete(self, workspace: str, name: str, if_match: str | None = None) -> None:
        """Delete the channel; pending deliveries to it are not made.

        Raises:
            NotFound: There is no channel of that name.
            EtagMismatch: `if_match` is given and the channel has another ETag.
        """
        place = (workspace, name)
        await delete_row(self._tables, TABLE, place, if_match, _missing(name), etag_of=lambda row: _read(row).etag)


def _read(row: Row) -> Channel:
    return _CHANNEL.load(row.text("channel"))


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no channel {name!r}.", code="channel_not_found")


def _misplaced(field: str, why: str) -> InvalidInput:
    return InvalidInput(f"{field!r} {why}.", code="invalid_channel", fields={f"/{field}": why})
