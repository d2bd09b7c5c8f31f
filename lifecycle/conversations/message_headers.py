"""Headers of a queue message, and CloudEvents in its body or headers.

CloudEvents 1.0 (github.com/cloudevents/spec): in structured mode the body is the envelope and its `data` is the run
message; in binary mode the body is the run message, and the envelope's attributes are application properties that begin
with `cloudEvents:` or `cloudEvents_` (AMQP protocol binding, 3.1.3). `source` and `id` together identify an event, so
that delivering it twice submits one run.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, cast

from kernel.lazy_dataclass import dataclass
from kernel.strict_json import parse_json

_PREFIXES = ("cloudEvents:", "cloudEvents_")
_REQUIRED = ("source", "id", "type")


class NoCloudEvent(ValueError):
    """A CloudEvent is not valid; the text says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class MessageHeaders:
    """Headers of a queue message, without its ids.

    Attributes:
        reply_to: ReplyTo: the queue for the report of the run's end; empty for none.
        reply_to_session_id: ReplyToSessionId: the SessionId of the report; empty for the run's own session.
        correlation_id: CorrelationId, copied to the report; empty for the message's MessageId.
        event: Attributes of the CloudEvent in binary mode, by name; empty for none.
    """

    reply_to: str = ""
    reply_to_session_id: str = ""
    correlation_id: str = ""
    event: tuple[tuple[str, str], ...] = ()

    def callback(self, message_id: str | None) -> dict[str, str] | None:
        """Return the callback that the headers ask for, in the form of a run request; None for none."""
        if not self.reply_to:
            return None
        asked = {
            "queue": self.reply_to,
            "session_id": self.reply_to_session_id,
            "correlation_id": self.correlation_id or message_id or "",
        }
        return {name: value for name, value in asked.items() if value}


NO_HEADERS = MessageHeaders()


def headers_of(
    properties: Mapping[Any, Any], reply_to: str | None, reply_to_session_id: str | None, correlation_id: str | None
) -> MessageHeaders:
    """Return a message's headers.

    Args:
        properties: The message's application properties.
        reply_to: Its ReplyTo; None for none, or where replies are not supported.
        reply_to_session_id: Its ReplyToSessionId.
        correlation_id: Its CorrelationId.
    """
    event: dict[str, str] = {}
    for key, value in properties.items():
        name = _text(key)
        prefix = next((each for each in _PREFIXES if name.startswith(each)), None)
        if prefix is not None:
            event[name.removeprefix(prefix)] = _text(value)
    return MessageHeaders(reply_to or "", reply_to_session_id or "", correlation_id or "", tuple(event.items()))


def opened(body: Any, headers: MessageHeaders) -> tuple[Any, str | None]:
    """Return the run message in a body, and the idempotency key made from its CloudEvent; None without one.

    Raises:
        NoCloudEvent: The envelope is not a valid one of CloudEvents 1.0, or its data is not JSON.
    """
    if (event := _envelope(body)) is not None:
        return _data(event), _key(event)
    if headers.event:
        return body, _key(dict(headers.event))
    return body, None


def _envelope(body: object) -> Mapping[str, Any] | None:
    values = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    return values if "specversion" in values else None


def _data(event: Mapping[str, Any]) -> Any:
    kind = event.get("datacontenttype") or "application/json"
    if not isinstance(kind, str) or not kind.partition(";")[0].strip().lower().endswith(("/json", "+json")):
        raise NoCloudEvent("datacontenttype is not JSON")
    if (encoded := event.get("data_base64")) is not None:
        try:
            return parse_json(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError, TypeError):
            raise NoCloudEvent("data_base64 is not JSON in base64") from None
    data = event.get("data")
    if not isinstance(data, dict):
        raise NoCloudEvent("data is no JSON object")
    return cast("Any", data)


def _key(event: Mapping[str, Any]) -> str:
    if event.get("specversion") != "1.0":
        raise NoCloudEvent("specversion is not 1.0")
    if missing := [name for name in _REQUIRED if not isinstance(event.get(name), str) or not event[name]]:
        raise NoCloudEvent(f"it has no {', '.join(missing)}")
    named = hashlib.sha256(f"{event['source']}\n{event['id']}".encode(errors="surrogatepass")).hexdigest()
    return f"cloudevent {named}"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
