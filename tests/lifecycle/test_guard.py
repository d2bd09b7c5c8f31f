"""The breaker: the same tool call again and again, or money faster than allowed, ends the run and says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from agent_framework import Agent, Message

from adapters.providers.offline_client import Answer, OfflineChatClient
from kernel.errors import RunFailed
from lifecycle.conversations.run import RunState
from lifecycle.registry.providers import ProviderVersion
from lifecycle.runs.runaway_guard import Guard, GuardPolicy
from lifecycle.specs.spec import AgentSpec, Simulation
from lifecycle.specs.spending import Runaway
from lifecycle.specs.tools import Toolbox
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec

LOOPING = spec(tools=("calculator",), simulate={"call_tool": "calculator"})


class LoopingClient(OfflineChatClient):
    """A model that never learns: it calls its tool again whatever the result."""

    def _answer(self, messages: Sequence[Message], options: Any) -> Answer:
        return super()._answer([message for message in messages if message.role == "user"], options)


class Looping:
    """The offline provider with that model."""

    def __init__(self, inner: Any, tools: Any, clock: Any) -> None:
        self._inner, self._tools, self._clock = inner, tools, clock

    def open(self, version: ProviderVersion, spec: AgentSpec) -> Agent:
        client = LoopingClient(name=version.name, simulate=spec.simulate or Simulation(), clock=self._clock)
        options = cast("Any", {"model": spec.model})
        functions = Toolbox(self._tools).pick(spec.tools)
        return Agent(client, id=version.id, name=version.name, tools=functions, default_options=options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def looping(app: App) -> None:
    providers = cast("dict[str, Any]", app.services.agents.providers)
    providers["offline"] = Looping(providers["offline"], app.services.extensions.tools, app.clock)


async def test_a_run_that_calls_the_same_tool_again_and_again_is_stopped() -> None:
    """The call that is one too many is not made; the run fails for good, and every model call is charged."""
    app = App(RUNAWAY_SAME_TOOL_CALLS=3)
    looping(app)
    await app.declare(declared=LOOPING)
    run = await app.ask()

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert (run.error.code, run.attempt) == ("runaway_loop", 1)
    assert "more than 3 times" in run.error.detail
    assert run.spend.calls == run.wasted.calls == 4
    await app.aclose()


async def test_an_agent_may_have_limits_of_its_own() -> None:
    """Stricter or wider than the app's."""
    app = App(RUNAWAY_SAME_TOOL_CALLS=3)
    looping(app)
    await app.declare(declared=LOOPING.model_copy(update={"runaway": Runaway(same_tool_calls=1)}))

    assert (await app.ask()).spend.calls == 2
    await app.aclose()


async def test_a_run_that_spends_too_fast_is_stopped() -> None:
    """Before its next model call."""
    app = App(RUNAWAY_USD_PER_MINUTE=0.000001, RUNAWAY_SAME_TOOL_CALLS=0)
    looping(app)
    await app.declare(declared=LOOPING)
    run = await app.ask("a question of some length, so that it costs more than a millionth of a dollar " * 3)

    assert run.error is not None
    assert (run.error.code, run.spend.calls) == ("runaway_spend", 1)
    await app.aclose()


def test_other_arguments_are_other_calls() -> None:
    """The order of the arguments does not matter."""
    guard = Guard(GuardPolicy(2, 0))
    for n in range(10):
        guard.called("search", {"q": n, "page": 1})
        guard.called("search", {"page": 1, "q": n})
    with pytest.raises(RunFailed):
        guard.called("search", {"q": 3, "page": 1})


def test_what_was_spent_a_minute_ago_does_not_count() -> None:
    """And nothing is stopped where nothing is limited."""
    guard, free = Guard(GuardPolicy(0, 100)), Guard(GuardPolicy(0, 0))
    for at in range(0, 600, 30):
        guard.spent(50, at)
        guard.check(at)
        free.spent(10**12, at)
        free.check(at)
    guard.spent(50, 571)
    with pytest.raises(RunFailed):
        guard.check(571)
