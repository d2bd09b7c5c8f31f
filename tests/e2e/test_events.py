"""Following sessions and the workspace live: nothing is lost, nothing comes twice, though the host dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devhost.services import node
from tests.e2e.support import PROMPT, Api, Reply, Stack, eventually
from tests.waiting import QUIET_S, Patience

Told = tuple[str, dict[str, Any]]


def parse(stream: bytes) -> tuple[list[Told], str | None]:
    """Return the events of a text/event-stream, and the last id in it."""
    told: list[Told] = []
    last = None
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        last = fields.get("id", last)
        if "event" in fields:
            told.append((fields["event"], json.loads(fields["data"])))
    return told, last


class Follower:
    """Follows a stream as a browser would, also over failures of the host."""

    def __init__(self, api: Api, path: str) -> None:
        self.api = api
        self.path = path
        self.told: list[Told] = []
        self.last: str | None = None

    async def ask(self, wait_s: int = 2) -> Reply | None:
        headers = {"Last_Event_ID": self.last} if self.last else {}
        joint = "&" if "?" in self.path else "?"
        try:
            reply = await self.api.call("GET", f"{self.path}{joint}wait={wait_s}", **headers)
        except aiohttp.ClientError:
            await asyncio.sleep(0.2)
            return None
        assert reply.status == 200, reply.body
        told, last = parse(reply.body)
        self.told += told
        self.last = last or self.last
        return reply

    async def until(self, count: int, name: str, **data: Any) -> None:
        """Follow until so many events with this name and data have come."""
        patience = Patience(f"{count} × {name} {data}")
        while self.count(name, **data) < count:
            patience.look(len(self.told))
            await self.ask()

    def count(self, name: str, **data: Any) -> int:
        return sum(told == name and data.items() <= what.items() for told, what in self.told)


async def test_a_workspace_is_followed_while_its_host_dies(fresh_api: Api, fresh_stack: Stack) -> None:
    """Two who follow get the same, which is what the sessions tell, though the host is killed in the middle."""
    api, stack = fresh_api, fresh_stack
    await api.declare("a", simulate={"latency_ms": 700})
    workspace, session = Follower(api, "events"), Follower(api, "sessions/s0/events")
    runs = [await api.submit("a", f"{PROMPT} {n}", session_id=f"s{n % 2}") for n in range(4)]
    following = [
        asyncio.create_task(workspace.until(4, "run.stage", stage="COMPLETED")),
        asyncio.create_task(session.until(2, "run.stage", stage="COMPLETED")),
    ]
    await eventually(lambda: workspace.count("run.stage", stage="RUNNING"))
    stack.kill_host()
    stack.start_host()
    for run in runs:
        await api.ended(run["id"])
    await asyncio.gather(*following)
    await workspace.ask()

    late = Follower(api, "events")
    while not late.told or len(late.told) < len(workspace.told):
        await late.ask(0)
    for ident in ("s0", "s1"):
        own = Follower(api, f"sessions/{ident}/events")
        await own.ask(0)
        expected = [(name, {"session_id": ident, "agent": "a"} | data) for name, data in own.told]
        assert [told for told in late.told if told[1].get("session_id") == ident] == expected
        assert [told for told in workspace.told if told[1].get("session_id") == ident] == expected
        if ident == "s0":
            assert session.told == own.told[: len(session.told)]
    assert [told[0] for told in late.told if told[0].startswith("agent.")][:2] == ["agent.declared", "agent.created"]
    assert PROMPT not in json.dumps(late.told)


async def test_only_what_is_asked_for_is_told(api: Api) -> None:
    """By name; from now on; and what is another workspace's is not there."""
    await api.declare("a")
    await api.answer("a", session_id="s")
    stages = Follower(api, "events?names=run.stage")
    await stages.until(1, "run.stage", stage="COMPLETED")
    fresh = Follower(api, "events?from=now")
    await fresh.ask(0)
    before = list(fresh.told)
    await api.answer("a", session_id="s")
    await fresh.until(1, "run.stage", stage="COMPLETED")
    elsewhere = await api.elsewhere().call("GET", "events?wait=0")

    assert {name for name, _ in stages.told} == {"run.stage"}
    assert before == []
    assert fresh.count("run.stage", stage="COMPLETED") == 1
    assert parse(elsewhere.body)[0] == []
    assert (await api.elsewhere().call("GET", "sessions/s/events?wait=0")).code == "session_not_found"


async def test_bad_input_is_refused(api: Api) -> None:
    """With a code for each kind."""
    await api.declare("a")
    await api.answer("a", session_id="s")
    await api.answer("a", session_id="of-ada", user_id="ada")
    other = api.elsewhere()
    await other.declare("a")
    their_last = parse((await other.call("GET", "events?wait=5")).body)[1] or ""

    for path, headers, code in (
        ("events", {"Last_Event_ID": "7"}, "invalid_last_event_id"),
        ("events", {"Last_Event_ID": their_last}, "invalid_last_event_id"),
        ("events?last_event_id=%F0%9F%98%80", {}, "invalid_last_event_id"),
        ("sessions/s/events?last_event_id=9999", {}, "invalid_last_event_id"),
        ("sessions/s/events?last_event_id=-1", {}, "invalid_last_event_id"),
        ("events?names=run.nothing", {}, "invalid_event_name"),
        ("events?from=yesterday", {}, "invalid_from"),
        ("events?wait=26", {}, "invalid_wait"),
        ("sessions/nobody/events", {}, "session_not_found"),
        ("sessions/of-ada/events?user_id=bob", {}, "session_not_found"),
    ):
        reply = await api.call("GET", path, **headers)
        assert (reply.status, reply.code) == (404 if code.endswith("found") else 400, code), path


_SERVING = ("handoff", "claim", "reply", "return", "release")
"""Routes for whoever serves a conversation, and not for its user."""


async def test_every_route_of_a_session_can_be_asked_for_one_user(api: Api) -> None:
    """Of another user's session each says that there is none; of one's own the events come."""
    await api.declare("a")
    await api.answer("a", session_id="s", user_id="ada")
    described = json.loads((await api.call("GET", "openapi.json")).body)["paths"]
    routes = [
        (method, path)
        for path in described
        if path.startswith("/sessions/{id}") and path.rsplit("/", 1)[1] not in _SERVING
        for method in described[path]
    ]

    for method, path in routes:
        reply = await api.call(method.upper(), f"{path[1:].format(id='s')}?user_id=bob")
        assert (reply.status, reply.code) == (404, "session_not_found"), (method, path)
    assert parse((await api.call("GET", "sessions/s/events?user_id=ada")).body)[0]
    assert len(routes) > 8


async def test_the_web_s_own_event_source_follows_a_run(default_api: Api, stack: Stack, tmp_path: Path) -> None:
    """EventSource, of which Node has the one that browsers have, follows a run to its end over many answers."""
    command = [node(), "--experimental-eventsource"]
    script = tmp_path / "follow.js"
    script.write_text("new EventSource('http://127.0.0.1:1').close()")
    tried = await asyncio.create_subprocess_exec(*command, script, stderr=asyncio.subprocess.DEVNULL)
    if await tried.wait():
        pytest.skip("this Node.js has no EventSource")
    await default_api.declare("sourced", simulate={"latency_ms": 1500})
    await default_api.call("POST", "sessions", {"agent": "sourced", "session_id": "sourced"})
    script.write_text(
        """
        const waiting = setInterval(() => {}, 1000);  // its EventSource does not keep Node.js running between answers
        const source = new EventSource(process.argv[2]);
        for (const name of ["session.state_changed", "run.queued", "run.stage"])
          source.addEventListener(name, (event) => {
            const data = JSON.parse(event.data);
            console.log(`${event.lastEventId} ${name} ${data.stage ?? data.state ?? ""}`.trim());
            if (data.stage === "COMPLETED") { source.close(); clearInterval(waiting); }
          });
        """
    )
    url = f"{stack.host.url}/api/sessions/sourced/events?code=a-key"
    following = await asyncio.create_subprocess_exec(
        *command, script, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    await asyncio.sleep(1)
    await default_api.submit("sourced", session_id="sourced")
    try:
        lines, _ = await asyncio.wait_for(following.communicate(), QUIET_S)
    finally:
        if following.returncode is None:
            following.kill()
            await following.wait()

    assert lines.decode().splitlines()[:6] == [
        "0 session.state_changed started",
        "1 run.queued",
        "2 run.stage INITIALIZING",
        "3 run.stage RUNNING",
        "4 run.stage EVALUATING",
        "5 run.stage COMPLETED",
    ]


async def test_the_status_names_what_is_not_well(api: Api, stack: Stack) -> None:
    """Healthy at first; a timer that has failed nothing, an unpriced model degrades it; analytics count what was."""
    await api.declare("a", model="no-such-model-has-a-price")
    await api.answer("a", session_id="s")
    await api.call("POST", "sessions/s/end")
    await stack.run_timer("expire_events")
    status = await api.get("status")
    parts = {part["name"]: part for part in status["components"]}

    async def counted() -> Any:
        found = await api.get("analytics")
        return found if found["sessions"]["ended"] else None

    found = await eventually(counted)

    assert status["uptime_s"] > 0
    assert (parts["tables"]["health"], parts["queue"]["health"]) == ("healthy", "healthy")
    assert found["sessions"] == {"open": 0, "started": 1, "ended": 1, "ended_by_reason": {"ended_by_request": 1}}
    assert found["resources"]["agents"] == {"active": 1}
    assert found["events"]["run.stage:COMPLETED"] == 1
    assert found["events"]["agent.created"] == 1
