"""What owners and operators do to agents, and the library's manager over it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from kernel.errors import Conflict, InvalidInput, NotFound, RunFailed
from lifecycle.conversations.run_request import RunRequest
from lifecycle.registry.record import AgentState
from tests.lifecycle.app import App
from tests.lifecycle.doubles import live_versions, spec


@pytest.fixture
async def app() -> App:
    app = App()
    await app.declare()
    return app


async def state(app: App) -> AgentState:
    return (await app.services.agents.catalog.get("default", "bot")).state


async def test_an_agent_lives_its_life(app: App) -> None:
    """Prewarm, retire, restore, disable, enable, delete: the state follows, and the provider with it."""
    admin, seen = app.services.agents.administration, []
    await admin.prewarm("default", "bot", app.signals)
    seen.append((await state(app), len(await live_versions(app.tables))))
    await admin.retire("default", "bot", app.signals, timedelta())
    seen.append((await state(app), len(await live_versions(app.tables))))
    await admin.restore("default", "bot", app.signals)
    seen.append((await state(app), len(await live_versions(app.tables))))
    await admin.switch("default", "bot", app.signals, enabled=False)
    seen.append((await state(app), len(await live_versions(app.tables))))
    await admin.switch("default", "bot", app.signals, enabled=True)
    seen.append((await state(app), len(await live_versions(app.tables))))
    await admin.delete("default", "bot", app.signals)

    assert seen == [
        (AgentState.ACTIVE, 1),
        (AgentState.IDLE, 0),
        (AgentState.ACTIVE, 1),
        (AgentState.DISABLED, 1),
        (AgentState.ACTIVE, 1),
    ]
    assert await live_versions(app.tables) == {}
    with pytest.raises(NotFound):
        await state(app)


async def test_restoring_makes_what_is_declared_now(app: App) -> None:
    """An agent that was changed while it was retired comes back changed, without a version of what it was."""
    admin = app.services.agents.administration
    await admin.prewarm("default", "bot", app.signals)
    await admin.retire("default", "bot", app.signals, timedelta())
    await admin.declare("default", "bot", spec(instructions="new"), app.signals)
    await admin.restore("default", "bot", app.signals)
    agent = await app.services.agents.catalog.get("default", "bot")

    assert agent.ready
    assert agent.record is not None
    assert (agent.record.created, len(await live_versions(app.tables))) == (2, 1)


async def test_a_change_is_followed_at_once_by_an_active_agent(app: App) -> None:
    """A retired or new one waits for its next use."""
    admin = app.services.agents.administration
    await admin.declare("default", "bot", spec(instructions="a"), app.signals)
    assert await live_versions(app.tables) == {}
    await admin.prewarm("default", "bot", app.signals)
    await admin.declare("default", "bot", spec(instructions="b"), app.signals)

    assert (await app.services.agents.catalog.get("default", "bot")).ready


async def test_what_is_refused(app: App) -> None:
    """Unknown tools, retiring the pinned, making the disabled ready, anything of nobody."""
    admin = app.services.agents.administration
    with pytest.raises(InvalidInput):
        await admin.declare("default", "x", spec(tools=("telepathy",)), app.signals)
    await admin.declare("default", "bot", spec(pinned=True), app.signals)
    with pytest.raises(Conflict) as pinned:
        await admin.retire("default", "bot", app.signals)
    await admin.switch("default", "bot", app.signals, enabled=False)
    for verb in (admin.prewarm, admin.restore):
        with pytest.raises(Conflict):
            await verb("default", "bot", app.signals)
    for verb in (admin.prewarm, admin.restore, admin.retire, admin.verify, admin.delete):
        with pytest.raises(NotFound):
            await verb("default", "nobody", app.signals)

    assert pinned.value.code == "agent_pinned"


async def test_verifying_notices_what_is_gone(app: App) -> None:
    """The agent is made again at once."""
    admin = app.services.agents.administration
    await admin.prewarm("default", "bot", app.signals)
    agent = await app.services.agents.catalog.get("default", "bot")
    assert agent.record is not None
    assert agent.record.version is not None
    await app.services.agents.providers["offline"].delete(agent.record.version)
    await admin.verify("default", "bot", app.signals)

    assert await state(app) is AgentState.ACTIVE
    assert list(await live_versions(app.tables)) == [("bot", "2")]


async def test_the_manager_makes_once_and_reuses(app: App) -> None:
    """Twenty at once get one agent; conversations have a memory; statistics say what was reused."""
    async with app.services.manager() as manager:
        agents = await asyncio.gather(*(manager.get_or_create("helper", spec()) for _ in range(20)))
        first = await agents[0].run("Remember the number seven.")
        second = await agents[0].run("Which number?")
        agents[0].new_conversation()
        third = await agents[0].run("Which number?")
        stats = await manager.stats()

    assert "in turn 1" in (first.answer or "")
    assert "in turn 2" in (second.answer or "")
    assert "in turn 1" in (third.answer or "")
    assert (stats.agents, stats.active, stats.created, stats.runs, stats.reused) == (2, 1, 1, 3, 2)
    assert stats.cache_misses < 25


async def test_throwaway_agents_are_deleted_with_the_manager(app: App) -> None:
    """Also when some were cleaned up before, by hand or all at once."""
    async with app.services.manager() as manager:
        one = await manager.get_or_create("helper", spec(), reuse_agent=False)
        two = await manager.get_or_create("helper", spec(), reuse_agent=False)
        assert one.name != two.name
        await manager.cleanup(one.name)
        assert len(await live_versions(app.tables)) == 1

    assert await live_versions(app.tables) == {}
    async with app.services.manager() as manager:
        await manager.get_or_create("helper", spec(), reuse_agent=False)
        assert await manager.cleanup_all() == 2

    assert await live_versions(app.tables) == {}


async def test_the_manager_tries_again_and_then_says_why() -> None:
    """A passing failure is not seen by the caller; a final one is an error with its code."""
    app = App(RUN_MAX_ATTEMPTS=3)
    async with app.services.manager() as manager:
        flaky = await manager.get_or_create("flaky", spec(simulate={"fail_first": 2}))
        broken = await manager.get_or_create("broken", spec(simulate={"fail_first": 9}))
        run = await flaky.run("Hi")
        with pytest.raises(RunFailed) as caught:
            await broken.run("Hi")
        with pytest.raises(InvalidInput):
            await manager.run("flaky", RunRequest(query=" "))

    assert (run.attempt, run.state) == (3, "succeeded")
    assert caught.value.code == "provider_unavailable"
