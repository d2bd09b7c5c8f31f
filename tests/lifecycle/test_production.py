"""The registry as a library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bootstrap.services import Services
from kernel.errors import InvalidInput, NotFound, RunFailed, TooLarge, Unavailable
from kernel.settings import Settings
from kernel.tables import Span
from lifecycle import ProductionAgentManager
from lifecycle.conversations.run_request import RunRequest
from lifecycle.specs.spec import AgentSpec, Simulation
from tests.waiting import QUIET_S, eventually

SPEC = AgentSpec(model="gpt-5-mini", instructions="Be brief.")
QUICK = Settings.from_environment({"RUN_RETRY_BASE_S": "0.001", "RUN_LOOK_EVERY_S": "0.02", "RUN_MAX_ATTEMPTS": "3"})


@pytest.fixture
def services() -> Services:
    return Services.in_memory(QUICK)


@pytest_asyncio.fixture
async def manager(services: Services) -> AsyncIterator[ProductionAgentManager]:
    async with services.manager() as manager:
        yield manager
    await services.aclose()


async def versions(services: Services, name: str) -> int:
    """Return how many versions of an agent are at the offline provider."""
    return len((await services.core.tables.query("offlineagents", Span(name))).rows)


async def test_a_thousand_callers_make_one_agent(services: Services, manager: ProductionAgentManager) -> None:
    """Whoever comes first makes it; everyone gets it."""
    agents = await asyncio.gather(*(manager.get_or_create("helper", SPEC) for _ in range(1000)))

    assert {agent.name for agent in agents} == {"helper"}
    assert await versions(services, "helper") == 1
    assert (await manager.stats()).created == 1


async def test_an_agent_goes_on_with_its_conversation(manager: ProductionAgentManager) -> None:
    """The model is given what was said before, until a new conversation is started."""
    agent = await manager.get_or_create("helper", SPEC)

    first = await agent.run("Remember the number seven.")
    second = await agent.run("Which number?")
    agent.new_conversation()
    third = await agent.run("Which number?")

    assert first.session_id == second.session_id != third.session_id
    assert "turn 1" in (first.answer or "")
    assert "Remember the number" in (second.answer or "")
    assert "Remember" not in (third.answer or "")


async def test_two_objects_of_one_agent_do_not_share_a_conversation(manager: ProductionAgentManager) -> None:
    """Each has its own, though the agent behind them is one."""
    one, two = [await manager.get_or_create("helper", SPEC) for _ in range(2)]

    await one.run("Something between us.")
    run = await two.run("What was said?")

    assert "turn 1" in (run.answer or "")


async def test_runs_of_one_conversation_are_answered_in_the_order_they_came(manager: ProductionAgentManager) -> None:
    """One waits for the other."""
    agent = await manager.get_or_create("helper", SPEC)

    runs = await asyncio.gather(*(agent.run(f"Message {n}") for n in range(8)))

    assert [f"turn {n + 1}" in (run.answer or "") for n, run in enumerate(runs)] == [True] * 8


async def test_another_spec_makes_another_version(services: Services, manager: ProductionAgentManager) -> None:
    """And the same one again makes none."""
    for spec in (SPEC, SPEC, AgentSpec(model="gpt-5-nano"), AgentSpec(model="gpt-5-nano")):
        agent = await manager.get_or_create("helper", spec)
        await agent.run("Hello?")

    assert await versions(services, "helper") == 2


async def test_without_reuse_an_agent_is_made_and_deleted(services: Services) -> None:
    """Leaving the manager's context deletes it, and keeps the others."""
    async with services.manager() as manager:
        await manager.get_or_create("helper", SPEC)
        alone = [await manager.get_or_create("helper", SPEC, reuse_agent=False) for _ in range(2)]
        assert [await versions(services, agent.name) for agent in alone] == [1, 1]

    assert len({agent.name for agent in alone}) == 2
    assert [await versions(services, agent.name) for agent in alone] == [0, 0]
    assert await versions(services, "helper") == 1


async def test_statistics_say_how_often_agents_are_reused(manager: ProductionAgentManager) -> None:
    """Runs beyond those that made their agent."""
    agent = await manager.get_or_create("helper", SPEC)
    for _ in range(5):
        await agent.run("Hello?")

    stats = await manager.stats()

    assert (stats.agents, stats.active, stats.created, stats.runs, stats.reused) == (1, 1, 1, 5, 4)
    assert stats.cache_hits > 0


async def test_the_first_run_of_each_version_made_is_no_reuse(manager: ProductionAgentManager) -> None:
    """A changed spec makes a version, and its first run has to wait for it like the very first one."""
    for model in ("offline-a", "offline-b", "offline-c"):
        agent = await manager.get_or_create("helper", SPEC.model_copy(update={"model": model}))
        for _ in range(2):
            await agent.run("Hello?")
        await manager.stats()  # uses are counted now

    stats = await manager.stats()

    assert (stats.created, stats.runs, stats.reused) == (3, 6, 3)


async def test_prewarmed_agents_are_ready(services: Services, manager: ProductionAgentManager) -> None:
    """They are made before anybody asks them; one that nobody declared cannot be."""
    signals = services.agents.local_signals()
    for name in ("one", "two"):
        await services.agents.administration.declare("default", name, SPEC, signals)

    await manager.prewarm(["one", "two"])

    assert [await versions(services, name) for name in ("one", "two")] == [1, 1]
    with pytest.raises(NotFound):
        await manager.prewarm(["three"])


async def test_cleaning_up_deletes_one_or_all(services: Services, manager: ProductionAgentManager) -> None:
    """At the provider and in the registry."""
    for name in ("one", "two", "three"):
        await manager.get_or_create(name, SPEC)

    await manager.cleanup("one")
    deleted = await manager.cleanup_all()

    assert deleted == 2
    assert [await versions(services, name) for name in ("one", "two", "three")] == [0, 0, 0]
    assert (await manager.stats()).agents == 0
    with pytest.raises(NotFound):
        await manager.cleanup("one")


async def test_what_can_pass_is_tried_again(manager: ProductionAgentManager) -> None:
    """Until it is answered, with the attempts counted."""
    spec = AgentSpec(model="gpt-5-mini", simulate=Simulation(fail_first=2, fail_with="throttled"))
    agent = await manager.get_or_create("flaky", spec)

    run = await agent.run("Are you there?")

    assert run.attempt == 3


@pytest.mark.parametrize(
    ("simulate", "code"),
    [
        (Simulation(fail_first=9, fail_with="unavailable"), "provider_unavailable"),
        (Simulation(fail_first=1, fail_with="content_filter"), "content_filter"),
    ],
)
async def test_a_run_that_fails_says_why(manager: ProductionAgentManager, simulate: Simulation, code: str) -> None:
    """After its last attempt, or at once when trying again cannot help."""
    agent = await manager.get_or_create("broken", AgentSpec(model="gpt-5-mini", simulate=simulate))

    with pytest.raises(RunFailed) as caught:
        await agent.run("Are you there?")

    assert caught.value.code == code


async def test_a_provider_that_cannot_make_the_agent_is_reported(manager: ProductionAgentManager) -> None:
    """And the next call tries again."""
    spec = AgentSpec(model="gpt-5-mini", simulate=Simulation(fail_creates=1))

    with pytest.raises(Unavailable) as caught:
        await manager.get_or_create("late", spec)
    agent = await manager.get_or_create("late", spec)

    assert caught.value.code == "provider_unavailable"
    assert (await agent.run("Hello?")).answer


@pytest.mark.parametrize("name", ["", "Upper", "a b", "-a", "a" * 64])
async def test_a_bad_name_changes_nothing(manager: ProductionAgentManager, name: str) -> None:
    """It is refused before anything is declared."""
    with pytest.raises(InvalidInput):
        await manager.get_or_create(name, SPEC)

    assert (await manager.stats()).agents == 0


async def test_bad_queries_are_refused(manager: ProductionAgentManager) -> None:
    """Blank ones and oversized ones."""
    agent = await manager.get_or_create("helper", SPEC)

    with pytest.raises(InvalidInput):
        await agent.run("  ")
    with pytest.raises(TooLarge):
        await manager.run("helper", RunRequest(query="x" * 70_000))


async def test_an_answer_is_streamed_as_it_is_written(manager: ProductionAgentManager) -> None:
    """Piece by piece; together they are the answer that the history has."""
    spec = AgentSpec(model="x", simulate=Simulation(reply="word " * 100, stream_chunk_ms=25))
    agent = await manager.get_or_create("writer", spec)
    pieces = [piece async for piece in agent.stream("Write.")]
    history = await agent.history()
    session = await agent.session()

    assert len(pieces) > 1
    assert "".join(piece.text for piece in pieces) == history[1].text == "word " * 100
    assert [turn.role for turn in history] == ["user", "assistant"]
    assert session is not None
    assert (session.turns, session.state) == (2, "active")


async def test_a_reader_who_stops_cancels_the_run(manager: ProductionAgentManager) -> None:
    """The model is not kept at work for nobody."""
    spec = AgentSpec(model="x", simulate=Simulation(reply="word " * 1000, stream_chunk_ms=50))
    agent = await manager.get_or_create("writer", spec)
    stream = agent.stream("Write.")
    async for _ in stream:
        break
    await stream.aclose()
    session = await agent.session()

    assert session is not None
    assert (session.pending, session.turns) == (0, 0)


async def test_a_reader_who_stops_before_the_run_has_its_turn_does_not_wait_for_it(
    manager: ProductionAgentManager,
) -> None:
    """Another run of the conversation is at work; the one that nobody reads is never begun."""
    agent = await manager.get_or_create("writer", AgentSpec(model="x", simulate=Simulation(latency_ms=5000)))
    first = asyncio.create_task(agent.run("First."))

    async def begun() -> bool:
        session = await agent.session()
        return session is not None and session.pending == 1

    await eventually(begun)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(agent.stream("Second.")), 0.2)
    still_at_work = not first.done()
    await first
    session = await agent.session()

    assert still_at_work
    assert session is not None
    assert (session.runs, session.pending) == (1, 0)


async def test_a_stream_that_fails_says_why(manager: ProductionAgentManager) -> None:
    """After what was written until then."""
    spec = AgentSpec(model="x", simulate=Simulation(fail_first=9, fail_with="content_filter"))
    agent = await manager.get_or_create("writer", spec)
    with pytest.raises(RunFailed) as caught:
        [piece async for piece in agent.stream("Write.")]

    assert caught.value.code == "content_filter"


async def test_a_run_of_a_paused_session_does_not_hang(services: Services, manager: ProductionAgentManager) -> None:
    """The caller is told; the run is kept."""
    agent = await manager.get_or_create("helper", SPEC)
    await agent.run("One")
    await services.conversations.pause.pause("default", agent.session_id)
    with pytest.raises(RunFailed) as caught:
        await asyncio.wait_for(agent.run("Two"), QUIET_S)

    assert caught.value.code == "run_waiting"
