"""The pages about deploying and running: what they name exists, and what they compute is right."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from kernel.settings import Settings
from tests.infra import bicep
from tests.infra.bicep import INFRA, ROOT
from tests.triggers.test_idle import executions
from triggers.timers import TIMERS

DOCS = ROOT / "docs"
PAGES = [DOCS / name for name in ("deploy.md", "operations.md", "security.md", "upgrade.md")]
MAIN = bicep.read(INFRA / "main.bicep")
AZD_PARAMETERS = set(re.findall(r"\$\{([A-Z_]+)", (INFRA / "main.parameters.json").read_text()))

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def anchors(page: Path) -> set[str]:
    """Return what a link can point at in the page, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist, and so do the headings that links point at."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page

        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), target


@every_page
def test_values_of_the_environment_are_outputs(page: Path) -> None:
    """`azd env get-value NAME` finds what the template puts out."""
    assert set(re.findall(r"azd env get-value (\w+)", page.read_text())) - set(MAIN.outputs) == set()


@every_page
def test_values_to_set_are_parameters(page: Path) -> None:
    """`azd env set NAME value` reaches a parameter of the template."""
    assert set(re.findall(r"azd env set ([A-Z_]+)", page.read_text())) - AZD_PARAMETERS - {"NAME"} == set()


@every_page
def test_names_in_capitals_are_known(page: Path) -> None:
    """Settings and switches are spelt as they are read."""
    known = {*Settings.names(), *AZD_PARAMETERS, *MAIN.outputs, "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"}
    known.add("APPLICATIONINSIGHTS_AUTHENTICATION_STRING")
    known |= {"RESOURCE_ID", "APP_ID"}  # stand for what the reader puts in their place
    known |= {"DURABLE_TASK_SCHEDULER_CONNECTION_STRING", "WEBSITE_AUTH_PRM_DEFAULT_WITH_SCOPES"}

    assert set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", page.read_text())) - known == set()


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    """A path in backticks is a path in this repository."""
    folder, file = r"(?:\.github|\.devcontainer|infra|docs|tests|devhost)[\w./-]*", r"[\w-]+\.(?:json|toml|txt)"
    named = set(re.findall(rf"`({folder}|{file})[`:]", page.read_text())) - {"openapi.json"}  # that is a route

    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_production_switches_have_the_defaults_of_the_template() -> None:
    """The table says from what to what."""
    parameters = json.loads((INFRA / "main.parameters.json").read_text())["parameters"].values()
    defaults = dict(re.findall(r"\$\{([A-Z_]+)=([^}]*)\}", " ".join(str(entry["value"]) for entry in parameters)))
    table = (DOCS / "deploy.md").read_text().split("## For production")[1].split("###")[0]
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \| ([^|]+) \|", table, re.MULTILINE)

    assert rows
    for names, values in rows:
        stated = [value.strip(" `") for value in values.split(",")]
        expected = [defaults[name] or "none" for name in re.findall(r"[A-Z_]+", names)]
        assert stated == expected, names


def test_costs_add_up() -> None:
    """Each cell is quantity times unit price, and the last row is the sum of its column."""
    table = (DOCS / "deploy.md").read_text().split("## What it costs")[1].split("**Total**")
    sums = [0.0, 0.0, 0.0]
    rows = re.findall(r"^\| [^|]+ \| ([\d.]+) \|(.+)\|$", table[0], re.MULTILINE)

    assert len(rows) > 5
    for price, cells in rows:
        for column, cell in enumerate(cells.split("|")):
            quantity, cost = re.findall(r"([\d,.]+) → \$([\d.]+)", cell)[0]
            assert abs(float(cost) - float(quantity.replace(",", "")) * float(price)) <= 0.0051, cell
            sums[column] += float(cost)
    totals = [float(total) for total in re.findall(r"\*\*\$([\d.]+)\*\*", table[1].splitlines()[0])]
    assert totals == [round(value, 2) for value in sums]


def test_alert_rules_are_counted() -> None:
    """The bill has as many alert rules as the template; one on queues is charged for each of them."""
    alerts = bicep.read(INFRA / "app/alerts.bicep")
    of_logs = len(alerts.variables["eventRules"]) + len(alerts.variables["requestRules"])
    single = [resource for resource in alerts.resources if resource.type.endswith("metricAlerts") and not resource.loop]
    queues = MAIN.modules["alerts"].body["params"]["queueNames"]
    watched = len(alerts.variables["metricRules"]) * len(queues) + len(single)
    text = (DOCS / "deploy.md").read_text()

    assert f"| Alert rules on logs | 0.50 | {of_logs} →" in text
    assert f"| Metrics that alert rules watch | 0.10 | {watched} →" in text


def test_runs_of_timers_are_counted() -> None:
    """The bill has them as often as the default schedules say, in a month of 730 hours."""
    stated = re.search(r"execution of a timer \(([\d,]+) a month", (DOCS / "deploy.md").read_text())

    assert stated is not None
    assert int(stated[1].replace(",", "")) == round(executions() * 730, -3)


def test_every_threat_names_a_test_that_exists() -> None:
    """A control is worth what shows it; each row of the table names a test, and the test is there."""
    text = (DOCS / "security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Asset")]

    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, function in named:
            assert function in _functions(ROOT / file), f"{file}::{function}"


def test_roles_are_counted() -> None:
    """docs/security.md says how many roles the identity has at most."""
    numbers = {9: "nine", 10: "ten", 11: "eleven", 12: "twelve", 13: "thirteen", 14: "fourteen"}
    roles = json.loads((INFRA / "app/roles.json").read_text())

    assert f"{numbers[len(roles)]} roles at most" in (DOCS / "security.md").read_text()


_DEAD = (
    "lifecycle/runs/dead_letters",
    "lifecycle/runs/failed_runs",
    "lifecycle/conversations/run_transitions",
    "kernel/codec",
)


def test_dead_letter_codes_are_those_of_the_code() -> None:
    """The runbook's codes are the ones that a list of dead letters shows."""
    section = (DOCS / "operations.md").read_text().split("## Dead letters")[1].split("## ")[0]
    source = "".join((ROOT / f"{name}.py").read_text() for name in _DEAD)

    codes = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)

    assert codes
    assert [code for code in codes if code not in source] == []


def test_timers_in_the_runbook_exist() -> None:
    """They can be run by the names that it gives."""
    section = (DOCS / "operations.md").read_text().split("## Timers")[1].split("## ")[0]
    named = set(re.findall(r"timers/(\w+)/run\"", section)) | set(re.findall(r"`([a-z]+_\w+)`", section))

    assert named == {timer.name for timer in TIMERS} | {"run_timers"}


def test_numbers_of_host_json_are_those_of_the_runbook() -> None:
    """The limits that it names are the ones that are set."""
    text = (DOCS / "operations.md").read_text()
    sessions = bicep.host_json()["extensions"]["serviceBus"]["maxConcurrentSessions"]
    requests = bicep.read(INFRA / "app/functions.bicep").variables["httpConcurrency"]

    assert f"| {sessions} conversations at a time per instance |" in text
    assert f"| {requests} requests at a time per instance |" in text
    assert f"| {MAIN.parameters['maximumInstanceCount'].default} instances of the queue's function |" in text


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
