"""What the code names exists in the template, and the reverse: settings, queue, tables, schedules, functions."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from adapters.azure_texts import CONTAINER
from kernel.settings import Settings
from tests.infra import bicep
from tests.infra.bicep import INFRA, ROOT
from triggers.timers import TIMERS

FUNCTIONS = bicep.read(INFRA / "app/functions.bicep")
RUNS = bicep.read(INFRA / "main.bicep").variables["runs"]
QUEUES = bicep.read(INFRA / "app/servicebus.bicep").resource("queues")
QUEUE = QUEUES.body["properties"]
SETTINGS = Settings.of({})

APP_SETTINGS = FUNCTIONS.choices["appSettings"]
PLATFORM_SETTINGS = {
    **FUNCTIONS.choices["platformSettings"],
    **FUNCTIONS.choices["telemetrySettings"],
    **FUNCTIONS.choices["schedulerSettings"],
    **FUNCTIONS.choices["signInSettings"],
}
READ_BY_THE_PLATFORM = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CLIENT_ID",
    "AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName",
    "AzureFunctionsJobHost__extensions__durableTask__storageProvider__type",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "DURABLE_TASK_SCHEDULER_CONNECTION_STRING",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
    "ServiceBusConnection__clientId",
    "ServiceBusConnection__credential",
    "WEBSITE_AUTH_PRM_DEFAULT_WITH_SCOPES",
}
"""Documented settings of the Functions host, its extensions, azure-identity and the Azure Monitor distribution."""

_QUEUES = {"RUN_QUEUE": "queue", "RUN_QUEUE_PRIORITY": "priorityQueue", "RUN_QUEUE_LOW": "lowQueue"}
"""Each queue of runs by its setting, and what the template calls it."""

MAY_BE_EMPTY = {
    "QUEUE_SIGNING_KEY": "signs messages only where queues are pinned to workspaces",
    "REPLY_QUEUES": "a team's own queues, which it creates and lets the app send to",
    "EVENT_GRID_KEY": "topics are reached with the identity; a key would come as a Key Vault reference",
    "LOADER_STRATEGIES": "strategies are compared where an operator wants to know",
    "PUBLIC_URL": "links in notifications are wanted by some only",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "the platform's settings have it, for the host and for the app",
    "AZURE_OPENAI_API_VERSION": "the SDK's own default",
    "EMAIL_DOMAINS": "email is sent where an operator sets a way to",
    "EMAIL_FROM": "email is sent where an operator sets a way to",
    "EmailConnection": "email is sent where an operator sets a way to",
    "EmailConnection__endpoint": "email is sent where an operator sets a way to",
    "SMTP_HOST": "email is sent where an operator sets a way to",
    "SMTP_PASSWORD": "email is sent where an operator sets a way to",
    "SMTP_USERNAME": "email is sent where an operator sets a way to",
    "EXTENSIONS": "the folder of extensions that is deployed with the app, if there is one",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "traces go to Application Insights",
    "OPENAI_API_KEY": "in Azure the identity is used; a key would come as a Key Vault reference",
    "ServiceBusConnection": "the namespace is reached with the identity",
    "TablesConnection": "the account is reached with the identity",
}
"""Settings without a value by default that the template leaves so, and why."""


@pytest.fixture(scope="module")
def indexed() -> list[dict[str, Any]]:
    """Every function of the app as the Functions host sees it: name and raw bindings."""
    code = (
        "import json, function_app;"
        "print(json.dumps([{'name': f.get_function_name(), 'bindings': json.loads(f.get_function_json())['bindings']}"
        " for f in function_app.app.get_functions()]))"
    )
    connections = {
        "TablesConnection": "UseDevelopmentStorage=true",
        "ServiceBusConnection": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=x;SharedAccessKey=y",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **connections},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_every_app_setting_is_one_that_the_app_reads() -> None:
    """A setting under a name that nobody reads is a switch that does nothing."""
    assert set(APP_SETTINGS) - set(Settings.names()) == set()


def test_every_other_setting_is_one_that_the_platform_reads() -> None:
    """Host, extensions and SDKs have settings of their own; the list is closed."""
    assert set(PLATFORM_SETTINGS) == READ_BY_THE_PLATFORM


def test_every_setting_without_a_safe_default_is_set() -> None:
    """What has no default that works in Azure is in the template, or in MAY_BE_EMPTY with the reason."""
    empty = {name for name, value in _defaults().items() if value == ""}

    assert empty - set(APP_SETTINGS) == set(MAY_BE_EMPTY)


def test_settings_are_valid_as_deployed() -> None:
    """The app starts with what the template gives it."""
    values = {name: value for name, value in APP_SETTINGS.items() if not isinstance(value, bicep.Code)}
    given = {name: RUNS[queue] for name, queue in _QUEUES.items()}
    given |= {"RUN_MAX_ATTEMPTS": str(RUNS["maxAttempts"])}
    given |= {"RUN_LEASE_S": str(RUNS["leaseSeconds"]), "AUTH_MODE": "keys"}

    settings = Settings.from_environment(values | given)

    assert settings.run_max_attempts == RUNS["maxAttempts"]


def test_no_setting_holds_a_secret() -> None:
    """Keys in settings are read by everyone who may see the app; connections name an address and an identity."""
    named = {name for name in {**APP_SETTINGS, **PLATFORM_SETTINGS} if re.search(r"KEY|SECRET|PASSWORD", name)}
    connection = PLATFORM_SETTINGS["DURABLE_TASK_SCHEDULER_CONNECTION_STRING"]

    assert named == set()
    assert "Authentication=ManagedIdentity" in connection
    assert "AccountKey" not in (INFRA / "app/functions.bicep").read_text()


def test_the_queues_are_those_that_the_code_reads() -> None:
    """The triggers, producers and the template name the same queues, and roles and alerts are of all."""
    named = [f"runs.{queue}" for queue in _QUEUES.values()]
    defaults = _defaults()

    assert [defaults[name] for name in _QUEUES] == [RUNS[queue] for queue in _QUEUES.values()]
    assert _param("serviceBus", "queueNames") == _param("alerts", "queueNames") == named
    for module in ("functions", "roles"):
        assert [_param(module, f"{queue}Name") for queue in _QUEUES.values()] == named
    assert [APP_SETTINGS[name] for name in _QUEUES] == [f"{queue}Name" for queue in _QUEUES.values()]


def test_the_queues_have_sessions(indexed: list[dict[str, Any]]) -> None:
    """The triggers ask for sessions, and a queue cannot be given them later."""
    triggers = [binding for binding in _bindings(indexed) if binding["type"] == "serviceBusTrigger"]

    assert QUEUES.loop == "queueNames"
    assert len(triggers) == len(_param("serviceBus", "queueNames"))
    assert all(QUEUE["requiresSession"] is trigger["isSessionsEnabled"] is True for trigger in triggers)


def test_the_queue_delivers_as_often_as_a_run_is_tried() -> None:
    """Fewer deliveries lose the record of why a run failed; more deliver a run that has already been failed."""
    assert QUEUE["maxDeliveryCount"] == "maxDeliveryCount"
    assert _param("serviceBus", "maxDeliveryCount") == _param("functions", "maxAttempts") == "runs.maxAttempts"
    assert APP_SETTINGS["RUN_MAX_ATTEMPTS"] == "string(maxAttempts)"
    assert RUNS["maxAttempts"] == SETTINGS.run_max_attempts


def test_the_lock_lasts_as_long_as_the_lease() -> None:
    """A worker that died loses message and run at the same time; Service Bus locks for 5 minutes at most."""
    assert QUEUE["lockDuration"] == "'PT${lockSeconds}S'"
    assert _param("serviceBus", "lockSeconds") == _param("functions", "leaseSeconds") == "runs.leaseSeconds"
    assert APP_SETTINGS["RUN_LEASE_S"] == "string(leaseSeconds)"
    assert SETTINGS.run_lease == RUNS["leaseSeconds"] <= 300


def test_what_expires_is_dead_lettered() -> None:
    """A run that nobody took in time is listed and can be redriven, instead of being gone."""
    assert QUEUE["deadLetteringOnMessageExpiration"] is True


def test_the_local_queues_are_the_deployed_ones() -> None:
    """What is tried on a laptop holds in Azure: both emulators and the template declare the same queues."""
    topology = json.loads((ROOT / "devhost/servicebus/topology.json").read_text())
    local, *others = topology["UserConfig"]["Namespaces"][0]["Queues"]
    properties = {name[0].lower() + name[1:]: value for name, value in local["Properties"].items()}

    replies = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]["REPLY_QUEUES"]
    assert [each["Name"] for each in (local, *others)] == [*(RUNS[queue] for queue in _QUEUES.values()), replies]
    assert all(each["Properties"] == local["Properties"] for each in others)
    assert properties["requiresSession"] == QUEUE["requiresSession"]
    assert properties["requiresDuplicateDetection"] == QUEUE["requiresDuplicateDetection"]
    assert properties["duplicateDetectionHistoryTimeWindow"] == QUEUE["duplicateDetectionHistoryTimeWindow"]
    assert properties["defaultMessageTimeToLive"] == QUEUE["defaultMessageTimeToLive"]
    assert properties["maxDeliveryCount"] == RUNS["maxAttempts"]
    assert properties["lockDuration"] == f"PT{RUNS['leaseSeconds'] // 60}M"


def test_schedules_are_the_documented_ones(indexed: list[dict[str, Any]]) -> None:
    """Each timer's setting is in the template with the default of the code, and each schedule there has its timer."""
    bound = {binding["schedule"] for binding in _bindings(indexed) if binding["type"] == "timerTrigger"}
    deployed = {name: value for name, value in APP_SETTINGS.items() if name.endswith("_SCHEDULE")}

    assert {timer.schedule for timer in TIMERS} == deployed.keys()
    assert bound == {f"%{timer.schedule}%" for timer in TIMERS if timer.alone} | {"55 * * * * *"}
    assert deployed == {name: value for name, value in _defaults().items() if name.endswith("_SCHEDULE")}


def test_what_bindings_refer_to_is_set(indexed: list[dict[str, Any]]) -> None:
    """The host resolves %NAME% from app settings only; a default in the code does not reach it."""
    referred = set(re.findall(r"%(\w+)%", json.dumps(indexed)))

    assert referred
    assert referred - set(APP_SETTINGS) == set()


def test_connections_of_bindings_have_identity_settings(indexed: list[dict[str, Any]]) -> None:
    """A connection by identity is three settings: where, how, and which identity."""
    names = {binding["connection"] for binding in _bindings(indexed) if "connection" in binding}

    assert names == {"ServiceBusConnection"}
    assert "ServiceBusConnection__fullyQualifiedNamespace" in APP_SETTINGS
    assert PLATFORM_SETTINGS["ServiceBusConnection__credential"] == "managedidentity"
    assert PLATFORM_SETTINGS["AzureWebJobsStorage__credential"] == "managedidentity"
    assert PLATFORM_SETTINGS["AZURE_CLIENT_ID"] == PLATFORM_SETTINGS["ServiceBusConnection__clientId"]


def test_instances_kept_warm_are_of_functions_that_exist(indexed: list[dict[str, Any]]) -> None:
    """Flex Consumption takes `http`, `durable`, `blob`, or `function:NAME` of a function that is none of these."""
    groups = [group["name"] for group in FUNCTIONS.variables["alwaysReady"]]
    named = {group.removeprefix("function:") for group in groups if group.startswith("function:")}

    assert named <= {function["name"] for function in indexed}
    assert {group for group in groups if not group.startswith("function:")} <= {"http", "durable", "blob"}


def test_paths_open_to_anyone_are_the_anonymous_ones(indexed: list[dict[str, Any]]) -> None:
    """What needs no key needs no sign-in either, and nothing else is open."""
    auth = FUNCTIONS.resource("auth").body["properties"]["globalValidation"]["excludedPaths"]
    routes = {
        f"/api/{binding['route'].replace('{*path}', '*')}"
        for binding in _bindings(indexed)
        if binding["type"] == "httpTrigger" and binding["authLevel"].upper() == "ANONYMOUS"
    }

    assert set(auth) == {re.sub(r"\{\w+\}", "*", route) for route in routes}


def test_tables_are_those_that_the_code_names() -> None:
    """Every table that the code reads or writes is in infra/app/tables.json, and none besides."""
    assert _tables() == set(json.loads((INFRA / "app/tables.json").read_text()))


def test_tables_are_made_from_the_list() -> None:
    """The list is what the template deploys."""
    tables = bicep.read(INFRA / "app/storage.bicep").resource("appTables")

    assert tables.loop == "loadJsonContent('tables.json')"
    assert tables.body["name"] == "table"


def test_the_container_of_long_texts_is_the_one_that_the_code_names() -> None:
    """It is made with the account, closed, and the app never has to."""
    storage = bicep.read(INFRA / "app/storage.bicep")
    texts = storage.resource("texts")

    assert storage.variables["textsContainerName"] == CONTAINER
    assert texts.body["name"] == "textsContainerName"
    assert texts.body["properties"] == {"publicAccess": "None"}


def test_the_worker_sends_telemetry_exactly_when_its_package_is_there() -> None:
    """Switched on without the package, every worker start logs an error; with it and off, no event reaches an alert."""
    exported = bicep.read(INFRA / "main.bicep").variables["eventsExported"]

    assert exported == "contains(loadTextContent('../requirements.txt'), 'azure-monitor-opentelemetry==')"
    assert set(FUNCTIONS.choices["telemetrySettings"]) == {"PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"}
    assert FUNCTIONS.variables["telemetrySettings"].startswith("eventsExported ?")


def _defaults() -> dict[str, str]:
    values = SETTINGS.by_alias()
    plain = {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
        for name, value in values.items()
    }
    return {name: str(value) for name, value in plain.items()}


def _param(module: str, name: str) -> Any:
    return bicep.read(INFRA / "main.bicep").modules[module].body["params"][name]


def _bindings(indexed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [binding for function in indexed for binding in function["bindings"]]


def _tables() -> set[str]:
    """Return every table that is named in a call on the Tables seam."""
    found: set[str] = set()
    for package in ("kernel", "lifecycle", "llmops", "adapters", "bootstrap", "triggers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            found |= _tables_of(path)
    return found


def _tables_of(path: Path) -> set[str]:
    text = path.read_text()
    if not re.search(r"tables|every|first_rows", text):
        return set()  # `_table_argument` would find nothing
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    constants = _constants(tree) | {
        name.asname or name.name: _constants_in(_module(node)).get(name.name, "")
        for node in nodes
        if isinstance(node, ast.ImportFrom) and _module(node).is_file()
        for name in node.names
    }
    arguments = [argument for node in nodes if isinstance(node, ast.Call) for argument in _table_argument(node)]
    literal = {argument.value for argument in arguments if isinstance(argument, ast.Constant)}
    named = {
        constants[argument.id] for argument in arguments if isinstance(argument, ast.Name) and argument.id in constants
    }
    return {str(name) for name in literal | named}


def _table_argument(call: ast.Call) -> list[ast.expr]:
    match call.func:
        case ast.Attribute(attr="get" | "query" | "commit", value=receiver) if ast.unparse(receiver).endswith("tables"):
            return call.args[:1]
        case ast.Name(id="every" | "first_rows"):
            return call.args[1:2]
        case _:
            return []


@cache
def _constants_in(path: Path) -> dict[str, str]:
    return _constants(ast.parse(path.read_text()))


def _constants(tree: ast.Module) -> dict[str, str]:
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _module(node: ast.ImportFrom) -> Path:
    return ROOT / f"{(node.module or '').replace('.', '/')}.py"
