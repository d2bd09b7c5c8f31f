"""CloudEvents around run messages, made by the CloudEvents project's own library, and ReplyTo of messages."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from cloudevents.core.bindings import amqp
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import InvalidInput
from lifecycle.conversations.message_headers import NO_HEADERS, MessageHeaders, headers_of
from lifecycle.conversations.run_request import Submission, parse_message
from lifecycle.conversations.session_priority import Priority

ASKED = {"agent": "bot", "query": "Hello"}


def parse(body: bytes, headers: MessageHeaders = NO_HEADERS, message_id: str | None = "m-1") -> Submission:
    return parse_message(
        body,
        message_id=message_id,
        session_id="s-1",
        sequence_number=7,
        priority=Priority.NORMAL,
        max_query_bytes=1000,
        headers=headers,
    )


def event(**more: Any) -> CloudEvent:
    attributes = {"source": "/shop", "id": "4711", "type": "order.late", "subject": "order/7", **more}
    return CloudEvent(
        attributes={"specversion": "1.0", "datacontenttype": "application/json", **attributes}, data=ASKED
    )


def structured(**more: Any) -> dict[str, Any]:
    return json.loads(amqp.to_structured_event(event(**more)).application_data)


def test_both_modes_are_the_run_that_they_carry() -> None:
    """One event is one run in whichever mode, and whatever MessageIds its deliveries have."""
    binary = amqp.to_binary_event(event())
    headers = headers_of(
        {key.encode(): value for key, value in binary.application_properties.items()}, None, None, None
    )
    colons = {
        key.replace("cloudEvents_", "cloudEvents:"): value for key, value in binary.application_properties.items()
    }
    found = [
        parse(amqp.to_structured_event(event()).application_data, message_id="m-2"),
        parse(binary.application_data, headers, "m-3"),
        parse(binary.application_data, headers_of(colons, None, None, None), None),
    ]

    assert {(each.agent, each.query, each.run_id) for each in found} == {("bot", "Hello", found[0].run_id)}
    assert parse(json.dumps(structured(id="4712")).encode()).run_id != found[0].run_id
    assert parse(json.dumps(structured(source="/till")).encode()).run_id != found[0].run_id


def test_data_may_be_in_base64() -> None:
    envelope = structured()
    envelope["data_base64"] = base64.b64encode(json.dumps(envelope.pop("data")).encode()).decode()

    assert parse(json.dumps(envelope).encode()).query == "Hello"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"specversion": "0.3"}, "specversion is not 1.0"),
        ({"source": None}, "it has no source"),
        ({"id": ""}, "it has no id"),
        ({"type": 7}, "it has no type"),
        ({"data": "text"}, "data is no JSON object"),
        ({"data": None}, "data is no JSON object"),
        ({"datacontenttype": "text/xml"}, "datacontenttype is not JSON"),
        ({"data_base64": "???"}, "data_base64 is not JSON in base64"),
        ({"data_base64": [1]}, "data_base64 is not JSON in base64"),
    ],
)
def test_what_is_no_cloud_event_is_refused(wrong: dict[str, Any], why: str) -> None:
    """The detail says what is wrong with it, and repeats nothing of it."""
    with pytest.raises(InvalidInput) as raised:
        parse(json.dumps(structured() | wrong).encode())

    assert (raised.value.code, raised.value.detail) == ("invalid_message", f"The body is not a CloudEvent: {why}.")


@given(
    st.dictionaries(
        st.sampled_from(["source", "id", "type", "specversion", "data", "data_base64"]), st.text() | st.none()
    )
)
def test_no_envelope_raises_anything_but_invalid_input(values: dict[str, Any]) -> None:
    body = json.dumps({"specversion": "1.0", "data": ASKED} | values).encode()
    with contextlib.suppress(InvalidInput):
        assert parse(body).query == "Hello"


def test_reply_to_is_a_callback() -> None:
    """As the request-reply pattern has it: the reply's CorrelationId is the request's, or else its MessageId."""
    body = json.dumps(ASKED).encode()
    plain = parse(body, headers_of({}, "agent-replies", None, None)).callback
    whole = parse(body, headers_of({}, "agent-replies", "till-4", "c-9")).callback

    assert plain is not None
    assert whole is not None
    assert (plain.queue, plain.session_id, plain.correlation_id) == ("agent-replies", "", "m-1")
    assert (whole.queue, whole.session_id, whole.correlation_id) == ("agent-replies", "till-4", "c-9")
    assert parse(body).callback is None


def test_the_bodys_own_callback_comes_first() -> None:
    body = json.dumps(ASKED | {"callback": {"url": "https://a.example"}}).encode()
    found = parse(body, headers_of({}, "agent-replies", None, None)).callback

    assert found is not None
    assert (found.url, found.queue) == ("https://a.example", "")


def test_a_message_that_names_a_stored_run_has_no_callback() -> None:
    """The run has its own."""
    body = json.dumps({"agent": "bot", "run_id": "r"}).encode()

    assert parse(body, headers_of({}, "agent-replies", None, None)).callback is None
