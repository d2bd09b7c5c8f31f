"""The providers that the settings describe. Nothing here connects, nor imports an SDK that is not needed yet."""

from __future__ import annotations

from adapters.identity import AppIdentity
from adapters.providers.foundry import FoundryProvider, Project
from adapters.providers.offline import OfflineProvider
from adapters.providers.openai import Endpoint, OpenAIProvider
from kernel.clock import Clock
from kernel.settings import Settings
from kernel.tables import Tables
from lifecycle.registry.providers import Providers
from lifecycle.specs.tools import Tools


def make_providers(settings: Settings, tables: Tables, tools: Tools, clock: Clock) -> Providers:
    """Return the providers by the name that specs use."""
    return {
        "offline": OfflineProvider(tables, clock, tools),
        "openai": OpenAIProvider(_openai_endpoint(settings), clock, tools),
        "foundry": FoundryProvider(_foundry_project(settings), clock, tools),
    }


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
