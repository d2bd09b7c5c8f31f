"""`python -m devhost`: run the function app of a directory on this machine."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from devhost.console import configure_logging
from devhost.errors import StartupError
from devhost.host import HostArguments, run

#: Seconds the process may take to end after the host has stopped; an app's own threads may never end.
_EXIT_S = 2.0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        "python -m devhost", description="Run an Azure Functions app (Python v2 model) on this machine."
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the app's directory (default: this one)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7071, help="HTTP port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--rpc-port",
        type=int,
        default=17071,
        help="port of the Durable client's calls, 0 for a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path(".devhost"),
        help="directory of entities, timers and keys (default: ROOT/%(default)s)",
    )
    parser.add_argument(
        "--enforce-keys", action="store_true", help="demand function keys, as in Azure; they are printed once"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name under which this host may be called, such as that of a proxy before it; repeatable",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that run functions (default: FUNCTIONS_WORKER_PROCESS_COUNT, or 1: the host's own process)",
    )
    parser.add_argument(
        "--verbose", "-v", action="store_true", help="also log each timer's run and libraries' informational messages"
    )
    parser.add_argument("--ready-file", type=Path, help='write {"url", "pid"} to this file when ready')
    return parser.parse_args(argv)


async def _run(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()

    def interrupt() -> None:
        if stopping.is_set():
            os._exit(130)
        stopping.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    arguments = HostArguments(
        root=options.root.resolve(),
        host=options.host,
        port=options.port,
        rpc_port=options.rpc_port,
        state=options.state,
        enforce_keys=options.enforce_keys,
        allowed_hosts=tuple(options.allow_host),
        workers=options.workers,
        verbose=options.verbose,
    )
    await run(arguments, options.ready_file, stopping, lambda line: print(line, flush=True))


def main() -> int:
    """Run the host and return the exit code: 0 after a stop, 2 when it cannot start."""
    options = parse()
    configure_logging(verbose=options.verbose)
    try:
        asyncio.run(_run(options))
    except StartupError as error:
        print(f"devhost: {error}", file=sys.stderr)
        return 2
    finally:
        # The loop has removed its signal handlers; a second Ctrl-C must not turn a clean end into a kill.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        last_resort = threading.Timer(_EXIT_S, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
