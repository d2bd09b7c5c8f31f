"""`python -m devhost.stack`: starts the whole local stack with one command; Ctrl-C stops all of it."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from devhost.errors import StartupError
from devhost.processes import ChildFailedError
from devhost.services import (
    PROJECT,
    Azurite,
    Service,
    ServiceBus,
    check_port,
    node,
    start_azurite,
    start_host,
    start_service_bus,
)
from devhost.settings import read_json


class _StoppedError(Exception):
    """The user asked to stop."""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        "python -m devhost.stack", description="Start Azurite, the Service Bus emulator and the app's host."
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the app's directory (default: this one)")
    parser.add_argument("--port", type=int, default=7071, help="HTTP port of the app (default: %(default)s)")
    parser.add_argument(
        "--rpc-port", type=int, default=17071, help="port of the Durable client's calls (default: %(default)s)"
    )
    parser.add_argument("--blob-port", type=int, default=10000, help="Azurite's blob port (default: %(default)s)")
    parser.add_argument("--queue-port", type=int, default=10001, help="Azurite's queue port (default: %(default)s)")
    parser.add_argument("--table-port", type=int, default=10002, help="Azurite's table port (default: %(default)s)")
    parser.add_argument(
        "--amqp-port", type=int, default=5672, help="port of the Service Bus emulator (default: %(default)s)"
    )
    parser.add_argument(
        "--topology",
        type=Path,
        default=PROJECT / "devhost/servicebus/topology.json",
        help="the emulator's queues (JSON)",
    )
    parser.add_argument(
        "--data", type=Path, default=Path(".devhost"), help="directory of all stored data (default: ROOT/%(default)s)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes that run the app's functions (default: 1)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name under which the app may be called",
    )
    parser.add_argument("--verbose", "-v", action="store_true", help="log each timer's run and more")
    parser.add_argument(
        "--after", metavar="CMD", help="shell command to run once everything is up; DEVHOST_URL holds the app's address"
    )
    parser.add_argument(
        "--try", dest="try_line", metavar="LINE", help="line to show at the end, such as a curl command"
    )
    return parser.parse_args(argv)


def emulator_settings(root: Path, azurite: Azurite, bus: ServiceBus) -> dict[str, str]:
    """Return the app's settings for emulators, with the addresses of these ones.

    Replaced are those whose value in the settings file contains `UseDevelopmentStorage=true` or
    `UseDevelopmentEmulator=true`.
    """
    for name in ("local.settings.json", "local.settings.example.json"):
        values: Mapping[str, object] = read_json(root / name).get("Values") or {}
        if values:
            break
    else:
        values = {}
    found = {
        key: azurite.connection_string for key, value in values.items() if "UseDevelopmentStorage=true" in str(value)
    }
    found.update(
        {key: bus.connection_string for key, value in values.items() if "UseDevelopmentEmulator=true" in str(value)}
    )
    return {key: value for key, value in found.items() if key not in os.environ}


def start(options: argparse.Namespace, parts: ExitStack, say: Callable[[str], None]) -> list[Service]:
    """Start every part in order, with a message for each.

    Args:
        options: The parsed command line.
        parts: Exit stack that stops the started parts.
        say: Prints a line.

    Raises:
        StartupError: Something is missing or a port is taken.
        ChildFailedError: A part did not start.
    """
    root = options.root.resolve()
    data = root / options.data
    node()
    for port, option in (
        (options.blob_port, "--blob-port"),
        (options.queue_port, "--queue-port"),
        (options.table_port, "--table-port"),
        (options.amqp_port, "--amqp-port"),
        (options.port, "--port"),
    ):
        check_port(port, f"{option} NUMBER (with make: make start ARGS='{option} NUMBER')")
    say("Starting the Service Bus emulator …")  # the first: it refuses a directory that another stack uses
    bus = parts.enter_context(start_service_bus(options.topology.resolve(), data / "servicebus", options.amqp_port))
    say(f"  AMQP on 127.0.0.1:{bus.port}")
    say("Starting Azurite …")
    azurite = parts.enter_context(
        start_azurite(
            data / "azurite", blob_port=options.blob_port, queue_port=options.queue_port, table_port=options.table_port
        )
    )
    ports = f"blobs on :{azurite.blob_port}, queues on :{azurite.queue_port}"
    say(f"  tables on http://127.0.0.1:{azurite.table_port}, {ports}")
    say("Starting the app …")
    settings = emulator_settings(root, azurite, bus)
    host = parts.enter_context(
        start_host(
            root,
            settings,
            options.port,
            data,
            rpc_port=options.rpc_port,
            options=_host_options(options),
            show_output=True,
        )
    )
    if options.after:
        environment = {**os.environ, **settings, "DEVHOST_URL": host.url}
        code = subprocess.run(options.after, shell=True, cwd=root, env=environment, check=False).returncode  # noqa: S602 - the user's own command
        if code:
            say(f"--after ended with exit code {code}")
    if options.try_line:
        say(f"\nTry it:\n  {options.try_line}")
    say("\nCtrl-C stops everything. More in the log: --verbose (with make: make start ARGS=--verbose).")
    return [azurite, bus, host]


def _host_options(options: argparse.Namespace) -> tuple[str, ...]:
    found = ["--verbose"] if options.verbose else []
    if options.workers is not None:
        found += ["--workers", str(options.workers)]
    for name in options.allow_host:
        found += ["--allow-host", name]
    return tuple(found)


def watch(services: list[Service]) -> None:
    """Wait until a part ends unexpectedly.

    Raises:
        ChildFailedError: Always, naming the part.
    """
    while True:
        for service in services:
            if (code := service.child.exit_code) is not None:
                raise ChildFailedError(f"{service.child.name} ended with exit code {code}")
        time.sleep(0.2)


def main(argv: list[str] | None = None) -> int:
    """Run the stack and return the exit code: 0 after Ctrl-C, 1 when a part fails, 2 when it cannot start."""
    options = parse(argv)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            # From here on it only stops; after a second Ctrl-C the kernel's parent-death signal ends the rest.
            signal.signal(number, signal.SIG_DFL)
        raise _StoppedError

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with ExitStack() as parts:
            try:
                watch(start(options, parts, lambda line: print(line, flush=True)))
            except _StoppedError:
                print("\nStopping …", flush=True)
    except StartupError as error:
        print(f"devhost.stack: {error}", file=sys.stderr)
        return 2
    except ChildFailedError as error:
        print(f"devhost.stack: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
