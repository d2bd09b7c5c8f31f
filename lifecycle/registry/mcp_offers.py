"""What the MCP servers of agents offered when the agents were declared, and what of it has changed since.

The app asks them itself, also those that the provider calls in runs. Where it cannot, it says why.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from kernel.codec import JsonCodec, readable
from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from kernel.tables import Row, RowTooLarge, Tables, Upsert

if TYPE_CHECKING:
    from lifecycle.specs.hosted_tools import Mcp
    from lifecycle.specs.servers import RemoteTool, ToolServers
    from lifecycle.specs.spec import AgentSpec

TABLE = "offeredtools"
"""Partition: the workspace; row key: the agent."""
_PATIENCE_S = 10.0
_AT_ONCE = 16

URL_UNKNOWN = "mcp_url_unknown"
"""Code of a server of which the app knows no URL: the provider has a connection to it."""
NOT_NOTED = "mcp_not_noted"
"""Code of a server that could not be asked when the agent was declared: there is nothing to compare with."""

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as described by its server.

    Attributes:
        name: The server's name of it.
        description: Its description; empty where the offer was too large to store.
        schema: JSON Schema of its arguments, as JSON; empty where the offer was too large to store.
        digest: SHA-256 of both.
    """

    name: str
    description: str
    schema: str
    digest: str


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools that one server offered; or the error's code if it could not be asked."""

    server_label: str
    tools: tuple[OfferedTool, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Offers:
    """The offers of an agent's servers."""

    servers: tuple[Offer, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """A server's offer at declaration, and how it differs now.

    Attributes:
        declared: The offer at that time.
        changes: What is different, by tool.
        problem: The code of why that is not known; empty where it is.
    """

    declared: Offer
    changes: Mapping[str, Change]
    problem: str = ""

    @property
    def state(self) -> Literal["same", "changed", "unknown"]:
        """Whether the server offers what it did."""
        return "unknown" if self.problem else "changed" if self.changes else "same"


_OFFERS = JsonCodec(Offers)


class OfferedTools:
    """Stores and compares servers' offers."""

    def __init__(self, tables: Tables, servers: ToolServers) -> None:
        self._tables = tables
        self._servers = servers

    async def note(self, workspace: str, agent: str, spec: AgentSpec) -> None:
        """Write what the agent's servers offer now; nothing where it has none."""
        if servers := spec.mcp_servers:
            offers = Offers(tuple(await asyncio.gather(*map(self._now, servers))))
            try:
                await self._write(workspace, agent, offers)
            except RowTooLarge:
                await self._write(workspace, agent, Offers(tuple(map(_short, offers.servers))))

    async def compare(self, workspace: str, agent: str, spec: AgentSpec) -> Sequence[Compared]:
        """Return, for each server of the agent, what has changed since it was declared."""
        return (await self.compare_all(workspace, {agent: spec})).get(agent, ())

    async def compare_all(self, workspace: str, specs: Mapping[str, AgentSpec]) -> Mapping[str, Sequence[Compared]]:
        """Return the same for several agents, without agents that have no such server; each server is asked once."""
        called = {agent: servers for agent, spec in specs.items() if (servers := spec.mcp_servers)}
        free, asked = asyncio.Semaphore(_AT_ONCE), dict[tuple[str | None, ...], asyncio.Future[Offer]]()

        async def now(server: Mcp) -> Offer:
            key = (server.server_url, server.headers_setting, *sorted(server.allowed_tools))
            if key not in asked:
                asked[key] = asyncio.ensure_future(self._now(server))
            return replace(await asked[key], server_label=server.server_label)

        async def of_agent(agent: str, servers: Sequence[Mcp]) -> Sequence[Compared]:
            async with free:
                row = await self._tables.get(TABLE, workspace, agent)
                stored = readable([row] if row else [], lambda row: _OFFERS.load(row.text("offers")), "offered tools")
                declared = {one.server_label: one for offers in stored for one in offers.servers}
                found = await asyncio.gather(*map(now, servers))
            return [compared(declared.get(offer.server_label), offer) for offer in found]

        return dict(zip(called, await asyncio.gather(*(of_agent(*each) for each in called.items())), strict=True))

    async def _write(self, workspace: str, agent: str, offers: Offers) -> None:
        await self._tables.commit(TABLE, [Upsert(Row(workspace, agent, {"offers": _OFFERS.dump(offers)}))])

    async def _now(self, server: Mcp) -> Offer:
        if server.server_url is None:
            return Offer(server.server_label, problem=URL_UNKNOWN)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                offered = await self._servers.offered(server)
        except AppError as error:
            return Offer(server.server_label, problem=error.code)
        except TimeoutError:
            return Offer(server.server_label, problem="mcp_unavailable")
        return Offer(server.server_label, tuple(map(_plain, offered)))


def _plain(tool: RemoteTool) -> OfferedTool:
    schema = json.dumps(tool.schema, sort_keys=True)
    digest = hashlib.sha256(f"{tool.description}\n{schema}".encode()).hexdigest()
    return OfferedTool(tool.name, tool.description, schema, digest)


def _short(offer: Offer) -> Offer:
    return replace(offer, tools=tuple(replace(tool, description="", schema="") for tool in offer.tools))


def compared(before: Offer | None, now: Offer) -> Compared:
    """Return what is different now from what was noted before; None where nothing was."""
    if now.problem or before is None or before.problem:
        return Compared(before or Offer(now.server_label), {}, now.problem or NOT_NOTED)
    old, new = ({tool.name: tool for tool in offer.tools} for offer in (before, now))
    changes: dict[str, Change] = dict.fromkeys(old.keys() - new.keys(), "removed")
    changes |= dict.fromkeys(new.keys() - old.keys(), "added")
    changes |= dict.fromkeys(
        (name for name in old.keys() & new.keys() if old[name].digest != new[name].digest), "changed"
    )
    return Compared(before, dict(sorted(changes.items())))
