"""Alerts and the workbook: every signal that they wait for is one that is sent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.infra import bicep
from tests.infra.bicep import INFRA, ROOT

ALERTS = bicep.read(INFRA / "app/alerts.bicep")
QUERIES = sorted((INFRA / "app/queries").glob("*.kql"))
WORKBOOK = json.loads((INFRA / "app/workbook.json").read_text())
PLATFORM_METRICS = {
    "Microsoft.ServiceBus/namespaces": {"ActiveMessages", "DeadletteredMessages", "ThrottledRequests"},
    "Microsoft.Storage/storageAccounts": {"Availability"},
}
"""learn.microsoft.com/azure/azure-monitor/reference/metrics-index; only those used."""


def rules() -> list[dict[str, Any]]:
    return [rule for name in ("eventRules", "requestRules", "metricRules") for rule in ALERTS.variables[name]]


def emitted() -> set[str]:
    """Return the event names in the code's log calls."""
    packages = ("adapters", "bootstrap", "lifecycle", "llmops", "triggers")
    sources = [path.read_text() for package in packages for path in (ROOT / package).rglob("*.py")]
    return {name for source in sources for name in re.findall(r'"([a-z_]+\.[a-z_]+)"', source)}


def waited_for(query: str) -> set[str]:
    """Return the event names in a query."""
    return set(re.findall(r"'([a-z_]+\.[a-z_]+)'", query))


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_waits_for_events_that_the_code_sends(path: Path) -> None:
    """An alert on a name that nobody logs is silent for ever and looks like good news."""
    assert waited_for(path.read_text()) - emitted() == set()


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_gives_one_value(path: Path) -> None:
    """The rules measure the column `Value`; each query says in its first line what that is."""
    lines = path.read_text().splitlines()

    assert lines[0].startswith("// ")
    assert re.search(r"(?:summarize|project) Value = ", lines[-1])


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_is_used_by_a_rule(path: Path) -> None:
    """A query that no rule loads alerts nobody."""
    assert sum(f"'queries/{path.name}'" in str(rule.get("query")) for rule in rules()) == 1


def test_rules_on_events_need_the_worker_s_telemetry() -> None:
    """Without its package the worker's logs arrive without event names, so there are no such rules."""
    logs = ALERTS.resource("logAlerts")
    of_events = {re.findall(r"queries/\w+\.kql", rule["query"])[0] for rule in ALERTS.variables["eventRules"]}
    with_events = {f"queries/{path.name}" for path in QUERIES if waited_for(path.read_text())}

    assert logs.loop == "concat(requestRules, eventsExported ? eventRules : [])"
    assert of_events == with_events


def test_functions_named_in_queries_exist() -> None:
    """Requests are found by the name of their function."""
    named = {name for path in QUERIES for name in re.findall(r"(?:has|contains) '(\w+)'", path.read_text())}
    triggers = "".join(path.read_text() for path in (ROOT / "triggers").glob("*.py"))

    assert named
    assert {name for name in named if f'"{name}"' not in triggers} == set()


def test_metrics_are_the_platform_s() -> None:
    """Names of metrics are spelt as the platform spells them."""
    text = (INFRA / "app/alerts.bicep").read_text()
    named = set(re.findall(r"metric(?:Name)?: '(\w+)'", text))

    assert named == set().union(*PLATFORM_METRICS.values())
    assert set(re.findall(r"metricNamespace: '([^']+)'", text)) == set(PLATFORM_METRICS)


def test_every_rule_says_what_it_means_and_is_in_the_runbook() -> None:
    """Whoever is woken reads the rule's sentence, and docs/operations.md for what to do."""
    runbook = (ROOT / "docs/operations.md").read_text()
    single = [resource.body["name"] for resource in ALERTS.resources if not resource.loop and "Alerts" in resource.type]
    names = [rule["name"] for rule in rules()] + single

    assert len(set(names)) == len(names)
    assert all(rule["says"].endswith(".") for rule in rules())
    assert [name for name in names if f"`{name}`" not in runbook] == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["name"])
def test_windows_are_those_that_rules_may_have(rule: dict[str, Any]) -> None:
    """Log rules take windows up to two days that are no shorter than how often they are evaluated."""
    minutes = {"PT5M": 5, "PT15M": 15, "PT1H": 60, "P1D": 1440}

    assert minutes[rule["window"]] >= (15 if "query" in rule else 5)


def test_the_workbook_waits_for_events_that_the_code_sends() -> None:
    """A panel that can only be empty teaches to ignore empty panels."""
    queries = [item["content"]["query"] for item in WORKBOOK["items"] if item["type"] == 3]

    assert queries
    assert set().union(*map(waited_for, queries)) - emitted() == set()


def test_the_workbook_is_pointed_at_this_environment() -> None:
    """Its resources are put in when it is deployed; nothing of another subscription is left in it."""
    text = json.dumps(WORKBOOK)
    put_in = set(re.findall(r"'(__\w+__)'", (INFRA / "app/workbook.bicep").read_text()))

    assert set(re.findall(r"__[A-Z_]+__", text)) == put_in
    assert "/subscriptions/" not in text


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_brackets_and_quotes_of_a_query_are_closed(path: Path) -> None:
    """There is no Kusto parser here; this catches the slip of the hand."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("//"))

    assert text.count("(") == text.count(")")
    assert text.count("'") % 2 == 0
