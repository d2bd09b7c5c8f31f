"""Settings, host.json and bindings' references to them."""

import json
from pathlib import Path

import pytest

from devhost.errors import StartupError
from devhost.settings import (
    ServiceBusConnection,
    expand,
    is_disabled,
    load_app_settings,
    load_host_options,
    service_bus_connection,
)


def _write(path: Path, **values: object) -> None:
    path.write_text(json.dumps({"IsEncrypted": False, "Values": values}))


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable that is set keeps its value, as with Core Tools."""
    _write(tmp_path / "local.settings.json", A="file", B="file")
    environ = {"A": "shell"}

    load_app_settings(tmp_path, environ)

    assert environ == {"A": "shell", "B": "file"}


def test_the_example_stands_in_for_a_missing_file(tmp_path: Path) -> None:
    """A fresh checkout runs on local.settings.example.json, and only until there is a real one."""
    _write(tmp_path / "local.settings.example.json", A="example")
    environ: dict[str, str] = {}

    assert tmp_path / "local.settings.example.json" == load_app_settings(tmp_path, environ)
    assert environ == {"A": "example"}

    _write(tmp_path / "local.settings.json", A="real")
    assert tmp_path / "local.settings.json" == load_app_settings(tmp_path, {})


def test_a_malformed_file_stops_the_start(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "local.settings.json").write_text("{")

    with pytest.raises(StartupError, match=r"local\.settings\.json is not valid JSON"):
        load_app_settings(tmp_path, {})


def test_percent_names_are_expanded() -> None:
    """Every `%NAME%` of a binding's value is that setting; other percent signs stay."""
    assert expand("a-%Q%-100%", {"Q": "runs"}) == "a-runs-100%"


def test_an_unset_name_stops_the_start() -> None:
    """The message names the setting."""
    with pytest.raises(StartupError, match="'Q'"):
        expand("%Q%", {})


def test_connections_are_strings_or_namespaces() -> None:
    """`NAME` holds a connection string, `NAME__fullyQualifiedNamespace` a host for identity-based access."""
    assert ServiceBusConnection(connection_string="Endpoint=x") == service_bus_connection("Bus", {"Bus": "Endpoint=x"})
    assert ServiceBusConnection(fully_qualified_namespace="x.net") == service_bus_connection(
        "Bus", {"Bus__fullyQualifiedNamespace": "x.net"}
    )
    with pytest.raises(StartupError, match="Bus__fullyQualifiedNamespace"):
        service_bus_connection("Bus", {})


@pytest.mark.parametrize("name", ["AzureWebJobs.prune.Disabled", "AzureWebJobs_prune_Disabled"])
def test_functions_are_disabled_by_setting(name: str) -> None:
    """Both spellings of the setting switch a function off, and only that one."""
    assert is_disabled("prune", {name: "True"})
    assert not is_disabled("prune", {name: "false"})
    assert not is_disabled("other", {name: "true"})


def test_host_json_is_honoured(tmp_path: Path) -> None:
    """Route prefix, timeouts and the concurrency of the extensions come from host.json."""
    bus = {"maxConcurrentSessions": 3, "sessionIdleTimeout": "00:00:02", "maxAutoLockRenewalDuration": "00:30:00"}
    extensions = {"http": {"routePrefix": ""}, "serviceBus": bus, "durableTask": {"hubName": "Hub"}}
    (tmp_path / "host.json").write_text(json.dumps({"functionTimeout": "-1", "extensions": extensions}))

    options = load_host_options(tmp_path, 2, {})

    assert (options.route_prefix, options.function_timeout_s, options.durable.hub_name) == ("", None, "Hub")
    assert (
        options.service_bus.max_concurrent_sessions,
        options.service_bus.session_idle_timeout_s,
        options.service_bus.max_auto_lock_renewal_s,
    ) == (3, 2.0, 1800.0)


def test_app_settings_replace_values_of_host_json(tmp_path: Path) -> None:
    """Whatever their case, and sections that the file has not."""
    (tmp_path / "host.json").write_text(json.dumps({"extensions": {"serviceBus": {"maxConcurrentSessions": 64}}}))
    settings = {"extensions__serviceBus__MaxConcurrentSessions": "2", "extensions__durableTask__hubName": "Hub"}

    options = load_host_options(tmp_path, 1, {f"AzureFunctionsJobHost__{key}": settings[key] for key in settings})

    assert (options.service_bus.max_concurrent_sessions, options.durable.hub_name) == (2, "Hub")


def test_without_host_json_the_defaults_are_the_hosts(tmp_path: Path) -> None:
    """Concurrency defaults grow with the cores."""
    options = load_host_options(tmp_path, 2, {})

    assert (options.route_prefix, options.function_timeout_s) == ("api", 1800.0)
    assert (
        options.service_bus.max_concurrent_calls,
        options.service_bus.max_concurrent_sessions,
        options.durable.max_concurrent_entities,
    ) == (32, 8, 20)


def test_a_bad_time_span_names_the_file(tmp_path: Path) -> None:
    """A malformed host.json is one clear error."""
    (tmp_path / "host.json").write_text('{"functionTimeout": "soon"}')

    with pytest.raises(StartupError, match=r"host\.json: 'soon' is not a time span"):
        load_host_options(tmp_path, 1, {})
