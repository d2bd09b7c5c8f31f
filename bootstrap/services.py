"""Everything the app is made of: for Azure (and its emulators), or in memory for use as a library.

Each part is imported and made when it is first asked for. On Azure Functions a worker serves one function group (all
HTTP functions, the queue, a timer, the entities), and its cold start should not pay for the parts of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from kernel.clock import Clock
from kernel.settings import Settings

if TYPE_CHECKING:
    from kernel.tables import Tables
    from lifecycle.actor import AgentActor
    from lifecycle.administration import Administration
    from lifecycle.catalog import Catalog
    from lifecycle.conversations import Conversations
    from lifecycle.deadletters import DeadLetters
    from lifecycle.desk import RunDesk
    from lifecycle.directory import Directory
    from lifecycle.due import DueIndex
    from lifecycle.expiry import SessionEnd
    from lifecycle.intake import Intake
    from lifecycle.notices import Notices
    from lifecycle.production import ProductionAgentManager
    from lifecycle.providers import AgentProvider
    from lifecycle.prune import Prune
    from lifecycle.queue import RunQueue
    from lifecycle.resolver import AgentResolver
    from lifecycle.runner import Runner
    from lifecycle.signals import LocalSignals
    from lifecycle.tools import Tools
    from lifecycle.uses import UseRecorder
    from llmops.ledger import Ledger
    from llmops.reports import Reports


def system_clock() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


class Services:
    """The use cases and what they stand on. Belongs to one event loop; makes no connection before it is used.

    Attributes:
        settings: The settings it was made from.
        tables: Where everything is kept.
        clock: What tells the time.
    """

    def __init__(self, tables: Tables, settings: Settings, clock: Clock = system_clock) -> None:
        self.tables = tables
        self.settings = settings
        self.clock = clock

    @classmethod
    def in_memory(cls, settings: Settings | None = None, clock: Clock = system_clock) -> Services:
        """Return services that keep everything in this process, for scripts, notebooks and tests."""
        from adapters.memory_tables import MemoryTables

        return cls(MemoryTables(), settings or Settings(), clock)

    @classmethod
    def for_azure(cls, settings: Settings, clock: Clock = system_clock) -> Services:
        """Return services on the storage account that the settings name; an emulator will do.

        Raises:
            InvalidSettings: They name none.
        """
        from bootstrap.azure import azure_tables

        return cls(azure_tables(settings), settings, clock)

    @cached_property
    def tools(self) -> Tools:
        """The function tools that specs can name. Add your own here (`lifecycle.tools` says how)."""
        from lifecycle.tools import builtin_tools

        return builtin_tools(self.clock)

    @cached_property
    def providers(self) -> Mapping[str, AgentProvider]:
        """The providers by the name that specs use."""
        from bootstrap.providers import make_providers

        return make_providers(self.settings, self.tables, self.tools, self.clock)

    @cached_property
    def catalog(self) -> Catalog:
        """The declared agents."""
        from lifecycle.catalog import Catalog

        return Catalog(self.tables, self.clock)

    @cached_property
    def resolver(self) -> AgentResolver:
        """Get-or-create of agents, with this process's cache."""
        from lifecycle.resolver import AgentResolver

        return AgentResolver(
            self.catalog,
            self.providers,
            self.clock,
            capacity=self.settings.agent_cache_size,
            trust_for=timedelta(seconds=self.settings.agent_cache_trust),
            wait_for=timedelta(seconds=self.settings.provision_wait),
        )

    @cached_property
    def administration(self) -> Administration:
        """What owners and operators do to agents."""
        from lifecycle.administration import Administration

        return Administration(self.catalog, self.resolver, self.tools, self.clock)

    @cached_property
    def conversations(self) -> Conversations:
        """Sessions with their runs, turns and events."""
        from lifecycle.conversations import Conversations

        return Conversations(self.tables)

    @cached_property
    def directory(self) -> Directory:
        """Where runs and sessions are found."""
        from lifecycle.directory import Directory

        return Directory(self.tables)

    @cached_property
    def intake(self) -> Intake:
        """Accepts runs."""
        from lifecycle.intake import Intake

        return Intake(
            self.catalog,
            self.conversations,
            self.directory,
            self._due("session"),
            session_idle_after=self._session_idle_after,
            clock=self.clock,
        )

    @cached_property
    def runner(self) -> Runner:
        """Runs runs."""
        from lifecycle.runner import Runner, RunPolicy

        settings = self.settings
        policy = RunPolicy(
            lease=timedelta(seconds=settings.run_lease),
            look_every=timedelta(seconds=settings.run_look_every),
            timeout=timedelta(seconds=settings.run_timeout),
            max_attempts=settings.run_max_attempts,
            retry_base_s=settings.run_retry_base,
            history_turns=settings.history_turns,
        )
        return Runner(
            self.catalog,
            self.conversations,
            self.intake,
            self.resolver,
            ledger=self.ledger,
            uses=self.uses,
            notices=self._notices,
            clock=self.clock,
            policy=policy,
        )

    @cached_property
    def desk(self) -> RunDesk:
        """Reads and cancels runs by their id."""
        from lifecycle.desk import RunDesk

        return RunDesk(self.conversations, self.directory, self._notices, self.clock)

    @cached_property
    def session_end(self) -> SessionEnd:
        """Ends sessions."""
        from lifecycle.expiry import SessionEnd

        due, idle_after = self._due("session"), self._session_idle_after
        return SessionEnd(self.conversations, self.directory, due, idle_after=idle_after, clock=self.clock)

    @cached_property
    def uses(self) -> UseRecorder:
        """Tells actors of uses."""
        from lifecycle.uses import UseRecorder

        return UseRecorder(self.clock, self.settings.use_lag)

    @cached_property
    def prune(self) -> Prune:
        """Retires idle agents."""
        from lifecycle.prune import Prune, PrunePolicy

        settings = self.settings
        # A worker may use what it has cached without a look: what is retired is unused for longer than it may.
        lag = settings.use_lag + timedelta(seconds=settings.agent_cache_trust)
        policy = PrunePolicy(self._idle_after, timedelta(seconds=settings.keep_new_for), lag)
        return Prune(self.catalog, self.directory, self._due("agent"), policy, self.clock)

    @cached_property
    def ledger(self) -> Ledger:
        """Every model call."""
        from llmops.ledger import Ledger

        return Ledger(self.tables)

    @cached_property
    def reports(self) -> Reports:
        """Daily reports, and what was spent."""
        from llmops.reports import Reports

        return Reports(self.tables)

    def dead_letters(self, queue: RunQueue) -> DeadLetters:
        """Return what looks after the queue's dead letters."""
        from lifecycle.deadletters import DeadLetters

        limit = self.settings.max_query_bytes
        return DeadLetters(queue, self.conversations, max_query_bytes=limit, clock=self.clock)

    def actor(self) -> AgentActor:
        """Return an actor of agents over the same tables and providers."""
        from lifecycle.actor import AgentActor

        owner = self.settings.registry_owner
        return AgentActor(self.tables, self.providers, owner=owner, idle_after=self._idle_after, clock=self.clock)

    def local_signals(self) -> LocalSignals:
        """Return the actors inside this process, for when there is no Functions host: always the same, one an agent."""
        return self._local_signals

    def manager(self, workspace: str = "default") -> ProductionAgentManager:
        """Return the registry as a library, with the actors inside this process."""
        from lifecycle.production import ProductionAgentManager

        return ProductionAgentManager(
            self.catalog,
            self.administration,
            self.resolver,
            self.intake,
            self.runner,
            self.desk,
            uses=self.uses,
            signals=self.local_signals(),
            max_query_bytes=self.settings.max_query_bytes,
            workspace=workspace,
        )

    async def aclose(self) -> None:
        """Release every connection."""
        made = self.__dict__
        if "uses" in made:
            await self.uses.aclose()
        if "providers" in made:
            for provider in self.providers.values():
                await provider.aclose()
        await self.tables.aclose()

    @cached_property
    def _local_signals(self) -> LocalSignals:
        from lifecycle.signals import LocalSignals

        return LocalSignals(self.actor())

    @cached_property
    def _notices(self) -> Notices:
        from lifecycle.notices import Notices

        return Notices()

    @property
    def _idle_after(self) -> timedelta:
        return timedelta(seconds=self.settings.idle_after)

    @property
    def _session_idle_after(self) -> timedelta:
        return timedelta(seconds=self.settings.session_idle_after)

    def _due(self, kind: str) -> DueIndex:
        from lifecycle.due import DueIndex

        return DueIndex(self.tables, kind)
