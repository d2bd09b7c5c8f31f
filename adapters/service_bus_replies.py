"""Sending messages to other Service Bus queues: replies, events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from adapters.service_bus_clients import PATIENCE_S
from kernel.errors import Unavailable

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

    from lifecycle.callbacks.callback_delivery import Reply


class ServiceBusReplies:
    """Sends messages to queues by name; the client and each queue's sender are created on first use and kept."""

    def __init__(self, connect: Callable[[], ServiceBusClient]) -> None:
        self._connect = connect
        self._client: ServiceBusClient | None = None
        self._senders: dict[str, ServiceBusSender] = {}
        self._lock = asyncio.Lock()

    async def send(self, queue: str, reply: Reply) -> None:
        """Put the message on the queue; returns once the broker has accepted it.

        Raises:
            Unavailable: The broker did not accept it (`reply_queue_unavailable`).
        """
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - see adapters/service_bus_clients.py
        from azure.servicebus import ServiceBusMessage  # noqa: PLC0415 - see adapters/service_bus_clients.py
        from azure.servicebus.exceptions import ServiceBusError  # noqa: PLC0415 - see adapters/service_bus_clients.py

        message = ServiceBusMessage(
            reply.body,
            message_id=reply.message_id,
            session_id=reply.session_id,
            correlation_id=reply.correlation_id,
            subject=reply.subject,
            content_type=reply.content_type,
        )
        async with self._lock:  # a sender serves one task at a time
            try:
                await self._sender(queue).send_messages(message, timeout=PATIENCE_S)
            except (ServiceBusError, AzureError, OSError, ValueError) as error:
                if (sender := self._senders.pop(queue, None)) is not None:
                    await sender.close()
                msg = "The reply queue did not take the message."
                raise Unavailable(msg, code="reply_queue_unavailable") from error

    async def aclose(self) -> None:
        """Close the connection."""
        async with self._lock:
            while self._senders:
                await self._senders.popitem()[1].close()
            if self._client is not None:
                await self._client.close()
                self._client = None

    def _sender(self, queue: str) -> ServiceBusSender:
        if self._client is None:
            self._client = self._connect()
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]
