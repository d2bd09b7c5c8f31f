"""`GET metrics` as Prometheus reads it, and `GET stats`."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from lifecycle.metrics.stored_gauges import STORED
from llmops.capacity.admission import AdmissionRequest
from llmops.capacity.pools import Limits, Pool
from llmops.metrics import definitions as metrics
from llmops.metrics.exposition import exposition
from llmops.metrics.series import added, observed
from llmops.routing.route import Deployment, Route
from llmops.routing.router import Failure, RouteCall
from tests.observability.conftest import Functions


def families(text: str) -> dict[str, Family]:
    """Parse the text with Prometheus's own parser, which fails on what is not allowed."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_a_histogram_s_buckets_add_up() -> None:
    """Each bucket counts what is in those below it, too; the last one counts all."""
    numbers = observed(metrics.QUALITY, 10)
    for value in (10.5, 55, 100):
        (numbers,) = added({("x",): numbers}, {("x",): observed(metrics.QUALITY, value)}).values()
    family = families(exposition([(metrics.QUALITY, ("bot",), numbers)]))["agent_run_quality"]
    buckets = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}

    assert family.type == "histogram"
    assert (buckets["10.0"], buckets["20.0"], buckets["50.0"], buckets["60.0"], buckets["+Inf"]) == (1, 2, 2, 3, 4)
    assert [s.value for s in family.samples if s.name.endswith(("_sum", "_count"))] == [4, 175.5]


def test_costs_are_in_dollars_and_counted_in_millionths() -> None:
    """So that a hundred small calls are no rounding error."""
    (sample,) = families(exposition([(metrics.COST, ("bot",), (1_234_567,))]))["agent_model_cost_usd"].samples

    assert (sample.name, sample.value) == ("agent_model_cost_usd_total", pytest.approx(1.234567))


@pytest.mark.parametrize("label", ['a"b', "a\\b", "a\nb", "ümlaut", "", 'x{y="z"} 1 # HELP'])
def test_a_label_holds_any_text(label: str) -> None:
    """A model's name is the provider's to choose."""
    (sample,) = families(exposition([(metrics.UNPRICED, (label,), (1,))]))["agent_model_unpriced_calls"].samples

    assert sample.labels == {"model": label}


def test_names_are_unique_and_documented() -> None:
    """Every metric is in docs/observability.md under the name that Prometheus shows."""
    text = (Path(__file__).parents[2] / "docs/observability.md").read_text(encoding="utf-8")
    every = [*metrics.COUNTED, *STORED]
    shown = [f"{m.prometheus_name}{'_total' if m.kind == 'counter' else ''}" for m in every]

    assert len(set(shown)) == len(every)
    assert [name for name in shown if f"`{name}`" not in text] == []


async def test_what_the_endpoint_answers(functions: Functions) -> None:
    """Agents by state, versions and steps as soon as they are made; content type and no caching."""
    await functions.http("agents_item", {"name": "bot"}, {"model": "gpt-4o-mini"}, method="PUT")
    assert families(await functions.text("metrics"))["agent_versions"].samples[0].value == 0
    await functions.http("agents_prewarm", {"name": "bot"}, {})
    functions.services.metrics.workers.count("default", metrics.LOOKUPS, 1, "hit")
    functions.services.metrics.workers.count("other", metrics.LOOKUPS, 1, "miss")
    found = families(await functions.text("metrics"))

    assert {s.labels["state"]: s.value for s in found["agent_agents"].samples} == {"active": 1}
    assert {s.labels["step"]: s.value for s in found["agent_lifecycle_steps"].samples} == {"created": 1}
    assert [(s.labels, s.value) for s in found["agent_cache_lookups"].samples] == [({"result": "hit"}, 1)]


async def test_the_statistics_of_all_agents(functions: Functions) -> None:
    """Beside the page of agents, and the same on every page."""
    for name in ("a", "b"):
        await functions.http("agents_item", {"name": name}, {"model": "gpt-4o-mini"}, method="PUT")
        await functions.http("agents_prewarm", {"name": name}, {})
    _, page = await functions.http("stats", {}, {}, params={"limit": "1"}, method="GET")

    assert ([item["name"] for item in page["items"]], bool(page["next"])) == (["a"], True)
    assert page["lifecycle"]["agents"] == {"active": 2}
    assert page["lifecycle"]["versions"] == 2
    assert page["lifecycle"]["most_made"] == [{"agent": "a", "versions": 1}, {"agent": "b", "versions": 1}]
    assert [hour["steps"] for hour in page["lifecycle"]["hours"]] == [{"created": 2}]
    assert page["lifecycle"]["mean_provisioning_s"] >= 0


async def test_routes_and_pools_are_told_as_they_are(functions: Functions) -> None:
    """A deployment that has failed too often, the other that takes its calls, and what is left of a pool."""
    services = functions.services
    route = Route("chat", (Deployment("one", "openai", "m"), Deployment("two", "openai", "m", priority=2)))
    await services.routing.store.put("default", route, None)
    await services.capacity.pools.put("default", Pool("p", agents=("bot",), limits=Limits(concurrent_runs=4)), None)
    router = services.routing.router
    for _ in range(3):
        one = await router.choose(RouteCall("default", "chat", "s", 10))
        await router.failed(one, Failure("failed", "provider_unavailable"))
    await router.answered(await router.choose(RouteCall("default", "chat", "s", 10)))
    await router.aclose()
    room = await services.capacity.admission.admission(AdmissionRequest("default", "bot"))
    assert room is not None
    await room.enter()
    found = families(await functions.text("metrics"))
    room.close()

    def values(name: str, label: str) -> dict[str, float]:
        return {sample.labels[label]: sample.value for sample in found[name].samples}

    assert values("agent_route_breaker", "deployment") == {"one": 2, "two": 0}
    assert values("agent_route_available", "deployment") == {"one": 0, "two": 1}
    assert values("agent_route_share", "deployment") == {"one": 0.75, "two": 0.25}
    assert values("agent_pool_used_share", "limit")["concurrent_runs"] >= 0.25
    assert values("agent_pool_waiting", "pool") == {"p": 0}
