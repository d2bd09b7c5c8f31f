"""The Azure adapters that the settings select. Connects to nothing, and imports each SDK only when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.azure_tables import AzureTables
from adapters.identity import AppIdentity
from adapters.priority_queues import PriorityQueues
from adapters.service_bus import ServiceBusQueue
from adapters.service_bus_clients import by_connection_string, by_identity
from kernel.settings import InvalidSettings, Settings
from lifecycle.conversations.session_priority import Priority

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.servicebus.aio import ServiceBusClient

    from adapters.service_bus_replies import ServiceBusReplies
    from kernel.large_texts import LargeTexts
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


def azure_texts(settings: Settings) -> LargeTexts:
    """Return the store of large texts, in the storage account of the tables.

    Raises:
        InvalidSettings: The settings name no storage account.
    """
    from adapters.azure_texts import BlobTexts  # noqa: PLC0415 - few processes ever meet a large text

    if settings.tables_endpoint:
        url = settings.blob_endpoint or settings.tables_endpoint.replace(".table.", ".blob.", 1)
        return BlobTexts.from_endpoint(url, AppIdentity())
    connection = settings.tables_connection.get_secret_value()
    if not connection:
        raise InvalidSettings("Set TablesConnection or TablesConnection__endpoint.")
    return BlobTexts.from_connection_string(connection)


def azure_replies(settings: Settings) -> ServiceBusReplies | None:
    """Return the sender of messages to reply queues; None where the settings name no namespace."""
    from adapters.service_bus_replies import ServiceBusReplies  # noqa: PLC0415 - few workers ever reply

    connect = _service_bus(settings)
    return ServiceBusReplies(connect) if connect else None


def azure_queue(settings: Settings) -> PriorityQueues:
    """Return the run queues that the settings name, as one.

    Raises:
        InvalidSettings: They name no namespace.
    """
    connect = _service_bus(settings)
    if connect is None:
        raise InvalidSettings("Set ServiceBusConnection or ServiceBusConnection__fullyQualifiedNamespace.")
    key = settings.queue_signing_key.get_secret_value()
    names = {
        Priority.NORMAL: settings.run_queue,
        Priority.HIGH: settings.run_queue_priority,
        Priority.LOW: settings.run_queue_low,
    }
    return PriorityQueues({each: ServiceBusQueue(connect, name, each, key) for each, name in names.items()})


def _service_bus(settings: Settings) -> Callable[[], ServiceBusClient] | None:
    if settings.service_bus_namespace:
        return by_identity(settings.service_bus_namespace, AppIdentity())
    connection = settings.service_bus_connection.get_secret_value()
    return by_connection_string(connection) if connection else None
