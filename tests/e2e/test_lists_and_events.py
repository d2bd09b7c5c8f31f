"""Lists in pages, and a session's events."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from azure.servicebus import ServiceBusMessage

from tests.e2e.support import PROMPT, Api, Stack


async def test_agents_are_listed_by_name_in_pages(api: Api) -> None:
    """Whatever the size of a page, every agent comes once and in order; deleted ones are left out."""
    names = ["a", "a-1", "a0", "a_b", "ab", "b", "zz-9"]
    await asyncio.gather(*(api.declare(name) for name in [*names, "gone", "a-2"]))
    await api.answer("a")
    await api.call("DELETE", "agents/gone")
    await api.call("DELETE", "agents/a-2")

    for limit in (1, 2, 3, 7, 200):
        assert [agent["name"] for agent in await api.everything("agents", limit)] == names
        assert [agent["name"] for agent in await api.everything("stats", limit)] == names


async def test_sessions_are_listed_newest_first_and_filtered(api: Api) -> None:
    """Pages of any size give every session once, the newest first, by agent and by user."""
    for name in ("a", "b"):
        await api.declare(name)
    made: list[tuple[str, str, str]] = []
    for number in range(12):
        agent, user = "ab"[number % 2], ("ada", "bob@example.com", "x:y+z")[number % 3]
        body = {"agent": agent, "user_id": user, "session_id": f"s{number}"}
        assert (await api.call("POST", "sessions", body)).status == 201
        made.insert(0, (f"s{number}", agent, user))
        await asyncio.sleep(0.002)  # sessions of one millisecond have no order of their own

    for limit in (1, 5, 12, 200):
        listed = await api.everything("sessions", limit)
        assert [(item["id"], item["agent"], item["user_id"]) for item in listed] == made
    of_a = await api.everything("sessions?agent=a", 2)
    of_bob = await api.everything("sessions?user_id=bob@example.com", 2)
    of_both = await api.everything("sessions?agent=a&user_id=x:y%2Bz", 2)

    assert [item["id"] for item in of_a] == [ident for ident, agent, _ in made if agent == "a"]
    assert [item["id"] for item in of_bob] == [ident for ident, _, user in made if user == "bob@example.com"]
    assert [item["id"] for item in of_both] == [ident for ident, agent, user in made if (agent, user) == ("a", "x:y+z")]
    assert await api.everything("sessions?agent=nobody", 2) == []


async def test_messages_are_read_in_pages(api: Api) -> None:
    """Pages of any size give every message once and in order."""
    await api.declare("a")
    for number in range(4):
        await api.answer("a", f"{PROMPT} {number}", session_id="s")

    whole = await api.everything("sessions/s/messages", 200)

    assert [turn["role"] for turn in whole] == ["user", "assistant"] * 4
    for limit in (1, 3, 8):
        assert await api.everything("sessions/s/messages", limit) == whole


async def test_dead_letters_are_read_in_pages(api: Api, stack: Stack) -> None:
    """Pages of any size give every letter of the workspace once, oldest first."""
    body = json.dumps({"workspace": api.workspace, "agent": "unborn", "query": PROMPT})
    await stack.send_messages(
        *(ServiceBusMessage(body, session_id=f"s{n}", message_id=str(uuid.uuid4())) for n in range(5))
    )
    for number in range(5):
        await api.letters(f"s{number}")

    whole = await api.everything("dead-letters", 200)

    assert len(whole) == 5
    assert whole == sorted(whole, key=lambda letter: letter["id"])
    for limit in (1, 2, 5):
        assert await api.everything("dead-letters", limit) == whole


def parse(stream: bytes) -> list[tuple[int, str, dict[str, Any]]]:
    """Return the events of a text/event-stream."""
    found: list[tuple[int, str, dict[str, Any]]] = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


async def test_a_run_is_followed_from_queued_to_completed(api: Api) -> None:
    """Following with Last-Event-ID while runs go on gives every event once: the stages of each run in their order."""
    await api.declare("a", simulate={"latency_ms": 400})
    await api.call("POST", "sessions", {"agent": "a", "session_id": "s"})
    runs = [await api.submit("a", f"{PROMPT} {n}", session_id="s") for n in range(3)]
    followed: list[tuple[int, str, dict[str, Any]]] = []

    def finished() -> list[Any]:
        return [event for event in followed if event[2].get("stage") == "COMPLETED"]

    while len(finished()) < 3:
        headers = {"Last_Event_ID": str(followed[-1][0])} if followed else {}
        reply = await api.call("GET", "sessions/s/events", **headers)
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.body.startswith(b"retry: ")
        followed += parse(reply.body)
    whole = parse((await api.call("GET", "sessions/s/events")).body)

    assert followed == whole[: len(followed)]
    assert [number for number, _, _ in whole] == list(range(len(whole)))
    for run in runs:
        mine = [(name, data) for _, name, data in whole if data.get("run_id") == run["id"]]
        assert {data["v"] for _, data in mine} == {1}
        assert [data["at"] for _, data in mine] == sorted(data["at"] for _, data in mine)
        assert [(name, data.get("stage")) for name, data in mine] == [
            ("run.queued", None),
            ("run.stage", "INITIALIZING"),
            ("run.stage", "RUNNING"),
            ("run.stage", "EVALUATING"),
            ("run.stage", "COMPLETED"),
        ]


async def test_retries_and_failures_are_events(api: Api) -> None:
    """Each failed attempt says that it is tried again and why; the last one that it failed."""
    await api.declare("a", simulate={"fail_first": 9})
    await api.ask("a", session_id="s")

    events = parse((await api.call("GET", "sessions/s/events")).body)
    told = [(name, data.get("attempt"), data.get("code")) for _, name, data in events if "code" in data]

    assert told == [
        ("run.retrying", 1, "provider_unavailable"),
        ("run.retrying", 2, "provider_unavailable"),
        ("run.stage", 3, "provider_unavailable"),
    ]


async def test_a_follower_waits_for_news(api: Api) -> None:
    """With nothing new the answer is held back until there is something."""
    await api.declare("a")
    await api.call("POST", "sessions", {"agent": "a", "session_id": "s"})
    seen = parse((await api.call("GET", "sessions/s/events")).body)

    waiting = asyncio.create_task(api.call("GET", "sessions/s/events", Last_Event_ID=str(seen[-1][0])))
    await asyncio.sleep(0.7)
    held = not waiting.done()
    await api.submit("a", session_id="s")
    news = parse((await waiting).body)

    assert held
    assert news[0][:2] == (seen[-1][0] + 1, "run.queued")
