"""Sessions over the whole stack: paused, limited, streamed, exported and erased, with the host killed on the way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.e2e.support import PROMPT, Api, Stack, eventually

REPLY = "One line of the answer after the other, as it is written. " * 20


async def events(api: Api, session_id: str) -> list[dict[str, Any]]:
    """Return a session's events up to the end of its first run, as server-sent events bring them."""
    found: list[dict[str, Any]] = []
    while not any(each["data"].get("stage") == "COMPLETED" for each in found):
        after = {"Last_Event_ID": found[-1]["id"]} if found else {}
        reply = await api.call("GET", f"sessions/{session_id}/events", **after)
        assert reply.status == 200
        for block in reply.body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
            if "event" in lines:
                found.append({"id": lines["id"], "name": lines["event"], "data": json.loads(lines["data"])})
    return found


def told(found: list[dict[str, Any]], attempt: int) -> str:
    return "".join(
        each["data"]["text"] for each in found if each["name"] == "run.delta" and each["data"]["attempt"] == attempt
    )


async def test_a_stream_heals_after_the_host_was_killed_in_the_middle(fresh_api: Api, fresh_stack: Stack) -> None:
    """The attempt that died is told to be void, the next one's text is the answer."""
    api, stack = fresh_api, fresh_stack
    await api.declare("writer", simulate={"reply": REPLY, "stream_chunk_ms": 60})
    run = await api.submit("writer", session_id="streamed", stream=True)

    async def begun() -> bool:
        return any(row.get("events", "").count("run.delta") for row in await stack.rows("conversations"))

    await eventually(begun)
    stack.kill_host()
    stack.start_host()
    done = await api.ended(run["id"])
    found = await events(api, "streamed")
    ends = [(each["data"]["attempt"], each["data"]["outcome"]) for each in found if each["name"] == "run.stream_ended"]

    assert (done["state"], done["answer"]) == ("succeeded", REPLY)
    assert done["attempt"] >= 2
    assert ends == [(n, "superseded") for n in range(1, done["attempt"])] + [(done["attempt"], "completed")]
    assert REPLY.startswith(told(found, 1))
    assert told(found, 1) != ""
    assert told(found, done["attempt"]) == REPLY
    assert done["spend"]["calls"] >= 1


async def test_a_paused_session_keeps_its_runs_over_a_restart(fresh_api: Api, fresh_stack: Stack) -> None:
    """From two producers at once; resumed, they are answered in the order in which they were accepted."""
    api, stack = fresh_api, fresh_stack
    await api.declare("slow", simulate={"latency_ms": 300})
    first = await api.submit("slow", f"{PROMPT} 0", session_id="chat")
    await api.run_in(first["id"], "running", "succeeded")
    paused = await api.call("POST", "sessions/chat/pause")
    await asyncio.gather(
        *(api.submit("slow", f"{PROMPT} {n}", session_id="chat") for n in range(1, 4)),
        stack.send(
            {"agent": "slow", "query": f"{PROMPT} bus", "workspace": api.workspace}, "chat", message_id="from-the-bus"
        ),
    )

    async def kept() -> bool:
        session = await api.get("sessions/chat")
        return session["runs"] == 5 and session["pending"] == 4

    await eventually(kept)
    stack.kill_host()
    stack.start_host()
    assert (await api.get("sessions/chat"))["state"] == "paused"
    exported = await api.get("sessions/chat/export")
    order = [run["query"] for run in exported["runs"]]
    resumed = await api.call("POST", "sessions/chat/resume")

    async def answered() -> Any:
        turns = await api.everything("sessions/chat/messages", 200)
        return turns if len(turns) == 10 else None

    turns = await eventually(answered)

    assert (paused.status, resumed.status) == (200, 200)
    assert [run["state"] for run in exported["runs"]] == ["succeeded"] + ["waiting"] * 4
    assert [turn["text"] for turn in turns if turn["role"] == "user"] == order
    assert (await api.get("sessions/chat"))["pending"] == 0


async def test_a_session_is_exported_and_erased(api: Api, stack: Stack) -> None:
    """Both formats hold what was said; after erasing, nothing in any table does, and nothing brings it back."""
    await api.declare("a")
    body = {"agent": "a", "user_id": "ada.lovelace", "session_id": "gdpr", "limits": {"max_turns": 8}}
    made = await api.call("POST", "sessions", body)
    for number in range(2):
        await api.answer("a", f"{PROMPT} gdpr {number}", session_id="gdpr", user_id="ada.lovelace")
    markdown = await api.call("GET", "sessions/gdpr/export?format=markdown")
    whole = await api.get("sessions/gdpr/export?format=json")
    refused = await api.call("GET", "sessions/gdpr/export?format=pdf")
    foreign = [
        await api.call(method, f"sessions/gdpr{path}?user_id=bob")
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("GET", "/export"), ("POST", "/resume"))
    ]
    other = api.elsewhere()
    foreign += [await other.call("DELETE", "sessions/gdpr"), await other.call("POST", "sessions/gdpr/pause")]
    erased = await api.call("DELETE", "sessions/gdpr?user_id=ada.lovelace")
    again = await api.call("DELETE", "sessions/gdpr")
    gone = await api.call("GET", "sessions/gdpr")
    late = await api.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "gdpr"})
    left = [
        row
        for table in (
            "conversations",
            "runs",
            "sessions",
            "opensessions",
            "events",
            "facts",
        )
        for row in await stack.rows(table)
        if f"{PROMPT} gdpr" in str(row) or "lovelace" in str(row)
    ]

    assert (made.status, made.json()["limits"]["max_turns"]) == (201, 8)
    assert markdown.headers["content-type"].startswith("text/markdown")
    assert f"{PROMPT} gdpr 0" in markdown.body.decode()
    assert [turn["text"] for turn in whole["messages"]][::2] == [f"{PROMPT} gdpr 0", f"{PROMPT} gdpr 1"]
    assert (refused.status, refused.code) == (400, "invalid_format")
    assert {(reply.status, reply.code) for reply in foreign} == {(404, "session_not_found")}
    assert erased.status == 200
    assert {name: erased.json()[name] for name in ("runs", "messages", "ledger_lines")} == {
        "runs": 2,
        "messages": 4,
        "ledger_lines": 2,
    }
    assert set(erased.json()["kept"]) == {"facts", "scores", "events", "budgets"}
    assert again.json() == erased.json()
    assert (gone.status, late.status, late.code) == (404, 409, "session_erased")
    assert left == []
    assert (await api.get("costs"))["total"]["calls"] == 2


async def test_bad_wishes_are_refused(api: Api) -> None:
    """Limits out of range, unknown states, things done to a session that has ended."""
    await api.declare("a")
    await api.answer("a", session_id="over")
    await api.call("POST", "sessions/over/end")
    replies = [
        await api.call("POST", "sessions", {"agent": "a", "limits": {"max_turns": 1}}),
        await api.call("POST", "sessions", {"agent": "a", "limits": {"max_duration_s": -1}}),
        await api.call("POST", "sessions", {"agent": "a", "limits": {"max_history_tokens": 5}}),
        await api.call("POST", "sessions", {"agent": "a", "priority": "urgent"}),
        await api.call("POST", "sessions", {"agent": "a", "preferences": {"language": "not a language"}}),
        await api.call("GET", "sessions?state=sleeping"),
        await api.call("POST", "sessions/over/pause"),
        await api.call("POST", "sessions/over/resume"),
        await api.call("POST", "agents/a/runs", {"query": PROMPT, "stream": "maybe"}),
    ]

    assert [reply.status for reply in replies] == [400, 400, 400, 400, 400, 400, 409, 409, 400]
    assert [reply.code for reply in replies[6:8]] == ["session_ended"] * 2
