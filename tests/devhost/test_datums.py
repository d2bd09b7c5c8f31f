"""Trigger values in the forms the real host sends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum

from devhost import datums

MOMENT = datetime(2026, 11, 21, 7, 18, 47, 236000, tzinfo=UTC)
NAIVE = MOMENT.replace(tzinfo=None)


def _message(body: bytes = b"{}", **changes: Any) -> Any:
    values: dict[str, Any] = {
        "texts": {"MessageId": "m", "SessionId": "s", "Subject": None},
        "delivery_count": 1,
        "sequence_number": 7,
        "enqueued": MOMENT,
        "time_to_live": None,
        "properties": {},
        **changes,
    }
    metadata = datums.service_bus_metadata(**values)
    return (
        func.get_binding_registry()
        .get("serviceBusTrigger")
        .decode(  # pyright: ignore[reportOptionalMemberAccess]
            datums.service_bus_body(body), trigger_metadata=metadata
        )
    )


def test_message_times_are_naive_as_in_production() -> None:
    """The host sends UTC times without a zone, so the SDK gives naive datetimes."""
    message = _message(time_to_live=timedelta(hours=1))

    assert message.enqueued_time_utc == NAIVE
    assert NAIVE + timedelta(hours=1) == message.expires_at_utc


def test_a_message_without_expiry_expires_at_the_end_of_time() -> None:
    """No time to live is .NET's largest date."""
    assert _message().expires_at_utc.year == 9999


def test_properties_never_sent_are_absent() -> None:
    """The SDK's class has properties the host never fills; absent texts are None too."""
    message = _message()

    absent = ("locked_until", "state", "time_to_live", "dead_letter_reason", "enqueued_sequence_number", "subject")
    assert [None] * len(absent) == [getattr(message, name) for name in absent]


def test_application_properties_keep_their_types() -> None:
    """Numbers, texts and dates arrive as JSON makes them."""
    message = _message(properties={"a": 1, "b": "x", "c": datetime(2026, 1, 2, tzinfo=UTC), "d": b"hi"})

    assert message.application_properties == {"a": 1, "b": "x", "c": "2026-01-02T00:00:00+00:00", "d": "aGk="}


def test_bodies_are_text_or_bytes() -> None:
    """UTF-8 is sent as text, anything else as bytes; the function gets the same bytes either way."""
    assert (datums.service_bus_body(b"hi").type, datums.service_bus_body(b"\xff").type) == ("string", "bytes")
    assert [_message(body).get_body() for body in (b"hi", b"\xff", b"")] == [b"hi", b"\xff", b""]


def test_http_values_are_joined_and_empty_ones_dropped() -> None:
    """Repeated headers and query values are joined by commas; a query value of nothing does not arrive."""
    datum = datums.http(
        method="GET",
        url="http://x/",
        headers=[("X-A", "1"), ("x-a", "2")],
        query=[("q", "1"), ("q", "2"), ("empty", "")],
        params={},
        body=b"",
    )

    assert {"x-a": Datum("1,2", "string")} == datum.value["headers"]
    assert {"q": Datum("1,2", "string")} == datum.value["query"]
