"""Routed agents: real clients over the wire to endpoints that throttle, fail, hang and break off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from agent_framework import AgentResponse

from adapters.memory_tables import MemoryTables
from adapters.providers.openai import Endpoint
from adapters.providers.routed import Reach, RoutedProvider
from kernel.errors import AppError, ProviderRejected, Unavailable
from kernel.tables import Page, Span
from lifecycle.registry.providers import AttemptId
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.tools import Toolbox, builtin_tools
from llmops.routing.route import ROUTED, Deployment, Route
from llmops.routing.router import Router, Try
from llmops.routing.status import DeploymentStatus, RouteStatuses
from llmops.routing.store import RouteStore
from tests.contracts.providers.conftest import wanted
from tests.contracts.providers.metering import Meter
from tests.fakes.openai_server import FakeOpenAI, Fault
from tests.lifecycle.doubles import ManualClock
from tests.waiting import QUIET_S

SPEC = AgentSpec(provider="route", model="chat", instructions="Be brief.")


class SometimesDown(MemoryTables):
    """Tables that cannot be reached while they are down."""

    down = False

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        if self.down:
            raise Unavailable
        return await super().query(table, span, limit=limit, token=token)


class Tries(Meter):
    """Writes down where each try goes, as whoever meters it sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    async def process(self, context: Any, call_next: Any) -> None:
        chosen: Try = context.kwargs[ROUTED]
        self.targets.append(chosen.target.deployment)
        await super().process(context, call_next)


@dataclass
class Place:
    """A route over fakes, and an agent that uses it."""

    fakes: list[FakeOpenAI]
    tables: SometimesDown
    clock: ManualClock
    provider: RoutedProvider
    router: Router
    agent: Any = None
    counted: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, text: str = "Hi", *, stream: bool = False, session: str = "s", meter: Any = None) -> str:
        more: dict[str, Any] = {"client_kwargs": {"attempt": AttemptId("run", 1, "default", session)}}
        more["middleware"] = [meter] if meter else []
        if stream:
            answer: AgentResponse = await self.agent.run(text, stream=True, **more).get_final_response()
        else:
            answer = await self.agent.run(text, **more)
        return answer.text

    async def failure(self, **how: Any) -> AppError:
        try:
            answer = await self.ask(**how)
        except Exception as error:  # noqa: BLE001 - whatever the framework raises
            return self.provider.translate(error)
        pytest.fail(f"it was answered: {answer}")

    async def status(self) -> Sequence[DeploymentStatus]:
        return (await RouteStatuses(RouteStore(self.tables), self.clock).of("default", "chat")).deployments

    @property
    def asked(self) -> list[int]:
        return [len(fake.requests) for fake in self.fakes]


@asynccontextmanager
async def route(count: int = 2, settings: dict[str, str] | None = None, **fields: Any) -> AsyncIterator[Place]:
    """Return a route over so many fakes; the first has priority 1, the second 2 and so on, unless told otherwise."""
    tables, clock = SometimesDown(), ManualClock()
    async with AsyncExitStack() as stack:
        fakes = [await stack.enter_async_context(FakeOpenAI()) for _ in range(count)]
        deployments = [
            Deployment(f"d{at}", "openai", f"model-{at}", fake.base_url, **{"priority": at, **fields.get(f"d{at}", {})})
            for at, fake in enumerate(fakes, 1)
        ]
        store = RouteStore(tables, allow_private=True)
        await store.put("default", Route("chat", tuple(deployments)), None)
        counted: list[tuple[str, str]] = []
        router = Router(
            store, clock, "w1", refresh=timedelta(seconds=2), count=lambda *told: counted.append((told[2], told[3]))
        )
        own = Endpoint(base_url="http://127.0.0.1:9/v1")
        reach = Reach(
            own,
            ({} if settings is None else settings).get,
            fields.get("timeout_s", QUIET_S),
            fields.get("allow_private", True),
        )
        provider = RoutedProvider(lambda: router, reach, clock, Toolbox(builtin_tools(clock)))
        spec = fields.get("spec", SPEC)
        place = Place(fakes, tables, clock, provider, router, counted=counted)
        place.agent = provider.open(await provider.create(wanted(spec)), spec)
        try:
            yield place
        finally:
            await provider.aclose()
            await router.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_goes_to_the_first_deployment_with_its_own_model(stream: bool) -> None:
    """Nobody else is asked, and the answer is the deployment's."""
    async with route() as place:
        meter = Tries()

        answer = await place.ask(stream=stream, meter=meter)

        assert "the last: 'Hi'" in answer
        assert place.asked == [1, 0]
        assert place.fakes[0].requests[0].body["model"] == "model-1"
        assert [(call.asked, call.served) for call in meter.calls] == [("model-1", "model-1")]
        assert meter.targets == ["chat/d1"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["throttled", "server_error", "unavailable", "auth", "not_found", "quota", "reset"])
async def test_a_call_that_a_deployment_cannot_take_goes_to_the_next_at_once(fault: Fault, stream: bool) -> None:
    """Each try is seen by whoever meters calls, and the deployment is asked once: the SDK repeats nothing."""
    async with route() as place:
        if fault == "reset" and stream:
            pytest.skip("what breaks in the middle of a stream has passed something on")
        place.fakes[0].always = fault
        meter = Tries()

        answer = await place.ask(stream=stream, meter=meter)

        assert "heard 2 messages" in answer
        assert place.asked == [1, 1]
        assert meter.targets == ["chat/d1", "chat/d2"]
        assert [call.served for call in meter.calls] == [None, "model-2"]


async def test_a_deployment_that_does_not_answer_in_time_is_left_for_the_next() -> None:
    """The try that hangs is one call of its own, whose outcome is not known."""
    async with route(timeout_s=0.3) as place:
        place.fakes[0].always = "hang"
        meter = Tries()

        await place.ask(meter=meter)

        assert place.asked == [1, 1]
        assert meter.targets == ["chat/d1", "chat/d2"]


async def test_a_stream_that_breaks_off_is_not_told_twice() -> None:
    """What was passed on cannot be taken back, so the attempt fails, and its deployment is blamed."""
    async with route() as place:
        place.fakes[0].fail_next("reset")

        failure = await place.failure(stream=True, text="a text that is long enough for more than one piece")

        assert failure.code == "provider_unavailable"
        assert place.asked == [1, 0]
        assert ("d1", "failed") in place.counted


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["invalid", "content_filter", "unprocessable"])
async def test_what_is_wrong_with_the_request_is_not_tried_elsewhere(fault: Fault, stream: bool) -> None:
    """It would fail everywhere, and no deployment is blamed for it."""
    async with route() as place:
        place.fakes[0].fail_next(fault)

        failure = await place.failure(stream=stream)

        assert isinstance(failure, ProviderRejected)
        assert place.asked == [1, 0]
        status = await place.status()
        assert status[0].health.failures == 0


async def test_a_throttled_deployment_is_left_alone_as_long_as_it_asks() -> None:
    """Not 30 seconds and not less: as many as it says, after which it is first again."""
    async with route() as place:
        place.fakes[0].fail_next("throttled", retry_after_s=90)
        await place.ask()

        place.clock.move(seconds=89)
        await place.ask()
        between = place.asked
        place.clock.move(seconds=2)
        await place.ask()

        assert between == [1, 2]
        assert place.asked == [2, 2]


async def test_an_outage_that_says_how_long_it_lasts_is_believed() -> None:
    """A 503 with `Retry-After` is no reason to ask again before."""
    async with route() as place:
        place.fakes[0].fail_next("unavailable", retry_after_s=120)
        await place.ask()

        place.clock.move(seconds=119)
        await place.ask()
        between = place.asked
        place.clock.move(seconds=2)
        await place.ask()

        assert (between, place.asked) == ([1, 2], [2, 2])


async def test_where_all_are_throttled_the_run_is_told_when_the_first_is_free() -> None:
    """The queue waits so long, without holding a worker; and nobody is asked in vain meanwhile."""
    async with route() as place:
        place.fakes[0].fail_next("throttled", retry_after_s=90)
        place.fakes[1].fail_next("throttled", retry_after_s=40)

        failures = [await place.failure(), await place.failure()]

        assert [(each.code, each.retry_after_s) for each in failures] == [("provider_throttled", 40.0)] * 2
        assert place.asked == [1, 1]


async def test_a_breaker_opens_and_lets_one_call_probe() -> None:
    """After three failures in a row nobody is sent there; then one call, and by its answer all."""
    async with route() as place:
        place.fakes[0].always = "server_error"
        for _ in range(5):
            await place.ask()
        opened = (await place.status())[0]
        place.fakes[0].always = None
        place.clock.move(seconds=11)
        for _ in range(3):
            await place.ask()
        closed = (await place.status())[0]

        assert (opened.state, opened.health.code) == ("open", "provider_unavailable")
        assert closed.state == "closed"
        assert place.asked == [3 + 3, 5]


async def test_a_request_at_fault_that_was_the_probe_closes_the_breaker() -> None:
    """The deployment has answered it, if with a refusal."""
    async with route() as place:
        place.fakes[0].fail_next("server_error", times=3)
        for _ in range(3):
            await place.ask()
        place.clock.move(seconds=11)
        place.fakes[0].fail_next("invalid")

        await place.failure()

        assert (await place.status())[0].state == "closed"


async def test_a_quota_that_is_reported_as_used_up_is_obeyed_before_it_refuses() -> None:
    """No 429 is needed to learn it, and it is shared with all workers."""
    async with route() as place:
        place.fakes[0].headers = {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-remaining-tokens": "5000",
            "x-ratelimit-reset-requests": "30s",
        }
        await place.ask()

        await place.ask()
        elsewhere = (await place.status())[0].remaining
        place.clock.move(seconds=31)
        await place.ask()

        assert elsewhere is not None
        assert elsewhere.requests == 0
        assert place.asked == [2, 1]


async def test_sessions_stay_at_their_deployment_and_shares_follow_the_weights() -> None:
    """A conversation finds its prompt cache; of many, three quarters are where the weight is three times as much."""
    weights: dict[str, Any] = {"d1": {"priority": 1, "weight": 3}, "d2": {"priority": 1, "weight": 1}}
    async with route(**weights) as place:
        for at in range(60):
            await place.ask(session=f"s{at}")
        first = place.asked
        for at in range(60):
            await place.ask(session=f"s{at}")

        assert place.asked == [2 * count for count in first]
        assert 35 <= first[0] <= 55


async def test_the_key_is_shown_to_the_origin_that_its_setting_names_only() -> None:
    """A route that points elsewhere gets nothing, whoever wrote it."""
    key: dict[str, Any] = {"d1": {"key_setting": "MODEL_KEY_ONE"}, "d2": {"key_setting": "MODEL_KEY_TWO"}}
    settings: dict[str, str] = {}
    async with route(settings=settings, **key) as place:
        settings["MODEL_KEY_ONE"] = json.dumps({"origin": "https://other.example", "key": "one-secret"})
        settings["MODEL_KEY_TWO"] = json.dumps({"origin": place.fakes[1].url, "key": "two-secret"})

        await place.ask()

        assert place.asked == [0, 1]
        assert place.fakes[1].requests[0].headers["authorization"] == "Bearer two-secret"
        status = await place.status()
        assert (status[0].state, status[0].health.code) == ("open", "provider_auth")


async def test_a_deployment_that_is_declared_otherwise_begins_anew() -> None:
    """Whoever has mended it need not wait until its breaker lets a call through; the others' health stays."""
    async with route() as place:
        place.fakes[0].always = place.fakes[1].always = "auth"
        await place.failure()
        place.fakes[0].always = None
        store = RouteStore(place.tables, allow_private=True)
        declared, _ = await store.get("default", "chat")
        first, second = declared.deployments
        await store.put("default", Route("chat", (replace(first, weight=2), second)), None)
        place.clock.move(seconds=3)

        await place.ask()

        assert place.asked == [2, 1]
        assert [one.state for one in await place.status()] == ["closed", "open"]


async def test_private_addresses_are_refused_when_the_connection_is_made() -> None:
    """A name may come to resolve to anything after its route was declared."""
    async with route(count=1, allow_private=False) as place:
        failure = await place.failure()

        assert failure.code == "provider_unavailable"
        assert place.asked == [0]


async def test_a_tool_loop_is_routed_call_by_call() -> None:
    """The tools are called once, by the app, whichever deployment asks for them."""
    spec = AgentSpec(provider="route", model="chat", tools=("current_time",))
    async with route(spec=spec) as place:
        meter = Tries()
        place.fakes[0].fail_next("none")
        place.fakes[0].fail_next("throttled", retry_after_s=60)

        answer = await place.ask("/tool current_time {}", meter=meter)

        assert "tool" in answer
        assert meter.targets == ["chat/d1", "chat/d1", "chat/d2"]


async def test_a_route_that_is_gone_is_told_by_its_name() -> None:
    """Trying again does not help, so the run is not tried again."""
    async with route() as place:
        await RouteStore(place.tables, allow_private=True).delete("default", "chat", None)

        failure = await place.failure()

        assert (failure.code, failure.retriable) == ("route_not_found", False)


async def test_a_route_answers_without_a_cloud() -> None:
    """Where the endpoint cannot be reached, the deployment that is none answers."""
    async with route(count=0) as place:
        deployments = (
            Deployment("away", "openai", "m", "http://127.0.0.1:9/v1"),
            Deployment("here", "offline", "offline-1", priority=2),
        )
        await RouteStore(place.tables, allow_private=True).put("default", Route("chat", deployments), None)
        meter = Tries()

        answer = await place.ask(meter=meter)

        assert "No model was called" in answer
        assert meter.targets == ["chat/away", "chat/here"]


async def test_a_store_that_fails_stops_no_call_of_a_known_route() -> None:
    """What is known is used on; only a route that was never read cannot be."""
    async with route() as place:
        await place.ask()
        place.tables.down = True
        place.clock.move(seconds=5)
        await place.ask()

        assert place.asked == [2, 0]


async def test_where_every_deployment_denies_the_run_is_not_tried_again() -> None:
    """Its last refusal says what is to be mended; waiting would not."""
    async with route() as place:
        place.fakes[0].always = place.fakes[1].always = "auth"

        failure = await place.failure()

        assert (failure.code, failure.retriable) == ("provider_auth", False)
