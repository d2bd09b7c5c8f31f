"""Interface of MCP servers' tools, for providers that do not call the servers themselves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from agent_framework import FunctionTool

    from lifecycle.specs.hosted_tools import Mcp

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64


def local_name(label: str, tool: str) -> str:
    """Return the app's name of a server's tool: letters, digits, `_` and `-`, at most 64 characters."""
    name = _UNFIT.sub("_", f"{label}_{tool}")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:55]}_{hashlib.sha256(tool.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as described by its server.

    Attributes:
        name: The server's name of it.
        description: Its description for the model.
        schema: The JSON Schema of its arguments.
        repeatable: Whether the server declares that a call may be repeated: the tool is read-only or idempotent.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    repeatable: bool = False


class ToolServers(Protocol):
    """Connections to servers of tools: one for each worker and server, opened on first use and kept."""

    def check(self, server: Mcp) -> None:
        """Check that the server's description allows connecting to it; no I/O.

        Raises:
            InvalidInput: It does not; the code says why.
        """
        ...

    async def offered(self, server: Mcp) -> Sequence[RemoteTool]:
        """Return those of the server's tools that the spec allows.

        Raises:
            Unavailable: It cannot be reached, or does not follow the protocol (code `mcp_unavailable`).
            RunFailed: A setting of the app is missing (code `mcp_not_configured`).
        """
        ...

    async def tools(self, server: Mcp) -> Sequence[FunctionTool]:
        """Return the same tools for an agent; without I/O if the list was read recently."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
