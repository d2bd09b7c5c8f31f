"""An agent that fails, seen from outside: the alert fires, a webhook tells it, and tells when it is over."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from tests.e2e.support import Api, Stack, eventually
from tests.llmops.notifications.mail_servers import smtp_server
from tests.llmops.notifications.support import SECRET, Receiver

RUNS = {"metric": "runs", "condition": "gt", "threshold": 1}
RULE = RUNS | {"metric": "error_rate", "agent": "frail", "threshold": 0.5, "window_s": 3600, "cooldown_s": 0}


def verified(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether the webhook is what it says, checked as docs/llmops.md says it."""
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    return hmac.compare_digest(headers["webhook-signature"], "v1," + base64.b64encode(mac).decode())


async def fails(api: Api, count: int, *, fail: bool) -> None:
    simulate: dict[str, Any] = {"fail_first": 100, "fail_with": "rejected"} if fail else {"reply": "It works again."}
    await api.declare("frail", simulate=simulate, sla={"latency_ms": 60_000, "availability": 0.5})
    for _ in range(count):
        run = await api.ask("frail")
        assert run["state"] == ("failed" if fail else "succeeded"), run


async def noted(api: Api, runs: int) -> Any:
    """Wait until the outcomes of so many runs are noted, which is after their callers were told."""

    async def look() -> Any:
        performance = await api.get("performance/frail")
        return performance if performance["figures"]["runs"] == runs else None

    return await eventually(look)


async def tick(stack: Stack) -> None:
    await stack.run_timer("evaluate_alerts")
    await stack.run_timer("deliver_notifications")


async def test_an_alert_fires_is_told_and_resolves(stack: Stack, api: Api) -> None:
    """Once each, signed; the figures and the history say the same."""
    async with Receiver() as receiver:
        channel = {"url": receiver.url, "events": ["alert.*"], "secret": SECRET}
        put = await api.call("PUT", "channels/ops", channel)
        assert (put.status, put.json()["signed"]) == (201, True)
        assert SECRET not in put.body.decode()
        await fails(api, 2, fail=True)
        assert (await api.call("PUT", "alerts/frail-fails", RULE)).status == 201
        await noted(api, 2)
        await tick(stack)
        await tick(stack)
        firing = await api.get("alerts/frail-fails")
        await fails(api, 3, fail=False)
        performance = await noted(api, 5)
        await tick(stack)
        await tick(stack)

    resolved = await api.get("alerts/frail-fails")
    (entry,) = [each for each in (await api.get("alerts/fired"))["items"] if each["alert"] == "frail-fails"]
    deliveries = (await api.get("channels/ops/deliveries"))["items"]
    assert [webhook.json()["type"] for webhook in receiver.received] == ["alert.fired", "alert.resolved"]
    assert all(verified(webhook.headers, webhook.body) for webhook in receiver.received)
    assert not any(verified(webhook.headers, webhook.body + b" ") for webhook in receiver.received)
    assert receiver.received[0].json()["data"]["title"] == "frail-fails: share of failed runs above 50.0%"
    assert (firing["state"]["status"], firing["state"]["value"]) == ("firing", 1.0)
    assert (resolved["state"]["status"], resolved["state"]["value"]) == ("ok", 0.4)
    assert (entry["alert"], entry["value"], entry["resolved_value"], entry["resolution"]) == (
        "frail-fails",
        1.0,
        0.4,
        "recovered",
    )
    assert [(each["event"], each["state"], each["attempts"]) for each in deliveries] == [
        ("alert.resolved", "delivered", 1),
        ("alert.fired", "delivered", 1),
    ]

    figures = performance["figures"]
    assert (figures["runs"], figures["failed"], figures["error_rate"]) == (5, 2, 0.4)
    assert figures["codes"] == {"provider_rejected": 2}
    assert figures["latency_ms"]["p95"] > 0
    assert [version["figures"]["runs"] for version in performance["versions"]] == [2, 3]
    assert (performance["sla"]["kept"], performance["sla"]["availability"]) == (True, 0.6)
    assert [each["agent"] for each in (await api.get("performance"))["items"]] == ["frail"]
    assert (await api.get("performance/frail/insights"))["items"] == []


async def test_an_alert_is_told_by_email(stack: Stack, api: Api) -> None:
    """To every address of the channel, by the mail server that the app's settings name; the history says so."""
    people = {"format": "email", "to": ["ada@example.com", "bob@example.com"], "events": ["alert.*"]}
    rule = RUNS | {"threshold": 0, "window_s": 3600, "cooldown_s": 0}
    async with smtp_server(port=int(stack.settings["SMTP_PORT"])) as mail:
        assert (await api.call("PUT", "channels/people", people)).status == 201
        assert (await api.call("PUT", "alerts/busy", rule)).status == 201
        await fails(api, 1, fail=False)
        await noted(api, 1)
        await tick(stack)
    (delivery,) = (await api.get("channels/people/deliveries"))["items"]
    [(to, email)] = mail.received

    assert to == people["to"]
    assert (email["From"], email["Subject"]) == ("agents@example.org", "[warning] busy: runs above 0")
    assert (delivery["event"], delivery["state"], delivery["status"]) == ("alert.fired", "delivered", 250)


async def test_bad_channels_alerts_and_ranges(api: Api) -> None:
    """A stable code for each, and nothing is changed."""
    await api.declare("bot")
    ok = {"url": "https://hooks.example.com/x"}
    wrong = [
        ("PUT", "channels/ops", {"url": "https://2130706433/"}, 400, "invalid_webhook_url"),
        ("PUT", "channels/ops", {"url": "https://u:p@example.com/"}, 400, "invalid_webhook_url"),
        ("PUT", "channels/ops", ok | {"format": "xml"}, 400, "invalid_format"),
        ("PUT", "channels/ops", ok | {"events": ["bud*"]}, 400, "invalid_events"),
        ("PUT", "channels/ops", ok | {"secret": "hunter2"}, 400, "invalid_webhook_secret"),
        ("PUT", "channels/ops", {}, 400, "invalid_webhook_url"),
        ("PUT", "channels/OPS", ok, 400, "invalid_channel_name"),
        ("GET", "channels/none", None, 404, "channel_not_found"),
        ("GET", "channels/none/deliveries", None, 404, "channel_not_found"),
        ("POST", "channels/none/test", None, 404, "channel_not_found"),
        ("PUT", "alerts/fired", RUNS, 405, "method_not_allowed"),
        ("PUT", "alerts/a", RUNS | {"metric": "luck"}, 400, "invalid_input"),
        ("PUT", "alerts/a", RUNS | {"threshold": "high"}, 400, "invalid_input"),
        ("PUT", "alerts/a", RUNS | {"window_s": 1}, 400, "invalid_input"),
        ("GET", "alerts/none", None, 404, "alert_not_found"),
        ("DELETE", "alerts/none", None, 404, "alert_not_found"),
        ("GET", "alerts/fired?next=x", None, 400, "invalid_next"),
        ("GET", "performance/none", None, 404, "agent_not_found"),
        ("GET", "performance/bot?from=2026-1-1", None, 400, "invalid_day"),
        ("GET", "performance/bot?from=2026-01-02&to=2026-01-01", None, 400, "invalid_range"),
        ("GET", "performance/bot/insights?from=2025-01-02&to=2026-01-01", None, 400, "invalid_range"),
    ]
    for method, path, body, status, code in wrong:
        reply = await api.call(method, path, body)
        assert (reply.status, reply.code) == (status, code), (method, path, body)
    assert (await api.get("channels"))["items"] == []
    assert all(alert["default"] for alert in (await api.get("alerts"))["items"])


async def test_replacing_is_guarded_and_workspaces_are_apart(api: Api) -> None:
    """ETags on both; another workspace's channel is not there."""
    for path, first, second in (
        ("channels/ops", {"url": "https://hooks.example.com/x"}, {"url": "https://hooks.example.com/y"}),
        (
            "alerts/a",
            {"metric": "runs", "condition": "gt", "threshold": 1},
            {"metric": "runs", "condition": "gt", "threshold": 2},
        ),
    ):
        etag = (await api.call("PUT", path, first)).headers["etag"]
        assert (await api.call("PUT", path, first)).headers["etag"] == etag
        assert (await api.call("PUT", path, second, If_Match='"7"')).status == 412
        changed = await api.call("PUT", path, second, If_Match=etag)
        assert (changed.status, (await api.call("GET", path)).headers["etag"]) == (200, changed.headers["etag"])
        assert (await api.elsewhere().call("GET", path)).status == 404
        assert (await api.elsewhere().call("DELETE", path)).status == 404
        assert (await api.call("DELETE", path, If_Match=etag)).status == 412
        assert (await api.call("DELETE", path)).status == 204
        assert (await api.call("GET", path)).status == 404
