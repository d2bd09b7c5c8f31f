"""Who may call the host: programs and its own pages, and no other website through its visitor's browser."""

import dataclasses
import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from multidict import CIMultiDict

from devhost.origin_guard import OriginGuard
from tests.waiting import QUIET_S

HOOKS = "/runtime/webhooks/durabletask"
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def _refused(guard: OriginGuard, headers: dict[str, str], method: str = "POST") -> bool:
    return guard.refusal(method, CIMultiDict({"Host": "localhost:7071", **headers})) is not None


def _send(url: str, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> int:
    """Send exactly these headers, as a browser or an attacker would."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=QUIET_S)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7071", "localhost.", "127.0.0.1:1", "[::1]:7071", "10.1.2.3"])
def test_names_of_this_host_pass(host: str) -> None:
    """The loopback names and the address listened on, with any port: one may be forwarded."""
    assert not _refused(OriginGuard.for_host("10.1.2.3"), {"Host": host})


@pytest.mark.parametrize(
    "host", ["evil.example:7071", "localhost.evil.example", "10.0.0.5", "", "localhost@evil", "a b", "localhost, evil"]
)
def test_other_names_do_not(host: str) -> None:
    """A name that somebody else may point at this machine is refused, and so is what is no name at all."""
    assert _refused(OriginGuard.for_host("127.0.0.1"), {"Host": host})


def test_a_missing_or_repeated_host_is_refused() -> None:
    """Two Host headers may mean one thing to a proxy and another here."""
    guard = OriginGuard.for_host("127.0.0.1")

    assert guard.refusal("GET", CIMultiDict[str]()) is not None
    assert guard.refusal("GET", CIMultiDict[str]([("Host", "localhost"), ("Host", "localhost")])) is not None


def test_a_host_on_all_interfaces_goes_by_its_addresses() -> None:
    """No name can be rebound into an IP address, so any of them is its own; names are not."""
    guard = OriginGuard.for_host("0.0.0.0")

    assert [_refused(guard, {"Host": host}) for host in ("192.168.1.7:7071", "[fe80::1]", "laptop.lan")] == [
        False,
        False,
        True,
    ]


def test_allowed_names_pass_for_host_and_origin() -> None:
    """Behind a proxy the page's origin is the proxy's name, and Host may be either."""
    guard = OriginGuard.for_host("127.0.0.1", ["dev.example"])

    assert not _refused(guard, {"Host": "dev.example"})
    assert not _refused(guard, {"Origin": "https://dev.example", "Sec-Fetch-Site": "same-origin"})
    with pytest.raises(ValueError, match="is not a host name"):
        OriginGuard.for_host("127.0.0.1", ["http://dev.example/"])


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://localhost:7071", False),
        ("https://localhost:7071", False),
        ("http://localhost:3000", True),
        ("http://localhost", True),
        ("https://evil.example", True),
        ("http://localhost:7071.evil.example", True),
        ("null", True),
        ("", True),
    ],
)
def test_only_the_same_origin_passes(origin: str, refused: bool) -> None:
    """Scheme apart (a proxy may speak TLS), an Origin must be the very host and port that were asked."""
    assert _refused(OriginGuard.for_host("127.0.0.1"), {"Origin": origin}) is refused


def test_only_a_visit_may_come_from_another_site() -> None:
    """A link to a page is followed; a form, an image, a frame and a script of another site are refused."""
    guard = OriginGuard.for_host("127.0.0.1")

    assert not _refused(guard, LINK, "GET")
    assert _refused(guard, LINK, "POST")
    assert _refused(guard, {**LINK, "Sec-Fetch-Dest": "iframe"}, "GET")
    assert _refused(guard, {**LINK, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, "GET")
    assert _refused(guard, {"Sec-Fetch-Site": "same-site"}, "GET")
    assert not _refused(guard, {"Sec-Fetch-Site": "same-origin"})
    assert not _refused(guard, {"Sec-Fetch-Site": "none"}, "GET")
    assert _refused(dataclasses.replace(guard, links=False), LINK, "GET")


ROUTES = [
    ("GET", "/"),
    ("POST", "/api/echo/1"),
    ("POST", "/admin/functions/fragile"),
    ("GET", "/admin/host/status"),
    ("POST", HOOKS + "/entities/Counter/fenced?op=add"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_rebound_name_reaches_nothing(sample: Any, method: str, path: str) -> None:
    """With another website's name in Host every route is refused, the host's own too."""
    port = urlsplit(sample.host.url).port

    assert _send(sample.host.url, method, path, {"Host": f"rebound.example:{port}"}) == 403
    assert _send(sample.host.url, method, path, {"Host": f"localhost:{port}"}) != 403


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_form_of_another_site_reaches_nothing(sample: Any, method: str, path: str) -> None:
    """A form post, as a browser of today and of yesterday sends it, is refused before any function runs."""
    host = {"Host": urlsplit(sample.host.url).netloc, "Content-Type": "text/plain"}
    today = {**host, **LINK, "Origin": "https://evil.example"}
    executed = len(sample.notes(event="fragile"))

    assert _send(sample.host.url, method, path, today, b"{}") == 403
    assert _send(sample.host.url, method, path, {**host, "Origin": "null"}, b"{}") == 403
    assert sample.state_of("fenced") is None
    assert len(sample.notes(event="fragile")) == executed


def test_the_sdks_port_is_guarded_too(sample: Any) -> None:
    """The port that the Durable client calls refuses foreign names and pages, even a link."""
    rpc = json.loads(sample.call("GET", "/api/rpc").body)["url"]
    path = "/durabletask/entities/Counter/rpc?op=add"
    own = {"Host": urlsplit(rpc).netloc}

    assert _send(rpc, "POST", path, {"Host": "evil.example"}) == 403
    assert _send(rpc, "POST", path, {**own, "Origin": "https://evil.example"}) == 403
    assert _send(rpc, "GET", "/durabletask/entities", {**own, **LINK}) == 403
    assert _send(rpc, "GET", "/durabletask/entities", own) == 200


def test_the_refusal_says_what_to_do(sample: Any, launch: Callable[..., Any]) -> None:
    """The answer and the log name the option, and with the option the name is taken."""
    answer = sample.call("GET", "/api/echo/1", headers={"Host": "dev.example"})
    allowed = launch(options=("--allow-host", "dev.example"))

    assert (answer.status, b"--allow-host" in answer.body) == (403, True)
    assert "Refused GET /api/echo/1" in sample.host_log()
    assert allowed.call("GET", "/api/echo/1", headers={"Host": "dev.example"}).status == 200
