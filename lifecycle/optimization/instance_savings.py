"""Savings on the app's instances: found by the scaling plan, and made by applying it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kernel.errors import AppError
from llmops.optimization.instance_savings_rule import idle_instances, is_done, really_saved
from llmops.optimization.proposals import MEASURED_AFTER, Measured, Proposal

if TYPE_CHECKING:
    from llmops.capacity.scaler import Scaler

log = logging.getLogger(__name__)


class InstanceSavings:
    """Finds savings on scaling, for the workspace that may read and change it."""

    def __init__(self, scaler: Scaler, workspace: str) -> None:
        self._scaler = scaler
        self._workspace = workspace

    async def find(self, workspace: str) -> Proposal | None:
        """Return a proposal; None if there is none, or the present scaling cannot be read."""
        if workspace != self._workspace:
            return None
        try:
            plan, current = await self._scaler.recommend()
        except AppError as error:
            log.warning("no savings on instances: %s", error.code, extra={"event": "optimization.no_scale"})
            return None
        if current is None or not plan.platform.on_demand:  # worker processes of this machine cost nothing
            return None
        return idle_instances(plan, current, await self._scaler.policy())

    async def apply(self, workspace: str, one: Proposal, by: str) -> None:
        """Scale the app as the proposal's plan says; does nothing if that is done already.

        Raises:
            Conflict: The plan has changed since (`plan_changed`), or has to wait.
            AppError: The platform cannot be reached, or the app's identity lacks permission.
        """
        _, current = await self._scaler.recommend()
        if one.begun and current is not None and is_done(one, current):
            return
        await self._scaler.apply(one.change.plan, workspace, by)

    async def saved(self, one: Proposal) -> Measured | None:
        """Return what the change has saved in a week; None if the present scaling cannot be read."""
        try:
            _, current = await self._scaler.recommend()
        except AppError:
            return None
        return really_saved(one, current, MEASURED_AFTER.days) if current is not None else None
