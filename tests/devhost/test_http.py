"""The HTTP trigger of a running host."""

import json
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.waiting import QUIET_S


def test_a_request_arrives_whole(sample: Any) -> None:
    """Method, URL, headers, query, route and body reach the function as the SDK's own request."""
    answer = sample.call("POST", "/api/echo/5/x?a=1&a=2&b=", b"hi", {"X-Two": "2"})

    seen = answer.json()
    assert ("POST", f"{sample.host.url}/api/echo/5/x?a=1&a=2&b=") == (seen["method"], seen["url"])
    assert (seen["params"], seen["route"], seen["body"]) == ({"a": "1,2"}, {"id": "5", "op": "x"}, "hi")
    assert seen["headers"]["x-two"] == "2"
    assert seen["function"] == "echo"


def test_a_value_in_the_path_may_hold_any_character(sample: Any) -> None:
    """A line break too, of which `.` in a pattern does not think."""
    answer = sample.call("GET", "/api/echo/5/a%0A%3F%F0%A8%B9%8F")

    assert answer.json()["route"] == {"id": "5", "op": "a\n?\N{CJK UNIFIED IDEOGRAPH-28E4F}"}


def test_a_response_leaves_whole(sample: Any) -> None:
    """Status, headers, content type and cookies of an HttpResponse reach the caller."""
    answer = sample.call("GET", "/api/echo/5")

    assert (
        answer.status,
        answer.headers["content-type"],
        answer.headers["x-sample"],
        answer.headers["set-cookie"],
    ) == (200, "application/json", "1", "a=b; Path=/")


def test_settings_come_from_the_example_file(sample: Any) -> None:
    """The app sees the Values of local.settings.example.json as environment variables."""
    assert sample.call("GET", "/api/echo/1").json()["greeting"] == "hello"


def test_the_trace_goes_on(sample: Any) -> None:
    """A caller's trace id is continued with a span of the host's own."""
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    trace = sample.call("GET", "/api/echo/1", headers={"traceparent": caller}).json()["trace"]

    assert caller.split("-")[1] == trace.split("-")[1]
    assert caller.split("-")[2] != trace.split("-")[2]


def test_a_plain_function_may_return_text(sample: Any) -> None:
    """A synchronous function's str is a 200, and its literal route beats the parameter of another."""
    answer = sample.call("GET", "/api/echo/list")

    assert (
        answer.status,
        answer.body,
        answer.headers["content-type"],
    ) == (200, b"the list", "text/plain; charset=utf-8")


@pytest.mark.parametrize("path", ["/api/boom", "/api/nothing"])
def test_a_failure_says_nothing_to_the_caller(sample: Any, path: str) -> None:
    """An exception, or None for a response, is an empty 500; the traceback stands in the host's log."""
    answer = sample.call("GET", path)

    assert (answer.status, answer.body) == (500, b"")
    assert "RuntimeError: a secret of the function" in sample.host_log() or path == "/api/nothing"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/none"), ("DELETE", "/api/echo/1"), ("HEAD", "/api/echo/1"), ("GET", "/echo/1")]
)
def test_what_no_function_serves_is_404(sample: Any, method: str, path: str) -> None:
    """Unknown paths and methods are 404, as in production; so is HEAD where only GET is declared."""
    assert sample.call(method, path).status == 404


def test_chunked_bodies_arrive(sample: Any) -> None:
    """A body without Content-Length reaches the function, as behind the platform's front end."""
    where = urlsplit(sample.host.url)
    head = b"POST /api/echo/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=QUIET_S) as connection:
        connection.sendall(head + b"2\r\nhi\r\n0\r\n\r\n")
        raw = b"".join(iter(lambda: connection.recv(65536), b""))

    assert json.loads(raw.partition(b"\r\n\r\n")[2])["body"] == "hi"


def test_large_bodies_arrive(sample: Any) -> None:
    """Ten megabytes are no trouble."""
    body = b"x" * 10_000_000

    assert len(body) == len(sample.call("POST", "/api/echo/1", body).json()["body"])


def test_requests_run_side_by_side(sample: Any) -> None:
    """Slow coroutines do not wait for each other."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: sample.call("GET", "/api/slow?s=0.3"), range(10)))

    assert {200} == {answer.status for answer in answers}


def test_the_app_says_that_it_is_up(sample: Any) -> None:
    """The root page answers, for health probes and the curious."""
    assert sample.call("GET", "/").status == 200


def test_one_line_per_request_and_no_bodies(sample: Any) -> None:
    """The log has one line for each request: method, path, status, time and function, and never what was in it."""
    sample.call("POST", "/api/echo/4711", b"very-private")

    lines = [line for line in sample.host_log().splitlines() if "/api/echo/4711" in line]
    assert len(lines) == 1
    assert re.fullmatch(r"\[\S+Z\] POST /api/echo/4711: 200 in \d+ ms \(echo\)", lines[0])
    assert "very-private" not in sample.host_log()


def test_a_repeated_failure_is_one_line(launch: Callable[..., Any]) -> None:
    """The first failure at a place has its traceback, the same one again is a line with the error."""
    app = launch()
    for _ in range(3):
        app.call("GET", "/api/boom")

    lines = [line for line in app.host_log().splitlines() if "GET /api/boom: failed in" in line]
    assert len(lines) == 3
    assert all(line.endswith("(boom): RuntimeError: a secret of the function") for line in lines)
    assert app.host_log().count("Traceback") == 1
