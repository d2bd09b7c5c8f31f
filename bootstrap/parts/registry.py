"""The parts of the registry: agents, their providers, and who keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.configuration import ConfigurationParts

if TYPE_CHECKING:
    from lifecycle.loader.overview import LoaderOverview
    from lifecycle.loader.preloader import Preloader
    from lifecycle.loader.ranking import Learned, Rankings
    from lifecycle.loader.resolver import AgentResolver
    from lifecycle.loader.uses import UseRecorder
    from lifecycle.loader.watch import CacheWatch
    from lifecycle.propagation.changes import ConfigurationChanges
    from lifecycle.propagation.propagation import Propagation
    from lifecycle.registry.actor import AgentActor
    from lifecycle.registry.administration import Administration
    from lifecycle.registry.catalog import Catalog
    from lifecycle.registry.offers import OfferedTools
    from lifecycle.registry.providers import AgentProvider
    from lifecycle.registry.prune import Prune
    from lifecycle.registry.retention import RetentionPolicy
    from lifecycle.registry.signals import LocalSignals
    from lifecycle.registry.verification import Verification
    from lifecycle.registry.versions import Versions


class RegistryParts(ConfigurationParts):
    """Makes the registry: agents, their providers, and who keeps them."""

    @cached_property
    def providers(self) -> Mapping[str, AgentProvider]:
        """The providers by the name that specs use."""
        from bootstrap.providers import make_providers

        return make_providers(self.settings, self.tables, self.toolbox, self.extensions.clients, self.clock)

    @cached_property
    def catalog(self) -> Catalog:
        """The declared agents."""
        from lifecycle.registry.catalog import Catalog

        return Catalog(self.tables, self.clock)

    @cached_property
    def resolver(self) -> AgentResolver:
        """Get-or-create of agents, with this process's cache."""
        from lifecycle.loader.resolver import AgentResolver

        return AgentResolver(
            self.catalog,
            self.providers,
            self.clock,
            capacity=self.settings.agent_cache_size,
            trust_for=timedelta(seconds=self.settings.agent_cache_trust),
            wait_for=timedelta(seconds=self.settings.provision_wait),
            policy=self.settings.agent_cache_policy,
            watch=self._cache_watch,
        )

    @cached_property
    def _cache_watch(self) -> CacheWatch:
        from lifecycle.loader.preloads import Preloads
        from lifecycle.loader.watch import CacheWatch

        preloads = Preloads(self.settings.agent_cache_size, self.settings.preload_share)
        watch = CacheWatch(preloads, self.measures)
        self.metrics.add_source(watch.flush)
        return watch

    @cached_property
    def rankings(self) -> Rankings:
        """Which agents are worth holding."""
        from lifecycle.loader.ranking import Rankings

        return Rankings(self.tables, self.clock)

    @cached_property
    def preloader(self) -> Preloader:
        """Opens agents before they are asked for."""
        from lifecycle.loader.preloader import Preloader, PreloadPolicy

        settings = self.settings
        policy = PreloadPolicy(
            settings.preload_share > 0, settings.preload_threshold, timedelta(seconds=settings.preload_every)
        )
        return Preloader(self.resolver, self.rankings, self._cache_watch, policy, self.clock)

    @cached_property
    def loader_overview(self) -> LoaderOverview:
        """How well the workers' caches do."""
        from lifecycle.loader.overview import LoaderOverview
        from lifecycle.loader.ranking import AccessHistory

        return LoaderOverview(
            self.rankings,
            AccessHistory(self.tables),
            self.metrics,
            self.lifecycle_counts,
            self.resolver,
            self.clock,
            policy=self.settings.agent_cache_policy,
            threshold=self.settings.preload_threshold,
        )

    async def learn_accesses(self) -> Learned:
        """Bring the ranking up to the accesses, and note the hit rates of its workspaces."""
        learned = await self.rankings.learn()
        ranking = await self.rankings.read()
        await self.hit_rates.note(sorted({key[0] for key in ranking.book.agents}))
        return learned

    @cached_property
    def uses(self) -> UseRecorder:
        """Tells actors of uses."""
        from lifecycle.loader.uses import UseRecorder

        return UseRecorder(self.clock, self.settings.use_lag)

    @cached_property
    def administration(self) -> Administration:
        """What owners and operators do to agents."""
        from lifecycle.registry.administration import Administration

        forget = self.resolver.forget
        return Administration(
            self.catalog, self.composer, self.clock, grace=self._grace, forget=forget, offers=self.offered_tools
        )

    @cached_property
    def offered_tools(self) -> OfferedTools:
        """Notes and compares what MCP servers offer."""
        from lifecycle.registry.offers import OfferedTools

        return OfferedTools(self.tables, self.tool_servers)

    @cached_property
    def following(self) -> Propagation:
        """Has agents follow what they are composed of."""
        from lifecycle.propagation.propagation import Propagation

        due = self._due("configuration")
        return Propagation(self.catalog, self.composer, self.dependents, self.resolver, due, self.clock)

    @cached_property
    def changes(self) -> ConfigurationChanges:
        """Changes what agents are composed of."""
        from lifecycle.propagation.changes import ConfigurationChanges

        return ConfigurationChanges(self.items, self.dependents, self.composer, self.following, self.catalog)

    @cached_property
    def prune(self) -> Prune:
        """Retires idle agents."""
        from lifecycle.registry.prune import Prune, PrunePolicy
        from lifecycle.registry.retention import IDLE, SURPLUS

        settings = self.settings
        # A worker may use what it has cached without a look: what is retired is unused for longer than it may.
        lag = settings.use_lag + timedelta(seconds=settings.agent_cache_trust)
        policy = PrunePolicy(
            self._look_after,
            timedelta(seconds=settings.keep_new_for),
            lag,
            self._grace,
        )
        return Prune(
            self.catalog,
            self._due(IDLE),
            self._due(SURPLUS),
            has_open_session=self.directory.has_open_session,
            pinned=self.pins.counts,
            policy=policy,
            clock=self.clock,
        )

    @cached_property
    def verification(self) -> Verification:
        """Has agents verified at their providers."""
        from lifecycle.registry.retention import UNVERIFIED
        from lifecycle.registry.verification import Verification

        due, sample = self._due(UNVERIFIED), self.settings.verify_sample
        return Verification(self.catalog, due, self._look_after, sample=sample, clock=self.clock)

    @cached_property
    def versions(self) -> Versions:
        """The versions of agents, what is known of them, and their audit trails."""
        from lifecycle.registry.agent_history import AgentHistory
        from lifecycle.registry.versions import Versions

        return Versions(self.catalog, AgentHistory(self.tables), self.pins.counts, self._look_after, self.clock)

    def actor(self) -> AgentActor:
        """Return an actor of agents over the same tables and providers."""
        from lifecycle.registry.actor import AgentActor

        owner = self.settings.registry_owner
        return AgentActor(self.tables, self.providers, owner=owner, look_after=self._look_after, clock=self.clock)

    def local_signals(self) -> LocalSignals:
        """Return the actors inside this process, for when there is no Functions host: always the same, one an agent."""
        return self._local_signals

    @cached_property
    def _local_signals(self) -> LocalSignals:
        from lifecycle.registry.signals import LocalSignals

        return LocalSignals(self.actor())

    @cached_property
    def _look_after(self) -> RetentionPolicy:
        from lifecycle.registry.retention import RetentionPolicy

        settings = self.settings
        # A run goes on with the version it began with, which its worker may have had cached.
        in_use = settings.run_timeout + settings.agent_cache_trust + settings.provision_wait
        return RetentionPolicy(
            self._idle_after,
            superseded=timedelta(seconds=in_use),
            verified=timedelta(seconds=settings.verify_after),
            versions_kept=settings.versions_kept,
        )

    @property
    def _grace(self) -> timedelta:
        return timedelta(seconds=self.settings.prune_grace)

    @property
    def _idle_after(self) -> timedelta:
        return timedelta(seconds=self.settings.idle_after)
