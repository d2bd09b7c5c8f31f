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
from tests.lifecycle.doubles import MemoryQueue
from tests.triggers.conftest import Edge, request, resource
from triggers.http.endpoint import DEFAULT_LIMIT, LONGEST_WAIT_S, Endpoint, Parameter
from triggers.http.handler_call import Call, Reply, index, page_token
from triggers.http.runs.handlers import wait_of

NOTHING: Any = None


class _Body(BaseModel, extra="forbid"):
    name: str


def call(**params: str) -> Call:
    """Return a call with these query parameters."""
    return Call("default", request(params=params), None, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)


def taken(token: str, parse: Any) -> Any:
    """Return what a cursor says, or the code of the error that it is."""
    try:
        return call(next=token).cursor(parse)
    except InvalidInput as error:
        return error.code


async def answer(
    handler: Any, asked: func.HttpRequest | None = None, *, method: Any = "POST", **endpoint: Any
) -> func.HttpResponse:
    """Declare an endpoint with a handler, and invoke its function as the worker does."""
    declared = Endpoint(method, "x", "x", "A test.", **endpoint)
    edge = Edge(resource("tests_x", [declared], {"x": handler}, {"Body": _Body}))
    return await edge("x", asked or request())


def code(response: func.HttpResponse) -> tuple[int, str]:
    """Return a problem's status and code."""
    return response.status_code, json.loads(response.get_body())["code"]


async def never(_: Call) -> Reply:
    """Fail: the request must not come this far."""
    raise AssertionError


@pytest.mark.parametrize(("text", "limit"), [("1", 1), ("200", 200), ("007", 7), ("", DEFAULT_LIMIT)])
def test_a_limit_is_a_number_in_range(text: str, limit: int) -> None:
    """Any spelling of 1 to 200, and the default without one."""
    assert call().limit() == DEFAULT_LIMIT
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


async def test_a_defect_is_a_500_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Neither answer nor log holds the exception's text, which may quote a prompt; both hold the same reference."""

    async def handler(_: Call) -> Reply:
        raise RuntimeError("s3cret prompt")

    with caplog.at_level(logging.ERROR):
        response = await answer(handler)
    body = json.loads(response.get_body())
    reference = body["detail"].rstrip(".").rsplit(" ", 1)[1]

    assert (response.status_code, body["code"]) == (500, "internal_error")
    assert reference in caplog.text
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text + response.get_body().decode()


async def test_an_error_of_ours_is_its_problem() -> None:
    """What a use case raises reaches the caller with its code."""

    async def handler(_: Call) -> Reply:
        raise Conflict(code="busy_now")

    response = await answer(handler)

    assert (response.status_code, json.loads(response.get_body())["code"]) == (409, "busy_now")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"name": "\\ud800"}', b'{"name": NaN}'])
async def test_a_body_that_is_no_json_never_reaches_the_handler(body: bytes) -> None:
    """Whatever it is instead, it is `malformed_json`."""
    assert code(await answer(never, request(body), body="Body")) == (400, "malformed_json")


@pytest.mark.parametrize(
    "sent", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "*/*"]
)
async def test_a_body_of_another_type_never_reaches_the_handler(sent: str) -> None:
    """A web page may send these to another site without being asked."""
    response = await answer(never, request({"name": "x"}, headers={"Content-Type": sent}), body="Body")

    assert code(response) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in json.loads(response.get_body())["detail"]


@pytest.mark.parametrize(
    "sent", ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", "application/merge-patch+json"]
)
async def test_json_may_be_called_by_any_of_its_names(sent: str) -> None:
    """With parameters, in any case, and as what it is the JSON of."""

    async def handler(given: Call) -> Reply:
        return Reply(given.body)

    assert (
        await answer(handler, request({"name": "x"}, headers={"Content-Type": sent}), body="Body")
    ).status_code == 200


async def test_a_method_that_a_path_does_not_have_is_405_and_says_which_it_has() -> None:
    """RFC 9110 §15.5.6."""
    for method in ("DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"):
        response = await answer(never, request(method=method))

        assert code(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"


async def test_a_query_parameter_that_there_is_not_is_named() -> None:
    """A misspelt filter would otherwise be no filter; a function's key is the host's, not ours."""

    async def handler(_: Call) -> Reply:
        return Reply()

    known = {"agent": Parameter("An agent."), "limit": Parameter("How many.")}
    refused = await answer(never, request(params={"agnet": "a", "limit": "1", "\x1b" + "y" * 99: ""}), query=known)
    taken = await answer(handler, request(params={"agent": "a", "code": "key", "clientId": "x"}), query=known)

    detail = json.loads(refused.get_body())["detail"]
    assert (*code(refused), taken.status_code) == (400, "unknown_parameter", 200)
    assert "agnet" in detail
    assert "Known here: agent, limit." in detail
    assert "\x1b" not in detail
    assert len(detail) < 200


async def test_an_unknown_field_is_named_with_those_that_there_are() -> None:
    """Shortened and without control characters, so that it can be shown anywhere."""
    sent = {"name": "x", "specversion": "1.0", "\u202e" + "z" * 500: 1} | {f"f{n}": 1 for n in range(50)}
    body = json.loads((await answer(never, request(sent), body="Body")).get_body())

    assert "There is no specversion" in body["detail"]
    assert "known are name." in body["detail"]
    assert "\u202e" not in json.dumps(body, ensure_ascii=False)
    assert len(body["detail"]) < 300
    assert {"pointer": "/specversion", "detail": "There is no such field"} in body["errors"]


async def test_a_body_is_parsed_into_its_model() -> None:
    """Escapes and any script are text like any other."""

    async def handler(given: Call) -> Reply:
        return Reply(given.body, 201, {"X-A": "1"})

    response = await answer(handler, request(b'{"name": "\\ud83d\\ude42 \xc3\xa4"}'), body="Body")

    assert (response.status_code, response.headers["X-A"]) == (201, "1")
    assert json.loads(response.get_body()) == {"name": "🙂 ä"}


async def test_an_endpoint_without_signals_cannot_send_any() -> None:
    """A handler that forgot to ask for them is a defect, not a silent loss."""

    async def handler(given: Call) -> Reply:
        operation: Any = None
        await given.signals.send("w", "a", operation)
        return Reply()

    assert (await answer(handler)).status_code == 500


async def test_the_first_change_connects_to_the_queue_ahead_of_the_first_run() -> None:
    """What a first run needs is made ready while the request before it is answered; reading prepares nothing."""
    queue = MemoryQueue()

    async def done(_: Call) -> Reply:
        return Reply("")

    endpoints = [Endpoint("GET", "x", "x", "A test."), Endpoint("POST", "y", "y", "A test.")]
    edge = Edge(resource("tests_first", endpoints, {"x": done, "y": done}), queue=queue)
    opened: list[int] = []
    for function in ("x", "y", "y"):
        await edge(function, request(method="GET" if function == "x" else "POST"))
        opened.append(queue.opened)
    await edge.services.aclose()

    assert opened == [0, 1, 1]
