"""How many instances there should be, and changing it at a platform that refuses what the real one refuses."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import pytest
from azure.core.credentials import AccessToken

from adapters.azure_scale import AzureScale
from adapters.memory_tables import MemoryTables
from kernel.errors import AppError, Conflict, EtagMismatch, Forbidden, InvalidInput, NotFound, Unavailable
from lifecycle.optimization.instance_savings import InstanceSavings
from llmops.capacity.scaler import Scaler, ScalingStore
from llmops.capacity.scaling_forecast import Load, ScalingPolicy, SiteScale, Trigger, commands, forecast, recommend
from tests.fakes.arm import READER, SITE, TOKEN, FakeArm
from tests.lifecycle.app import App
from tests.lifecycle.doubles import NOW

HOUR = NOW.replace(minute=0)


def weeks(count: int, runs: Any, service_s: float = 10.0) -> list[Load]:
    """Return what the hours of so many weeks before now brought: `runs` of the hour's start."""
    hours = [HOUR - timedelta(hours=number) for number in range(1, count * 168 + 1)]
    return [Load(hour, runs(hour), runs(hour) * service_s) for hour in hours]


def test_the_same_hour_of_the_week_comes_again() -> None:
    """Mondays at ten are busy; what was noise before is noise again, and the error says so."""
    chance = random.Random(7)

    def runs(hour: Any) -> int:
        return (3600 if (hour.weekday(), hour.hour) == (0, 10) else 360) + chance.randint(-36, 36)

    found = forecast(weeks(4, runs), NOW, hours=168)
    busy = [hour for hour, count in found.hours if count > 2000]

    assert [(hour.weekday(), hour.hour) for hour in busy] == [(0, 10)]
    assert found.error is not None
    assert 0.02 < found.error < 0.12
    assert found.weeks == 4


def test_without_history_nothing_is_claimed() -> None:
    plan = recommend(ScalingPolicy(), [], None, [], None, NOW)

    assert (plan.forecast.error, plan.forecast.weeks, plan.instances) == (None, 0, 2)


@pytest.mark.parametrize(("runs", "instances"), [(360, 2), (36_000, 4), (360_000, 10)])
def test_instances_follow_from_littles_law(runs: int, instances: int) -> None:
    """36000 runs an hour of 10 s are 100 at a time: four instances at 80 % of 32. The policy bounds them."""
    plan = recommend(ScalingPolicy(), weeks(2, lambda _: runs), None, [], None, NOW)

    assert plan.at_a_time == pytest.approx(runs / 360)
    assert plan.instances == instances


@pytest.mark.parametrize("minutes", [1, 30, 59])
def test_without_a_forecast_the_load_is_that_of_the_last_hour(minutes: int) -> None:
    """A run a second of 10 s each is 10 at a time, however much of the present hour is over."""
    present = Load(HOUR, 60 * minutes, 600.0 * minutes)
    loads = [*weeks(1, lambda _: 3600), present]
    plan = recommend(ScalingPolicy(predictive=False), loads, None, [], None, HOUR + timedelta(minutes=minutes))

    assert plan.at_a_time == pytest.approx(10)


def test_less_is_always_ready_only_where_little_of_it_is_used() -> None:
    """40 at a time are over 30 % of three instances of 32, and under 30 % of eight."""
    loads = weeks(2, lambda _: 14_400)
    ready = [
        recommend(ScalingPolicy(min_instances=1), loads, SiteScale({"function:run_agent": count}), [], None, NOW)
        for count in (3, 8)
    ]

    assert [plan.scale.always_ready["function:run_agent"] for plan in ready] == [3, 2]


def test_of_triggers_that_hold_the_one_of_highest_priority_counts() -> None:
    up = Trigger("memory_share", "gt", 0.85, 60, "scale_up", 5)
    down = Trigger("cpu_share", "lt", 0.1, 60, "scale_down", 1)
    plans = [
        recommend(ScalingPolicy(min_instances=1), weeks(2, lambda _: 36_000), None, holding, None, NOW).instances
        for holding in ([], [down, up], [down])
    ]

    assert plans == [4, 5, 3]


def test_nothing_changes_within_the_cooldown() -> None:
    policy = ScalingPolicy(cooldown_s=300)
    held = [recommend(policy, [], None, [], NOW - timedelta(seconds=age), NOW).held for age in (10, 301)]

    assert held == ["The last change was less than 300 s ago; 290 s are left.", ""]


def test_what_the_platform_does_not_take_is_not_recommended() -> None:
    plan = recommend(ScalingPolicy(max_instances=10), [], SiteScale({"http": 1}, 60, 16), [], None, NOW)

    assert (plan.scale.maximum_instances, plan.scale.http_concurrency) == (40, 16)
    assert list(commands(plan, SiteScale({"http": 1}, 60, 16), "rg", "func")) == [
        "az functionapp scale config set --resource-group rg --name func --maximum-instance-count 40",
        "az functionapp scale config always-ready set --resource-group rg --name func --settings function:run_agent=2",
        "python -m devhost --workers 2",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_instances": 11},
        {"max_instances": 0},
        {"down": 0.9},
        {"up": 1.5},
        {"concurrency": 0},
        {"triggers": (Trigger("cpu_share", "gt", 1), Trigger("cpu_share", "gt", 1))},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        ScalingPolicy(**wrong).check()

    assert refused.value.code == "invalid_scaling_policy"


class Token:
    """A credential that shows one token."""

    def __init__(self, token: str = TOKEN) -> None:
        self._token = token

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(self._token, 4_000_000_000)

    async def close(self) -> None:
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        return


@pytest.fixture
async def arm() -> AsyncIterator[FakeArm]:
    fake = FakeArm()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def site(arm: FakeArm) -> AsyncIterator[AzureScale]:
    scale = AzureScale(SITE, arm.endpoint, Token())
    yield scale
    await scale.aclose()


WANTED = SiteScale({"function:run_agent": 3, "http": 1}, 60, 16)


@pytest.mark.parametrize("pending", [None, 0, 2])
async def test_an_app_is_scaled_and_nothing_else_of_it_changes(
    arm: FakeArm, site: AzureScale, pending: int | None
) -> None:
    """Whether the platform does it at once or goes on with it for a while."""
    arm.pending = pending
    before = await site.read()
    after = await site.write(WANTED)

    assert before == SiteScale({"http": 1}, 40, 16)
    assert after == WANTED
    assert arm.config["scaleAndConcurrency"]["instanceMemoryMB"] == 2048
    assert arm.config["runtime"] == {"name": "python", "version": "3.13"}


@pytest.mark.parametrize(
    ("token", "path", "scale", "error", "code"),
    [
        ("none", SITE, WANTED, Forbidden, "scaling_forbidden"),
        (READER, SITE, WANTED, Forbidden, "scaling_forbidden"),
        (TOKEN, SITE + "x", WANTED, NotFound, "scaling_site_not_found"),
        (TOKEN, SITE, replace(WANTED, maximum_instances=10), Conflict, "scaling_refused"),
        (TOKEN, SITE, replace(WANTED, always_ready={"http": 61}), Conflict, "scaling_refused"),
        (TOKEN, SITE, replace(WANTED, always_ready={"function:nobody": 1}), Conflict, "scaling_refused"),
        (TOKEN, SITE, replace(WANTED, http_concurrency=1001), Conflict, "scaling_refused"),
    ],
)
async def test_what_the_platform_refuses_changes_nothing_and_tells_nothing_of_it(
    arm: FakeArm, token: str, path: str, scale: SiteScale, error: type[AppError], code: str
) -> None:
    one = AzureScale(path, arm.endpoint, Token(token))
    with pytest.raises(error) as refused:
        await one.write(scale)
    await one.aclose()

    assert refused.value.code == code
    assert "subscription" not in refused.value.detail
    assert arm.patches == []


async def test_a_platform_that_throttles_is_asked_again_and_then_given_up(arm: FakeArm, site: AzureScale) -> None:
    arm.failures.extend([429, 503])
    first = await site.read()
    arm.failures.extend([429] * 10)
    with pytest.raises(Unavailable) as failed:
        await site.read()

    assert first.maximum_instances == 40
    assert failed.value.code == "scaling_unavailable"


async def test_a_platform_that_is_not_there_is_unavailable() -> None:
    one = AzureScale(SITE, "http://127.0.0.1:9", Token())
    with pytest.raises(Unavailable):
        await one.read()
    await one.aclose()


async def scaler(app: App, site: AzureScale | None) -> Scaler:
    services = app.services
    return Scaler(
        services.scaling.store,
        services.spend.figures,
        services.capacity.resources,
        services.events.journal,
        services.spend.daily_costs.workspaces,
        site,
        app.clock,
    )


async def test_a_plan_is_applied_once_and_only_as_it_was_read(arm: FakeArm, site: AzureScale) -> None:
    app = App()
    one = await scaler(app, site)
    plan, _ = await one.recommend()
    with pytest.raises(Conflict) as other:
        await one.apply("0" * 16, "default", "ann")
    before, after = await one.apply(plan.id, "default", "ann")
    again, _ = await one.recommend()
    with pytest.raises(Conflict) as early:
        await one.apply(again.id, "default", "ann")

    assert (before.always_ready, after.always_ready) == ({"http": 1}, {"function:run_agent": 2, "http": 1})
    assert (other.value.code, early.value.code) == ("plan_changed", "scaling_cooldown")
    assert len(arm.patches) == 1


async def test_an_instances_http_requests_are_part_of_the_plan(arm: FakeArm, site: AzureScale) -> None:
    """Where the policy says how many; else they stay as they are."""
    app = App()
    one = await scaler(app, site)
    unsaid, _ = await one.recommend()
    await app.services.scaling.store.put(ScalingPolicy(http_concurrency=32), None)
    plan, current = await one.recommend()
    lines = list(commands(plan, current, "rg", "app"))
    _, after = await one.apply(plan.id, "default", "ann")

    assert (unsaid.scale.http_concurrency, after.http_concurrency) == (16, 32)
    assert any("--trigger-type http --trigger-settings perInstanceConcurrency=32" in line for line in lines)
    assert arm.config["scaleAndConcurrency"]["triggers"] == {"http": {"perInstanceConcurrency": 32}}


async def test_idle_instances_are_found_taken_away_and_measured(arm: FakeArm, site: AzureScale) -> None:
    """Applying it again after a crash changes nothing more; other workspaces are told nothing."""
    arm.config["scaleAndConcurrency"]["alwaysReady"].append({"name": "function:run_agent", "instanceCount": 6})
    app = App()
    savings = InstanceSavings(await scaler(app, site), "default")
    one = await savings.find("default")
    assert one is not None
    begun = replace(one, begun=True)
    await savings.apply("default", begun, "ann")
    await savings.apply("default", begun, "ann")
    app.clock.move(days=7)
    saved = await savings.saved(begun)

    assert await savings.find("other") is None
    assert (one.evidence["always_ready"], one.evidence["needed"], len(arm.patches)) == (6, 2, 1)
    assert saved is not None
    assert saved.saved_micro_usd == 4 * 2 * 7 * 86_400 * 4
    assert await savings.find("default") is None


async def test_without_a_look_at_the_app_nothing_is_proposed_of_it(arm: FakeArm, site: AzureScale) -> None:
    app = App()
    arm.failures.extend([503] * 8)
    savings = InstanceSavings(await scaler(app, site), "default")

    assert await savings.find("default") is None
    assert await InstanceSavings(app.services.scaling.scaler, "default").find("default") is None


async def test_nothing_is_applied_unless_that_is_switched_on() -> None:
    app = App()
    plan, current = await app.services.scaling.scaler.recommend()
    with pytest.raises(Forbidden) as off:
        await app.services.scaling.scaler.apply(plan.id, "default", "")

    assert (current, off.value.code) == (None, "scaling_off")
    assert app.services.scaling.target is None


async def test_a_trigger_counts_once_it_has_held_for_long_enough(site: AzureScale) -> None:
    app = App()
    one = await scaler(app, site)
    holds = Trigger("pool_waiting", "gte", 0, 90, "scale_up")
    await app.services.scaling.store.put(ScalingPolicy(min_instances=0, triggers=(holds,)), None)
    await app.declare()
    await app.ask()
    await app.services.spend.daily_costs.aggregate(app.clock())
    counts = []
    for _ in range(3):
        await one.observe()
        counts.append((await one.recommend())[0].always_ready)
        app.clock.move(seconds=60)

    assert counts == [0, 0, 1]


async def test_a_trigger_that_was_taken_away_has_to_hold_anew() -> None:
    """It is not looked at meanwhile: nobody knows whether its condition held."""
    app = App()
    one, store = await scaler(app, None), app.services.scaling.store
    with_trigger = ScalingPolicy(min_instances=0, triggers=(Trigger("pool_waiting", "gte", 0, 90, "scale_up"),))
    await app.declare()
    await app.ask()
    await app.services.spend.daily_costs.aggregate(app.clock())
    await store.put(with_trigger, None)
    await one.observe()
    await store.put(ScalingPolicy(min_instances=0), None)
    await one.observe()
    app.clock.move(days=1)
    await store.put(with_trigger, None)
    await one.observe()

    assert (await one.recommend())[0].always_ready == 0


async def test_a_policy_is_replaced_only_as_it_was_read() -> None:
    store = ScalingStore(MemoryTables())
    etag = await store.put(ScalingPolicy(max_instances=5), None)
    await store.put(ScalingPolicy(max_instances=6), etag)
    with pytest.raises(EtagMismatch):
        await store.put(ScalingPolicy(max_instances=7), etag)

    assert (await store.policy())[0].max_instances == 6
