"""What the offline provider promises beyond the contract."""

from __future__ import annotations

import asyncio
import time

import pytest

from adapters.memory_tables import MemoryTables
from adapters.providers.offline import TABLE, OfflineProvider
from adapters.providers.offline_client import count_tokens
from kernel.errors import Unavailable
from kernel.tables import Span, every
from lifecycle.registry.providers import AttemptId, ProviderVersion
from lifecycle.specs.spec import AgentSpec, Simulation
from tests.contracts.providers.conftest import NOW, wanted

VERSION = ProviderVersion("helper", "1", "offline:helper:1", NOW)


@pytest.fixture
def provider() -> OfflineProvider:
    """Return a provider over fresh tables."""
    return OfflineProvider(MemoryTables(), lambda: NOW)


def spec(simulate: Simulation | None = None, **fields: object) -> AgentSpec:
    return AgentSpec.model_validate({"model": "m", "simulate": simulate, **fields})


async def test_creating_twice_makes_two_versions(provider: OfflineProvider) -> None:
    """Like a hosted provider it does as it is told, so a caller that does not look first is found out."""
    await asyncio.gather(*(provider.create(wanted(spec())) for _ in range(5)))
    found = await provider.find(wanted(spec()))

    assert [version.version for version in found] == ["1", "2", "3", "4", "5"]


async def test_agents_outlive_the_provider() -> None:
    """What was made is on the provider's side: another process over the same tables finds it."""
    tables = MemoryTables()
    made = await OfflineProvider(tables, lambda: NOW).create(wanted(spec()))
    rows = [row async for row in every(tables, TABLE, Span("helper"))]

    assert [(row.key, row.text("owner")) for row in rows] == [("1", "tests")]
    assert await OfflineProvider(tables, lambda: NOW).find(wanted(spec())) == [made]


async def test_only_our_own_fingerprint_is_found(provider: OfflineProvider) -> None:
    """A version of another owner, or of another spec, is not ours to adopt."""
    await provider.create(wanted(spec(), owner="somebody else"))
    await provider.create(wanted(spec(instructions="other")))

    assert not await provider.find(wanted(spec()))


async def test_a_deleted_version_is_gone_for_good(provider: OfflineProvider) -> None:
    """A deleted version is neither there nor found, and its number is not used again."""
    made = await provider.create(wanted(spec()))
    await provider.delete(made)

    assert not await provider.exists(made)
    assert not await provider.find(wanted(spec()))
    assert (await provider.create(wanted(spec()))).version == "2"


async def test_creations_fail_as_often_as_asked(provider: OfflineProvider) -> None:
    """`fail_creates` counts attempts where they survive a restart, and leaves nothing behind until one succeeds."""
    want = wanted(spec(Simulation(fail_creates=2)))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await provider.create(want)
        assert not await provider.find(want)

    assert (await provider.create(want)).version == "1"


async def test_the_first_attempts_of_a_run_fail(provider: OfflineProvider) -> None:
    """`fail_first` goes by the attempt's number, so each run fails that often, whoever ran before."""
    agent = provider.open(VERSION, spec(Simulation(fail_first=2)))
    for run in ("a", "b"):
        for number in (1, 2):
            with pytest.raises(Unavailable):
                await agent.run("Hi", client_kwargs={"attempt": AttemptId(run, number)})
        assert (await agent.run("Hi", client_kwargs={"attempt": AttemptId(run, 3)})).text


async def test_the_answer_is_honest_and_reflects_the_conversation(provider: OfflineProvider) -> None:
    """The answer says that no model ran, counts words and turns, and shows that it knows what was said before."""
    agent = provider.open(VERSION, spec())
    session = agent.create_session()
    first = await agent.run("How tall is the Eiffel Tower?", session=session)
    second = await agent.run("And when was it built?", session=session)

    assert first.text == "[offline] No model was called. Agent 'helper' received 6 words in turn 1."
    assert second.text == (
        "[offline] No model was called. Agent 'helper' received 5 words in turn 2; the turn before began 'How tall is'."
    )


async def test_tokens_follow_the_documented_rule(provider: OfflineProvider) -> None:
    """Usage is one token for every 4 bytes of instructions and messages, and of the answer."""
    agent = provider.open(VERSION, spec(instructions="Be brief.", simulate=Simulation(reply="äöü?!")))
    usage = (await agent.run("How are you?")).usage_details or {}

    assert usage.get("input_token_count") == count_tokens("Be brief.", "How are you?") == 6
    assert usage.get("output_token_count") == count_tokens("äöü?!") == 2


async def test_a_tool_is_called_once_per_turn(provider: OfflineProvider) -> None:
    """`call_tool` calls the tool again in the next turn, not again in the same one."""
    agent = provider.open(VERSION, spec(Simulation(call_tool="current_time"), tools=["current_time"]))
    session = agent.create_session()
    texts = [(await agent.run("Now?", session=session)).text for _ in range(2)]

    assert all("tool 'current_time' returned '2026-11-21T08:00:00.000Z'" in text for text in texts)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_call_takes_as_long_as_asked(provider: OfflineProvider, stream: bool) -> None:
    """`latency_ms` is what one model call takes, streamed or not."""
    agent = provider.open(VERSION, spec(Simulation(latency_ms=60)))
    await provider.open(VERSION, spec()).run("Hi")
    started = time.monotonic()
    await (agent.run("Hi", stream=True).get_final_response() if stream else agent.run("Hi"))

    assert time.monotonic() - started >= 0.055
