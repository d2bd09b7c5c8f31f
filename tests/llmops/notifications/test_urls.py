"""Where webhooks may not go: nothing private, however it is spelled, and whatever a name resolves to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from adapters.webhooks import HttpWebhooks
from kernel.errors import InvalidInput, Unavailable
from llmops.notifications.webhook_addresses import is_public, target_of
from tests.connections import listening
from tests.llmops.notifications.support import Receiver

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "localhost",
    "LOCALHOST.",
    "vault.localhost",
    "metadata.google.internal",
    "printer.local",
]
ODD = [
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://1.2.3.4.5/",
    "https://example.com\\@127.0.0.1/",
    "https://user:password@example.com/",
    "https://@127.0.0.1/",
    "https://example.com/#f",
    "https://exa mple.com/",
    "https://ex\u00e4mple.com/",
    "https://example.com:99999/",
    "https://example.com:0/",
    "https://[fe80::1%25eth0]/",
    "https://[example.com]/",
    "https:///x",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "https://example.com/" + "x" * 2048,
    "https://-/",
    "",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_hosts_are_refused(host: str) -> None:
    """Loopback, private, link-local, metadata, multicast, and what embeds them."""
    with pytest.raises(InvalidInput) as error:
        target_of(f"https://{host}/hook", allow_private=False)
    assert error.value.code == "webhook_address_refused"


@pytest.mark.parametrize("url", ODD)
@pytest.mark.parametrize("allow_private", [True, False])
def test_urls_that_mean_different_things_to_different_readers_are_none(url: str, allow_private: bool) -> None:
    """Old spellings of addresses, credentials, control characters: refused in any case."""
    with pytest.raises(InvalidInput) as error:
        target_of(url, allow_private=allow_private)
    assert error.value.code == "invalid_webhook_url"


def test_plain_http_is_refused() -> None:
    """Unless a developer allows it."""
    with pytest.raises(InvalidInput) as error:
        target_of("http://example.com/", allow_private=False)
    assert error.value.code == "webhook_not_https"
    assert target_of("http://127.0.0.1:8080/a?b=c", allow_private=True).port == 8080


def test_public_ones_are_taken_apart() -> None:
    """Name, port, path and query."""
    target = target_of("https://Hooks.Example.com:8443/a/b?c=d", allow_private=False)

    assert (target.host, target.port, target.path) == ("hooks.example.com", 8443, "/a/b?c=d")
    assert target.authority == "Hooks.Example.com:8443"
    assert target_of("https://1.1.1.1", allow_private=False).path == "/"
    assert target_of("https://[2606:4700::1111]/x", allow_private=False).host == "2606:4700::1111"


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_what_it_maps(address: IPv4Address | IPv6Address) -> None:
    """The IPv6 spelling of an IPv4 address opens no door."""
    assert is_public(ip_address(f"::ffff:{address}")) == is_public(address)


@pytest.mark.parametrize(
    ("found", "ok"),
    [(["93.184.215.14"], True), (["127.0.0.1"], False), (["93.184.215.14", "10.0.0.1"], False), (["::1"], False)],
)
async def test_a_name_is_judged_by_all_it_resolves_to(found: Sequence[str], ok: bool) -> None:
    """One private address among public ones is enough."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return found

    webhooks = HttpWebhooks(allow_private=False, resolve=resolve)
    if ok:
        await webhooks.check("https://hooks.example.com/")
    else:
        with pytest.raises(InvalidInput) as error:
            await webhooks.check("https://hooks.example.com/")
        assert error.value.code == "webhook_address_refused"


async def test_a_name_that_is_unknown_now_is_judged_when_it_is_called() -> None:
    """DNS may be down for a moment; then nothing is sent either."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError

    webhooks = HttpWebhooks(allow_private=False, resolve=resolve)
    await webhooks.check("https://hooks.example.com/")
    with pytest.raises(Unavailable) as error:
        await webhooks.post("https://hooks.example.com/", {}, b"")
    assert error.value.code == "webhook_unreachable"


async def test_a_name_that_resolves_to_something_else_later_gains_nothing() -> None:
    """Rebinding: the check sees a public address, the connection would get the receiver on this machine."""
    async with Receiver() as receiver:
        answers = [["93.184.215.14"], ["127.0.0.1"]]

        async def resolve(host: str, port: int) -> Sequence[str]:
            return answers.pop(0)

        webhooks = HttpWebhooks(allow_private=False, resolve=resolve)
        url = f"https://hooks.example.com:{receiver.port}/"
        await webhooks.check(url)
        with pytest.raises(InvalidInput) as error:
            await webhooks.post(url, {}, b"{}")

    assert error.value.code == "webhook_address_refused"
    assert answers == []
    assert receiver.received == []


async def test_the_connection_is_made_to_the_checked_address_under_the_name() -> None:
    """The name is looked up once; the receiver sees it as the host."""
    async with Receiver() as receiver:
        asked: list[str] = []

        async def resolve(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"]

        webhooks = HttpWebhooks(allow_private=True, resolve=resolve)
        answer = await webhooks.post(f"http://hooks.example.com:{receiver.port}/a?b=c", {"x-y": "z"}, b"{}")

    assert (answer.status, asked) == (200, ["hooks.example.com"])
    assert receiver.received[0].path == "/a?b=c"
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"


async def test_a_redirect_is_not_followed() -> None:
    """A public receiver cannot send us inside."""
    async with Receiver() as inside, Receiver() as receiver:
        receiver.answers = [web.Response(status=307, headers={"Location": inside.url})]
        answer = await HttpWebhooks(allow_private=True).post(receiver.url, {}, b"{}")

    assert answer.status == 307
    assert inside.received == []


async def test_what_cannot_be_reached_says_why() -> None:
    """No listener, no TLS, no answer in time."""
    async with Receiver() as receiver:
        port = receiver.port
        with pytest.raises(Unavailable) as no_tls:
            await HttpWebhooks(allow_private=True).post(f"https://127.0.0.1:{port}/", {}, b"{}")
    with pytest.raises(Unavailable) as nobody:
        await HttpWebhooks(allow_private=True).post(f"http://127.0.0.1:{port}/", {}, b"{}")

    assert no_tls.value.code == "webhook_tls_failed"
    assert nobody.value.code == "webhook_unreachable"


async def test_a_receiver_that_says_nothing_is_not_waited_for() -> None:
    """It accepts the connection, and that is all."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        with pytest.raises(Unavailable) as error:
            await HttpWebhooks(allow_private=True, timeout_s=0.2).post(f"http://127.0.0.1:{port}/", {}, b"{}")

    assert error.value.code == "webhook_timeout"
