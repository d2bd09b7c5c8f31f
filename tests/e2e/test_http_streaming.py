"""With HTTP_STREAMING, answers are sent while they are written; everything else is answered as without."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import openai
import pytest
import pytest_asyncio
from a2a.types import TaskState
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import AsyncOpenAI

from tests.e2e.support import PROMPT, Api, MemoryStack, Stack
from tests.e2e.test_a2a import connected as a2a_connected
from tests.e2e.test_a2a import message
from tests.waiting import QUIET_S, eventually

SLOW: dict[str, Any] = {"simulate": {"reply": "One two three four five six seven.", "stream_chunk_ms": 300}}
ENDLESS: dict[str, Any] = {"simulate": {"reply": "One two three. " * 500, "stream_chunk_ms": 300}}
"""What goes on writing for longer than any test waits for the first words."""


@pytest.fixture(scope="module")
def streaming(emulators: None) -> Iterator[Stack]:
    """Run a host whose answers are streamed."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        with MemoryStack(Path(directory), HTTP_STREAMING="true") as running:
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
    """The first words are there while the run goes on; what then ends it ends the stream with an error."""
    await live.declare("a", **ENDLESS)
    question: Any = [{"role": "user", "content": PROMPT}]
    seen: list[str] = []

    async def read() -> None:
        async for chunk in await client.chat.completions.create(model="a", messages=question, stream=True):
            if chunk.choices and chunk.choices[0].delta.content and not seen:
                run_id = str(uuid.UUID(hex=chunk.id.removeprefix("chatcmpl-")))
                seen.append(await _state(live, run_id))
                await live.call("POST", f"runs/{run_id}/cancel")

    with pytest.raises(openai.APIError) as ended:
        await read()

    assert seen == ["running"]
    assert ended.value.code == "cancelled"


async def test_the_words_that_were_sent_are_the_answer(live: Api, client: AsyncOpenAI) -> None:
    """All of them, once, in order."""
    await live.declare("a", **SLOW)
    question: Any = [{"role": "user", "content": PROMPT}]

    stream = await client.chat.completions.create(model="a", messages=question, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]

    assert "".join(pieces) == "One two three four five six seven."


async def test_a_completion_whose_caller_leaves_is_cancelled(live: Api, client: AsyncOpenAI) -> None:
    """Nobody would read it; the words that were sent are paid for, the rest is not written."""
    await live.declare("a", **ENDLESS)

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
    """The A2A server's events: the first words while it works, and its end."""
    await live.declare("a", **ENDLESS)
    seen: list[str] = []
    last: Any = None

    async with a2a_connected(streaming, live, "a", streaming=True) as a2a:
        async for event in a2a.send_message(message()):
            last = event
            if event.HasField("artifact_update") and not seen:
                seen.append(await _state(live, event.artifact_update.task_id))
                await live.call("POST", f"runs/{event.artifact_update.task_id}/cancel")

    assert seen == ["running"]
    assert last.status_update.status.state == TaskState.TASK_STATE_CANCELED


async def test_progress_is_told_while_a_tool_works(live: Api, streaming: Stack) -> None:
    """The MCP server's notifications come before the answer."""
    await live.declare("a", simulate={"latency_ms": 20_000})
    seen: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        if message == "RUNNING":
            (run,) = (await live.get("runs"))["items"]
            seen.append(run["state"])
            await live.call("POST", f"runs/{run['id']}/cancel")

    http = httpx2.AsyncClient(headers={"X-Workspace": str(live.workspace)}, timeout=QUIET_S)
    transport = streamable_http_client(f"{streaming.host.url}/api/mcp", http_client=http)
    async with http, Client(transport, mode="2026-07-28") as mcp:
        answer = await mcp.call_tool("agent_a", {"query": PROMPT, "wait_s": 200}, progress_callback=note)

    assert seen == ["running"]
    assert answer.structured_content["state"] == "cancelled"


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
