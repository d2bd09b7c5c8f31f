"""Clients of Service Bus that stop waiting for a broker that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adapters.tls import bundled

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus.aio import ServiceBusClient

PATIENCE_S = 30.0
"""Seconds that one operation may take with all its attempts. Without it the SDK waits for an answer for ever."""
_ATTEMPT_S = 10.0
"""Seconds that one attempt may take, with opening the link."""


def by_connection_string(connection: str) -> Callable[[], ServiceBusClient]:
    """Return what creates a client of the namespace of a connection string; the client connects on first use."""

    def connect() -> ServiceBusClient:
        from azure.servicebus.aio import ServiceBusClient  # noqa: PLC0415 - 0.2 s that a cold start need not pay

        return ServiceBusClient.from_connection_string(connection, **_options())

    return connect


def by_identity(namespace: str, credential: AsyncTokenCredential) -> Callable[[], ServiceBusClient]:
    """Return what creates a client of a namespace (`name.servicebus.windows.net`), reached with the credential."""

    def connect() -> ServiceBusClient:
        from azure.servicebus.aio import ServiceBusClient  # noqa: PLC0415 - 0.2 s that a cold start need not pay

        return ServiceBusClient(namespace, credential, **_options())

    return connect


def _options() -> dict[str, Any]:
    return {"ssl_context": bundled(), "try_timeout": _ATTEMPT_S}
