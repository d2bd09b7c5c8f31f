"""A connection to an MCP server, over streamable HTTP.

Agent Framework's `MCPStreamableHTTPTool` is not used: it repeats a call after a broken connection whether or not the
first one took effect, and keeps the schema a tool had when first listed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, MCPError
from mcp import types as mcp_types
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT
from pydantic import ValidationError

from adapters.mcp_http import KEY, GuardedTransport, Resolve
from kernel.lazy_dataclass import dataclass
from lifecycle.specs.servers import RemoteTool

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

log = logging.getLogger(__name__)
# It logs unreadable responses of servers, which may contain anything.
logging.getLogger("mcp.client.streamable_http").setLevel(logging.CRITICAL)

_OPEN_S = 15.0
_CLOSE_S = 5.0
_MOST_PAGES = 20
MOST_TOOLS = 128
_MOST_DESCRIPTION = 4_096
_MOST_SCHEMA = 65_536


class Broken(Exception):
    """The connection can no longer be used.

    Attributes:
        made: Whether the call may have been made.
    """

    def __init__(self, reason: str, *, made: bool = False) -> None:
        super().__init__(reason)
        self.made = made


class Refused(Exception):
    """The server refused the call; the connection is still usable."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How a server is reached; `trusts` says whose certificates are trusted, None for the system's."""

    url: str
    headers: Mapping[str, str]
    allow_private: bool
    resolve: Resolve
    trusts: ssl.SSLContext | None = None


class McpConnection:
    """An open connection. It runs in a task of its own, because the SDK must close it in the task that opened it.

    Attributes:
        stale: Whether the server has reported that its list of tools changed.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._transport = GuardedTransport(
            allow_private=reach.allow_private, resolve=reach.resolve, trusts=reach.trusts
        )
        self._closing = asyncio.Event()
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._listed = False
        self.stale = False

    @property
    def alive(self) -> bool:
        """Whether it is open, as far as known."""
        return self._task is not None and not self._task.done() and self._client is not None

    async def open(self) -> None:
        """Connect.

        Raises:
            Broken: No server answers, or it does not speak the protocol.
        """
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(opened))
        try:
            async with asyncio.timeout(_OPEN_S):
                await asyncio.shield(opened)
        except TimeoutError:
            await self.aclose()
            msg = "it did not answer in time"
            raise Broken(msg) from None
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    async def tools(self) -> Sequence[RemoteTool]:
        """Return the server's tools.

        Raises:
            Broken: The connection broke.
            Refused: The server returned no list.
        """
        self.stale = False
        found: list[RemoteTool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            try:
                page = await self._there().list_tools(cursor=cursor, cache_mode="bypass")
            except Exception as error:  # noqa: BLE001 - the SDK raises many kinds
                raise self._meant(error, "") from None
            found += [_described(tool) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None or len(found) >= MOST_TOOLS:
                break
        if len(found) > MOST_TOOLS:
            log.warning("an MCP server offers more than %d tools; the rest is left out", MOST_TOOLS)
        self._listed = True
        return found[:MOST_TOOLS]

    async def call(self, name: str, arguments: Mapping[str, Any], key: str, timeout_s: float) -> str:
        """Call a tool and return its result as text.

        Raises:
            Broken: The connection broke, or there was no answer in time.
            Refused: The server or its tool refused the call.
        """
        if not self._listed:
            await self._list_first()
        try:
            result = await self._there().call_tool(
                name, dict(arguments), timeout_s, meta=mcp_types.RequestParamsMeta(**{KEY: key})
            )
        except Exception as error:  # noqa: BLE001 - the SDK raises many kinds
            raise self._meant(error, key) from None
        text = _text_of(result)
        if result.is_error:
            raise Refused(text)
        return text

    async def _list_first(self) -> None:
        """List the tools before the first call: the SDK would do so after the call, and lose its result if that fails.

        Raises:
            Broken: The connection broke; nothing was called.
        """
        stale = self.stale
        try:
            await self.tools()
        except Broken as error:
            raise Broken(str(error)) from None
        except Refused:
            self._listed = True  # it may accept calls all the same
        self.stale = self.stale or stale

    async def aclose(self) -> None:
        """Close the connection, within some seconds."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_CLOSE_S)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CLOSE_S)

    async def _live(self, opened: asyncio.Future[None]) -> None:
        try:
            async with AsyncExitStack() as stack:
                http = httpx2.AsyncClient(
                    transport=self._transport,
                    headers=dict(self._reach.headers),
                    timeout=httpx2.Timeout(30.0, read=300.0),
                    trust_env=False,
                )
                await stack.enter_async_context(http)
                transport = streamable_http_client(self._reach.url, http_client=http)
                client = Client(transport, read_timeout_seconds=_OPEN_S, message_handler=self._heard, cache=None)
                self._client = await stack.enter_async_context(client)
                opened.set_result(None)
                listening = asyncio.create_task(self._listen(self._client))
                try:
                    await self._closing.wait()
                finally:
                    listening.cancel()
        except BaseException as error:
            if not opened.done():
                opened.set_exception(Broken(f"it cannot be connected to ({_name_of(error)})"))
                opened.exception()  # retrieved, also when nobody awaits it
            else:
                log.info("an MCP connection ended: %s", _name_of(error), extra={"event": "mcp.connection_ended"})
            if not isinstance(error, Exception | BaseExceptionGroup):
                raise
        finally:
            self._client = None

    async def _listen(self, client: Client) -> None:
        """Note changes of the list of tools, from servers whose protocol version has a stream for them."""
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self.stale = True
        except Exception as error:  # noqa: BLE001 - not to be told of changes is no fault: the list is read again soon
            log.debug("no changes of an MCP server's list: %s", type(error).__name__)

    async def _heard(self, message: Any) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self.stale = True

    def _there(self) -> Client:
        if not self.alive or self._client is None:
            msg = "it is closed"
            raise Broken(msg)
        return self._client

    def _meant(self, error: Exception, key: str) -> Exception:
        if isinstance(error, Broken):
            return error
        made = key not in self._transport.not_made
        self._transport.not_made.discard(key)
        if not made:
            return Broken("it did not take the call")
        if isinstance(error, MCPError) and error.error.code not in (CONNECTION_CLOSED, REQUEST_TIMEOUT):
            if "terminated" in error.error.message.lower():
                return Broken("its session is over")
            return Refused("The server refused the call.")
        if isinstance(error, ValidationError | RuntimeError) and self.alive:
            return Refused("The server's answer cannot be read.")
        return Broken(f"the connection broke ({type(error).__name__})", made=True)


def _described(tool: mcp_types.Tool) -> RemoteTool:
    schema = dict(tool.input_schema or {})
    schema.setdefault("type", "object")
    schema.setdefault("properties", {})
    hints = tool.annotations
    repeatable = bool(hints and (hints.read_only_hint or hints.idempotent_hint))
    return RemoteTool(tool.name, (tool.description or "")[:_MOST_DESCRIPTION], schema, repeatable)


def _text_of(result: mcp_types.CallToolResult) -> str:
    texts: list[str] = []
    for part in result.content:
        if isinstance(part, mcp_types.TextContent):
            texts.append(part.text)
        else:
            texts.append(f"[{part.type}, not shown]")
    return "\n".join(texts)


def _name_of(error: BaseException) -> str:
    """Return the type name of an error; of an exception group, that of its first."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return type(error).__name__
