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
from tests.e2e.support import PROJECT, Api, Stack, eventually


class Project:
    """The stand-in for a Foundry project, from outside."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._url = endpoint.split("/api/")[0]

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
            yield Project(child.wait_for(lambda: ready.read_text() if ready.exists() else None, 20, "its address"))


@pytest.fixture(scope="module")
def foundry_stack(project: Project) -> Iterator[Stack]:
    """Run the app with the project."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e-") as directory,
        Stack(Path(directory), FOUNDRY_PROJECT_ENDPOINT=project.endpoint, VERSIONS_KEPT="1") as running,
    ):
        yield running


@pytest_asyncio.fixture
async def foundry(foundry_stack: Stack) -> AsyncIterator[Api]:
    """Yield the API as a workspace of the test's own sees it."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(180)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        yield Api(http, foundry_stack, f"ws-{uuid.uuid4().hex[:12]}")


async def declare(api: Api, name: str, **spec: Any) -> None:
    reply = await api.call("PUT", f"agents/{name}", {"provider": "foundry", "model": "gpt-4o-mini", **spec})
    assert reply.status in (200, 201), reply.body


async def test_a_thousand_first_uses_make_one_agent(foundry: Api, project: Project) -> None:
    """All at once, each in a session of its own, while the project takes its time: one create call, one version."""
    await declare(foundry, "wanted")
    before = Counter(await project.shown("counts"))
    await project.slow(0.2)
    replies = await asyncio.gather(
        *(foundry.call("POST", "agents/wanted/runs", {"query": f"{number}?"}) for number in range(1000))
    )
    assert Counter(reply.status for reply in replies) == {202: 1000}
    await project.slow(0)

    async def answered() -> bool:
        return (await project.shown("counts")).get("create_response", 0) - before["create_response"] >= 1000

    await eventually(answered, 240)
    counts = Counter(await project.shown("counts"))
    agent = await foundry.get("agents/wanted")

    assert counts["create_version"] - before["create_version"] == 1
    assert len(await project.versions(agent["version"]["name"])) == 1
    assert (agent["state"], agent["health"]["status"]) == ("active", "ok")
