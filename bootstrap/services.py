"""Everything the app is made of, wired once: for Azure (and its emulators), or in memory for use as a library."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from adapters.memory_tables import MemoryTables
from bootstrap.azure import azure_queue, azure_tables, make_providers
from kernel.clock import Clock
from kernel.settings import Settings
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
from lifecycle.providers import Providers
from lifecycle.prune import Prune, PrunePolicy
from lifecycle.queue import RunQueue
from lifecycle.resolver import AgentResolver
from lifecycle.runner import Runner, RunPolicy
from lifecycle.signals import LocalSignals
from lifecycle.tools import builtin_tools
from lifecycle.uses import UseRecorder
from llmops.ledger import Ledger
from llmops.reports import Reports


def system_clock() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases and what they stand on. Belongs to one event loop; makes no connection before it is used."""

    settings: Settings
    clock: Clock
    tables: Tables
    providers: Providers
    catalog: Catalog
    resolver: AgentResolver
    administration: Administration
    conversations: Conversations
    directory: Directory
    intake: Intake
    desk: RunDesk
    session_end: SessionEnd
    uses: UseRecorder
    runner: Runner
    prune: Prune
    ledger: Ledger
    reports: Reports

    @classmethod
    def in_memory(cls, settings: Settings | None = None, clock: Clock = system_clock) -> Services:
        """Return services that keep everything in this process, for scripts, notebooks and tests."""
        return cls.over(MemoryTables(), settings or Settings(), clock)

    @classmethod
    def for_azure(cls, settings: Settings, clock: Clock = system_clock) -> Services:
        """Return services on the storage account that the settings name; an emulator will do."""
        return cls.over(azure_tables(settings), settings, clock)

    @classmethod
    def over(cls, tables: Tables, settings: Settings, clock: Clock = system_clock) -> Services:
        """Return services that keep everything in these tables."""
        return _wire(settings, tables, clock)

    def actor(self) -> AgentActor:
        """Return an actor of agents over the same tables and providers."""
        return AgentActor(
            self.tables,
            self.providers,
            owner=self.settings.registry_owner,
            idle_after=timedelta(seconds=self.settings.idle_after),
            clock=self.clock,
        )

    def local_signals(self) -> LocalSignals:
        """Return actors inside this process; for when there is no Functions host."""
        return LocalSignals(self.actor())

    def manager(self, workspace: str = "default") -> ProductionAgentManager:
        """Return the registry as a library, with the actors inside this process."""
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

    def dead_letters(self, queue: RunQueue) -> DeadLetters:
        """Return what looks after the queue's dead letters."""
        limit = self.settings.max_query_bytes
        return DeadLetters(queue, self.conversations, max_query_bytes=limit, clock=self.clock)

    async def aclose(self) -> None:
        """Release every connection."""
        await self.uses.aclose()
        for provider in self.providers.values():
            await provider.aclose()
        await self.tables.aclose()


def service_bus(settings: Settings) -> RunQueue:
    """Return the queue of runs that the settings name."""
    return azure_queue(settings)


def _wire(settings: Settings, tables: Tables, clock: Clock) -> Services:
    tools = builtin_tools(clock)
    providers = make_providers(settings, tables, tools, clock)
    idle_after = timedelta(seconds=settings.idle_after)
    session_idle_after = timedelta(seconds=settings.session_idle_after)
    catalog = Catalog(tables, clock)
    conversations = Conversations(tables)
    directory = Directory(tables)
    due_sessions = DueIndex(tables, "session")
    resolver = AgentResolver(
        catalog,
        providers,
        clock,
        capacity=settings.agent_cache_size,
        trust_for=timedelta(seconds=settings.agent_cache_trust),
        wait_for=timedelta(seconds=settings.provision_wait),
    )
    intake = Intake(catalog, conversations, directory, due_sessions, session_idle_after=session_idle_after, clock=clock)
    notices = Notices()
    uses = UseRecorder(clock, settings.use_lag)
    ledger = Ledger(tables)
    run_policy = RunPolicy(
        lease=timedelta(seconds=settings.run_lease),
        look_every=timedelta(seconds=settings.run_look_every),
        timeout=timedelta(seconds=settings.run_timeout),
        max_attempts=settings.run_max_attempts,
        retry_base_s=settings.run_retry_base,
        history_turns=settings.history_turns,
    )
    # A worker may use what it has cached without a look: what is retired is unused for longer than it may.
    lag = settings.use_lag + timedelta(seconds=settings.agent_cache_trust)
    prune_policy = PrunePolicy(idle_after, timedelta(seconds=settings.keep_new_for), lag)
    return Services(
        settings=settings,
        clock=clock,
        tables=tables,
        providers=providers,
        catalog=catalog,
        resolver=resolver,
        administration=Administration(catalog, resolver, tools, clock),
        conversations=conversations,
        directory=directory,
        intake=intake,
        desk=RunDesk(conversations, directory, notices, clock),
        session_end=SessionEnd(conversations, directory, due_sessions, idle_after=session_idle_after, clock=clock),
        uses=uses,
        runner=Runner(
            catalog,
            conversations,
            intake,
            resolver,
            ledger=ledger,
            uses=uses,
            notices=notices,
            clock=clock,
            policy=run_policy,
        ),
        prune=Prune(catalog, directory, DueIndex(tables, "agent"), prune_policy, clock),
        ledger=ledger,
        reports=Reports(tables),
    )
