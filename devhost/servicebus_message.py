"""A received Service Bus message as the host's trigger value and metadata.

Only a body of data sections is passed on. The real host reads a message with the .NET SDK, whose `Body` throws
NotSupportedException for an AMQP value or sequence section ("… cannot be retrieved using the Body property"): the
function never runs, the message is abandoned, and after MaxDeliveryCount deliveries the broker dead-letters it.
"""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from azure.functions.meta import Datum
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from devhost import datums


class UnreadableMessageError(ValueError):
    """A message that the host cannot pass to a function; it counts as a failed delivery."""


def trigger_value(message: ServiceBusReceivedMessage) -> tuple[Datum, dict[str, Datum]]:
    """Return the body and the metadata the host sends for a message.

    Raises:
        UnreadableMessageError: The real host could not read it either, or its properties make no sense.
    """
    kind = message.body_type
    if kind is not AmqpMessageBodyType.DATA:
        raise UnreadableMessageError(
            f"its body is an AMQP {kind.value} section, which the Functions host cannot read:"
            " send bytes or text (a data section), such as json.dumps(…) in a ServiceBusMessage"
        )
    try:
        return datums.service_bus_body(b"".join(message.body)), _metadata(message)
    except (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        raise UnreadableMessageError(f"its properties cannot be read: {error!r}") from error


def trace_parent(message: ServiceBusReceivedMessage) -> str | None:
    """Return the sender's W3C trace context, which SDKs send as an application property; None without one."""
    for name in (b"traceparent", b"Diagnostic-Id"):
        value = (message.application_properties or {}).get(name)
        if value:
            return _text(value)
    return None


def shown(message: ServiceBusReceivedMessage) -> str:
    """Return a description of a message for the log: its id and session, and the number of a repeated delivery."""
    parts = [str(message.message_id)[:100]]
    if message.session_id is not None:
        parts.append(f"session {message.session_id[:100]}")
    if message.delivery_count:
        parts.append(f"delivery {message.delivery_count + 1}")
    return ", ".join(parts)


def manual_value(text: str) -> tuple[Datum, dict[str, Datum]]:
    """Return the value and metadata of a run through the admin API: the input as body, and only basic metadata."""
    metadata = datums.service_bus_metadata(
        texts={"MessageId": uuid.uuid4().hex},
        delivery_count=1,
        sequence_number=0,
        enqueued=None,
        time_to_live=None,
        properties={},
    )
    return datums.string(text), metadata


def _metadata(message: ServiceBusReceivedMessage) -> dict[str, Datum]:
    properties: Mapping[Any, Any] = message.application_properties or {}
    lock = message.lock_token
    texts = {
        "MessageId": message.message_id,
        "SessionId": message.session_id,
        "LockToken": str(lock) if lock else None,
        "ContentType": message.content_type,
        "CorrelationId": message.correlation_id,
        "Subject": message.subject,
        "Label": message.subject,
        "To": message.to,
        "ReplyTo": message.reply_to,
        "ReplyToSessionId": message.reply_to_session_id,
        "PartitionKey": message.partition_key,
        "DeadLetterSource": message.dead_letter_source,
    }
    return datums.service_bus_metadata(
        texts={name: _text(value) for name, value in texts.items() if value is not None},
        # The SDK returns the number of earlier deliveries; the host also counts this one.
        delivery_count=(message.delivery_count or 0) + 1,
        sequence_number=message.sequence_number or 0,
        enqueued=message.enqueued_time_utc,
        time_to_live=_time_to_live(message.time_to_live),
        properties={_text(name): _textual(value) for name, value in properties.items()},
    )


def _time_to_live(value: timedelta | float | None) -> timedelta | None:
    if value is None or isinstance(value, timedelta):
        return value
    return timedelta(milliseconds=value)


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _textual(value: Any) -> Any:
    """Return a property's value with bytes as text: the SDK does not decode AMQP strings and symbols."""
    if isinstance(value, Mapping):
        return {_text(name): _textual(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_textual(item) for item in value]
    return _text(value) if isinstance(value, bytes) else value
