"""Having agents looked at by and by: those not seen for longest first, and at the cost of those that are due."""

from __future__ import annotations

import pytest

from lifecycle.registry.agent_checks_due import UNVERIFIED
from lifecycle.registry.record import AgentState
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, live_versions, spec

DAY = 86400


@pytest.fixture
def app() -> App:
    return App(CountingTables(), VERIFY_AFTER_S=DAY, VERIFY_SAMPLE=3)


async def ready(app: App, *names: str) -> None:
    for name in names:
        await app.declare(name, spec())
        await app.services.agents.resolver.resolve("default", name, app.signals)


async def seen(app: App, name: str) -> bool:
    """Return whether the agent was seen intact just now."""
    record = (await app.services.agents.catalog.get("default", name)).record
    assert record is not None
    assert record.health is not None
    return record.health.verified_at == app.clock.now


async def test_the_longest_unseen_are_looked_at_first(app: App) -> None:
    """So many at a time; whoever was seen is not due again for a day."""
    for number in range(5):
        await ready(app, f"bot-{number}")
        app.clock.move(hours=2)
    app.clock.move(days=2)
    counts = [await app.services.agents.verification.run(app.signals)]
    first = [await seen(app, f"bot-{number}") for number in range(5)]
    app.clock.move(minutes=1)
    counts += [await app.services.agents.verification.run(app.signals) for _ in range(2)]
    app.clock.move(hours=23)
    counts.append(await app.services.agents.verification.run(app.signals))

    assert first == [True, True, True, False, False]
    assert counts == [3, 2, 0, 0]


async def test_what_is_gone_is_made_again(app: App) -> None:
    """Without anybody using the agent."""
    await ready(app, "bot")
    record = (await app.services.agents.catalog.get("default", "bot")).record
    assert record is not None
    assert record.version is not None
    await app.services.agents.providers["offline"].delete(record.version)
    app.clock.move(days=2)
    await app.services.agents.verification.run(app.signals)

    assert list(await live_versions(app.tables)) == [("bot", "2")]


async def test_what_is_not_there_to_be_seen_is_forgotten(app: App) -> None:
    """Retired, deleted and disabled agents are not due, and leave nothing in the index."""
    await ready(app, "retired", "deleted", "disabled")
    await app.services.agents.administration.retire("default", "retired", app.signals)
    await app.services.agents.administration.delete("default", "deleted", app.signals)
    await app.services.agents.administration.switch("default", "disabled", app.signals, enabled=False)
    await app.services.core.due(UNVERIFIED).add("default", "deleted", app.clock.now)
    app.clock.move(days=2)
    count = await app.services.agents.verification.run(app.signals)

    assert count == 0
    assert [entry async for entry in app.services.core.due(UNVERIFIED).until(app.clock.now)] == []
    assert (await app.services.agents.catalog.get("default", "disabled")).state is AgentState.DISABLED


async def test_looking_costs_what_is_due(app: App) -> None:
    """A hundred agents, two of them due."""
    await ready(app, "bot-a", "bot-b")
    app.clock.move(hours=20)
    await ready(app, *(f"new-{number}" for number in range(100)))
    app.clock.move(hours=5)
    counting = app.tables
    assert isinstance(counting, CountingTables)
    counting.reset()
    count = await app.services.agents.verification.run(app.signals)

    assert count == 2
    assert counting.rows_read <= 2 * 6
