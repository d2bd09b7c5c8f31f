"""Signals to agents' actors through Durable Entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
from opentelemetry.context import Context

from kernel.errors import Unavailable
from kernel.tracing import carrier, parent_of

if TYPE_CHECKING:
    from lifecycle.registry.actor_operations import Operation

ENTITY = "agent"
"""Name of the entity function."""
CONTEXT = "context"
"""Key of a signal's input that holds the trace context it was sent in."""


class DurableSignals:
    """Sends signals with the Durable client that a function was given."""

    def __init__(self, client: df.DurableOrchestrationClient) -> None:
        self._client = client

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        """Send the operation; it is stored durably once this returns, and applied some time later."""
        from lifecycle.registry.actor_operations import to_signal  # noqa: PLC0415 - cold start

        kind, values = to_signal(operation)
        values |= {CONTEXT: carrier()}  # an entity function gets no trace context of its own
        try:
            await self._client.signal_entity(df.EntityId(ENTITY, entity_key(workspace, name)), kind, values)
        except Exception as error:  # the SDK raises a bare Exception for every refusal
            msg = "The registry cannot be reached; try again."
            raise Unavailable(msg, code="registry_unavailable", retry_after_s=1) from error


def sent_in(values: dict[str, Any]) -> Context:
    """Remove the trace context from a signal's input, and return it."""
    sent = values.pop(CONTEXT, None)
    return parent_of(sent if isinstance(sent, dict) else {}, {})


def entity_key(workspace: str, name: str) -> str:
    """Return the key of an agent's entity; neither part can contain the separator `.` or characters escaped in URLs."""
    return f"{workspace}.{name}"


def parse_entity_key(key: str) -> tuple[str, str]:
    """Return the workspace and name of an entity key."""
    workspace, _, name = key.partition(".")
    return workspace, name
