"""Agents of a Foundry project, through the host and the real SDK: made once, whatever comes at once or goes wrong."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from devhost.processes import Child
from tests.e2e.support import PROJECT, Api, MemoryStack, Reply, Stack, eventually
from tests.waiting import QUIET_S

AGENTS = 40


class Project:
    """The stand-in for a Foundry project, from outside."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._url = endpoint.split("/api/", maxsplit=1)[0]

    async def fail(self, fault: str, **more: Any) -> None:
        await self._tell("fail", {"fault": fault, **more})

    async def slow(self, seconds: float) -> None:
        await self._tell("latency", {"seconds": seconds})

    async def shown(self, what: str) -> Any:
        async with aiohttp.ClientSession() as http, http.get(f"{self._url}/fake/{what}") as response:
            return await response.json()

    async def versions(self, agent: str = "") -> list[dict[str, Any]]:
        """Return the versions of the agents whose name begins so."""
        return [version for version in await self.shown("versions") if version["name"].startswith(agent)]

    async def _tell(self, what: str, values: dict[str, Any]) -> None:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self._url}/fake/{what}", json=values) as response,
        ):
            assert response.status == 204


@pytest.fixture(scope="module")
def project(emulators: None) -> Iterator[Project]:
    """Run a project stand-in in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        ready = Path(directory) / "foundry.url"
        command = [sys.executable, "-m", "tests.fakes.foundry_server", "--ready-file", ready]
        with Child("fake Foundry", command, log=Path(directory) / "foundry.log", cwd=PROJECT) as child:
            yield Project(child.wait_for(lambda: ready.read_text() if ready.exists() else None, QUIET_S, "its address"))


@pytest.fixture(scope="module")
def foundry_stack(project: Project) -> Iterator[Stack]:
    """Run the app with the project."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e-") as directory,
        MemoryStack(Path(directory), FOUNDRY_PROJECT_ENDPOINT=project.endpoint, PRUNE_GRACE_S="3600") as running,
    ):
        yield running


@pytest_asyncio.fixture
async def foundry(foundry_stack: Stack) -> AsyncIterator[Api]:
    """Yield the API as a workspace of the test's own sees it."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(QUIET_S * 3)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        yield Api(http, foundry_stack, f"ws-{uuid.uuid4().hex[:12]}")


async def declare(api: Api, name: str, **spec: Any) -> None:
    reply = await api.call("PUT", f"agents/{name}", {"provider": "foundry", "model": "gpt-4o-mini", **spec})
    assert reply.status in (200, 201), reply.body


async def insist(api: Api, path: str, body: Any = None, **headers: str) -> Reply:
    """Post until it is taken: on a slow machine many at once are more than storage answers in time (503)."""

    async def post() -> Any:
        reply = await api.call("POST", path, body, **headers)
        return None if reply.status == 503 else reply

    return await eventually(post, what=path)


async def test_twenty_first_uses_make_one_agent(foundry: Api, project: Project) -> None:
    """All at once, five of them runs, while the project takes its time: one create call, one version.

    A thousand at once are in tests/lifecycle/test_production.py.
    """
    await declare(foundry, "wanted")
    before = Counter(await project.shown("counts"))
    await project.slow(0.2)
    runs = [
        insist(foundry, "agents/wanted/runs", {"query": f"{number}?"}, Idempotency_Key=f"first {number}")
        for number in range(5)
    ]
    looks = [insist(foundry, "agents/wanted/prewarm") for _ in range(15)]
    replies = await asyncio.gather(*runs, *looks)
    assert Counter(reply.status for reply in replies) == {202: 20}
    await project.slow(0)
    ended = await asyncio.gather(*(foundry.ended(reply.json()["id"]) for reply in replies[:5]))
    made = await foundry.get("agents/wanted")
    # An agent's signals are applied in order: once this one is, the twenty before it are.
    await foundry.call("POST", "agents/wanted/verify")

    async def verified() -> Any:
        agent = await foundry.get("agents/wanted")
        return agent if agent["health"]["looked_at"] > made["health"]["looked_at"] else None

    agent = await eventually(verified)
    counts = Counter(await project.shown("counts"))

    assert Counter(run["state"] for run in ended) == {"succeeded": 5}
    assert counts["create_version"] - before["create_version"] == 1
    assert len(await project.versions(agent["version"]["name"])) == 1
    assert (agent["state"], agent["health"]["status"]) == ("active", "ok")


async def test_agents_in_a_storm_make_one_version_each(foundry: Api, project: Project) -> None:
    """A quarter of the create calls is throttled or fails, some after they took effect; nothing is made twice."""
    names = [f"storm-{number}" for number in range(AGENTS)]
    faults = AGENTS // 10
    for fault in ("throttled", "unavailable"):
        await project.fail(fault, on="create_version", times=faults, retry_after_s=0.05)
        await project.fail(fault, on="list_versions", times=faults, retry_after_s=0.05)
    await project.fail("unavailable", on="create_version", times=faults, after=True)

    await asyncio.gather(*(declare(foundry, name, instructions=name) for name in names))
    await asyncio.gather(*(foundry.call("POST", f"agents/{name}/prewarm") for name in names))

    async def active() -> bool:
        agents = (await foundry.get("agents?limit=200"))["items"]
        for agent in agents:
            if agent["state"] == "failed":
                await foundry.call("POST", f"agents/{agent['name']}/prewarm")
        made.append(sum(agent["state"] == "active" for agent in agents))
        return made[-1] == AGENTS

    made: list[int] = []
    await eventually(active, progress=lambda: max(made), what="active agents")
    versions = await project.versions(f"{foundry.workspace}-storm-")

    assert len({version["name"] for version in versions}) == len(versions) == AGENTS


async def test_an_agent_is_changed_rolled_back_retired_and_restored(
    foundry: Api, foundry_stack: Stack, project: Project
) -> None:
    """A pinned session stays with its version all the while, and the audit trail tells it all."""
    await declare(foundry, "a", instructions="one")
    first = await foundry.answer("a", "Hi", pin_version=True)
    session = await foundry.get(f"sessions/{first['session_id']}")
    await declare(foundry, "a", instructions="two")
    await foundry.answer("a", "Hi")
    second = await foundry.answer("a", "Hi", session_id=first["session_id"])
    held = (await foundry.get("agents/a/versions"))["items"]
    assert (first["version"], second["version"], session["pin"]["revision"]) == ("1", "1", 1)
    assert [(each["version"], each["current"], each["kept_because"]) for each in held] == [
        ("2", True, "current"),
        ("1", False, "pinned by 1 session(s)"),
    ]
    assert held[1]["fingerprint"] == session["pin"]["fingerprint"]

    back = await foundry.call("POST", "agents/a/rollback", {"version": "1"}, X_MS_CLIENT_PRINCIPAL_NAME="ann")
    assert (back.status, back.json()["spec"]["instructions"], back.json()["revision"]) == (200, "one", 3)
    assert (await foundry.answer("a", "Hi"))["version"] == "1"
    unpinned = await foundry.call("POST", f"sessions/{first['session_id']}/unpin")
    assert (unpinned.status, unpinned.json()["pin"]) == (200, None)

    await foundry.call("POST", "agents/a/retire")
    retired = await foundry.agent_in("a", "idle")

    async def archived() -> Any:
        agent = await foundry.get("agents/a")
        return agent["retirement"] and agent["retirement"]["archived"]

    await eventually(archived)
    await foundry.call("POST", "agents/a/restore")
    restored = await foundry.agent_in("a", "active")
    trail = await foundry.everything("agents/a/audit", 4)
    told = [(line["step"], line["version"], line["by"]) for line in reversed(trail)]

    assert (retired["version"], restored["version"]["version"]) == (None, "1")
    assert sorted(version["version"] for version in await project.versions(f"{foundry.workspace}-a")) == ["1", "2"]
    assert ("rolled_back", "", "ann") in told
    assert [step for step, _, _ in told[-5:]] == ["retired", "provider_disabled", "archived", "archived", "restored"]


async def test_what_cannot_be_asked_for(foundry: Api) -> None:
    """Each has its status and code, and changes nothing."""
    await declare(foundry, "a")
    asked = [
        await foundry.call("POST", "agents/a/rollback", {"version": "9"}),
        await foundry.call("POST", "agents/a/rollback", {"revision": 9}),
        await foundry.call("POST", "agents/a/rollback", {}),
        await foundry.call("POST", "agents/a/rollback", {"revision": 1}, If_Match='"7"'),
        await foundry.call("POST", "agents/nobody/rollback", {"revision": 1}),
        await foundry.call("POST", "agents/a/retire?grace_s=-1"),
        await foundry.call("POST", "sessions/nothing/unpin"),
        await foundry.call("GET", "agents/nobody/audit"),
        await foundry.call("GET", "agents/a/audit?next=bm90aGluZw"),
        await foundry.elsewhere().call("GET", "agents/a/audit"),
    ]

    assert [(reply.status, reply.code) for reply in asked] == [
        (404, "version_not_found"),
        (404, "revision_not_found"),
        (400, "invalid_input"),
        (412, "etag_mismatch"),
        (404, "agent_not_found"),
        (400, "invalid_seconds"),
        (404, "session_not_found"),
        (404, "agent_not_found"),
        (400, "invalid_next"),
        (404, "agent_not_found"),
    ]


async def test_what_foundry_could_not_keep_is_refused_when_it_is_declared(foundry: Api, project: Project) -> None:
    """With a code, and nothing is made; names that would become one in Foundry's alphabet stay two agents."""
    wrong: list[dict[str, Any]] = [
        {"tools": ["telepathy"]},
        {"temperature": 9},
        {"labels": {"template": "x" * 300}},
        {"description": "x" * 513},
        {"tools": [{"type": "web_search", "depth": 3}]},
        {"response_format": {"name": "a b", "json_schema": {}}},
    ]
    before = len(await project.shown("versions"))
    replies = [
        await foundry.call("PUT", "agents/wrong", {"provider": "foundry", "model": "m", **fields}) for fields in wrong
    ]
    refused = await foundry.call("GET", "agents/wrong")
    assert [reply.status for reply in replies] == [400] * len(wrong)
    assert {reply.code for reply in replies} <= {"invalid_input", "unknown_tool", "invalid_spec"}
    assert (refused.status, len(await project.shown("versions"))) == (404, before)

    for name in ("same-name", "same_name"):
        await declare(foundry, name)
        await foundry.answer(name, "Hi")
    names = [version["name"] for version in await project.versions(f"{foundry.workspace}-same-name")]

    assert len(set(names)) == len(names) == 2
