"""What is accepted is not lost: the host dies, the broker goes away, storage goes away."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.e2e.support import PROMPT, Api, Stack, eventually


async def test_every_submitted_run_has_one_answer_after_the_host_was_killed(fresh_api: Api, fresh_stack: Stack) -> None:
    """Killed twice with runs in every state, and started again: each run is answered once, in order, and paid for."""
    api, stack = fresh_api, fresh_stack
    await api.declare("fast", simulate={"latency_ms": 50})
    await api.declare("slow", simulate={"latency_ms": 1200})
    await api.declare("last", simulate={"latency_ms": 3000})
    submitted: list[dict[str, Any]] = []

    async def submit(number: int) -> None:
        session, agent = f"s{number % 6}", ("slow", "fast")[number % 2]
        if number in (11, 23):
            session, agent = f"last-{number}", "last"  # of its wave: it is at work when the host is killed
        submitted.append(await api.submit(agent, f"{PROMPT} {number}", session_id=session))

    for number in range(12):
        await submit(number)
    await api.run_in(submitted[-1]["id"], "running", "succeeded")
    stack.kill_host()
    stack.start_host()
    for number in range(12, 24):
        await submit(number)
    await api.run_in(submitted[-1]["id"], "running", "succeeded")
    stack.kill_host()
    stack.start_host()
    ended = [await api.ended(run["id"]) for run in submitted]
    sessions = [await api.get(f"sessions/{name}") for name in (*(f"s{n}" for n in range(6)), "last-11", "last-23")]

    assert [run["state"] for run in ended] == ["succeeded"] * 24
    for number, session in enumerate(sessions):
        asked = [run for run in submitted if run["session_id"] == session["id"]]
        turns = await api.everything(f"sessions/{session['id']}/messages", 200)
        assert [turn["run_id"] for turn in turns] == [run["id"] for run in asked for _ in range(2)], number
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * len(asked)
        assert (session["pending"], session["runs"], session["turns"]) == (0, len(asked), 2 * len(asked))
        spent = [run["spend"]["cost_micro_usd"] for run in ended if run["session_id"] == session["id"]]
        assert session["spend"]["cost_micro_usd"] == sum(spent)
    for run in ended:
        assert run["wasted"]["calls"] == run["spend"]["calls"] - 1 >= 0
    assert (await api.get("costs"))["total"]["calls"] == sum(run["spend"]["calls"] for run in ended)
    assert any(run["attempt"] > 1 for run in ended)
    stats = [await api.get(f"agents/{name}/stats") for name in ("fast", "slow", "last")]
    assert [(each["versions_created"] + each["versions_adopted"]) for each in stats] == [1, 1, 1]


async def test_agents_survive_a_restart(fresh_api: Api, fresh_stack: Stack) -> None:
    """A stopped and restarted host reuses the agents that were made, and goes on with their sessions."""
    api, stack = fresh_api, fresh_stack
    await api.declare("a")
    first = await api.answer("a", f"{PROMPT} one", session_id="s")
    stack.host.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.call("GET", "health")
    stack.start_host()

    second = await api.answer("a", f"{PROMPT} two", session_id="s")

    assert (first["version"], second["version"]) == ("1", "1")
    assert f"turn 2; the turn before began '{PROMPT} one'" in second["answer"]


async def test_without_storage_nothing_is_accepted(fresh_api: Api, fresh_stack: Stack) -> None:
    """Without tables every call that needs them is 503 with a code; a running run is answered once they are back."""
    api, stack = fresh_api, fresh_stack
    await api.declare("a", simulate={"latency_ms": 2000})
    run = await api.submit("a", session_id="s")
    await api.run_in(run["id"], "running")
    stack.azurite.stop()  # killed, it would forget the last seconds

    replies = await asyncio.gather(
        api.call("GET", "agents"),
        api.call("POST", "agents/a/runs", {"query": PROMPT}),
        api.call("PUT", "agents/b", {"model": "x"}),
        api.call("GET", f"runs/{run['id']}"),
        api.call("GET", "costs"),
    )
    health = await api.call("GET", "health")
    stack.restart_azurite()
    ended = await _ended_when_back(api, stack, run["id"])
    turns = await api.everything("sessions/s/messages", 10)

    assert [(reply.status, reply.code) for reply in replies] == [(503, "storage_unavailable")] * len(replies)
    assert (health.status, health.json()["components"]["queue"]) == (503, "ok")
    assert (ended["state"], len(turns)) == ("succeeded", 2)


async def _ended_when_back(api: Api, stack: Stack, run_id: str) -> Any:
    """Wait until the run has ended; one whose deliveries the outage has used up is listed, and put back by hand."""

    async def look() -> Any:
        reply = await api.call("GET", f"runs/{run_id}")
        if reply.status == 200 and reply.json()["finished_at"]:
            return reply.json()
        return [letter for letter in await api.everything("dead-letters", 50) if letter["run_id"] == run_id]

    found = await eventually(look)
    if isinstance(found, list):
        await stack.run_timer("account_dead_letters")
        assert (await api.get(f"runs/{run_id}"))["state"] == "failed"
        assert (await api.call("POST", f"dead-letters/{found[0]['id']}/redrive")).status == 202
        found = await api.run_in(run_id, "succeeded")
    return found


async def test_a_run_the_broker_did_not_take_is_queued_by_asking_again(fresh_api: Api, fresh_stack: Stack) -> None:
    """Without the broker a submission is 503 and says so; the same key asked again later is answered once."""
    api, stack = fresh_api, fresh_stack
    await api.declare("a")
    await api.answer("a", session_id="s")
    key = {"Idempotency_Key": "order 9"}
    stack.bus.child.kill()

    refused, health = await asyncio.gather(
        api.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "s"}, **key), api.call("GET", "health")
    )
    session = await api.get("sessions/s")
    stack.start_bus()

    async def accepted() -> Any:
        reply = await api.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "s"}, **key)
        return reply.json() if reply.status in (200, 202) else None

    run = await api.ended((await eventually(accepted))["id"])
    after = await api.get("sessions/s")

    assert (refused.status, refused.code, "retry-after" in refused.headers) == (503, "queue_unavailable", True)
    assert session["pending"] == 0
    assert (health.status, health.json()["components"]["tables"]) == (503, "ok")
    assert health.json()["status"] == "unhealthy"
    assert (run["state"], run["spend"]["calls"], run["error"]) == ("succeeded", 1, None)
    assert (after["turns"], after["pending"], after["runs"]) == (4, 0, 2)
    assert (await api.get("health"))["status"] == "healthy"
