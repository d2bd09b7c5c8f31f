"""The host's output: its log on stderr, the list of functions on stdout.

An idle host logs problems only. Requests and entity operations are one line each; for a message, the app itself logs
the outcome. Scheduled timer runs, their messages below WARNING, and libraries' informational messages are shown with
`--verbose`.
"""

import logging
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from devhost.context import QUIET
from devhost.errors import StartupError
from devhost.http_trigger import full_route, methods
from devhost.index import ENTITY, HTTP, SERVICE_BUS, TIMER, Function
from devhost.settings import expand

#: Libraries whose information is about every request they send or receive.
_QUIET = (
    "azure", "uamqp", "aiohttp", "asyncio", "urllib3", "httpx", "httpcore", "openai", "opentelemetry", "mcp",
    "agent_framework",
)  # fmt: skip
# The trigger reports its connection errors, once per outage.
_SILENT = ("azure.servicebus._pyamqp",)
_TITLES = {SERVICE_BUS: "Service Bus queues", TIMER: "Timers", ENTITY: "Durable entities"}
#: The binding's property that tells one function from another.
_WHAT = {SERVICE_BUS: "queueName", TIMER: "schedule", ENTITY: "entityName"}


class _Formatter(logging.Formatter):
    """Plain lines for the host's own messages; level and logger for all others."""

    def format(self, record: logging.LogRecord) -> str:
        plain = record.levelno == logging.INFO and record.name.startswith("devhost.")
        self._style._fmt = (  # noqa: SLF001 - two formats, chosen for each record
            "[%(asctime)s] %(message)s" if plain else "[%(asctime)s] %(levelname)s %(name)s: %(message)s"
        )
        return super().format(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the base class's name
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure_logging(*, verbose: bool = False) -> None:
    """Send log records to stderr: the host's and the app's from INFO, libraries' from WARNING; more if verbose."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    if not verbose:
        handler.addFilter(lambda record: record.levelno >= logging.WARNING or not QUIET.get())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("devhost").setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def function_list(functions: Iterable[Function], disabled: frozenset[str], prefix: str, url: str) -> list[str]:
    """Return the lines that list an app's functions: HTTP ones by the first part of their route, then by trigger."""
    named = sorted(functions, key=lambda function: function.name)
    lines = [""]
    if https := [function for function in named if function.type == HTTP]:
        lines.append(f"HTTP ({len(https)}), below {url}{'/' * bool(prefix)}{prefix}")
        routes = sorted((full_route(function, "") or "/", _methods(function), function) for function in https)
        widest = max(len(verbs) for _, verbs, _ in routes)
        group = None
        for route, verbs, function in routes:
            if (first := route.partition("/")[0]) != group:
                group = first
                lines.append(f"  {group}")
            lines.append(f"    {verbs:<{widest}}  /{route}  {function.name}{_mark(function, disabled)}")
    for kind, title in _TITLES.items():
        if of_kind := [function for function in named if function.type == kind]:
            lines.append(f"{title} ({len(of_kind)})")
            widest = max(len(function.name) for function in of_kind)
            lines += [
                f"    {function.name:<{widest}}  {_what(function)}{_mark(function, disabled)}" for function in of_kind
            ]
    return [*lines, ""]


def _methods(function: Function) -> str:
    return ",".join(sorted(methods(function))) or "ANY"


def _what(function: Function) -> str:
    text = str(function.trigger.get(_WHAT[function.type]) or function.name)
    try:
        return expand(text, os.environ)
    except StartupError:  # of a disabled function
        return text


def _mark(function: Function, disabled: frozenset[str]) -> str:
    return "  (disabled)" if function.name in disabled else ""
