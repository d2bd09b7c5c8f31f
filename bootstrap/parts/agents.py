"""Composition of agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.configuration import ConfigurationServices
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.extensions import ExtensionServices
    from bootstrap.parts.metrics import MetricServices
    from bootstrap.parts.routing import RoutingServices
    from lifecycle.loader.agent_ranking import Learned, Rankings
    from lifecycle.loader.agent_resolver import AgentResolver
    from lifecycle.loader.cache_overview import LoaderOverview
    from lifecycle.loader.cache_records import CacheWatch
    from lifecycle.loader.cache_resizing import CacheSizer
    from lifecycle.loader.preloader import Preloader
    from lifecycle.loader.strategy_comparison import Strategy
    from lifecycle.loader.use_reports import UseRecorder
    from lifecycle.propagation.item_changes import ConfigurationChanges
    from lifecycle.propagation.propagation import Propagation
    from lifecycle.registry.actor import AgentActor
    from lifecycle.registry.actor_signals import LocalSignals
    from lifecycle.registry.administration import Administration
    from lifecycle.registry.agent_checks_due import RetentionPolicy, Verification
    from lifecycle.registry.catalog import Catalog
    from lifecycle.registry.mcp_offers import OfferedTools
    from lifecycle.registry.providers import AgentProvider
    from lifecycle.registry.prune import Prune
    from lifecycle.registry.versions import Versions
    from lifecycle.teams.team_store import Memberships


@dataclass(eq=False)
class AgentServices:
    """Builds the registry of agents, their providers, and the cache of live agents."""

    _core: Core
    _metrics: MetricServices
    _extensions: ExtensionServices
    _configuration: ConfigurationServices
    _conversations: ConversationServices
    _routing: RoutingServices

    @cached_property
    def providers(self) -> Mapping[str, AgentProvider]:
        """The providers, by the name that specs use."""
        from bootstrap.providers import make_providers

        made = make_providers(
            self._core.settings,
            self._core.tables,
            self._extensions.toolbox,
            self._extensions.loaded.clients,
            lambda: self._routing.router,
            self._core.clock,
        )
        for provider in made.values():
            self._core.closes(provider)
        return made

    @cached_property
    def catalog(self) -> Catalog:
        """The declared agents."""
        from lifecycle.registry.catalog import Catalog

        return Catalog(self._core.tables, self._core.clock)

    @cached_property
    def resolver(self) -> AgentResolver:
        """Gets or creates agents, with this process's cache."""
        from lifecycle.loader.agent_resolver import AgentResolver

        return AgentResolver(
            self.catalog,
            self.providers,
            self._core.clock,
            self._core.elapsed,
            capacity=self._core.settings.agent_cache_size,
            trust_for=timedelta(seconds=self._core.settings.agent_cache_trust),
            wait_for=timedelta(seconds=self._core.settings.provision_wait),
            policy=self._strategy.policy,
            watch=self._cache_watch,
        )

    @cached_property
    def _strategy(self) -> Strategy:
        """This worker's cache strategy: one of those compared, or the only one."""
        from kernel.ids import new_id
        from lifecycle.loader.strategy_comparison import Strategy, read_strategies, strategy_of

        settings = self._core.settings
        several = read_strategies(settings.loader_strategies, settings.preload_share)
        return strategy_of(new_id(), several or [Strategy(settings.agent_cache_policy, settings.preload_share)])

    @cached_property
    def _cache_watch(self) -> CacheWatch:
        from lifecycle.loader.cache_records import CacheWatch
        from lifecycle.loader.preload_outcomes import Preloads

        settings = self._core.settings
        watch = CacheWatch(
            Preloads(settings.agent_cache_size, self._strategy.preload_share, settings.preload_unused_after),
            self._metrics.measures,
            strategy=self._strategy.name if settings.loader_strategies else None,
            remembered=settings.agent_cache_max_size,
        )
        self._metrics.workers.add_source(watch.flush)
        return watch

    @cached_property
    def rankings(self) -> Rankings:
        """The ranking of agents by how worthwhile it is to hold them."""
        from lifecycle.loader.agent_ranking import LearningPolicy, Rankings
        from lifecycle.loader.usage_statistics import LearningRules

        settings = self._core.settings
        rules = LearningRules(
            settings.preload_weights,
            settings.loader_half_life,
            settings.loader_recency_half_life,
            settings.loader_together,
            settings.loader_companions,
        )
        kept, requested_for = settings.loader_retention_days, settings.preload_requested_for
        policy = LearningPolicy(settings.loader_ranked, timedelta(days=kept), timedelta(seconds=requested_for), rules)
        return Rankings(self._core.tables, self._core.clock, policy)

    @cached_property
    def preloader(self) -> Preloader:
        """Opens agents before they are asked for."""
        from bootstrap.first_run_imports import prepare
        from lifecycle.loader.preloader import Preloader, PreloadPolicy

        settings = self._core.settings
        policy = PreloadPolicy(
            self._strategy.preload_share > 0,
            settings.preload_threshold,
            timedelta(seconds=settings.preload_every),
            settings.preload_companion_share,
            timedelta(seconds=settings.loader_inactive_after),
            timedelta(seconds=settings.preload_warm_timeout),
        )
        preloader = Preloader(
            self.resolver, self.rankings, self._cache_watch, policy, self._core.clock, prepare, self._cache_sizer
        )
        return self._core.closes(preloader)

    @cached_property
    def _cache_sizer(self) -> CacheSizer:
        from adapters.process import ProcessSampler
        from lifecycle.loader.cache_resizing import CacheSizer
        from lifecycle.loader.cache_size_rules import SizeBounds

        settings, sample = self._core.settings, ProcessSampler()

        def memory_share() -> float | None:
            found = sample()
            return found.memory_bytes / found.limit_bytes if found.limit_bytes else None

        least = settings.agent_cache_size
        bounds = SizeBounds(least, max(least, settings.agent_cache_max_size), settings.agent_cache_memory_share)
        return CacheSizer(self.resolver, self._cache_watch, bounds, memory_share, self._core.clock)

    @cached_property
    def loader_overview(self) -> LoaderOverview:
        """Reads the performance of the workers' caches."""
        from lifecycle.loader.agent_ranking import AccessHistory
        from lifecycle.loader.cache_overview import LoaderOverview

        return LoaderOverview(
            self.rankings,
            AccessHistory(self._core.tables),
            self._metrics.workers,
            self._metrics.lifecycle_counts,
            self.resolver,
            self._metrics.hit_rates,
            self._core.clock,
            policy=self._strategy.policy,
            threshold=self._core.settings.preload_threshold,
        )

    async def learn_accesses(self) -> Learned:
        """Update the ranking with new uses of agents, and store the hit rates of their workspaces."""
        learned = await self.rankings.learn()
        ranking = await self.rankings.read()
        await self._metrics.hit_rates.note(sorted({key[0] for key in ranking.book.agents}))
        return learned

    @cached_property
    def use_recorder(self) -> UseRecorder:
        """Reports uses of agents to their actors."""
        from lifecycle.loader.use_reports import UseRecorder

        return self._core.closes(UseRecorder(self._core.clock, self._core.elapsed, self._core.settings.use_lag))

    @cached_property
    def administration(self) -> Administration:
        """Operations of owners and operators on agents."""
        from lifecycle.registry.administration import Administration

        forget = self.resolver.forget
        return Administration(
            self.catalog,
            self._configuration.composer,
            self._core.clock,
            grace=self._grace,
            forget=forget,
            offers=self.offered_tools,
        )

    @cached_property
    def offered_tools(self) -> OfferedTools:
        """Stores and compares the tools that MCP servers offer."""
        from lifecycle.registry.mcp_offers import OfferedTools

        return OfferedTools(self._core.tables, self._extensions.tool_servers)

    @cached_property
    def propagation(self) -> Propagation:
        """Updates agents when the items they are composed of change."""
        from lifecycle.propagation.propagation import Propagation

        due = self._core.due("configuration")
        return Propagation(
            self.catalog,
            self._configuration.composer,
            self._configuration.dependents,
            self.resolver,
            due,
            self._core.clock,
            self.offered_tools,
        )

    @cached_property
    def configuration_changes(self) -> ConfigurationChanges:
        """Changes the items that agents are composed of."""
        from lifecycle.propagation.item_changes import ConfigurationChanges

        return ConfigurationChanges(
            self._configuration.items,
            self._configuration.dependents,
            self._configuration.composer,
            self.propagation,
            self.catalog,
        )

    @cached_property
    def prune(self) -> Prune:
        """Retires idle agents."""
        from lifecycle.registry.agent_checks_due import IDLE, SURPLUS
        from lifecycle.registry.prune import Prune, PrunePolicy

        settings = self._core.settings
        # Retire only what has been unused for longer than any worker may use its cached copy without reading.
        lag = settings.use_lag + timedelta(seconds=settings.agent_cache_trust)
        policy = PrunePolicy(
            self._look_after,
            timedelta(seconds=settings.keep_new_for),
            lag,
            self._grace,
        )
        return Prune(
            self.catalog,
            self._core.due(IDLE),
            self._core.due(SURPLUS),
            has_open_session=self._conversations.directory.has_open_session,
            in_team=self.memberships.has,
            pinned=self._conversations.pins.counts,
            policy=policy,
            clock=self._core.clock,
        )

    @cached_property
    def memberships(self) -> Memberships:
        """The teams that agents are members of."""
        from lifecycle.teams.team_store import Memberships

        return Memberships(self._core.tables, self._configuration.items, self._core.clock)

    @cached_property
    def verification(self) -> Verification:
        """Has agents checked at their providers."""
        from lifecycle.registry.agent_checks_due import UNVERIFIED, Verification

        due, sample = self._core.due(UNVERIFIED), self._core.settings.verify_sample
        return Verification(self.catalog, due, self._look_after, sample=sample, clock=self._core.clock)

    @cached_property
    def versions(self) -> Versions:
        """Reads agents' versions and audit trails."""
        from lifecycle.registry.agent_history import AgentHistory
        from lifecycle.registry.versions import Versions

        return Versions(
            self.catalog,
            AgentHistory(self._core.tables),
            self._conversations.pins.counts,
            self._look_after,
            self._core.clock,
        )

    def actor(self) -> AgentActor:
        """Return an actor of agents over the same tables and providers."""
        from lifecycle.registry.actor import AgentActor

        owner = self._core.settings.registry_owner
        return AgentActor(
            self._core.tables, self.providers, owner=owner, look_after=self._look_after, clock=self._core.clock
        )

    def local_signals(self) -> LocalSignals:
        """Return the in-process actors, one per agent, for use without a Functions host; always the same object."""
        return self._local_signals

    @cached_property
    def _local_signals(self) -> LocalSignals:
        from lifecycle.registry.actor_signals import LocalSignals

        if not self._core.shared:
            return LocalSignals(self.actor())
        from lifecycle.registry.actor_signals import AgentLocks

        return LocalSignals(self.actor(), AgentLocks(self._core.tables, self._core.clock))

    @cached_property
    def _look_after(self) -> RetentionPolicy:
        from lifecycle.registry.agent_checks_due import RetentionPolicy

        settings = self._core.settings
        # A run continues with the version it began with, which its worker may have cached.
        in_use = settings.run_timeout + settings.agent_cache_trust + settings.provision_wait
        return RetentionPolicy(
            self._idle_after,
            superseded=timedelta(seconds=in_use),
            verified=timedelta(seconds=settings.verify_after),
            versions_kept=settings.versions_kept,
        )

    @property
    def _grace(self) -> timedelta:
        return timedelta(seconds=self._core.settings.prune_grace)

    @property
    def _idle_after(self) -> timedelta:
        return timedelta(seconds=self._core.settings.idle_after)
