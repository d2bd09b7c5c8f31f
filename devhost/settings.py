"""App settings and host.json, read as Core Tools and the Functions host read them."""

import json
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from devhost.errors import StartupError
from devhost.timespan import parse_timespan

MAX_WORKERS = 10
_HOST_PREFIX = "azurefunctionsjobhost__"
_PERCENT_NAME = re.compile(r"%([^%\s]+)%")


@dataclass(frozen=True, kw_only=True)
class ServiceBusOptions:
    """`extensions.serviceBus` of host.json (extension 5.x), with the extension's defaults; durations in seconds."""

    max_concurrent_sessions: int = 8
    max_concurrent_calls: int = 16
    max_auto_lock_renewal_s: float = 300.0
    session_idle_timeout_s: float = 60.0
    auto_complete_messages: bool = True


@dataclass(frozen=True, kw_only=True)
class DurableOptions:
    """`extensions.durableTask` of host.json, with the extension's defaults."""

    hub_name: str = "TestHubName"
    max_concurrent_entities: int = 10
    max_entity_batch_size: int = 5000


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """The supported parts of host.json."""

    route_prefix: str = "api"
    #: Longest run of one invocation in seconds; None means no limit.
    function_timeout_s: float | None = 1800.0
    service_bus: ServiceBusOptions = field(default_factory=ServiceBusOptions)
    durable: DurableOptions = field(default_factory=DurableOptions)


@dataclass(frozen=True, kw_only=True)
class ServiceBusConnection:
    """The connection of a Service Bus trigger: exactly one of the two fields is set."""

    connection_string: str | None = None
    fully_qualified_namespace: str | None = None


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; an absent file is an empty object.

    Raises:
        StartupError: The file is not a JSON object.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise StartupError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise StartupError(f"{path} must hold a JSON object")
    return content


def load_app_settings(root: Path, environ: MutableMapping[str, str]) -> Path | None:
    """Add the `Values` of local.settings.json to the environment; existing variables take precedence, as in Core Tools.

    Returns:
        The file that was read: local.settings.json, else local.settings.example.json, else None.
    """
    for name in ("local.settings.json", "local.settings.example.json"):
        path = root / name
        if path.exists():
            for key, value in (read_json(path).get("Values") or {}).items():
                if value is not None:
                    environ.setdefault(key, value if isinstance(value, str) else json.dumps(value))
            return path
    return None


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace every `%NAME%` in a binding's value by that app setting.

    Raises:
        StartupError: A named setting does not exist.
    """

    def setting(match: re.Match[str]) -> str:
        try:
            return environ[match[1]]
        except KeyError:
            raise StartupError(f"{text!r} needs the app setting {match[1]!r}, which is not set") from None

    return _PERCENT_NAME.sub(setting, text)


def service_bus_connection(name: str, environ: Mapping[str, str]) -> ServiceBusConnection:
    """Return a binding's connection: `NAME` is a connection string, or `NAME__fullyQualifiedNamespace` a host name.

    Raises:
        StartupError: Neither setting exists.
    """
    for candidate in (name, f"AzureWebJobs{name}"):
        if text := environ.get(candidate):
            return ServiceBusConnection(connection_string=text)
    if namespace := environ.get(f"{name}__fullyQualifiedNamespace"):
        return ServiceBusConnection(fully_qualified_namespace=namespace)
    raise StartupError(f"the app setting {name!r} (or {name}__fullyQualifiedNamespace) is not set")


def is_disabled(function: str, environ: Mapping[str, str]) -> bool:
    """Return whether `AzureWebJobs.<function>.Disabled` (or its form with underscores) disables a function."""
    for name in (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs_{function}_Disabled"):
        if environ.get(name, "").strip().lower() in {"1", "true"}:
            return True
    return False


def worker_count(asked: int | None, environ: Mapping[str, str]) -> int:
    """Return the number of processes that run functions: as requested, else FUNCTIONS_WORKER_PROCESS_COUNT, else 1.

    Raises:
        StartupError: It is not a whole number from 1 to 10, the platform's limits.
    """
    text = str(asked) if asked is not None else environ.get("FUNCTIONS_WORKER_PROCESS_COUNT") or "1"
    if not text.strip().isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        what = "--workers" if asked is not None else "FUNCTIONS_WORKER_PROCESS_COUNT"
        raise StartupError(f"{what} must be a whole number from 1 to {MAX_WORKERS}, not {text!r}")
    return int(text)


def load_host_options(root: Path, cpu_count: int, environ: Mapping[str, str]) -> HostOptions:
    """Read host.json of an app, and the settings that replace values of it, as on the platform.

    `AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentSessions` replaces that value, for example.

    Args:
        root: The app's directory.
        environ: The app settings.
        cpu_count: Cores of this machine; the host's concurrency defaults are multiples of it.

    Raises:
        StartupError: host.json is malformed.
    """
    content = _replaced(read_json(root / "host.json"), environ)
    extensions = content.get("extensions") or {}
    bus, durable, http = (extensions.get(key) or {} for key in ("serviceBus", "durableTask", "http"))
    timeout = str(content.get("functionTimeout") or "00:30:00")
    try:
        return HostOptions(
            route_prefix=str(http.get("routePrefix", "api")).strip("/"),
            function_timeout_s=None if timeout == "-1" else parse_timespan(timeout).total_seconds(),
            service_bus=ServiceBusOptions(
                max_concurrent_sessions=int(bus.get("maxConcurrentSessions", 8)),
                max_concurrent_calls=int(bus.get("maxConcurrentCalls", 16 * cpu_count)),
                max_auto_lock_renewal_s=_seconds(bus, "maxAutoLockRenewalDuration", timedelta(minutes=5)),
                session_idle_timeout_s=_seconds(bus, "sessionIdleTimeout", timedelta(minutes=1)),
                auto_complete_messages=str(bus.get("autoCompleteMessages", True)).lower() == "true",
            ),
            durable=DurableOptions(
                hub_name=str(durable.get("hubName", "TestHubName")),
                max_concurrent_entities=int(durable.get("maxConcurrentEntityFunctions", 10 * cpu_count)),
                max_entity_batch_size=int(durable.get("maxEntityOperationBatchSize") or 5000),
            ),
        )
    except (TypeError, ValueError) as error:
        raise StartupError(f"{root / 'host.json'}: {error}") from error


def _replaced(content: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return host.json with the values that app settings give; names match in any case."""
    for name, value in environ.items():
        if not name.lower().startswith(_HOST_PREFIX):
            continue
        *parents, last = name[len(_HOST_PREFIX) :].split("__")
        section = content
        for parent in parents:
            key = _key(section, parent)
            if not isinstance(section.get(key), dict):
                section[key] = {}
            section = section[key]
        section[_key(section, last)] = value
    return content


def _key(section: Mapping[str, Any], name: str) -> str:
    """Return the name as the section spells it."""
    return next((key for key in section if key.lower() == name.lower()), name)


def _seconds(section: Mapping[str, Any], key: str, default: timedelta) -> float:
    value = section.get(key)
    return (default if value is None else parse_timespan(str(value))).total_seconds()
