"""The main job from end to end: declare, ask, reuse, pay, report, prune, ask again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.e2e.support import PROMPT, Api, Stack, eventually

OFFLINE = "[offline] No model was called."


async def test_an_agent_is_asked_and_answers(api: Api) -> None:
    """A run is accepted with its address, and ends there with its answer, its score and its cost."""
    await api.declare("guide", model="gpt-4o")

    accepted = await api.call("POST", "agents/guide/runs", {"query": f"{PROMPT} hello", "expected_topics": ["turn 1"]})
    run = await api.ended(accepted.json()["id"])

    assert accepted.status == 202
    assert accepted.headers["location"] == f"/api/runs/{run['id']}"
    assert (accepted.json()["state"], accepted.json()["answer"]) == ("queued", None)
    assert run["state"] == "succeeded"
    assert run["answer"].startswith(OFFLINE)
    assert (run["attempt"], run["version"], run["model"], run["stage"]) == (1, "1", "gpt-4o", "COMPLETED")
    parts = {"answered": 100, "complete": 100, "topics": 100}
    assert run["score"] == {"overall": 100, "parts": parts, "reasons": {}, "pending": []}
    assert run["spend"]["calls"] == 1
    assert run["spend"]["cost_micro_usd"] > 0
    assert run["wasted"] == dict.fromkeys(run["wasted"], 0)
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]


async def test_a_caller_can_wait_for_the_answer(api: Api) -> None:
    """`Prefer: wait` answers 200 with the run that has ended, or 202 when the time is over before."""
    await api.declare("quick")
    await api.declare("slow", simulate={"latency_ms": 3000})

    ended = await api.call("POST", "agents/quick/runs", {"query": PROMPT}, Prefer="wait=20")
    not_yet = await api.call("POST", "agents/slow/runs", {"query": PROMPT}, Prefer="respond-async, wait=1")

    assert (ended.status, ended.json()["state"]) == (200, "succeeded")
    assert ended.headers["preference-applied"] == "wait=20"
    assert (not_yet.status, not_yet.json()["answer"]) == (202, None)
    assert not_yet.headers["location"] == f"/api/runs/{not_yet.json()['id']}"


async def test_an_agent_is_created_once_and_reused(api: Api, stack: Stack) -> None:
    """Runs share one version at the provider; the statistics say so."""
    await api.declare("shared")
    runs = [await api.answer("shared") for _ in range(4)]

    async def all_told() -> Any:
        stats = await api.get("agents/shared/stats")
        return stats if stats["uses"] == 4 else None

    stats = await eventually(all_told)

    assert {run["version"] for run in runs} == {"1"}
    assert (stats["versions_created"], stats["versions_adopted"], stats["reused"]) == (1, 0, 3)
    overall = await api.get("stats")
    assert (overall["items"], overall["next"]) == ([stats], None)
    assert (overall["lifecycle"]["agents"], overall["lifecycle"]["versions"]) == ({"active": 1}, 1)
    assert len(await stack.rows("offlineagents", workspace=api.workspace or "", agent="shared")) == 1


async def test_a_conversation_is_remembered(api: Api) -> None:
    """The model is given what was said before in the session, and in no other one."""
    await api.declare("memory")
    first = await api.answer("memory", f"{PROMPT} I am Ada")
    session = first["session_id"]

    second = await api.answer("memory", f"{PROMPT} who am I", session_id=session)
    other = await api.answer("memory", f"{PROMPT} who am I")
    messages = (await api.get(f"sessions/{session}/messages"))["items"]

    assert f"turn 2; the turn before began '{PROMPT} I am'" in second["answer"]
    assert "turn 1." in other["answer"]
    assert [(turn["role"], turn["text"]) for turn in messages] == [
        ("user", f"{PROMPT} I am Ada"),
        ("assistant", first["answer"]),
        ("user", f"{PROMPT} who am I"),
        ("assistant", second["answer"]),
    ]
    assert second["spend"]["input_tokens"] > other["spend"]["input_tokens"]


async def test_costs_and_reports_add_up(api: Api, stack: Stack) -> None:
    """Costs are there at once; the report follows with the timer and is the same sum, however often it runs."""
    await api.declare("dear", model="gpt-4o")
    await api.declare("free", model="nobody-knows-this-model")
    runs = [await api.answer("dear", user_id="ada"), await api.answer("dear"), await api.answer("free")]
    today = datetime.now(UTC).date().isoformat()
    spent = sum(run["spend"]["cost_micro_usd"] for run in runs)

    costs = await api.get("costs")
    by_model = await api.get(f"costs?from={today}&to={today}&group_by=model")
    by_user = await api.get("costs?group_by=user")
    unknown = await api.call("GET", f"reports/{today}")
    await stack.run_timer("aggregate_costs")
    report = await api.get(f"reports/{today}")
    await stack.run_timer("aggregate_costs")

    assert costs["total"]["cost_micro_usd"] == spent > 0
    assert (costs["total"]["calls"], costs["total"]["unpriced_calls"]) == (3, 1)
    assert [group["name"] for group in costs["groups"]] == ["dear", "free"]
    assert [group["name"] for group in by_model["groups"]] == ["gpt-4o", "nobody-knows-this-model"]
    assert sorted(group["name"] for group in by_user["groups"]) == ["", "ada"]
    assert (unknown.status, unknown.code) == (404, "report_not_found")
    assert report["total"] == costs["total"]
    assert set(report["by_agent"]) == {"dear", "free"}
    assert await api.get(f"reports/{today}") == report
    listed = await api.get("reports")
    assert listed == {
        "items": [{"period": report["period"], "complete": False, "total": report["total"]}],
        "next": None,
    }
    assert (await api.get("costs"))["total"] == costs["total"]


async def test_an_idle_agent_is_pruned_and_restored_on_its_next_use(api: Api, stack: Stack) -> None:
    """A dry run says what the real one does: only the idle agent goes, and the next question brings it back."""
    await api.declare("idle", idle_after_s=1)
    await api.declare("pinned", idle_after_s=1, pinned=True)
    await api.declare("talking", idle_after_s=1)
    await api.declare("busy")
    for name in ("idle", "pinned", "talking", "busy"):
        run = await api.answer(name)
        if name != "talking":
            await api.call("POST", f"sessions/{run['session_id']}/end")

    async def plan() -> Any:
        verdicts = {item["agent"]: item for item in (await prune("true"))["items"]}
        reasons = {str(item["reason"]) for item in verdicts.values()}
        return verdicts if len(verdicts) == 2 and "was used recently" not in reasons else None

    async def prune(dry_run: str) -> Any:
        return (await api.call("POST", f"prune?dry_run={dry_run}")).json()

    planned = await eventually(plan)
    still = await api.get("agents/idle")
    done = await prune("false")
    gone = await api.agent_in("idle", "idle")

    async def nothing_there() -> bool:
        return not await stack.rows("offlineagents", workspace=api.workspace or "", agent="idle")

    there = not await eventually(nothing_there)
    again = await api.answer("idle")
    stats = await api.get("agents/idle/stats")

    assert set(planned) == {"idle", "talking"}
    assert (planned["talking"]["retire"], planned["talking"]["reason"]) == (False, "has an open session")
    assert still["state"] == "active"
    assert {item["agent"]: item["retire"] for item in done["items"]} == {"idle": True, "talking": False}
    assert (gone["version"], gone["spec"]["idle_after_s"]) == (None, 1)
    assert not there
    assert (again["version"], stats["versions_created"]) == ("2", 2)
    assert [(await api.get(f"agents/{name}"))["state"] for name in ("pinned", "talking", "busy")] == ["active"] * 3


async def test_the_prune_timer_retires_in_every_workspace(api: Api, stack: Stack) -> None:
    """The timer takes what is idle, wherever it is."""
    other = api.elsewhere()
    for each in (api, other):
        await each.declare("idle", idle_after_s=1)
        await each.call("POST", "agents/idle/prewarm")
        await each.agent_in("idle", "active")

    async def pruned() -> bool:
        await stack.run_timer("prune_idle_agents")
        return [(await each.get("agents/idle"))["state"] for each in (api, other)] == ["idle", "idle"]

    assert await eventually(pruned)


async def test_a_conversation_goes_on_with_a_restored_agent(api: Api) -> None:
    """Retiring an agent takes nothing from its sessions: asked again, it knows what was said."""
    await api.declare("keeper")
    first = await api.answer("keeper", f"{PROMPT} remember blue")
    await api.call("POST", "agents/keeper/retire")
    await api.agent_in("keeper", "idle")

    second = await api.answer("keeper", f"{PROMPT} what colour", session_id=first["session_id"])

    assert (first["version"], second["version"]) == ("1", "2")
    assert f"turn 2; the turn before began '{PROMPT} remember blue'" in second["answer"]


async def test_twenty_first_questions_make_one_agent(api: Api, stack: Stack) -> None:
    """However many ask at once, the provider is asked for one version, and everyone gets an answer."""
    await api.declare("crowd")

    runs = await asyncio.gather(*(api.submit("crowd", f"{PROMPT} {number}") for number in range(20)))
    ended = await asyncio.gather(*(api.ended(run["id"]) for run in runs))

    async def all_told() -> Any:
        told.append((stats := await api.get("agents/crowd/stats"))["uses"])
        return stats if stats["uses"] == 20 else None

    told: list[int] = []
    stats = await eventually(all_told, progress=lambda: told[-1], what="uses told to the agent")
    assert {run["state"] for run in ended} == {"succeeded"}
    assert {run["version"] for run in ended} == {"1"}
    assert len({run["session_id"] for run in ended}) == 20
    assert len(await stack.rows("offlineagents", workspace=api.workspace or "", agent="crowd")) == 1
    assert (stats["versions_created"], stats["versions_adopted"]) == (1, 0)


async def test_an_idle_session_is_ended_by_the_timer(api: Api, stack: Stack) -> None:
    """Nobody spoke for a while: the session ends, takes no more runs, and keeps the agent no longer."""
    await api.declare("lonely", idle_after_s=1)
    body = {"agent": "lonely", "session_id": "brief", "limits": {"idle_timeout_s": 2}}
    assert (await api.call("POST", "sessions", body)).status == 201
    run = await api.answer("lonely", session_id="brief")

    async def ended() -> Any:
        await stack.run_timer("expire_sessions")
        session = await api.get(f"sessions/{run['session_id']}")
        return session if session["state"] == "ended" else None

    session = await eventually(ended)
    refused = await api.call("POST", "agents/lonely/runs", {"query": PROMPT, "session_id": run["session_id"]})

    async def prunable() -> Any:
        items = (await api.call("POST", "prune")).json()["items"]
        return [item["agent"] for item in items if item["retire"]]

    assert (session["end_reason"], session["turns"], session["pending"]) == ("idle_timeout", 2, 0)
    assert (refused.status, refused.code) == (409, "session_ended")
    assert await eventually(prunable) == ["lonely"]


async def test_a_real_client_asks_a_model(api: Api) -> None:
    """The `openai` provider talks to its endpoint with the app's key, with the conversation, and reports real usage."""
    await api.declare("gpt", provider="openai", model="gpt-4o-mini", instructions="Be brief.", max_output_tokens=100)
    first = await api.answer("gpt", f"{PROMPT} one")

    second = await api.answer("gpt", f"{PROMPT} two", session_id=first["session_id"])

    assert first["answer"] == f"heard 2 messages (system, user), the last: '{PROMPT} one'"
    assert second["answer"] == f"heard 4 messages (system, user, assistant, user), the last: '{PROMPT} two'"
    assert (second["spend"]["calls"], second["spend"]["unpriced_calls"], second["model"]) == (1, 0, "gpt-4o-mini")
    assert second["spend"]["cached_tokens"] > 0


async def test_a_tool_is_called_and_both_model_calls_are_paid(api: Api) -> None:
    """A run that uses a tool makes two model calls, and both are in its spend."""
    await api.declare("sums", tools=["calculator"], simulate={"call_tool": "calculator"})

    run = await api.answer("sums", "6 * 7")

    assert "tool 'calculator' returned '42'" in run["answer"]
    assert run["spend"]["calls"] == 2
