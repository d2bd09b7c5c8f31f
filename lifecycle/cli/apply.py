"""`apply DIR`: declares a directory of agents, and applies the registry's plan."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TextIO

from lifecycle.cli import plan as planning
from lifecycle.cli.command import FAILED, NOTHING_TO_DO, SOMETHING_LEFT, Command, CommandFailed
from lifecycle.cli.drift_plans import RegistryPlan, apply_plan, follow, make_plan
from lifecycle.cli.planned_changes import Change, ChangeKind
from lifecycle.cli.report import show, show_outcome
from lifecycle.cli.server import Server


def declare(parser: ArgumentParser) -> None:
    """Add the arguments of `plan` and those of `apply`."""
    planning.declare(parser)
    parser.add_argument("--destructive", action="store_true", help="also do what deletes something")
    parser.add_argument("--yes", action="store_true", help="do not ask before changing anything")
    parser.add_argument(
        "--wait",
        type=float,
        default=60,
        metavar="SECONDS",
        help="how long to wait for the agents' actors (default: 60)",
    )


def run(arguments: Namespace, environ: Mapping[str, str], out: TextIO) -> int:
    """Show the changes, ask for confirmation, make them, and return the exit code."""
    with Server.of(arguments, environ) as server:
        changes = planning.pending(planning.read_changes(server, arguments, environ))
        registry = make_plan(server)
        show(out, str(arguments.directory), changes, registry)
        if not _has_changes(changes, registry, destructive=arguments.destructive):
            return SOMETHING_LEFT if changes or registry.lines else NOTHING_TO_DO
        if not arguments.yes:
            _ask(out)
        out.write("\n")
        left_out = _declare(server, changes, out, destructive=arguments.destructive)
        applied = apply_plan(
            server,
            make_plan(server) if changes else registry,
            registry,
            {change.name for change in changes},
            destructive=arguments.destructive,
        )
        done = follow(server, applied, arguments.wait)
    show_outcome(out, done)
    if done.outcomes["failed"]:
        return FAILED
    return SOMETHING_LEFT if left_out or done.outcomes.keys() - {"done"} else NOTHING_TO_DO


def _has_changes(changes: Sequence[Change], registry: RegistryPlan, *, destructive: bool) -> bool:
    """Return whether anything would be changed."""
    declared = any(destructive or change.kind is not ChangeKind.DELETE for change in changes)
    lines = (line for line in registry.lines if line["action"] != "none")
    return declared or any(destructive or not line["destructive"] for line in lines)


def _ask(out: TextIO) -> None:
    if not sys.stdin.isatty():
        msg = "there is no terminal for the confirmation; use --yes"
        raise CommandFailed(msg)
    out.write("Apply this? Only 'yes' is taken for it: ")
    out.flush()
    if sys.stdin.readline().strip() != "yes":
        msg = "not confirmed; nothing was changed"
        raise CommandFailed(msg)


def _declare(server: Server, changes: Sequence[Change], out: TextIO, *, destructive: bool) -> int:
    """Make the changes, and return how many deletions were left out."""
    left_out = 0
    for change in changes:
        path = f"{change.resource}/{change.name}"
        if change.config is not None:
            server.call("PUT", path, change.config.model_dump(mode="json"), if_match=change.etag)
        elif destructive:
            server.call("DELETE", path, if_match=change.etag)
        else:
            left_out += 1
            continue
        out.write(f"{change.name}: {change.kind.value}d\n")
    return left_out


COMMAND = Command(
    "apply", "Declare a directory of agents and bring the providers in line, after showing what changes.", declare, run
)
