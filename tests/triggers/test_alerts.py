"""Alert rules at the edge: what they name is there or refused, and whom they reach is said."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func

from tests.triggers.conftest import Edge, request
from triggers.http import alerts, channels

RULE = {"metric": "runs", "condition": "gt", "threshold": 1}


async def put(edge: Edge, name: str, body: Any) -> func.HttpResponse:
    """Set the rule."""
    return await edge("alerts_item", request(body, method="PUT", route={"name": name}))


async def get(edge: Edge, name: str) -> Any:
    """Return the rule as it is shown."""
    answer = await edge("alerts_item", request(method="GET", route={"name": name}))
    return json.loads(answer.get_body())


async def test_a_rule_that_would_tell_nobody_is_refused() -> None:
    """With each place that is wrong; nothing is stored."""
    edge = Edge(alerts)
    refused = await put(edge, "a", RULE | {"agent": "nobody", "channels": ["ops"]})
    problem = json.loads(refused.get_body())
    absent = await get(edge, "a")

    assert (refused.status_code, problem["code"]) == (400, "unknown_reference")
    assert [error["pointer"] for error in problem["errors"]] == ["/agent", "/channels/0"]
    assert absent["code"] == "alert_not_found"


async def test_whom_a_rule_reaches_is_shown_as_long_as_that_is_so() -> None:
    """A channel that is removed later makes the rule misconfigured, for all to see."""
    edge = Edge(alerts, channels)
    channel = request({"url": "https://1.1.1.1/hook"}, method="PUT", route={"name": "ops"})
    await edge("channels_item", channel)
    before = json.loads((await put(edge, "a", RULE | {"channels": ["ops"]})).get_body())
    await edge.services.notifications.channels.delete("default", "ops")
    after = await get(edge, "a")

    assert (before["recipients"], before["misconfigured"], before["default"]) == (["ops"], {}, False)
    assert (after["recipients"], list(after["misconfigured"])) == ([], ["/channels/0"])


async def test_default_rules_are_listed_and_can_be_set_otherwise() -> None:
    """They cannot be removed; the one that took a default's place can, and the default is back."""
    edge = Edge(alerts)
    listed = json.loads((await edge("alerts_list", request(method="GET"))).get_body())["items"]
    kept = await edge("alerts_item", request(method="DELETE", route={"name": "default-latency"}))
    changed = await put(edge, "default-latency", RULE)
    gone = await edge("alerts_item", request(method="DELETE", route={"name": "default-latency"}))
    back = await get(edge, "default-latency")

    assert all(each["default"] and each["created_at"] is None for each in listed)
    assert "default-latency" in [each["name"] for each in listed]
    assert (kept.status_code, changed.status_code, gone.status_code) == (409, 200, 204)
    assert json.loads(kept.get_body())["code"] == "default_alert"
    assert (back["default"], back["rule"]["metric"]) == (True, "latency_p95_ms")


async def test_only_what_still_fires_is_listed_on_request() -> None:
    """What has resolved is in the history, which stays as it was."""
    edge = Edge(alerts)
    await put(edge, "a", RULE | {"condition": "gte", "threshold": 0})

    async def fired(**params: str) -> list[str]:
        await edge.services.alerts.evaluator.evaluate()
        answer = await edge("alerts_fired", request(method="GET", params=params))
        return [each["alert"] for each in json.loads(answer.get_body())["items"]]

    during = await fired(open="true")
    await edge("alerts_item", request(method="DELETE", route={"name": "a"}))

    assert (during, await fired(open="true"), await fired()) == (["a"], [], ["a"])
    assert (await edge("alerts_fired", request(method="GET", params={"open": "yes"}))).status_code == 400
