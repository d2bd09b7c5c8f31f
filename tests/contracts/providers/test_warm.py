"""Warming up: the first run of an opened agent finds its connection open, and nothing is worse where that fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from azure.core.credentials import AccessToken

from adapters.providers.openai import Endpoint
from kernel.errors import AppError
from tests.contracts.providers.conftest import OPENAI_SPEC, World, agent_at, ask, wanted
from tests.fakes.foundry_server import FakeFoundry
from tests.fakes.openai_server import FakeOpenAI


def ports(world: World) -> list[int]:
    """Return over which connections, by the client's port, the endpoint was asked, in order; its questions first."""
    if isinstance(world.fake, FakeFoundry):
        operations = ("get_model", "create_response")
        return [call.peer_port for call in world.fake.calls if call.operation in operations]
    return [] if world.fake is None else [one.peer_port for one in [*world.fake.questions, *world.fake.requests]]


async def test_the_first_run_takes_the_connection_that_is_open(world: World) -> None:
    """One connection for both, however often it is warmed, and no model is called before the run."""
    spec = world.spec()
    agent = await world.open(spec)
    for _ in range(3):
        await world.provider.warm("default", spec)
    assert len(ports(world)) == (0 if world.kind == "offline" else 1)

    assert (await ask(agent, "hello", stream=False)).text
    assert len(ports(world)) == (0 if world.kind == "offline" else 2)
    assert len(set(ports(world))) <= 1


async def test_a_provider_without_an_open_agent_connects_to_nobody(world: World) -> None:
    """What was never opened has nothing to warm, but for Foundry's project, which is one for all."""
    if world.kind != "foundry":
        await world.provider.warm("default", world.spec())
        assert ports(world) == []


@pytest.mark.parametrize("fault", ["auth", "invalid", "throttled"])
async def test_any_answer_will_do(fake: FakeOpenAI, fault: str) -> None:
    """A server that knows no such question has still been connected to."""
    async with agent_at(Endpoint(base_url=fake.base_url, api_key="k")) as (agent, provider):
        fake.fail_next(fault)  # pyright: ignore[reportArgumentType] - a parameter
        await provider.warm("default", OPENAI_SPEC)
        await ask(agent, "hello", stream=False)

    assert {one.peer_port for one in fake.questions} == {one.peer_port for one in fake.requests}


async def test_an_endpoint_that_is_away_is_an_error_of_ours() -> None:
    """With a code; the caller goes on without."""
    async with agent_at(Endpoint(base_url="http://127.0.0.1:9/v1", api_key="k")) as (_, provider):
        with pytest.raises(AppError) as away:
            await provider.warm("default", OPENAI_SPEC)

    assert away.value.code == "provider_unavailable"


async def test_a_token_is_there_before_the_first_run(fake: FakeOpenAI) -> None:
    """The credential is asked for it while warming up; its SDK keeps it from then on."""
    asked: list[str] = []

    class Credential:
        async def get_token(self, *scopes: str, **_: object) -> AccessToken:
            asked.extend(scopes)
            return AccessToken("token-1", int((datetime.now(UTC) + timedelta(hours=1)).timestamp()))

    endpoint = Endpoint(azure_endpoint=fake.url, credential=Credential())  # pyright: ignore[reportArgumentType] - enough
    async with agent_at(endpoint) as (_, provider):
        await provider.warm("default", OPENAI_SPEC)
        assert asked == ["https://cognitiveservices.azure.com/.default"]
        assert fake.questions[0].headers["authorization"] == "Bearer token-1"
        await provider.create(wanted(OPENAI_SPEC))
