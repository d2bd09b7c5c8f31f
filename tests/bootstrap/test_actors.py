"""The loop thread behind the Durable entity."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bootstrap.actors import Actors
from bootstrap.services import Services
from kernel.settings import Settings
from lifecycle.registry.actor_operations import Ensure, RecordUse
from tests.lifecycle.doubles import NOW, spec


@pytest.fixture
def actors() -> Actors:
    return Actors(Settings())


def test_work_of_many_threads_runs_on_one_loop(actors: Actors) -> None:
    """The loop is made once, even when two threads come first at once."""

    async def where() -> tuple[int, int]:
        await asyncio.sleep(0.001)
        return id(asyncio.get_running_loop()), threading.get_ident()

    with ThreadPoolExecutor(8) as pool:
        places = set(pool.map(lambda _: actors.run(where()), range(40)))

    assert len(places) == 1
    assert places.pop()[1] != threading.get_ident()


def test_what_the_work_raises_reaches_the_caller(actors: Actors) -> None:
    """And the loop goes on."""

    async def fail() -> None:
        raise ValueError("no")

    async def succeed() -> int:
        return 7

    with pytest.raises(ValueError, match="no"):
        actors.run(fail())

    assert actors.run(succeed()) == 7


def test_operations_of_an_entity_are_applied(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state returned is what the next operation is applied to; the key names workspace and agent."""
    services = Services.in_memory()
    monkeypatch.setattr(Services, "for_azure", lambda _settings: services)
    state = actors.run(actors.handle(None, "team.bot", Ensure("e", 1, spec())))
    state = actors.run(actors.handle(state, "team.bot", RecordUse("u", 3, NOW)))

    assert (state.record.workspace, state.record.name) == ("team", "bot")
    assert (state.record.usable, state.record.uses) == (True, 3)
