"""Routes over the wire: hostile endpoints behind one name, what callers notice of them, and what is refused."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.e2e.support import PROMPT, Api
from tests.fakes.openai_server import FakeOpenAI
from tests.waiting import eventually

KEY = "sk-route-must-not-leak"


def deployment(name: str, url: str, priority: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": "gpt-4o-mini", "endpoint": url, "priority": priority, **more}


async def test_runs_are_answered_whatever_their_endpoints_do(api: Api) -> None:
    """One throttles, one breaks, one hangs, one answers: 12 runs in 12 sessions succeed, each with one answer paid."""
    async with AsyncExitStack() as stack:
        storm, broken, slow, well = [await stack.enter_async_context(FakeOpenAI()) for _ in range(4)]
        storm.always, broken.always = "throttled", "server_error"
        storm.headers = {"Retry-After": "60"}
        slow.fail_next("reset", times=3)
        names = {"storm": storm, "broken": broken, "slow": slow}
        deployments = [deployment(name, fake.base_url) for name, fake in names.items()]
        put = await api.call(
            "PUT", "routes/chat", {"deployments": [*deployments, deployment("well", well.base_url, 2)]}
        )
        assert put.status == 201, put.json()
        await api.declare("a", provider="route", model="chat")

        runs = await asyncio.gather(*(api.submit("a", f"{PROMPT} {n}", session_id=f"s{n}") for n in range(12)))
        ended = [await api.ended(run["id"]) for run in runs]
        steps = [await api.get(f"runs/{run['id']}/steps") for run in ended]
        calls = [step for one in steps for step in one["items"] if step["kind"] == "model_call"]

        async def told() -> Any:
            found = {one["name"]: one for one in (await api.get("routes/chat"))["deployments"]}
            return found if sum(one["recent"]["requests"] for one in found.values()) >= len(calls) else None

        status = await eventually(told, what="the worker's account of the route")
        costs = (await api.get("costs"))["total"]

    assert {run["state"] for run in ended} == {"succeeded"}
    answered = [call["deployment"] for call in calls if call["outcome"] == "answered"]
    assert len(answered) == len(ended)
    assert {call["deployment"] for call in calls if call["outcome"] == "refused"} <= {"chat/storm", "chat/broken"}
    assert costs["calls"] - costs["unsettled_calls"] == len(ended)
    assert status["storm"]["throttled_until"] is not None
    assert (status["broken"]["breaker"], status["broken"]["available"]) == ("open", False)
    assert status["well"]["share"] > 0
    assert len(storm.requests) + len(broken.requests) <= len(calls)

    async def counted() -> Any:
        lines = (await api.call("GET", "metrics")).body.decode().splitlines()
        found = [line for line in lines if line.startswith("agent_route_calls_total{")]
        return [line for line in found if 'deployment="storm"' in line and 'outcome="throttled"' in line]

    assert await eventually(counted, what="the worker's metrics")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"deployments": []}, "invalid_input"),
        ({"deployments": [{"name": "a", "model": "m", "tpm": 0}]}, "invalid_input"),
        ({"deployments": [{"name": "a", "model": "m", "weight": 0}]}, "invalid_input"),
        ({"deployments": [{"name": "a", "model": "m", "priority": 0}]}, "invalid_input"),
        ({"deployments": [{"name": "a", "model": "m", "key_setting": KEY}]}, "invalid_input"),
        ({"deployments": [{"name": "a", "model": "m", "key_setting": "TablesConnection"}]}, "invalid_input"),
        ({"deployments": [{"name": "a", "model": "m", "api_key": KEY}]}, "key_in_body"),
        ({"deployments": [{"name": "a", "model": "m", "headers": {"Authorization": KEY}}]}, "key_in_body"),
        ({"deployments": [{"name": "a", "model": "m"}, {"name": "a", "model": "n"}]}, "duplicate_deployment"),
        (
            {"deployments": [{"name": "a", "model": "m", "endpoint": f"https://u:{KEY}@x.org"}]},
            "route_endpoint_refused",
        ),
        ({"deployments": [{"name": "a", "model": "m", "identity": True}]}, "invalid_deployment"),
    ],
)
async def test_bad_routes_are_refused_and_change_nothing(api: Api, body: dict[str, Any], code: str) -> None:
    """With a stable code and the place, and without the key that was sent."""
    reply = await api.call("PUT", "routes/bad", body)

    assert (reply.status, reply.code) == (400, code)
    assert KEY.encode() not in reply.body
    assert (await api.call("GET", "routes/bad")).status == 404


async def test_a_route_is_changed_by_its_etag_and_deleted(api: Api) -> None:
    """Runs of agents whose route is gone fail, and say so."""
    body = {"deployments": [{"name": "one", "provider": "offline", "model": "m"}]}
    put = await api.call("PUT", "routes/chat", body)
    again = await api.call("PUT", "routes/chat", body, If_Match=put.headers["etag"])
    stale = await api.call("PUT", "routes/chat", body, If_Match='"other"')
    read = await api.call("GET", "routes/chat")
    await api.declare("a", provider="route", model="chat")
    answered = await api.answer("a")
    deleted = await api.call("DELETE", "routes/chat")

    async def failed() -> Any:
        run = await api.ended((await api.submit("a", PROMPT))["id"])
        return run if run["state"] == "failed" else None

    run = await eventually(failed, what="a run without its route")

    assert (put.status, again.status, stale.status, deleted.status) == (201, 200, 412, 204)
    assert read.headers["etag"] == put.headers["etag"]
    assert "No model was called" in str(answered)
    assert run["error"]["code"] == "route_not_found"
