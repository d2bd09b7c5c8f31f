"""The worlds the contract is run in: one provider each, and how to make its model behave in certain ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import pytest
from agent_framework import Agent, AgentResponse, ChatMiddleware
from agent_framework.foundry import FoundryAgent

from adapters.memory_tables import MemoryTables
from adapters.providers.foundry import FoundryProvider, Project
from adapters.providers.offline import OfflineProvider
from adapters.providers.openai import Endpoint, OpenAIProvider
from adapters.providers.routed import Reach, RoutedProvider
from lifecycle.registry.providers import AgentProvider, VersionRequest
from lifecycle.specs.spec import AgentSpec, Simulation, fingerprint, provider_name
from lifecycle.specs.tools import Toolbox, builtin_tools
from llmops.routing.route import Deployment, Route
from llmops.routing.router import Router
from llmops.routing.store import RouteStore
from tests.fakes.foundry_server import FakeFoundry
from tests.fakes.openai_server import FakeOpenAI, Fault

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
OPENAI_SPEC = AgentSpec(provider="openai", model="gpt-4o-mini", instructions="Be brief.")
FOUNDRY_SPEC = AgentSpec(provider="foundry", model="gpt-4o-mini", instructions="Be brief.")
Failure = Literal["throttled", "unavailable", "rejected", "content_filter"]
_FAULTS: dict[Failure, Fault] = {
    "throttled": "throttled",
    "unavailable": "unavailable",
    "rejected": "invalid",
    "content_filter": "content_filter",
}


def wanted(spec: AgentSpec, agent: str = "helper", owner: str = "tests") -> VersionRequest:
    """Return what a registry would want for the spec."""
    return VersionRequest(owner, "default", agent, provider_name("default", agent), fingerprint(spec), spec)


async def ask(
    agent: Agent[Any] | FoundryAgent[Any], message: str, *middleware: ChatMiddleware, stream: bool
) -> AgentResponse:
    """Return the agent's answer, read whole."""
    if stream:
        return await agent.run(message, stream=True, middleware=middleware).get_final_response()
    return await agent.run(message, middleware=middleware)


@asynccontextmanager
async def agent_at(endpoint: Endpoint, spec: AgentSpec = OPENAI_SPEC) -> AsyncIterator[tuple[Agent, OpenAIProvider]]:
    """Return an agent at the endpoint and its provider, which is closed afterwards."""
    provider = OpenAIProvider(endpoint, lambda: NOW)
    try:
        yield provider.open(await provider.create(wanted(spec)), spec), provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def foundry_at(fake: FakeFoundry, **project: Any) -> AsyncIterator[FoundryProvider]:
    """Return a provider for the fake project, which is closed afterwards."""
    provider = FoundryProvider(Project(endpoint=fake.endpoint, **project), lambda: NOW)
    try:
        yield provider
    finally:
        await provider.aclose()


@dataclass
class World:
    """A provider, and its model's behaviour.

    Attributes:
        kind: What specs call the provider.
        provider: The provider under test.
        fake: The endpoint behind it; None where there is none.
    """

    kind: str
    provider: AgentProvider
    fake: FakeOpenAI | FakeFoundry | None

    @property
    def requests(self) -> int:
        """How many requests arrived at the endpoint."""
        if isinstance(self.fake, FakeFoundry):
            return len(self.fake.calls)
        return len(self.fake.requests) if self.fake else 0

    def spec(self, simulate: Simulation | None = None, **fields: Any) -> AgentSpec:
        """Return a spec for the provider."""
        simulate = simulate if self.kind == "offline" else None
        return AgentSpec(model="gpt-4o-mini", provider=cast("Any", self.kind), simulate=simulate, **fields)

    def hang_next(self) -> None:
        """Make the endpoint's next model call hang, if there is an endpoint."""
        if isinstance(self.fake, FakeFoundry):
            self.fake.fail_next("hang", on="create_response")
        elif self.fake:
            self.fake.fail_next("hang")

    async def open(self, spec: AgentSpec, agent: str = "helper") -> Agent:
        """Create the version and open it."""
        version = await self.provider.create(wanted(spec, agent))
        return cast("Agent", self.provider.open(version, spec))

    async def calculating(self, expression: str) -> tuple[Agent, str]:
        """Return an agent and a message that makes its model call the calculator once."""
        spec = self.spec(Simulation(call_tool="calculator"), tools=("calculator",))
        message = f'/tool calculator {{"expression": "{expression}"}}' if self.fake else expression
        return await self.open(spec), message

    async def failing(self, failure: Failure) -> Agent:
        """Return an agent whose next run fails."""
        retry_after_s = 9 if failure == "throttled" else None
        if isinstance(self.fake, FakeFoundry):
            self.fake.fail_next(cast("Any", _FAULTS[failure]), on="create_response", retry_after_s=retry_after_s)
        elif self.fake:
            self.fake.fail_next(_FAULTS[failure], times=2, retry_after_s=retry_after_s)
        return await self.open(self.spec(Simulation(fail_first=1, fail_with=failure)))


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    """Return a running fake endpoint."""
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def foundry() -> AsyncIterator[FakeFoundry]:
    """Return a running fake project."""
    async with FakeFoundry(now=NOW.timestamp) as server:
        yield server


@pytest.fixture(params=["offline", "openai", "foundry", "route"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Return a world of each provider in turn."""
    if request.param == "offline":
        yield World("offline", OfflineProvider(MemoryTables(), lambda: NOW), None)
    elif request.param == "openai":
        async with FakeOpenAI() as server:
            provider = OpenAIProvider(Endpoint(base_url=server.base_url, api_key="key-1"), lambda: NOW)
            yield World("openai", provider, server)
            await provider.aclose()
    elif request.param == "route":
        async with FakeOpenAI() as server:
            store = RouteStore(MemoryTables(), allow_private=True)
            one = Deployment("one", "openai", "gpt-4o-mini", server.base_url)
            await store.put("default", Route("gpt-4o-mini", (one,)), None)
            router = Router(store, lambda: NOW, "w1", refresh=timedelta(seconds=2))
            reach = Reach(Endpoint(base_url=server.base_url), {}.get, 5.0, allow_private=True)
            provider = RoutedProvider(lambda: router, reach, lambda: NOW, Toolbox(builtin_tools(lambda: NOW)))
            yield World("route", provider, server)
            await provider.aclose()
            await router.aclose()
    else:
        async with FakeFoundry(now=NOW.timestamp) as server, foundry_at(server) as provider:
            yield World("foundry", provider, server)
