"""The MCP servers of specs, as tools of agents: one connection per worker and server, opened on first use and kept."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from adapters.dns_lookup import look_up
from kernel.errors import InvalidInput, RunFailed, Unavailable
from kernel.ids import new_id
from lifecycle.specs.servers import RemoteTool, local_name
from lifecycle.tools.context import CURRENT, Setting
from lifecycle.tools.definition import TIMEOUT_S, Tool, ToolTerms
from lifecycle.tools.limited_calls import ToolFailed
from llmops.notifications.webhook_addresses import target_of

if TYPE_CHECKING:
    import ssl

    from agent_framework import FunctionTool

    from adapters.mcp_connection import McpConnection
    from adapters.mcp_http import Resolve
    from lifecycle.specs.hosted_tools import Mcp

log = logging.getLogger(__name__)

LIST_TRUST_S = 300.0
"""How long a list of tools is used without asking again, where the server reports no changes, in seconds."""


class McpServers:
    """Connects to servers and calls their tools. It implements `lifecycle.specs.servers.ToolServers`."""

    def __init__(
        self,
        setting: Setting,
        *,
        allow_private: bool,
        resolve: Resolve = look_up,
        trusts: ssl.SSLContext | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            setting: Reads app settings.
            allow_private: Whether plain http and private addresses will do.
            resolve: Looks up the addresses of a name.
            trusts: Whose certificates are trusted; None for the system's.
        """
        self._trusts = trusts
        self._setting = setting
        self._allow_private = allow_private
        self._resolve = resolve
        self._servers: dict[tuple[str, str], _Server] = {}

    def check(self, server: Mcp) -> None:
        """Check that the server's URL is allowed.

        Raises:
            InvalidInput: `mcp_url_refused`: it is not.
        """
        try:
            target_of(server.server_url or "", allow_private=self._allow_private)
        except InvalidInput:
            msg = f"The MCP server {server.server_label!r} needs an https URL of a public address."
            raise InvalidInput(
                msg, code="mcp_url_refused", fields={"/server_url": "not public, or not https"}
            ) from None

    async def offered(self, server: Mcp) -> Sequence[RemoteTool]:
        """Return the tools that the server offers and the spec allows.

        Raises:
            Unavailable: It cannot be reached (code `mcp_unavailable`).
            RunFailed: A setting of the app is missing (code `mcp_not_configured`).
        """
        found = await self._server(server).offered()
        allowed = set(server.allowed_tools)
        return [tool for tool in found if not allowed or tool.name in allowed]

    async def tools(self, server: Mcp) -> Sequence[FunctionTool]:
        """Return the server's tools for an agent, named after the server's label and the tool."""
        from lifecycle.tools.function_tools import framework_tool  # noqa: PLC0415 - cold start

        connected = self._server(server)
        terms = ToolTerms(server.timeout_s or TIMEOUT_S, server.rule)
        made: dict[str, FunctionTool] = {}
        for tool in await self.offered(server):
            name = local_name(server.server_label, tool.name)
            if name in made:
                log.warning("two tools of an MCP server come to the name %s", name, extra={"event": "mcp.same_name"})
                continue
            function = Tool(name, connected.caller(tool, terms.timeout_s), terms)
            made[name] = framework_tool(function, schema=tool.schema, description=tool.description)
        return list(made.values())

    async def aclose(self) -> None:
        """Close the connections."""
        servers, self._servers = self._servers, {}
        await asyncio.gather(*(server.aclose() for server in servers.values()))

    def _server(self, server: Mcp) -> _Server:
        self.check(server)
        key = (server.server_url or "", server.headers_setting or "")
        known = self._servers.get(key)
        if known is None:
            known = self._servers[key] = _Server(self, server)
        return known

    async def connect(self, url: str, headers_setting: str) -> McpConnection:
        """Return an open connection.

        Raises:
            Unavailable: The server cannot be reached.
            RunFailed: The setting with its headers is missing, or is for another server.
        """
        await asyncio.to_thread(
            import_module, "adapters.mcp_connection"
        )  # importing the SDK takes a while the first time
        from adapters.mcp_connection import Broken, McpConnection, Reach  # noqa: PLC0415 - imports the SDK

        headers = self._headers(url, headers_setting) if headers_setting else {}
        connection = McpConnection(Reach(url, headers, self._allow_private, self._resolve, self._trusts))
        try:
            await connection.open()
        except Broken as error:
            raise unavailable(str(error)) from None
        return connection

    def _headers(self, url: str, name: str) -> Mapping[str, str]:
        """Return the headers of a server; they are sent only to the origin in the setting, whatever a spec says."""
        try:
            parsed: Any = json.loads(self._setting(name) or "")
            origin, headers = str(parsed["origin"]), parsed["headers"]
            text = isinstance(headers, dict) and all(isinstance(value, str) for value in cast("Any", headers).values())
        except (ValueError, KeyError, TypeError):
            text, origin, headers = False, "", {}
        if not text or _origin(origin) != _origin(url):
            msg = f"The app setting {name} holds no headers for the MCP server that the agent names."
            raise RunFailed(msg, code="mcp_not_configured")
        return cast("Mapping[str, str]", headers)


class _Server:
    """One server: its connection, reopened when broken, and the list of its tools."""

    def __init__(self, servers: McpServers, server: Mcp) -> None:
        self._servers = servers
        self._url = server.server_url or ""
        self._headers_setting = server.headers_setting or ""
        self._opening = asyncio.Lock()
        self._listing = asyncio.Lock()
        self._connection: McpConnection | None = None
        self._tools: Sequence[RemoteTool] | None = None
        self._listed_at = 0.0

    async def offered(self) -> Sequence[RemoteTool]:
        if self._fresh and self._tools is not None:
            return self._tools
        async with self._listing:
            if not self._fresh or self._tools is None:
                self._tools = await self._list()
                self._listed_at = time.monotonic()
            return self._tools

    def caller(self, tool: RemoteTool, timeout_s: float) -> Any:
        """Return the function that calls the tool."""

        async def call(**arguments: Any) -> str:
            from adapters.mcp_connection import Broken, Refused  # noqa: PLC0415 - imports the SDK

            context = CURRENT.get()
            key = context.idempotency_key if context and context.call_id else new_id()
            for last in (False, True):
                connection = await self._ready_for_call()
                try:
                    return await connection.call(tool.name, arguments, key, timeout_s)
                except Refused as error:
                    raise ToolFailed(str(error), "mcp_refused") from None
                except Broken as error:
                    log.warning("MCP call: %s", error, extra={"event": "mcp.broken"})
                    await self._drop(connection)
                    if last or (error.made and not tool.repeatable):
                        made = "What it has done is not known." if error.made else "It was not made."
                        raise ToolFailed(f"The call was interrupted. {made}", "mcp_interrupted") from None
            raise AssertionError

        call.__doc__ = tool.description or tool.name
        return call

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    @property
    def _fresh(self) -> bool:
        stale = self._connection is not None and self._connection.stale
        return self._tools is not None and not stale and time.monotonic() - self._listed_at < LIST_TRUST_S

    async def _list(self) -> Sequence[RemoteTool]:
        from adapters.mcp_connection import Broken, Refused  # noqa: PLC0415 - imports the SDK

        for last in (False, True):
            connection = await self._ready()
            try:
                return await connection.tools()
            except Refused:
                msg = "it gives no list of its tools"
                raise unavailable(msg) from None
            except Broken as error:
                await self._drop(connection)
                if last:
                    raise unavailable(str(error)) from None
        raise AssertionError

    async def _ready_for_call(self) -> McpConnection:
        try:
            return await self._ready()
        except (Unavailable, RunFailed) as error:
            raise ToolFailed("The tool's server cannot be reached. The call was not made.", error.code) from None

    async def _ready(self) -> McpConnection:
        async with self._opening:
            if self._connection is None or not self._connection.alive:
                self._connection = await self._servers.connect(self._url, self._headers_setting)
            return self._connection

    async def _drop(self, connection: McpConnection) -> None:
        """Close a broken connection in the background; other users find it closed, and open a new one."""
        async with self._opening:
            if self._connection is connection:
                self._connection = None
        closing = asyncio.create_task(connection.aclose())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()


def unavailable(why: str) -> Unavailable:
    """Return the error for a server that cannot be reached."""
    return Unavailable(f"An MCP server of the agent is not available: {why}.", code="mcp_unavailable")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
