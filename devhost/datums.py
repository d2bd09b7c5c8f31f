"""Trigger values as the Functions host sends them to the Python worker, including odd types and omissions."""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from azure.functions.meta import Datum

_NEVER = "9999-12-31T23:59:59.9999999"


def string(text: str) -> Datum:
    """Return a text value."""
    return Datum(text, "string")


def as_json(value: Any) -> Datum:
    """Return a JSON value: the host sends numbers, dates and dictionaries this way."""
    return Datum(json.dumps(_plain(value), allow_nan=False), "json")


def http(
    *,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    query: Iterable[tuple[str, str]],
    params: Mapping[str, str],
    body: bytes,
) -> Datum:
    """Return an HTTP request: header names in lower case, repeated ones joined, without empty query values."""
    return Datum(
        {
            "method": string(method),
            "url": string(url),
            "headers": {
                name: string(value) for name, value in _joined((name.lower(), value) for name, value in headers).items()
            },
            "query": {name: string(value) for name, value in _joined(query).items() if value},
            "params": {name: string(value) for name, value in params.items()},
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def timer(
    *, last: datetime | None, next_: datetime, updated: datetime | None, past_due: bool, has_status: bool
) -> Datum:
    """Return a timer's value; a schedule without a monitor has no status."""
    never = "0001-01-01T00:00:00"
    status = {
        "Last": last.isoformat() if last else never,
        "Next": next_.isoformat(),
        "LastUpdated": updated.isoformat() if updated else never,
    }
    return as_json(
        {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status if has_status else None, "IsPastDue": past_due}
    )


def service_bus_body(body: bytes) -> Datum:
    """Return a message body: text where it is UTF-8, else bytes."""
    try:
        return string(body.decode("utf-8"))
    except UnicodeDecodeError:
        return Datum(body, "bytes")


def service_bus_metadata(
    *,
    texts: Mapping[str, str | None],
    delivery_count: int,
    sequence_number: int,
    enqueued: datetime | None,
    time_to_live: timedelta | None,
    properties: Mapping[str, Any],
) -> dict[str, Datum]:
    """Return a message's trigger metadata.

    The UTC times carry no zone, as in production, so the SDK gives naive datetimes. LockedUntil, State, TimeToLive,
    the dead-letter texts and others that the SDK's class has properties for are never sent by the real host either.

    Args:
        texts: Text properties by the host's names; absent ones (None) are left out, as the host skips nulls.
        delivery_count: Deliveries of this message including this one.
        sequence_number: The broker's number of the message.
        enqueued: When the broker accepted the message, UTC.
        time_to_live: Remaining life from `enqueued`; None means for ever.
        properties: The message's application properties.
    """
    metadata = {name: string(text) for name, text in texts.items() if text is not None}
    metadata["DeliveryCount"] = as_json(delivery_count)
    metadata["SequenceNumber"] = as_json(sequence_number)
    if enqueued is not None:
        moment = _dotnet_time(enqueued)
        metadata["EnqueuedTimeUtc"] = as_json(moment)
        metadata["EnqueuedTime"] = as_json(f"{moment}+00:00")
        try:
            expires = _NEVER if time_to_live is None else _dotnet_time(enqueued + time_to_live)
        except OverflowError:
            expires = _NEVER
        metadata["ExpiresAtUtc"] = as_json(expires)
        metadata["ExpiresAt"] = as_json(f"{expires}+00:00")
    metadata["ApplicationProperties"] = metadata["UserProperties"] = as_json(dict(properties))
    return metadata


def _dotnet_time(moment: datetime) -> str:
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return text.rstrip("0") if "." in text else text


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _plain(value: Any) -> Any:
    """Return a value of JSON's types, as the host's serialiser does: bytes in base64, NaN and infinities as text."""
    if isinstance(value, Mapping):
        return {_name(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _name(key: Any) -> str:
    return key.decode("utf-8", errors="replace") if isinstance(key, bytes) else str(key)
