"""Which adapter each setting chooses. Nothing here connects, nor imports an SDK that is not needed yet."""

from __future__ import annotations

from adapters.azure_tables import AzureTables
from adapters.identity import AppIdentity
from adapters.providers.offline import OfflineProvider
from adapters.providers.openai import Endpoint, OpenAIProvider
from adapters.service_bus import ServiceBusQueue
from kernel.clock import Clock
from kernel.settings import InvalidSettings, Settings
from kernel.tables import Tables
from lifecycle.providers import Providers
from lifecycle.tools import Tools


def azure_tables(settings: Settings) -> Tables:
    """Return the tables that the settings name.

    Raises:
        InvalidSettings: They name none.
    """
    if settings.tables_endpoint:
        return AzureTables.from_endpoint(settings.tables_endpoint, AppIdentity())
    connection = settings.tables_connection.get_secret_value()
    if not connection:
        raise InvalidSettings("Set TablesConnection or TablesConnection__endpoint.")
    return AzureTables.from_connection_string(connection)


def azure_queue(settings: Settings) -> ServiceBusQueue:
    """Return the queue that the settings name.

    Raises:
        InvalidSettings: They name none.
    """
    if settings.service_bus_namespace:
        return ServiceBusQueue.from_namespace(settings.service_bus_namespace, AppIdentity(), settings.run_queue)
    connection = settings.service_bus_connection.get_secret_value()
    if not connection:
        raise InvalidSettings("Set ServiceBusConnection or ServiceBusConnection__fullyQualifiedNamespace.")
    return ServiceBusQueue.from_connection_string(connection, settings.run_queue)


def make_providers(settings: Settings, tables: Tables, tools: Tools, clock: Clock) -> Providers:
    """Return the providers by the name that specs use."""
    return {
        "offline": OfflineProvider(tables, clock, tools),
        "openai": OpenAIProvider(_openai_endpoint(settings), clock, tools),
    }


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
