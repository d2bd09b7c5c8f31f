"""`plan DIR`: shows what declaring a directory would change, and the drift between registry and providers."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from lifecycle.cli.agent_md import Reading
from lifecycle.cli.command import NOTHING_TO_DO, SOMETHING_LEFT, Command
from lifecycle.cli.directory import KINDS, MANAGED_BY, read_directory, read_kind
from lifecycle.cli.drift_plans import make_plan
from lifecycle.cli.planned_changes import Change, ChangeKind, changes_of, kind_changes, look
from lifecycle.cli.report import show
from lifecycle.cli.server import Server


def declare(parser: ArgumentParser) -> None:
    """Add the arguments for the directory and for reading it."""
    parser.add_argument("directory", type=Path, help="*.yaml files of agents, teams and workflows, *.agent.md files")
    parser.add_argument(
        "--managed-by",
        metavar="NAME",
        help=f"label the agents {MANAGED_BY}=NAME; agents with that label whose files are gone are deleted",
    )
    parser.add_argument("--provider", default="foundry", help="who runs agents of *.agent.md files (default: foundry)")
    parser.add_argument("--model", default="", help="the model of *.agent.md files that name none")
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="FIELD", help="leave out a field of *.agent.md files"
    )


def run(arguments: Namespace, environ: Mapping[str, str], out: TextIO) -> int:
    """Show the plan, and return the exit code: 2 if it has changes, else 0."""
    with Server.of(arguments, environ) as server:
        changes = read_changes(server, arguments, environ)
        registry = make_plan(server)
    show(out, str(arguments.directory), changes, registry)
    return SOMETHING_LEFT if pending(changes) or registry.lines else NOTHING_TO_DO


def read_changes(server: Server, arguments: Namespace, environ: Mapping[str, str]) -> Sequence[Change]:
    """Return the changes that declaring the directory's files makes.

    Raises:
        CommandFailed: A file is not valid, or the app cannot be reached or answers with an error.
    """
    reading = Reading(arguments.provider, arguments.model, frozenset(arguments.ignore), environ)
    files = read_directory(arguments.directory, reading, arguments.managed_by)
    agents = changes_of(files, look(server, files, arguments.managed_by), arguments.managed_by)
    of_agents = [change for kind in KINDS for change in kind_changes(server, read_kind(arguments.directory, kind))]
    return [*agents, *of_agents]


def pending(changes: Sequence[Change]) -> Sequence[Change]:
    """Return the changes without those that change nothing."""
    return [change for change in changes if change.kind is not ChangeKind.UNCHANGED]


COMMAND = Command("plan", "Show what applying a directory of agents would change; change nothing.", declare, run)
