"""Queue messages from anybody: read, or refused without repeating a word of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel.errors import InvalidInput, TooLarge
from lifecycle.conversations.run_request import RunRequest, Submission, check, parse_message
from lifecycle.conversations.session_priority import Priority

ASCII = st.characters(codec="ascii")
BODY = {"agent": "bot", "query": "Hello", "run_id": "order-7"}


def parse(
    body: bytes,
    *,
    message_id: str | None = "m-1",
    session_id: str | None = "s-1",
    priority: Priority = Priority.NORMAL,
) -> Submission:
    return parse_message(
        body,
        message_id=message_id,
        session_id=session_id,
        sequence_number=7,
        priority=priority,
        max_query_bytes=1000,
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {},
        optional={name: json_values | st.just(name) for name in [*Submission.model_fields, "password"]},
    ).map(lambda value: json.dumps(value).encode())
)


@given(body=bodies, message_id=st.none() | st.text(max_size=20), session_id=st.none() | st.text(max_size=20))
@example(body=b"[" * 100_000, message_id=None, session_id="s")
@example(body=b'{"a":' * 100_000, message_id=None, session_id="s")
@example(body=b"1" * 5000, message_id=None, session_id="s")
@example(body=b'{"agent":"bot","query":"\\ud800"}', message_id=None, session_id="s")
@example(body=b'{"agent":"bot","query":"x","metadata":{"\\ud800":"\\ud800"}}', message_id=None, session_id="s")
def test_no_message_raises_anything_but_invalid_input(
    body: bytes, message_id: str | None, session_id: str | None
) -> None:
    """Whatever bytes arrive, they become a submission that can be sent on, or InvalidInput."""
    try:
        submission = parse(body, message_id=message_id, session_id=session_id)
    except InvalidInput:
        return

    assert parse(submission.to_json().encode(), session_id=submission.session_id) == submission


@given(secret=st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), min_size=6, max_size=12), place=st.integers(0, 7))
def test_the_error_repeats_nothing_of_the_body(secret: str, place: int) -> None:
    """No value of a message shows in what is logged and listed."""
    bad: list[Any] = [
        secret,
        [secret],
        BODY | {"metadata": secret},
        BODY | {"metadata": {"k": {"v": secret}}},
        BODY | {"agent": secret},
        BODY | {"query": {"text": secret}},
        BODY | {"workspace": f"{secret}!"},
        BODY | {"run_id": secret * 50},
    ]
    with pytest.raises(InvalidInput) as caught:
        parse(json.dumps(bad[place]).encode())

    assert secret not in caught.value.detail
    assert secret not in repr(caught.value.fields)


def test_a_message_of_another_producer_needs_only_agent_and_query() -> None:
    """MessageId is the run's key and SessionId the conversation."""
    submission = parse(b'{"agent":"bot","query":"Hi"}')

    assert (submission.workspace, submission.session_id, submission.v) == ("default", "s-1", 1)
    assert submission.run_id == parse(b'{"agent":"bot","query":"Hi"}').run_id
    assert submission.run_id != parse(b'{"agent":"bot","query":"Hi"}', message_id="m-2").run_id


def test_without_a_message_id_the_sequence_number_makes_the_run() -> None:
    """It is the same at every delivery."""
    assert parse(b'{"agent":"bot","query":"Hi"}', message_id=None) == parse(
        b'{"agent":"bot","query":"Hi"}', message_id=None
    )


@pytest.mark.parametrize(
    ("change", "session_id"),
    [({}, None), ({"session_id": "other"}, "s-1"), ({"v": 2}, "s-1"), ({"query": " "}, "s-1"), ({}, "a!b")],
)
def test_what_contradicts_its_envelope_is_refused(change: dict[str, Any], session_id: str | None) -> None:
    """A session that is not the message's, an unknown version, a blank query, an id that is no safe key."""
    with pytest.raises(InvalidInput):
        parse(json.dumps(BODY | change).encode(), session_id=session_id)


def test_a_query_is_measured_in_bytes() -> None:
    """Four-byte characters count four times."""
    with pytest.raises(TooLarge) as caught:
        check(RunRequest(query="😀" * 10), 39)

    check(RunRequest(query="😀" * 10), 40)
    assert caught.value.code == "query_too_large"


def test_a_digest_tells_requests_apart() -> None:
    """Order of metadata does not matter; everything else does."""
    one = RunRequest(query="a", metadata={"x": "1", "y": "2"})

    assert one.digest("bot") == RunRequest(query="a", metadata={"y": "2", "x": "1"}).digest("bot")
    assert len({one.digest("bot"), one.digest("tob"), RunRequest(query="a").digest("bot")}) == 3


def test_an_unknown_field_is_named_with_those_that_there_are() -> None:
    """Shortened, without control characters, five of them."""
    event = {"spec": "1.0", "type": "agent.run", "source": "x", "data": BODY, "\x1b" + "n" * 500: 1, "id": "7"}
    with pytest.raises(InvalidInput) as caught:
        parse(json.dumps(event).encode())

    detail = caught.value.detail
    assert "There is no spec, type, source, data" in detail
    assert "known are query, session_id, user_id" in detail
    assert "\x1b" not in detail
    assert len(detail) < 700


def test_null_is_as_good_as_left_out() -> None:
    """As a C# serializer writes what it does not have; the run is the same one."""
    optional = ("session_id", "user_id", "expected_topics", "metadata", "run_id", "priority", "context", "stream", "v")
    sent = dict.fromkeys(optional) | BODY

    assert parse(json.dumps(sent).encode()) == parse(json.dumps(BODY).encode())
    fields = dict.fromkeys(set(RunRequest.model_fields) - {"query"})
    assert RunRequest.model_validate({**fields, "query": "Hi"}) == RunRequest(query="Hi")
