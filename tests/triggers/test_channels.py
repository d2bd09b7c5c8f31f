"""Channels at the edge, as they are set up in Azure: nothing private is taken, and no secret comes back."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from kernel.settings import Settings
from tests.llmops.notifications.support import SECRET
from tests.triggers.conftest import Edge, request
from triggers.http import channels


async def put(edge: Edge, body: Any, **headers: str) -> func.HttpResponse:
    """Set the channel `ops`."""
    return await edge("channels_item", request(body, method="PUT", headers=headers, route={"name": "ops"}))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/", "webhook_not_https"),
        ("https://127.0.0.1/", "webhook_address_refused"),
        ("https://169.254.169.254/metadata/identity", "webhook_address_refused"),
        ("https://[::ffff:10.0.0.1]/", "webhook_address_refused"),
        ("https://localhost/", "webhook_address_refused"),
        ("https://0x7f000001/", "invalid_webhook_url"),
    ],
)
async def test_webhooks_go_to_no_private_address_by_default(url: str, code: str) -> None:
    """Refused with a code that says why; nothing is stored."""
    edge = Edge(channels)
    refused = await put(edge, {"url": url, "secret": SECRET})
    listed = await edge("channels_list", request(method="GET"))

    assert (refused.status_code, json.loads(refused.get_body())["code"]) == (400, code)
    assert url not in refused.get_body().decode()
    assert json.loads(listed.get_body()) == {"items": [], "next": None}


async def test_a_secret_is_kept_replaced_and_removed_but_never_shown() -> None:
    """Left out it stays, null takes it away."""
    edge, url = Edge(channels), "https://1.1.1.1/hook"
    answers = [
        await put(edge, {"url": url, "secret": SECRET}),
        await put(edge, {"url": url, "format": "slack"}),
        await put(edge, {"url": url, "format": "slack", "secret": None}),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert [json.loads(answer.get_body())["signed"] for answer in answers] == [True, True, False]
    assert all(SECRET not in answer.get_body().decode() for answer in answers)
    assert [answer.headers["ETag"] for answer in answers] == ['"1"', '"2"', '"3"']


async def test_email_channels_show_their_addresses() -> None:
    """Where the app can send email, to where it may; a URL is none of it."""
    values = {"EMAIL_FROM": "a@example.org", "SMTP_HOST": "127.0.0.1", "EMAIL_DOMAINS": "Example.com, example.org"}
    edge = Edge(channels, settings=Settings.from_environment(values))
    answers = [
        await put(edge, {"format": "email", "to": ["ada@example.com"], "events": ["alert.*"]}),
        await put(edge, {"format": "email", "to": ["eve@evil.test"]}),
        await put(edge, {"format": "email", "to": ["ada@example.com"], "url": "https://1.1.1.1/"}),
        await put(edge, {"url": "https://1.1.1.1/", "events": ["alerts.*"]}),
    ]
    bodies = [json.loads(answer.get_body()) for answer in answers]

    assert [answer.status_code for answer in answers] == [201, 400, 400, 400]
    assert (bodies[0]["to"], bodies[0]["url"], bodies[0]["signed"]) == (["ada@example.com"], "", False)
    assert [body["code"] for body in bodies[1:]] == ["invalid_recipients", "invalid_channel", "unknown_event"]
    assert "did you mean alert.*" in bodies[3]["errors"][0]["detail"]
