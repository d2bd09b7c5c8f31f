"""Tools of other servers, as agents of every provider call them that does not run them itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent_framework import FunctionTool

    from lifecycle.specs.hosted_tools import Mcp

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64


def local_name(label: str, tool: str) -> str:
    """Return what a server's tool is called here: letters, digits, `_` and `-`, at most 64 of them."""
    name = _UNFIT.sub("_", f"{label}_{tool}")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:55]}_{hashlib.sha256(tool.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as its server describes it.

    Attributes:
        name: What the server calls it.
        description: What the model is told of it.
        schema: The JSON Schema of its arguments.
        repeatable: Whether the server says that a call may be made twice: it changes nothing, or nothing more.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    repeatable: bool = False


class ToolServers(Protocol):
    """Connections to servers of tools: one a worker and server, made when first needed and kept."""

    def check(self, server: Mcp) -> None:
        """Check that the server may be connected to, as far as its description tells; no I/O.

        Raises:
            InvalidInput: It may not; the code says why.
        """
        ...

    async def offered(self, server: Mcp) -> Sequence[RemoteTool]:
        """Return the tools that a spec's server offers and that the spec allows.

        Raises:
            Unavailable: It cannot be reached, or does not speak the protocol (code `mcp_unavailable`).
            RunFailed: Something is missing here (code `mcp_not_configured`).
        """
        ...

    async def tools(self, server: Mcp) -> Sequence[FunctionTool]:
        """Return the same tools for an agent; without I/O, where the list is known and recent."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
