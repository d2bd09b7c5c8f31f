"""All parts of the app: on Azure (or its emulators), or in memory or a file for use as a library.

`Services` lists the parts and their dependencies, and nothing else. A part (`bootstrap/parts/*.py`) offers use cases
and stores; it is imported and created on first use. On Azure Functions a worker serves one function group (all HTTP
functions, the queue, a timer, the entities), and its cold start should not load the parts of the others.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.parts.agents import AgentServices
from bootstrap.parts.alerts import AlertServices
from bootstrap.parts.approvals import ApprovalServices
from bootstrap.parts.budgets import BudgetServices
from bootstrap.parts.capacity import CapacityServices
from bootstrap.parts.configuration import ConfigurationServices
from bootstrap.parts.conversations import ConversationServices
from bootstrap.parts.core import Core, system_clock
from bootstrap.parts.drift import DriftServices
from bootstrap.parts.evaluation import EvaluationServices
from bootstrap.parts.events import EventServices
from bootstrap.parts.extensions import ExtensionServices
from bootstrap.parts.metrics import MetricServices
from bootstrap.parts.notifications import NotificationServices
from bootstrap.parts.optimization import OptimizationServices
from bootstrap.parts.performance import PerformanceServices
from bootstrap.parts.planned import PlannedRunServices
from bootstrap.parts.reports import ReportServices
from bootstrap.parts.routing import RoutingServices
from bootstrap.parts.runs import RunServices
from bootstrap.parts.scaling import ScalingServices
from bootstrap.parts.sessions import SessionServices
from bootstrap.parts.spend import SpendServices
from bootstrap.parts.status import StatusServices
from bootstrap.parts.teams import TeamServices
from bootstrap.parts.workflows import WorkflowServices
from kernel.settings import Secret, Settings

if TYPE_CHECKING:
    from bootstrap.library import ProductionAgentManager
    from kernel.clock import Clock
    from kernel.large_texts import LargeTexts
    from kernel.tables import Tables
    from lifecycle.conversations.run import Run

_CONNECTION_STRING = re.compile(r"(?:\w+=[^;]*;)*(?:AccountName|TableEndpoint|UseDevelopmentStorage)=")


class Services:
    """The parts of the app. Bound to one event loop; connects to nothing before it is used.

    Attributes:
        core: Storage, settings and clock, which all parts share.
    """

    def __init__(
        self,
        tables: Tables,
        settings: Settings,
        clock: Clock = system_clock,
        large_texts: Callable[[], LargeTexts] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        """Set what all parts share; without a store for large texts, these are kept in memory."""
        self.core = Core(tables, settings, clock, large_texts, shared=shared)

    @classmethod
    def in_memory(cls, settings: Settings | None = None, clock: Clock = system_clock) -> Services:
        """Return services that store everything in this process's memory, for scripts, notebooks and tests.

        Args:
            settings: The settings; those of the environment by default.
            clock: Returns the current time.

        Raises:
            InvalidSettings: A setting in the environment is not valid.
        """
        from adapters.memory_tables import MemoryTables

        return cls(MemoryTables(), settings or Settings.from_environment(os.environ), clock)

    @classmethod
    def on_file(cls, path: Path, settings: Settings, clock: Clock = system_clock) -> Services:
        """Return services that store everything in a file, which several processes on one machine can share."""
        from adapters.file_tables import FileTables
        from adapters.file_texts import FileTexts

        return cls(FileTables(path), settings, clock, lambda: FileTexts(path), shared=True)

    @classmethod
    def on(cls, storage: str | Path | None, settings: Settings, clock: Clock = system_clock) -> Services:
        """Return services on a storage as a library caller names it.

        Args:
            storage: None for this process's memory, the path of a file, or a storage account: its connection string, or
                its
                table endpoint (`https://…`).
            settings: The settings; their storage account, if any, is not used.
            clock: Returns the current time.
        """
        if storage is None:
            return cls.in_memory(settings, clock)
        if isinstance(storage, str) and storage.startswith(("https://", "http://")):
            return cls.for_azure(replace(settings, tables_connection=Secret(""), tables_endpoint=storage), clock)
        if isinstance(storage, str) and _CONNECTION_STRING.match(storage):
            return cls.for_azure(replace(settings, tables_connection=Secret(storage), tables_endpoint=""), clock)
        return cls.on_file(Path(storage), settings, clock)

    @classmethod
    def for_azure(cls, settings: Settings, clock: Clock = system_clock) -> Services:
        """Return services on the storage account (or emulator) that the settings name.

        Raises:
            InvalidSettings: They name none.
        """
        from bootstrap.azure import azure_tables, azure_texts

        return cls(azure_tables(settings), settings, clock, lambda: azure_texts(settings), shared=True)

    @cached_property
    def events(self) -> EventServices:
        """Event journal, daily counts, status of timers."""
        return EventServices(self.core)

    @cached_property
    def metrics(self) -> MetricServices:
        """Metrics of workers."""
        return MetricServices(self.core)

    @cached_property
    def spend(self) -> SpendServices:
        """Facts of attempts, and costs."""
        return SpendServices(self.core, self.metrics)

    @cached_property
    def notifications(self) -> NotificationServices:
        """Channels, the outbox, and senders to external receivers."""
        return NotificationServices(self.core, self.extensions)

    @cached_property
    def extensions(self) -> ExtensionServices:
        """What a team adds itself: tools, checks, context providers, chat clients, MCP servers."""
        return ExtensionServices(self.core)

    @cached_property
    def configuration(self) -> ConfigurationServices:
        """The layers that agents are composed of."""
        return ConfigurationServices(self.core, self.extensions)

    @cached_property
    def conversations(self) -> ConversationServices:
        """Sessions with their runs as stored, and their events."""
        return ConversationServices(
            self.core, self.events, self.metrics, self.spend, self.notifications, self._report_to_workflow
        )

    @cached_property
    def capacity(self) -> CapacityServices:
        """Pools, resource use, scaling."""
        return CapacityServices(self.core, self.conversations, self.events, self.metrics)

    @cached_property
    def budgets(self) -> BudgetServices:
        """Limits, reservations, usage, runs that wait."""
        return BudgetServices(self.core, self.events, self.notifications, self.conversations, self.capacity)

    @cached_property
    def approvals(self) -> ApprovalServices:
        """Approvals by people."""
        return ApprovalServices(self.core, self.notifications, self.conversations)

    @cached_property
    def routing(self) -> RoutingServices:
        """Deployments behind one model name."""
        return RoutingServices(self.core, self.metrics, self.events)

    @cached_property
    def agents(self) -> AgentServices:
        """The registry, its providers, and live agents."""
        return AgentServices(
            self.core, self.metrics, self.extensions, self.configuration, self.conversations, self.routing
        )

    @cached_property
    def evaluation(self) -> EvaluationServices:
        """Scores of answers."""
        return EvaluationServices(self.core, self.extensions, self.agents)

    @cached_property
    def performance(self) -> PerformanceServices:
        """Performance of agents."""
        return PerformanceServices(self.core, self.spend)

    @cached_property
    def teams(self) -> TeamServices:
        """Teams of agents and people."""
        return TeamServices(
            self.core,
            self.notifications,
            self.extensions,
            self.configuration,
            self.conversations,
            self.agents,
            self.approvals,
        )

    @cached_property
    def sessions(self) -> SessionServices:
        """Start, list, end and erase sessions."""
        return SessionServices(
            self.core,
            self.events,
            self.spend,
            self.configuration,
            self.conversations,
            self.budgets,
            self.approvals,
            self.agents,
            self.teams,
            self._erase_workflow_run,
            self._forget_planned,
            self.capacity,
        )

    @cached_property
    def runs(self) -> RunServices:
        """Submit, carry out, list and redrive runs."""
        return RunServices(
            self.core,
            self.events,
            self.spend,
            self.extensions,
            self.conversations,
            self.budgets,
            self.approvals,
            self.agents,
            self.evaluation,
            self.sessions,
            self.teams,
            self.capacity,
        )

    @cached_property
    def planned(self) -> PlannedRunServices:
        """Runs that the app submits by itself: schedules and batches."""
        return PlannedRunServices(self.core, self.agents, self.runs)

    @cached_property
    def workflows(self) -> WorkflowServices:
        """Workflows, and their runs."""
        return WorkflowServices(
            self.core, self.events, self.configuration, self.conversations, self.agents, self.runs, self.sessions
        )

    async def _report_to_workflow(self, run: Run) -> None:
        await self.workflows.engine.run_ended(run)

    def _forget_planned(self, workspace: str, user_id: str) -> AsyncIterator[int]:
        return self.planned.forget_user(workspace, user_id)

    async def _erase_workflow_run(self, workspace: str, workflow_run_id: str) -> None:
        await self.workflows.engine.erase(workspace, workflow_run_id)

    @cached_property
    def alerts(self) -> AlertServices:
        """Alert rules, and the delivery of notifications."""
        return AlertServices(
            self.core,
            self.events,
            self.metrics,
            self.spend,
            self.notifications,
            self.budgets,
            self.approvals,
            self.agents,
            self.teams,
            self.capacity,
        )

    @cached_property
    def status(self) -> StatusServices:
        """Status and analytics."""
        return StatusServices(
            self.core, self.events, self.metrics, self.spend, self.extensions, self.performance, self.alerts
        )

    @cached_property
    def scaling(self) -> ScalingServices:
        """The number of instances: recommending and changing it."""
        return ScalingServices(self.core, self.events, self.spend, self.capacity)

    @cached_property
    def drift(self) -> DriftServices:
        """Plans of drift."""
        return DriftServices(self.core, self.agents)

    @cached_property
    def reports(self) -> ReportServices:
        """Cost reports."""
        return ReportServices(self.core, self.spend, self.notifications, self.budgets)

    @cached_property
    def optimization(self) -> OptimizationServices:
        """Savings and what-if."""
        return OptimizationServices(self.core, self.capacity, self.budgets, self.agents, self.scaling)

    def load_extensions(self) -> None:
        """Load extensions now, so that errors in them are logged at start; the app is served all the same."""
        from bootstrap.parts.extensions import ROOT, configured

        if configured(self.core.settings.extensions, ROOT):
            _ = self.extensions.loaded

    def manager(self, workspace: str = "default") -> ProductionAgentManager:
        """Return the library's manager, with the actors of agents inside this process."""
        from bootstrap.library import ProductionAgentManager

        return ProductionAgentManager(services=self, workspace=workspace)

    async def aclose(self) -> None:
        """Release every connection."""
        await self.core.aclose()
