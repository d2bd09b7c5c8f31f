"""Sessions of high priority over the whole stack, while the workers of the other queue have no hand free."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.e2e.support import HANDS, PRIORITY_QUEUE, PROMPT, QUEUE, Api, Stack, eventually

SLOW_S = 600  # until it is cancelled


async def test_high_priority_does_not_wait_behind_the_other_queue(fresh_api: Api) -> None:
    """With every session of the normal queue taken, a run of high priority is answered at once, one after it waits."""
    api = fresh_api
    await api.declare("slow", simulate={"latency_ms": SLOW_S * 1000})
    await api.declare("quick")
    await api.answer("quick")
    await api.answer("quick", priority="high")
    bulk = await asyncio.gather(*(api.submit("slow", session_id=f"bulk-{n}") for n in range(HANDS)))
    for run in bulk:
        await api.run_in(run["id"], "running")
    behind = await api.submit("quick", session_id="behind")
    high = [await api.answer("quick", f"{PROMPT} {n}", session_id="vip", priority="high") for n in range(3)]
    waiting = await api.get(f"runs/{behind['id']}")
    busy = [await api.get(f"runs/{run['id']}") for run in bulk]
    turns = await api.everything("sessions/vip/messages", 200)
    refused = await api.call("POST", "agents/quick/runs", {"query": PROMPT, "session_id": "vip", "priority": "normal"})
    unknown = await api.call("POST", "agents/quick/runs", {"query": PROMPT, "priority": "urgent"})
    for run in bulk:
        assert (await api.call("POST", f"runs/{run['id']}/cancel")).status in (200, 202)
    ends = await asyncio.gather(*(api.ended(run["id"]) for run in [*bulk, behind]))

    assert {run["state"] for run in busy} == {"running"}
    assert (waiting["state"], waiting["priority"]) == ("queued", "normal")
    assert {run["priority"] for run in high} == {"high"}
    assert [turn["text"] for turn in turns if turn["role"] == "user"] == [f"{PROMPT} {n}" for n in range(3)]
    assert (refused.status, refused.code) == (409, "session_priority_mismatch")
    assert (unknown.status, unknown.code) == (400, "invalid_input")
    assert [run["state"] for run in ends] == ["cancelled"] * HANDS + ["succeeded"]


async def test_order_is_kept_in_each_session_of_either_queue(api: Api, stack: Stack) -> None:
    """From HTTP and from a producer, in sessions of both priorities at once, one of them paused on the way."""
    await api.declare("slow", simulate={"latency_ms": 100})
    made = await api.call("POST", "sessions", {"agent": "slow", "session_id": "vip", "priority": "high"})

    async def fill(session_id: str, queue: str) -> None:
        body = {"agent": "slow", "workspace": api.workspace}
        for n in range(0, 6, 2):
            run = await api.submit("slow", f"{PROMPT} {n}", session_id=session_id)
            message = f"{session_id}-{n + 1}"
            await stack.send(body | {"query": f"{PROMPT} {n + 1}", "run_id": message}, session_id, queue=queue)
            await eventually(lambda n=n: _has(api, session_id, n + 2))
            if n == 2:
                await api.ended(run["id"])

    await asyncio.gather(fill("vip", PRIORITY_QUEUE), fill("bulk", QUEUE))
    paused = await api.call("POST", "sessions/vip/pause")
    kept = [await api.submit("slow", f"{PROMPT} {n}", session_id="vip") for n in range(6, 9)]
    await api.call("POST", "sessions/vip/resume")

    assert (made.status, made.json()["priority"], paused.json()["priority"]) == (201, "high", "high")
    assert {run["priority"] for run in kept} == {"high"}
    for session_id, count in (("vip", 9), ("bulk", 6)):
        turns = await eventually(lambda s=session_id, n=count: _answered(api, s, n))
        assert [turn["text"] for turn in turns if turn["role"] == "user"] == [f"{PROMPT} {n}" for n in range(count)]


async def test_dead_letters_of_both_queues(api: Api, stack: Stack) -> None:
    """Listed in pages with their reasons, redriven to the queue they came from; one on the wrong queue is refused."""
    await api.declare("a")
    await api.submit("a", session_id="vip", priority="high")
    body = {"query": PROMPT, "workspace": api.workspace}
    for n in range(2):
        await stack.send(body | {"agent": "unborn"}, f"normal-{n}", f"normal-{n}")
        await stack.send(body | {"agent": "unborn"}, f"high-{n}", f"high-{n}", queue=PRIORITY_QUEUE)
    await stack.send(body | {"agent": "a"}, "vip", "stray")
    names = {"normal-0", "normal-1", "high-0", "high-1", "vip"}

    async def all_dead() -> Any:
        found = {letter["session_id"]: letter for letter in await api.everything("dead-letters", 1)}
        return found if set(found) == names else None

    letters = await eventually(all_dead)
    listed = [letter["id"] for letter in await api.everything("dead-letters", 2)]
    stray = letters.pop("vip")
    refused = await api.call("POST", f"dead-letters/{stray['id']}/redrive")
    await api.declare("unborn")
    redriven = [await api.call("POST", f"dead-letters/{letter['id']}/redrive") for letter in letters.values()]
    runs = [await eventually(lambda r=reply: _run(api, r.json()["run_id"])) for reply in redriven]
    ends = {run["session_id"]: await api.ended(run["id"]) for run in runs}
    (left,) = await api.everything("dead-letters", 2)
    again = await api.call("POST", f"dead-letters/{letters['high-0']['id']}/redrive")

    assert listed == sorted(listed, key=int)
    assert len(listed) == len(names)
    assert (stray["code"], stray["redrivable"]) == ("invalid_message", False)
    assert "high priority" in stray["detail"]
    assert (refused.status, refused.code) == (409, "dead_letter_invalid")
    assert {reply.status for reply in redriven} == {202}
    assert {name: (run["state"], run["priority"]) for name, run in ends.items()} == {
        name: ("succeeded", name.split("-")[0]) for name in letters
    }
    assert left["id"] == stray["id"]
    assert (again.status, again.code) == (404, "dead_letter_not_found")
    assert (await api.get("health"))["status"] == "healthy"


async def _has(api: Api, session_id: str, runs: int) -> bool:
    return (await api.get(f"sessions/{session_id}"))["runs"] == runs


async def _answered(api: Api, session_id: str, runs: int) -> Any:
    turns = await api.everything(f"sessions/{session_id}/messages", 200)
    return turns if len(turns) == 2 * runs else None


async def _run(api: Api, run_id: str) -> Any:
    reply = await api.call("GET", f"runs/{run_id}")
    return reply.json() if reply.status == 200 else None
