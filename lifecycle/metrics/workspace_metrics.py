"""Metrics of a workspace as a whole, for alert rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from lifecycle.registry.record import AgentState
from llmops.alerts.alert_metrics import FROM_REGISTRY, OF_LOADER, OF_TEAMS, Metric

if TYPE_CHECKING:
    from kernel.timer_status import TimerStatusStore
    from lifecycle.metrics.current_activity import Activity
    from lifecycle.metrics.registry_alert_metrics import RegistryAlarms
    from lifecycle.registry.agent_counts import LifecycleCounts
    from lifecycle.teams.team_metrics import TeamFiguresReader
    from llmops.alerts.current_values import WorkspaceFigures
    from llmops.budgets.budget_usage import BudgetUsageReader
    from llmops.capacity.worker_resources import ResourceReader

_BUDGETS_A_PAGE = 100
_AGENTS: Mapping[AgentState, Metric] = {
    AgentState.REGISTERED: "agents_registered",
    AgentState.PROVISIONING: "agents_provisioning",
    AgentState.ACTIVE: "agents_active",
    AgentState.IDLE: "agents_idle",
    AgentState.DISABLED: "agents_disabled",
    AgentState.FAILED: "agents_failed",
}


class WorkspaceState:
    """Reads the metrics of a workspace as a whole."""

    def __init__(
        self,
        activity: Activity,
        registry: RegistryAlarms,
        counts: LifecycleCounts,
        positions: BudgetUsageReader,
        timer_statuses: TimerStatusStore,
        teams: TeamFiguresReader,
        resources: ResourceReader,
    ) -> None:
        self._activity = activity
        self._registry = registry
        self._counts = counts
        self._positions = positions
        self._timer_statuses = timer_statuses
        self._teams = teams
        self._resource_reader = resources

    @property
    def sources(self) -> Mapping[Metric, WorkspaceFigures]:
        """The function that reads each metric."""
        agents: list[Metric] = ["agents", *_AGENTS.values()]
        return {
            **dict.fromkeys(FROM_REGISTRY, self._registry.figures),
            **dict.fromkeys(OF_LOADER, self._registry.hit_rates),
            **dict.fromkeys(agents, self._agents),
            "sessions_open": self._sessions,
            "runs_running": self._running,
            "runs_waiting": self._waiting,
            "runs_held": self._waiting,
            "longest_wait_s": self._for_budgets,
            "approvals_pending": self._approvals,
            "approval_wait_s": self._approvals,
            "conversations_waiting": self._people,
            "person_wait_s": self._people,
            "conversations_waiting_for_member": self._of_teams,
            **dict.fromkeys(OF_TEAMS, self._of_teams),
            "budget_used_share": self._budgets,
            "timers_failing": self._timers,
            "memory_share": self._resources,
            "cpu_share": self._resources,
            "pool_used_share": self._resources,
        }

    async def _sessions(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        return {"sessions_open": float(await self._activity.sessions_open(workspace))}

    async def _running(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        return {"runs_running": float(await self._activity.runs_running(workspace))}

    async def _waiting(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        waiting = await self._activity.runs_waiting(workspace)
        return {"runs_waiting": float(waiting.count), "runs_held": float(waiting.held)}

    async def _for_budgets(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        return {"longest_wait_s": (await self._activity.for_budgets(workspace, now)).longest_s}

    async def _approvals(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        waiting = await self._activity.approvals(workspace, now)
        return {"approvals_pending": float(waiting.count), "approval_wait_s": waiting.longest_s}

    async def _people(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        waits = await self._teams.waits(workspace)
        return {"conversations_waiting": float(waits.conversations), "person_wait_s": waits.longest_s}

    async def _of_teams(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        """Return figures over all teams since then; shares and means without data are left out."""
        teams = await self._teams.read(workspace, since)
        handoffs, answers = sum(team.handoffs for team in teams), [wait for team in teams for wait in team.answers_s]
        found: dict[Metric, float] = {
            "conversations_waiting_for_member": float(sum(team.without_member for team in teams)),
            "handoffs": float(handoffs),
            "escalations": float(sum(team.escalations for team in teams)),
        }
        if handoffs:
            found["handoffs_returned_share"] = sum(team.returned for team in teams) / handoffs
        if answers:
            found["person_answer_s"] = sum(answers) / len(answers)
        return found

    async def _agents(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        states = (await self._counts.read(workspace, now, 1)).states
        found: dict[Metric, float] = {metric: float(states.get(state, 0)) for state, metric in _AGENTS.items()}
        found["agents"] = float(sum(states.values()))
        return found

    async def _budgets(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        """Return the highest used share of any budget's limit; empty without budgets."""
        shares: list[float] = []
        after: str | None = None
        while True:
            positions, after = await self._positions.list(workspace, _BUDGETS_A_PAGE, after)
            shares += [each.spent / each.limit if each.limit else 1.0 for each in positions]
            if after is None:
                return {"budget_used_share": max(shares)} if shares else {}

    async def _resources(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        """Return the highest used shares of any worker and any pool; empty without any."""
        found = await self._resource_reader.now(workspace)
        shares: dict[Metric, list[float]] = {
            "memory_share": [one.memory_share for one in found.workers if one.memory_share is not None],
            "cpu_share": [one.cpu_share for one in found.workers],
            "pool_used_share": [pool.share for pool in found.pools],
        }
        return {metric: max(values) for metric, values in shares.items() if values}

    async def _timers(self, workspace: str, since: datetime, now: datetime) -> Mapping[Metric, float]:
        beats = await self._timer_statuses.all()
        return {"timers_failing": float(sum(beat.failing or beat.overdue(now) for beat in beats))}
