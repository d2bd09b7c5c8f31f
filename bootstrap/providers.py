"""The providers that the settings describe. Connects to nothing, and imports each SDK only when it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from adapters.identity import AppIdentity
from adapters.providers.extension import ExtensionProvider
from adapters.providers.foundry import FoundryProvider, Project
from adapters.providers.offline import OfflineProvider
from adapters.providers.openai import Endpoint, OpenAIProvider
from adapters.providers.routed import Reach, RoutedProvider
from kernel.errors import ProviderRejected
from lifecycle.registry.providers import AgentProvider, Providers

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.settings import Settings
    from kernel.tables import Tables
    from lifecycle.extensions.definition import ChatClientMaker
    from lifecycle.specs.tools import Toolbox
    from llmops.routing.router import Router


class KnownProviders(dict[str, AgentProvider]):
    """The providers, by the name that specs use."""

    def __missing__(self, name: str) -> AgentProvider:
        """Refuse a provider that a stored spec names and the app does not have (any more).

        Raises:
            ProviderRejected: Always (code `unknown_provider`).
        """
        msg = f"This app has no provider {name!r}; the extension that brings it is not loaded."
        raise ProviderRejected(msg, code="unknown_provider")


def make_providers(
    settings: Settings,
    tables: Tables,
    toolbox: Toolbox,
    clients: Mapping[str, ChatClientMaker],
    router: Callable[[], Router],
    clock: Clock,
) -> Providers:
    """Return the providers by name: the built-in ones, and one for each chat client of an extension."""
    reach = Reach(_openai_endpoint(settings), os.environ.get, settings.model_timeout, settings.routes_allow_private)
    own: dict[str, AgentProvider] = {
        "offline": OfflineProvider(tables, clock, toolbox),
        "openai": OpenAIProvider(_openai_endpoint(settings), clock, toolbox),
        "foundry": FoundryProvider(_foundry_project(settings), clock, toolbox),
        "route": RoutedProvider(router, reach, clock, toolbox),
    }
    more = {name: ExtensionProvider(maker, os.environ.get, clock, toolbox) for name, maker in clients.items()}
    return KnownProviders(more | own)


def _foundry_project(settings: Settings) -> Project | None:
    endpoint = settings.foundry_project_endpoint.rstrip("/")
    if not endpoint:
        return None
    credential = AppIdentity() if endpoint.startswith("https://") else None
    return Project(endpoint=endpoint, credential=credential, timeout_s=settings.model_timeout)


def _openai_endpoint(settings: Settings) -> Endpoint:
    key = settings.openai_api_key.get_secret_value() or None
    if settings.azure_openai_endpoint:
        return Endpoint(
            azure_endpoint=settings.azure_openai_endpoint,
            api_version=settings.azure_openai_api_version or None,
            api_key=key,
            credential=None if key else AppIdentity(),
            timeout_s=settings.model_timeout,
        )
    return Endpoint(base_url=settings.openai_base_url, api_key=key, timeout_s=settings.model_timeout)
