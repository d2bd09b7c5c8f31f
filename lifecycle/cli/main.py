"""The list of commands, and their common arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from lifecycle.cli import apply, plan, status
from lifecycle.cli.command import FAILED, Command, CommandFailed
from lifecycle.cli.environment import environment
from lifecycle.cli.server import DEFAULT_URL

_EPILOG = """\
environment:
  LIFECYCLE_URL    the app's address, unless --url is given
  LIFECYCLE_KEY    its function key, unless --key is given
  LIFECYCLE_TOKEN  a bearer token, where users sign in with Entra

exit codes:
  0  there is nothing (left) to do; for `status`: healthy
  1  it failed; the reason is on stderr; for `status`: also critical
  2  changes are pending; for `status`: degraded
"""


COMMANDS: Sequence[Command] = (plan.COMMAND, apply.COMMAND, status.COMMAND)


def main(words: Sequence[str], environ: Mapping[str, str] | None = None, out: TextIO | None = None) -> int:
    """Run the command given by `words`, and return the exit code."""
    arguments = _parser().parse_args(words)
    environ = environment() if environ is None else environ
    command: Command = arguments.command
    try:
        return command.run(arguments, environ, out or sys.stdout)
    except CommandFailed as failure:
        sys.stderr.write(f"error: {failure}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return FAILED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - it ends here, too
        # argparse exits with 2, which means something else here.
        self.exit(FAILED, f"{self.format_usage()}error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--url", help=f"the app's address (default: {DEFAULT_URL})")
    common.add_argument("--key", help="a function key of the app; better kept in LIFECYCLE_KEY")
    common.add_argument("--workspace", help="the workspace, where the app takes it from the X-Workspace header")
    parser = _Parser(
        prog="python -m lifecycle",
        description="Agents as code, against a running app.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = commands.add_parser(command.name, parents=[common], help=command.help, description=command.help)
        own.set_defaults(command=command)
        command.declare(own)
    return parser
