"""What the host shows: its log on stderr, its functions on stdout."""

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from devhost.http_trigger import full_route, methods
from devhost.index import HTTP, Function

_QUIET = ("azure", "uamqp", "aiohttp", "asyncio", "urllib3", "httpx", "httpcore")
# Its connection errors are reported by the trigger, once for each outage.
_SILENT = ("azure.servicebus._pyamqp",)


class _Formatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the base class's name
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure_logging(level: int = logging.INFO) -> None:
    """Send every log record to stderr, libraries from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("[%(asctime)s] %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def function_list(functions: Iterable[Function], disabled: frozenset[str], prefix: str, url: str) -> list[str]:
    """Return the lines that list an app's functions, HTTP ones with their URLs first, as `func start` does."""
    ordered = sorted(functions, key=lambda function: function.type != HTTP)
    lines = ["", "Functions:", ""]
    for function in ordered:
        what = function.type
        if function.type == HTTP:
            what = f"[{','.join(sorted(methods(function))) or 'ANY'}] {url}/{full_route(function, prefix)}"
        lines.append(f"  {function.name}: {what}{' (disabled)' if function.name in disabled else ''}")
    return [*lines, ""]
