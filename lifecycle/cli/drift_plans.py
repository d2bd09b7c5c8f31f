"""Reads and applies the app's drift plan for the commands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass
from lifecycle.cli.command import CommandFailed

if TYPE_CHECKING:
    from lifecycle.cli.server import Server

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class RegistryPlan:
    """A drift plan: its id, its lines as the API returns them, and the providers that could not be read."""

    id: str
    lines: Sequence[Mapping[str, Any]]
    unchanged: int
    unseen: Mapping[str, str]

    @property
    def outcomes(self) -> Counter[str]:
        """How many lines have which outcome."""
        return Counter(line["outcome"] for line in self.lines)


def make_plan(server: Server) -> RegistryPlan:
    """Have the app make a new plan, and return it.

    Raises:
        CommandFailed: The app cannot be reached, or answers with an error.
    """
    return _whole(server, server.call("GET", "registry/plan", limit=200))


def apply_plan(
    server: Server, plan: RegistryPlan, shown: RegistryPlan, touched: Collection[str], *, destructive: bool
) -> RegistryPlan:
    """Apply a plan and return it, unless it has lines that were not shown to the user.

    Args:
        server: The app.
        plan: The plan to apply.
        shown: The plan that the user saw.
        touched: Agents declared or deleted since then; new lines about them are expected.
        destructive: Whether to apply deletions too.

    Raises:
        CommandFailed: The plan has lines that were not shown, or the app cannot be reached or answers with an error.
    """
    shown_lines = {_comparable(line) for line in shown.lines}
    for line in plan.lines:
        if line["agent"] not in touched and _comparable(line) not in shown_lines:
            msg = f"{line['agent']}: {line['why']} This was not in the plan that was shown; run the command again."
            raise CommandFailed(msg)
    server.call("POST", "registry/apply", {"plan_id": plan.id, "destructive": destructive})
    return plan


def follow(server: Server, plan: RegistryPlan, wait_s: float) -> RegistryPlan:
    """Return the plan once none of its lines is pending, or after `wait_s` seconds.

    Raises:
        CommandFailed: The app cannot be reached, or answers with an error.
    """
    until = time.monotonic() + wait_s
    while True:
        plan = _whole(server, server.call("GET", f"registry/plan/{plan.id}", limit=200))
        if not plan.outcomes["pending"] or time.monotonic() > until:
            return plan
        time.sleep(_LOOK_EVERY_S)


def _whole(server: Server, page: Mapping[str, Any]) -> RegistryPlan:
    plan = RegistryPlan(page["id"], page["items"], page["unchanged"], page["unseen"])
    while page["next"] is not None:
        page = server.call("GET", f"registry/plan/{plan.id}", limit=200, next=page["next"])
        plan = replace(plan, lines=[*plan.lines, *page["items"]])
    return plan


def _comparable(line: Mapping[str, Any]) -> tuple[Any, ...]:
    versions = [] if line["action"] in ("ensure", "renew") else sorted(each["id"] for each in line["versions"])
    return line["agent"], line["action"], line["revision"], *versions
