"""With HTTP_STREAMING, answers are sent while they are written; everything else is answered as without."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import AsyncOpenAI

from tests.e2e.support import PROMPT, Api, Stack
from tests.e2e.test_a2a import connected as a2a_connected
from tests.e2e.test_a2a import message
from tests.waiting import QUIET_S, eventually

SLOW: dict[str, Any] = {"simulate": {"reply": "One two three four five six seven.", "stream_chunk_ms": 400}}


@pytest.fixture(scope="module")
def streaming(emulators: None) -> Iterator[Stack]:
    """Run a host whose answers are streamed."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        with Stack(Path(directory), HTTP_STREAMING="true") as running:
            yield running
        assert PROMPT not in running.log()


@pytest_asyncio.fixture
async def live(streaming: Stack) -> AsyncIterator[Api]:
    """Yield the API of that host, as a workspace of the test's own sees it."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(QUIET_S)) as http:
        yield Api(http, streaming, f"ws-{uuid.uuid4().hex[:12]}")


@pytest_asyncio.fixture
async def client(streaming: Stack, live: Api) -> AsyncIterator[AsyncOpenAI]:
    """Yield OpenAI's SDK, pointed at it."""
    async with AsyncOpenAI(
        base_url=f"{streaming.host.url}/api/v1",
        api_key="unused",
        default_headers={"X-Workspace": str(live.workspace)},
        timeout=QUIET_S,
    ) as made:
        yield made


async def _state(api: Api, run_id: str) -> str:
    return (await api.get(f"runs/{run_id}"))["state"]


async def test_a_completion_arrives_while_the_model_writes_it(live: Api, client: AsyncOpenAI) -> None:
    """The first words are there while the run goes on; all of them are the answer."""
    await live.declare("a", **SLOW)

    stream = await client.chat.completions.create(
        model="a", messages=[{"role": "user", "content": PROMPT}], stream=True
    )
    pieces: list[str] = []
    seen = ""
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            pieces.append(chunk.choices[0].delta.content)
            seen = seen or await _state(live, str(uuid.UUID(hex=chunk.id.removeprefix("chatcmpl-"))))

    assert seen == "running"
    assert len(pieces) > 1
    assert "".join(pieces) == "One two three four five six seven."


async def test_a_completion_whose_caller_leaves_is_cancelled(live: Api, client: AsyncOpenAI) -> None:
    """Nobody would read it; the words that were sent are paid for, the rest is not written."""
    await live.declare("a", simulate={"reply": "One two three. " * 200, "stream_chunk_ms": 400})

    stream = await client.chat.completions.create(
        model="a", messages=[{"role": "user", "content": PROMPT}], stream=True
    )
    run_id = ""
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            run_id = str(uuid.UUID(hex=chunk.id.removeprefix("chatcmpl-")))
            break
    await stream.close()

    ended = await live.ended(run_id)
    assert ended["state"] == "cancelled"


async def test_a_response_in_the_background_goes_on_without_its_caller(live: Api, client: AsyncOpenAI) -> None:
    """Its caller said that it would come back."""
    await live.declare("a", **SLOW)

    stream = await client.responses.create(model="a", input=PROMPT, stream=True, background=True)
    ident = ""
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
        ident = ident or getattr(event, "response", None).id  # pyright: ignore[reportOptionalMemberAccess]
    await stream.close()
    ended = await live.ended(str(uuid.UUID(hex=ident.removeprefix("resp_"))))

    assert ended["state"] == "succeeded"


async def test_a_task_tells_its_words_while_they_come(live: Api, streaming: Stack) -> None:
    """The A2A server's events: working, the answer in pieces, completed."""
    await live.declare("a", **SLOW)
    states: list[str] = []
    pieces: list[str] = []

    async with a2a_connected(streaming, live, "a", streaming=True) as a2a:
        async for event in a2a.send_message(message()):
            if event.HasField("artifact_update"):
                pieces += [part.text for part in event.artifact_update.artifact.parts]
                states.append(await _state(live, event.artifact_update.task_id))

    assert states[0] == "running"
    assert len(pieces) > 1
    assert "".join(pieces) == "One two three four five six seven."


async def test_progress_is_told_while_a_tool_works(live: Api, streaming: Stack) -> None:
    """The MCP server's notifications come before the answer."""
    await live.declare("a", simulate={"latency_ms": 1500})
    seen: list[tuple[str | None, str]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        runs = (await live.get("runs"))["items"]
        seen.append((message, runs[0]["state"]))

    http = httpx2.AsyncClient(headers={"X-Workspace": str(live.workspace)}, timeout=QUIET_S)
    transport = streamable_http_client(f"{streaming.host.url}/api/mcp", http_client=http)
    async with http, Client(transport, mode="2026-07-28") as mcp:
        answer = await mcp.call_tool("agent_a", {"query": PROMPT}, progress_callback=note)

    assert answer.structured_content["state"] == "succeeded"
    assert ("RUNNING", "running") in seen


async def test_everything_else_is_answered_as_without(live: Api, streaming: Stack) -> None:
    """Bodies, parameters of path and query, errors, other methods, events and the web app."""
    await live.declare("a")
    await live.answer("a", session_id="s/1")
    replies = [
        await live.call("GET", "sessions/s%2F1?user_id="),
        await live.call("GET", "agents/nobody"),
        await live.call("GET", "agents?limit=0"),
        await live.call("PATCH", "agents"),
        await live.call("PUT", "agents/a", b"{"),
        await live.call("GET", "sessions/s%2F1/events?wait=0"),
        await live.call("GET", "app"),
        await live.call("GET", "nowhere"),
        await live.call("POST", "v1/chat/completions", {"model": "nobody", "messages": []}),
    ]

    assert [reply.status for reply in replies] == [200, 404, 400, 405, 400, 200, 200, 404, 400]
    assert replies[1].code == "agent_not_found"
    assert replies[0].json()["id"] == "s/1"
    assert b"run.stage" in replies[5].body
    assert replies[6].headers["content-type"].startswith("text/html")
    await eventually(lambda: "POST /api/v1/chat/completions: 400" in streaming.log())
