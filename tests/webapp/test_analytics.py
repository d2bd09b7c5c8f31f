"""The charts of the web app over the sample data, and where they lead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from playwright.async_api import expect

from bootstrap.services import Services
from examples.sample.__main__ import count, record
from examples.sample.conversations import converse
from examples.sample.facts import CHANGED, facts
from kernel.settings import Settings
from llmops.facts.attempt_fact import AttemptFact
from tests.e2e.support import Api, Stack
from tests.webapp.support import PATIENCE_MS, Reader

pytestmark = [pytest.mark.xdist_group("webapp"), pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]
expect.set_options(timeout=PATIENCE_MS)
AGENT = "customer_service"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def history(app_stack: Stack) -> AsyncIterator[Sequence[AttemptFact]]:
    """Store what an agent did in the days around its change, and yield it."""
    now = datetime.now(UTC)
    around = {now.date() - timedelta(days=CHANGED + ago) for ago in range(-6, 6)}  # of weekends, too, which are quiet
    found = [
        fact for fact in facts(now.date(), now) if fact.who.agent == AGENT and fact.timing.ended_at.date() in around
    ]
    services = Services.for_azure(Settings.from_environment(app_stack.environment()))
    first = [fact for fact in found if fact.timing.ended_at.date() == min(around)]
    await asyncio.gather(record(services, found), converse(services, first, now))
    await services.aclose()
    await app_stack.run_timer("aggregate_facts")
    yield found


async def test_a_regression_is_marked_and_leads_to_its_runs(
    api: Api, history: Sequence[AttemptFact], reader: Reader
) -> None:
    """The newer version scores worse: said below the chart; a day's runs are one step away, failed ones apart."""
    await api.declare(AGENT)
    first, last = min(f.timing.ended_at for f in history).date(), max(f.timing.ended_at for f in history).date()
    await reader.open(f"quality?agent={AGENT}&from={first}&to={last}")
    quality = reader.page.get_by_role("region", name="Quality by version", exact=True).first
    await expect(quality.locator(".mark")).to_contain_text("Regression. Version 2 scores")
    latency = reader.page.get_by_role("region", name="Latency", exact=True).first
    await latency.get_by_text("Numbers as a table").click()
    await expect(latency.locator("thead")).to_contain_text("p99")
    assert await reader.violations() == []
    await reader.picture("quality-regression")
    await latency.locator("tbody a").first.click()

    day = [fact for fact in history if fact.timing.accepted_at.date() == first and fact.final]
    await expect(reader.page).to_have_url(re.compile(f"agent={AGENT}&from={first}&to={first}"))
    rows = reader.page.get_by_role("region", name="Runs").locator("tbody tr")
    await expect(rows).to_have_count(len(day))
    await reader.page.get_by_label("State").select_option("failed")
    await expect(rows).to_have_count(sum(fact.ending.value == "failed" for fact in day))


async def test_budgets_and_costs_say_the_same(
    app_stack: Stack, api: Api, history: Sequence[AttemptFact], reader: Reader
) -> None:
    """The month's line, its budget and the table beside it are one amount; a forecast is never below it."""
    now = datetime.now(UTC)
    await api.call("PUT", f"budgets/agent:{AGENT}", {"limits": [{"unit": "usd", "period": "month", "limit": 100}]})
    services = Services.for_azure(Settings.from_environment(app_stack.environment()))
    await count(services, history, now)
    await services.aclose()
    month = f"{now:%Y-%m}-01"
    spent = await api.get(f"costs?group_by=agent&from={month}&to={now.date()}")
    own = sum(each["spend"]["cost_micro_usd"] for each in spent["groups"] if each["name"] == AGENT)
    await reader.open(f"costs?from={month}")

    budget = reader.page.get_by_role("region", name="Budgets and what is used of them")
    await expect(budget).to_contain_text(f"${own / 1e6:.6f}".rstrip("0"))
    await api.call("DELETE", f"budgets/agent:{AGENT}")


async def test_a_forecast_is_never_below_what_is_spent(reader: Reader) -> None:
    """The report may be some minutes older than the costs beside it."""
    await reader.open("now")
    report = "{ forecast: { expected: 90, low: 80, high: 100, from_days: 9 } }"
    foreseen = await reader.of_module("reports.js", f"({{ foreseen }}) => foreseen({report}, 95)")

    assert foreseen == {"expected": 95, "low": 95, "high": 100, "days": 9}
