"""Runs of routed agents: what is noted, charged and recorded when a call goes from one deployment to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from lifecycle.conversations.run import RunState
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from llmops.routing.route import Deployment, Route
from llmops.spend.pricing import Rate
from tests.fakes.openai_server import FakeOpenAI
from tests.lifecycle.app import App
from tests.lifecycle.doubles import CountingTables, spec
from tests.waiting import eventually

OWN = Rate("x", Decimal(3), Decimal(7))


@dataclass
class Routed:
    """An app with a routed agent, and the two endpoints of its route."""

    app: App
    first: FakeOpenAI
    second: FakeOpenAI

    async def where(self, run: Any) -> list[tuple[str, str]]:
        return [(line.deployment, line.outcome) for line in await self.app.lines(run)]


@asynccontextmanager
async def routed(tables: Any = None, **settings: Any) -> AsyncIterator[Routed]:
    """Return an app whose agent's route goes to two endpoints, the second at a rate of its own."""
    async with FakeOpenAI() as first, FakeOpenAI() as second:
        app = App(tables, ROUTES_ALLOW_PRIVATE=True, **settings)
        deployments = (
            Deployment("east", "openai", "gpt-4o-mini", first.base_url),
            Deployment("west", "openai", "in-house", second.base_url, priority=2, rate=OWN),
        )
        await app.services.routing.store.put("default", Route("chat", deployments), None)
        await app.declare(declared=spec(provider="route", model="chat", max_output_tokens=50))
        try:
            yield Routed(app, first, second)
        finally:
            await app.services.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_try_is_recorded_where_it_was_made_and_costs_nothing(stream: bool) -> None:
    """One run, one attempt, one bill: at the rate of the deployment that answered."""
    async with routed() as place:
        place.first.fail_next("throttled", retry_after_s=90)

        run = await place.app.ask(stream=stream)
        lines = await place.app.lines(run)

        assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
        assert await place.where(run) == [("chat/east", "refused"), ("chat/west", "answered")]
        assert [(line.call, line.provider, line.model) for line in lines] == [
            (1, "openai", "gpt-4o-mini"),
            (2, "openai", "in-house"),
        ]
        usage = lines[1].usage
        assert lines[1].cost_micro_usd == 3 * usage.input_tokens + 7 * usage.output_tokens
        assert (run.spend.calls, run.spend.cost_micro_usd) == (1, lines[1].cost_micro_usd)
        steps = await place.app.services.runs.steps.of("default", run.id)
        assert [step.deployment for step in steps if step.kind == "model_call"] == ["chat/east", "chat/west"]


async def test_a_try_whose_outcome_is_unknown_is_charged_at_its_estimate() -> None:
    """It was sent and never answered: it may be on the bill of its deployment, and the second one surely is."""
    async with routed(MODEL_TIMEOUT_S=0.3) as place:
        place.first.always = "hang"

        run = await place.app.ask()
        lines = await place.app.lines(run)

        assert await place.where(run) == [("chat/east", "unsettled"), ("chat/west", "answered")]
        assert (run.spend.calls, run.spend.unsettled_calls) == (2, 1)
        assert (lines[0].cost_micro_usd or 0) > 0


async def test_a_stream_that_breaks_off_is_charged_and_the_run_tried_again() -> None:
    """What had come is charged where it came from; the next attempt is another call."""
    async with routed(RUN_RETRY_BASE_S=0.01) as place:
        place.first.fail_next("reset")

        run = await place.app.ask(query="a text that is long enough for more than one piece", stream=True)

        assert run.state is RunState.SUCCEEDED
        assert await place.where(run) == [("chat/east", "unsettled"), ("chat/east", "answered")]


async def test_a_worker_that_dies_leaves_its_call_noted_under_its_deployment() -> None:
    """The one that takes the run over charges it there."""
    async with routed(RUN_LEASE_S=0.5, RUN_LOOK_EVERY_S=0.05) as place:
        app = place.app
        place.first.always = "hang"
        accepted = await app.submit()
        work = asyncio.create_task(app.process(app.queue.sent[-1]))
        await eventually(lambda: _has_been_asked(place.first))
        noted = (await app.stored(accepted.run))[0]
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

        assert noted.last is not None
        assert [(call.deployment, call.outcome) for call in noted.last.noted.calls] == [("chat/east", "unsettled")]


async def _has_been_asked(fake: FakeOpenAI) -> bool:
    return bool(fake.requests)


async def test_each_try_is_reserved_in_the_budgets_before_it_is_made() -> None:
    """A budget with room for the first deployment's price only stops the run instead of the second call."""
    async with routed() as place:
        app = place.app
        room = Budget(parse_scope("agent:bot"), (Limit("usd", "total", 400),))
        await app.services.budgets.store.put("default", room, None)
        place.first.fail_next("throttled", retry_after_s=90)

        run = await app.ask()

        assert run.state is RunState.WAITING
        assert (len(place.first.requests), len(place.second.requests)) == (1, 0)


async def test_a_run_finds_out_for_all_and_a_second_costs_one_note_more_than_without_a_route() -> None:
    """The route is read once in a while, not with every call; what went wrong is written once."""
    tables = CountingTables()
    async with routed(tables, BUDGET_TRUST_S=1000, RECORD_USE_EVERY_S=1000, RUN_LOOK_EVERY_S=5) as place:
        await place.app.ask()
        tables.reset()
        await place.app.ask()

        assert tables.operations["query routes"] == 0
        assert tables.operations["get routes"] + tables.operations["commit routes"] == 0


async def test_where_all_are_throttled_the_run_waits_as_long_as_they_ask() -> None:
    """It goes back to the queue, with the time of the first that is free again, beyond 30 seconds."""
    async with routed(RUN_RETRY_LONGEST_S=600) as place:
        place.first.fail_next("throttled", retry_after_s=90)
        place.second.fail_next("throttled", retry_after_s=70)
        app = place.app
        await app.submit()

        run = await app.requeued(app.queue.sent[-1])

        assert run is not None
        assert (run.state, run.error and run.error.code) == (RunState.QUEUED, "provider_throttled")
        assert run.dispatch.not_before is not None
        assert 69 <= (run.dispatch.not_before - app.clock()).total_seconds() <= 71


def test_a_ladder_cannot_change_what_a_route_chooses() -> None:
    """The model of a routed agent is its route; a cheaper one is another deployment, or another agent."""
    with pytest.raises(ValidationError, match="route chooses"):
        spec(provider="route", model="chat", ladder=[{"at": 80, "do": "cheaper_model", "model": "m"}])
