"""What every endpoint has in common: parsing, paging, errors."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from kernel.errors import Conflict, InvalidInput
from kernel.ids import agent_name
from kernel.settings import Settings
from tests.triggers.conftest import context, request
from triggers.api import DEFAULT_LIMIT, Api, Call, Endpoint, Reply, index, page_token
from triggers.runs import LONGEST_WAIT_S, wait_of

SIGNALS: Any = object()


class _Body(BaseModel):
    name: str


def call(**params: str) -> Call:
    """Return a call with these query parameters."""
    return Call("default", request(params=params), None, SIGNALS)


def taken(token: str, parse: Any) -> Any:
    """Return what a cursor says, or the code of the error that it is."""
    try:
        return call(next=token).cursor(parse)
    except InvalidInput as error:
        return error.code


async def answer(settings: Settings, handler: Any, *, sent: bytes = b"", **endpoint: Any) -> func.HttpResponse:
    """Register a handler and invoke its function as the worker does."""
    api = Api(settings, lambda _: SIGNALS)
    api.handle(Endpoint("POST", "x", "x", "A test.", **endpoint))(handler)
    functions: Any = api.blueprint
    registered = next(iter(functions._function_builders))._function
    return await registered.get_user_function()(request(sent), context())


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("200", 200), ("007", 7), ("", DEFAULT_LIMIT)])
def test_a_limit_is_a_number_in_range(text: str, limit: int) -> None:
    """Any spelling of 1 to 200, and the default without one."""
    assert call(limit=text).limit() == limit


@given(st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
def test_a_position_comes_back_from_its_cursor_or_is_refused(value: Any) -> None:
    """A cursor is only taken by the list that made it, whatever it holds."""
    token = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()

    for parse in (index, agent_name):
        assert taken(token, parse) in (value, "invalid_next")


@given(st.text())
def test_any_text_as_cursor_is_answered(text: str) -> None:
    """A cursor that nobody made is bad input and nothing worse."""
    found = taken(text, index)

    assert found in (None, "invalid_next") or found >= 0


@given(st.integers(0, (1 << 53) - 1))
def test_a_page_token_is_a_cursor(position: int) -> None:
    """What a list gave as `next` continues it."""
    assert call(next=page_token(position) or "").cursor(index) == position


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("return=minimal", 0),
        ("wait=0", 0),
        ("wait=7", 7),
        ("Wait = 7 ; x=1", 7),
        ('wait="7"', 7),
        ("respond-async, wait=7", 7),
        ("wait=99999999999999999999", LONGEST_WAIT_S),
        ("x-await=9, wait-for=9", 0),
    ],
)
def test_prefer_wait(prefer: str | None, seconds: int) -> None:
    """`wait` is found among other preferences and bounded; its like in other names is none."""
    assert wait_of(prefer) == seconds


async def test_a_defect_is_a_500_that_says_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Neither answer nor log holds the exception's text, which may quote a prompt; both hold the same reference."""

    async def handler(_: Call) -> Reply:
        raise RuntimeError("s3cret prompt")

    with caplog.at_level(logging.ERROR):
        response = await answer(settings, handler)
    body = json.loads(response.get_body())
    reference = body["detail"].rstrip(".").rsplit(" ", 1)[1]

    assert (response.status_code, body["code"]) == (500, "internal_error")
    assert reference in caplog.text
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text + response.get_body().decode()


async def test_an_error_of_ours_is_its_problem(settings: Settings) -> None:
    """What a use case raises reaches the caller with its code."""

    async def handler(_: Call) -> Reply:
        raise Conflict(code="busy_now")

    response = await answer(settings, handler)

    assert (response.status_code, json.loads(response.get_body())["code"]) == (409, "busy_now")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"name": "\\ud800"}', b'{"name": NaN}'])
async def test_a_body_that_is_no_json_never_reaches_the_handler(settings: Settings, body: bytes) -> None:
    """Whatever it is instead, it is `malformed_json`."""

    async def handler(_: Call) -> Reply:
        raise AssertionError

    response = await answer(settings, handler, sent=body, body=_Body)

    assert (response.status_code, json.loads(response.get_body())["code"]) == (400, "malformed_json")


async def test_a_body_is_parsed_into_its_model(settings: Settings) -> None:
    """Escapes and any script are text like any other."""

    async def handler(given: Call) -> Reply:
        return Reply(given.body, 201, {"X-A": "1"})

    response = await answer(settings, handler, sent=b'{"name": "\\ud83d\\ude42 \xc3\xa4"}', body=_Body)

    assert (response.status_code, response.headers["X-A"]) == (201, "1")
    assert json.loads(response.get_body()) == {"name": "🙂 ä"}


async def test_an_endpoint_without_signals_cannot_send_any(settings: Settings) -> None:
    """A handler that forgot to ask for them is a defect, not a silent loss."""

    async def handler(given: Call) -> Reply:
        operation: Any = None
        await given.signals.send("w", "a", operation)
        return Reply()

    assert (await answer(settings, handler)).status_code == 500
