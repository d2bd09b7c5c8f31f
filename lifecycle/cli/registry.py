"""The app's plan of drift, as the commands read and apply it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lifecycle.cli.failures import CommandFailed
from lifecycle.cli.server import Server

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class RegistryPlan:
    """A plan of the app: its id, its lines as the API shows them, and the providers that could not be looked at."""

    id: str
    lines: Sequence[Mapping[str, Any]]
    unchanged: int
    unseen: Mapping[str, str]

    @property
    def outcomes(self) -> Counter[str]:
        """How many lines have come to what."""
        return Counter(line["outcome"] for line in self.lines)


def make_plan(server: Server) -> RegistryPlan:
    """Have the app look around, and return its plan.

    Raises:
        CommandFailed: The app cannot be reached, or refuses.
    """
    return _whole(server, server.call("GET", "registry/plan", limit=200))


def apply_plan(
    server: Server, plan: RegistryPlan, shown: RegistryPlan, touched: Collection[str], *, destructive: bool
) -> RegistryPlan:
    """Apply a plan, unless it holds what was not shown before, and return it.

    Args:
        server: The app.
        plan: The plan to apply.
        shown: The plan that was shown.
        touched: Agents that were declared or deleted since; their lines are new, as was to be expected.
        destructive: Whether lines that delete are applied, too.

    Raises:
        CommandFailed: It holds more than was shown, or the app cannot be reached, or refuses.
    """
    known = {_said(line) for line in shown.lines}
    for line in plan.lines:
        if line["agent"] not in touched and _said(line) not in known:
            msg = f"{line['agent']}: {line['why']} That was not so when the plan was shown; run the command again."
            raise CommandFailed(msg)
    server.call("POST", "registry/apply", {"plan_id": plan.id, "destructive": destructive})
    return plan


def follow(server: Server, plan: RegistryPlan, wait_s: float) -> RegistryPlan:
    """Return the plan once nothing of it is pending, or as it is after `wait_s` seconds.

    Raises:
        CommandFailed: The app cannot be reached, or refuses.
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


def _said(line: Mapping[str, Any]) -> tuple[Any, ...]:
    versions = [] if line["action"] in ("ensure", "renew") else sorted(each["id"] for each in line["versions"])
    return line["agent"], line["action"], line["revision"], *versions
