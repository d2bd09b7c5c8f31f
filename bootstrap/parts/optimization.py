"""Composition of optimization."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.budgets import BudgetServices
    from bootstrap.parts.capacity import CapacityServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.scaling import ScalingServices
    from lifecycle.optimization.savings_service import Optimizations
    from lifecycle.optimization.what_if_replay import HistoryReplay
    from llmops.optimization.rule_input import FactHistory


@dataclass(eq=False)
class OptimizationServices:
    """Builds savings proposals and what-if replays."""

    _core: Core
    _capacity: CapacityServices
    _budgets: BudgetServices
    _agents: AgentServices
    _scaling: ScalingServices

    @cached_property
    def proposals(self) -> Optimizations:
        """Makes, applies and measures savings proposals."""
        from lifecycle.optimization.agent_selection import AgentSelection
        from lifecycle.optimization.instance_savings import InstanceSavings
        from lifecycle.optimization.savings_service import Optimizations
        from llmops.optimization.store import OptimizationStore

        return Optimizations(
            OptimizationStore(self._core.tables),
            self._history,
            AgentSelection(self._agents.catalog, self._capacity.pools),
            InstanceSavings(self._scaling.scaler, self._core.settings.scaling_workspace),
            self._budgets.rates,
            self._agents.administration,
            self._core.clock,
        )

    @cached_property
    def what_if(self) -> HistoryReplay:
        """Replays recorded facts under other terms."""
        from lifecycle.optimization.what_if_replay import HistoryReplay

        return HistoryReplay(self._history, self._budgets.rates, self._agents.loader_overview, self._core.clock)

    @cached_property
    def _history(self) -> FactHistory:
        from llmops.optimization.rule_input import FactHistory

        return FactHistory(self._core.tables)
