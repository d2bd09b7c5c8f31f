"""Which adapter each setting chooses. Nothing here connects, nor imports an SDK that is not needed yet."""

from __future__ import annotations

from adapters.azure_tables import AzureTables
from adapters.identity import AppIdentity
from adapters.service_bus import ServiceBusQueue
from kernel.settings import InvalidSettings, Settings
from kernel.tables import Tables


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
