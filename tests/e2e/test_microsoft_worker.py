"""The app also runs in Microsoft's own Python worker library."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import aiohttp
import pytest

from devhost.services import PROJECT
from tests.e2e.support import WORKER_QUEUE, Api, Stack

pytestmark = pytest.mark.skipif(sys.version_info < (3, 13), reason="azure-functions-runtime needs Python 3.13")


async def test_the_app_runs_in_microsofts_worker(api: Api, stack: Stack) -> None:
    """Indexed by Microsoft's loader it has the same functions; invoked by it, a run goes from HTTP to its answer."""
    program = PROJECT / "tests/e2e/microsoft_worker.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        stack.host.url,
        str(api.workspace),
        env={**os.environ, **stack.environment(), "RUN_QUEUE": WORKER_QUEUE, "PYTHONPATH": str(PROJECT)},
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, log = await process.communicate()
    assert process.returncode == 0, log.decode()[-3000:]
    results = json.loads(output.decode().splitlines()[-1])
    async with aiohttp.ClientSession() as http, http.get(f"{stack.host.url}/admin/functions") as response:
        here = sorted(function["name"] for function in await response.json())

    assert results["functions"] == here
    assert (results["health"]["status"], results["health"]["body"]["status"]) == (200, "healthy")
    assert (results["declared"]["status"], results["declared"]["body"]["state"]) == (201, "registered")
    assert (results["refused"]["status"], results["refused"]["body"]["code"]) == (400, "invalid_input")
    assert (results["submitted"]["status"], results["submitted"]["body"]["state"]) == (202, "queued")
    assert results["run"]["body"]["state"] == "succeeded", log.decode()[-3000:]
    assert results["run"]["body"] == await api.get(f"runs/{results['run']['body']['id']}")
    assert results["timer"]["status"] == 200
    assert results["reports"]["body"]["items"][0]["total"] == results["run"]["body"]["spend"]


async def test_an_answer_is_streamed_by_microsofts_worker(api: Api, stack: Stack) -> None:
    """Its own HTTP server, with the extension that the setting loads, sends the first words while the run goes on."""
    await api.declare("a", simulate={"reply": "One two three. " * 500, "stream_chunk_ms": 300})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROJECT / "tests/e2e/microsoft_streaming.py"),
        stack.host.url,
        str(api.workspace),
        env={**os.environ, **stack.environment(), "HTTP_STREAMING": "true", "PYTHONPATH": str(PROJECT)},
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, log = await process.communicate()
    assert process.returncode == 0, log.decode()[-3000:]
    told = json.loads(output.decode().splitlines()[-1])

    assert (told["status"], told["type"].partition(";")[0]) == (200, "text/event-stream")
    ((text, state),) = told["pieces"]
    assert "One two three. ".startswith(text) or text.startswith("One two three. ")
    assert state == "running"
