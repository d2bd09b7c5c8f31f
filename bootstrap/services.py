"""Everything the app is made of: for Azure (and its emulators), or in memory for use as a library.

Each part is imported and made when it is first asked for. On Azure Functions a worker serves one function group (all
HTTP functions, the queue, a timer, the entities), and its cold start should not pay for the parts of the others.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bootstrap.parts.drift import DriftParts
from bootstrap.parts.foundation import system_clock
from bootstrap.parts.reports import ReportParts
from bootstrap.parts.status import StatusParts
from kernel.clock import Clock
from kernel.settings import Settings

if TYPE_CHECKING:
    from lifecycle.production import ProductionAgentManager


class Services(StatusParts, DriftParts, ReportParts):
    """The use cases and what they stand on. Belongs to one event loop; makes no connection before it is used."""

    @classmethod
    def in_memory(cls, settings: Settings | None = None, clock: Clock = system_clock) -> Services:
        """Return services that keep everything in this process, for scripts, notebooks and tests.

        Args:
            settings: The settings; those of the environment unless given.
            clock: What tells the time.

        Raises:
            InvalidSettings: One in the environment is wrong.
        """
        from adapters.memory_tables import MemoryTables

        return cls(MemoryTables(), settings or Settings.from_environment(os.environ), clock)

    @classmethod
    def for_azure(cls, settings: Settings, clock: Clock = system_clock) -> Services:
        """Return services on the storage account that the settings name; an emulator will do.

        Raises:
            InvalidSettings: They name none.
        """
        from bootstrap.azure import azure_tables, azure_texts

        return cls(azure_tables(settings), settings, clock, lambda: azure_texts(settings))

    def load_extensions(self) -> None:
        """Load extensions now, so that what is wrong with them is logged at start; the app is served all the same."""
        from bootstrap.parts.extensions import ROOT, configured

        if configured(self.settings.extensions, ROOT):
            _ = self.extensions

    def manager(self, workspace: str = "default") -> ProductionAgentManager:
        """Return the registry as a library, with the actors inside this process."""
        from lifecycle.production import ProductionAgentManager

        return ProductionAgentManager(
            self.catalog,
            self.administration,
            self.resolver,
            self.intake,
            self.runner,
            self.run_queries,
            self.conversations,
            uses=self.uses,
            signals=self.local_signals(),
            max_query_bytes=self.settings.max_query_bytes,
            workspace=workspace,
        )

    async def aclose(self) -> None:
        """Release every connection."""
        made = self.__dict__
        if "preloader" in made:
            await self.preloader.aclose()
        if "uses" in made:
            await self.uses.aclose()
        if "check_processes" in made:
            for pool in self.check_processes:
                await pool.aclose()
        if "publisher" in made:
            await self.publisher.aclose()
        if "providers" in made:
            for provider in self.providers.values():
                await provider.aclose()
        if "tool_servers" in made:
            await self.tool_servers.aclose()
        if "webhooks" in made:
            await self.webhooks.aclose()
        if made.get("mailer") is not None:
            await made["mailer"].aclose()
        if "metrics" in made:
            await self.metrics.aclose()
        if "large_texts" in made:
            await self.large_texts.aclose()
        await self.tables.aclose()
