"""`status`: shows the health of the running app, by part."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import timedelta
from typing import TextIO

from lifecycle.cli.command import FAILED, NOTHING_TO_DO, SOMETHING_LEFT, Command
from lifecycle.cli.server import Server

_SIGNS = {"healthy": " ", "degraded": "!", "critical": "x"}
_CODES = {"healthy": NOTHING_TO_DO, "degraded": SOMETHING_LEFT, "critical": FAILED}


def declare(_parser: ArgumentParser) -> None:
    """Add no arguments."""


def run(arguments: Namespace, environ: Mapping[str, str], out: TextIO) -> int:
    """Show the health, and return the exit code: 0 healthy, 2 with warnings, 1 not working."""
    with Server.of(arguments, environ) as server:
        found = server.call("GET", "status")
    up = timedelta(seconds=round(found["uptime_s"]))
    out.write(f"{server.url} is {found['status']}; its worker is up for {up}.\n\n")
    width = max(len(part["name"]) for part in found["components"])
    for part in found["components"]:
        line = f"  {_SIGNS[part['health']]} {part['name'].ljust(width)}  {part['health'].ljust(8)}  {part['reason']}"
        out.write(line.rstrip() + "\n")
    return _CODES[found["status"]]


COMMAND = Command("status", "Show the app's health, part by part, with reasons.", declare, run)
