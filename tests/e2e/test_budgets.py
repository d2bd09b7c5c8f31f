"""Budgets over the wire: many callers against one cap, waiting, resuming, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

from tests.e2e.support import PROMPT, Api, Stack, eventually

RUNS = 12
"""More than the cap allows; tests/lifecycle/test_budgets.py has 64 with workers that die at any step."""


async def test_runs_at_once_against_one_cap_never_spend_more(fresh_api: Api, fresh_stack: Stack) -> None:
    """The host is killed in the middle; in the end the budget has counted what the ledger has, and the rest waits."""
    api = fresh_api
    await api.declare("a", max_output_tokens=60, simulate={"latency_ms": 150})
    cap = 300
    put = await api.call("PUT", "budgets/workspace", {"limits": [{"unit": "tokens", "period": "total", "limit": cap}]})
    assert put.status == 201, put.json()
    runs = await asyncio.gather(*(api.submit("a", f"{PROMPT} {n}") for n in range(RUNS)))
    await eventually(lambda: _some_spent(api))
    fresh_stack.kill_host()
    fresh_stack.start_host()

    async def settled() -> bool:
        states = [run["state"] for run in (await api.get("runs?limit=200"))["items"]]
        seen.append(states)
        return len(states) == RUNS and set(states) <= {"succeeded", "waiting"}

    seen: list[list[str]] = []
    await eventually(settled, progress=lambda: seen[-1], what="the runs")
    await fresh_stack.run_timer("tend_budgets")
    await eventually(settled, progress=lambda: seen[-1], what="what the timer has resumed")
    ended = [await api.get(f"runs/{run['id']}") for run in runs]
    usage = (await api.get("usage"))["items"][0]
    costs = (await api.get("costs"))["total"]
    spent = costs["input_tokens"] + costs["output_tokens"]

    assert {run["state"] for run in ended} == {"succeeded", "waiting"}
    assert {run["error"]["code"] for run in ended if run["state"] == "waiting"} == {"budget_exceeded"}
    assert spent <= usage["used"] + usage["reserved"] <= cap
    assert spent > cap / 2

    raised = await api.call(
        "PUT", "budgets/workspace", {"limits": [{"unit": "tokens", "period": "total", "limit": 99999}]}
    )
    assert raised.status == 200
    ended = [await api.ended(run["id"]) for run in runs]
    assert {run["state"] for run in ended} == {"succeeded"}


async def _some_spent(api: Api) -> bool:
    return (await api.get("usage"))["items"][0]["used"] > 0


async def test_a_budget_is_declared_listed_changed_and_deleted(api: Api) -> None:
    """With ETags; its usage says what is left, and when it starts again."""
    body = {
        "limits": [{"unit": "usd", "period": "month", "limit": 12.5}, {"unit": "calls", "period": "day", "limit": 9}]
    }
    created = await api.call("PUT", "budgets/agent:a", body)
    again = await api.call("PUT", "budgets/agent:a", body)
    stale = await api.call("PUT", "budgets/agent:a", {"limits": body["limits"][:1]}, If_Match='"old"')
    await api.call("PUT", "budgets/workspace", {"limits": [{"unit": "tokens", "period": "run", "limit": 5000}]})
    listed = await api.everything("budgets", 1)
    await api.declare("a")
    run = await api.answer("a")
    usage = (await api.get("usage"))["items"]
    of_run = (await api.get(f"usage?agent=a&run={run['id']}"))["items"]

    assert (created.status, again.status, stale.status) == (201, 200, 412)
    assert created.headers["etag"] == again.headers["etag"]
    assert [each["scope"] for each in listed] == ["agent:a", "workspace"]
    assert [(each["unit"], each["limit"], each["reserved"]) for each in usage] == [("usd", 12.5, 0), ("calls", 9, 0)]
    assert usage[0]["used"] == run["spend"]["cost_micro_usd"] / 1_000_000
    assert usage[1]["resets_at"].endswith("T00:00:00Z")
    spent = run["spend"]["input_tokens"] + run["spend"]["output_tokens"]
    assert [(each["unit"], each["used"]) for each in of_run if each["period"] == "run"] == [("tokens", spent)]
    assert (await api.call("DELETE", "budgets/agent:a")).status == 204
    assert (await api.call("GET", "budgets/agent:a")).code == "budget_not_found"
    elsewhere = await api.elsewhere().call("GET", "budgets/workspace")
    assert elsewhere.status == 404


async def test_bad_budgets_and_prices_are_refused(api: Api) -> None:
    """Each says what is wrong, and changes nothing."""
    limit = {"unit": "usd", "period": "day", "limit": 1}
    bad = [
        ("workspace", {"limits": []}),
        ("workspace", {"limits": [limit | {"limit": -1}]}),
        ("workspace", {"limits": [limit | {"limit": 0}]}),
        ("workspace", {"limits": [limit | {"limit": 1e30}]}),
        ("workspace", {"limits": [limit | {"limit": "much"}]}),
        ("workspace", {"limits": [limit | {"limit": 0.0000001}]}),
        ("workspace", {"limits": [limit | {"unit": "tokens", "limit": 1.5}]}),
        ("workspace", {"limits": [limit | {"unit": "euro"}]}),
        ("workspace", {"limits": [limit | {"period": "week"}]}),
        ("workspace", {"limits": [limit, limit | {"limit": 2}]}),
        ("workspace", {"limits": [limit | {"soft": [80, 50]}]}),
        ("workspace", {"limits": [limit | {"soft": [0]}]}),
        ("team:x", {"limits": [limit]}),
        ("run:*", {"limits": [limit]}),
    ]
    replies = [await api.call("PUT", f"budgets/{scope}", body) for scope, body in bad]
    assert [reply.status for reply in replies] == [400] * len(bad), [reply.json() for reply in replies]
    assert (await api.get("budgets"))["items"] == []

    rates = [
        {"input": "cheap", "output": 1},
        {"input": -1, "output": 1},
        {"input": 1},
        {"per_1000_calls": 10},
        {"input": 1, "output": 1, "per_1000_calls": 10},
        {},
    ]
    replies = [await api.call("PUT", "prices/my-deployment", body) for body in rates]
    assert [reply.status for reply in replies] == [400] * len(rates), [reply.json() for reply in replies]
    good = await api.call("PUT", "prices/meta%2Fmy-deployment", {"input": 1.5, "output": 6})
    assert good.status == 201, good.json()
    assert [price["name"] for price in (await api.get("prices"))["items"]] == ["meta/my-deployment"]
    assert (await api.call("DELETE", "prices/meta%2Fmy-deployment", If_Match=good.headers["etag"])).status == 204

    for name in ("@cf/meta/llama-3.1-8b-instruct", "claude-3-5-sonnet@20240620", "/models/x.gguf", "~anthropic/any"):
        path = f"prices/{quote(name, safe='')}"
        assert (await api.call("PUT", path, {"input": 1.5, "output": 6})).status == 201
        assert (await api.get(path))["name"] == name
        assert (await api.call("DELETE", path)).status == 204
    for name in ("gpt 5", 'a"b', "ä"):
        refused = await api.call("PUT", f"prices/{quote(name, safe='')}", {"input": 1.5, "output": 6})
        assert (refused.status, refused.json()["code"]) == (400, "invalid_price_name")


async def test_an_approval_is_seen_in_both_streams(api: Api) -> None:
    """It is asked for and granted once each, with the operator whom the platform has signed in."""
    await api.declare("a", ladder=[{"at": 50, "do": "ask"}])
    await api.call("PUT", "budgets/agent:a", {"limits": [{"unit": "calls", "period": "total", "limit": 2}]})
    await api.answer("a", session_id="s")
    run = await api.submit("a", session_id="s")
    waiting = await api.run_in(run["id"], "waiting")
    for _ in range(2):
        await api.call("POST", f"runs/{run['id']}/resume", X_MS_CLIENT_PRINCIPAL_NAME="ops@example.com")
    done = await api.ended(run["id"])
    told = [await _granted(api, path) for path in ("sessions/s/events", "events")]

    assert (waiting["error"]["code"], done["state"]) == ("budget_approval_needed", "succeeded")
    for stream in told:
        assert [name for name, _ in stream] == ["approval.requested", "approval.granted"]
        assert [data["run_id"] for _, data in stream] == [run["id"]] * 2
        assert stream[1][1]["by"] == "ops@example.com"


async def _granted(api: Api, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of approvals in a stream, as soon as there is one that grants."""

    async def look() -> Any:
        reply = await api.call("GET", f"{path}?names=approval.*&wait=0")
        lines = [line.partition(": ")[::2] for line in reply.body.decode().splitlines()]
        names, data = ([value for key, value in lines if key == field] for field in ("event", "data"))
        told = list(zip(names, map(json.loads, data), strict=True))
        if "approval.granted" not in names:
            return None
        # A timer withdraws the request that was granted by resuming the run: sooner or later.
        return [(name, values) for name, values in told if name != "approval.withdrawn"]

    return await eventually(look)


async def test_a_ladder_that_its_provider_cannot_go_down_is_refused(api: Api) -> None:
    """A Foundry agent's version pins its model."""
    ladder = [{"at": 90, "do": "cheaper_model", "model": "gpt-5-nano"}]
    refused = await api.call("PUT", "agents/a", {"provider": "foundry", "model": "gpt-5", "ladder": ladder})
    descending = await api.call(
        "PUT", "agents/a", {"model": "m", "ladder": [{"at": 90, "do": "stop"}, {"at": 5, "do": "warn"}]}
    )

    assert (refused.status, descending.status) == (400, 400)
    assert "pins it" in str(refused.json())
