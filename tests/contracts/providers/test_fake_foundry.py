"""The fake project itself: as a process of its own, and what it refuses because the service does."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from azure.core.exceptions import HttpResponseError

from tests.contracts.providers.conftest import FOUNDRY_SPEC as SPEC
from tests.contracts.providers.conftest import foundry_at, wanted
from tests.fakes.foundry_server import FakeFoundry

ROOT = Path(__file__).parents[3]
AGENT = {"definition": {"kind": "prompt", "model": "m"}}
REFERENCE = {"type": "agent_reference", "name": "helper", "version": "1"}


async def answer(foundry: FakeFoundry, **body: Any) -> tuple[int, str | None]:
    """Return the status and the parameter at fault of a response asked for without an SDK."""
    async with ClientSession() as client:
        sent = {"input": "Hi", "agent_reference": REFERENCE, **body}
        response = await client.post(f"{foundry.endpoint}/openai/v1/responses", json=sent)
        return response.status, ((await response.json()).get("error") or {}).get("param")


async def test_it_runs_alone_and_is_told_to_fail(tmp_path: Path) -> None:
    """The command line writes its endpoint once it listens, is controlled and looked at over HTTP, and ends cleanly."""
    ready = tmp_path / "ready"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.foundry_server", "--ready-file", str(ready),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    endpoint = (await process.stdout.readline()).decode().strip()
    versions = f"{endpoint}/agents/helper/versions"
    async with ClientSession() as client:

        async def tell(what: str, **body: Any) -> int:
            return (await client.post(f"{endpoint.split('/api')[0]}/fake/{what}", json=body)).status

        async def shown(what: str) -> Any:
            return await (await client.get(f"{endpoint.split('/api')[0]}/fake/{what}")).json()

        told = [await tell("fail", fault="throttled", on="create_version", retry_after_s=7)]
        failed = await client.post(versions, json=AGENT)
        await client.post(versions, json=AGENT)
        told += [await tell("edit", name="helper", changes={"model": "n"}), await tell("latency", seconds=0.001)]
        made, counts, calls = await shown("versions"), await shown("counts"), await shown("calls")
        told += [await tell("delete", name="helper", version="1"), await tell("delete", name="helper")]
        left = await shown("versions")
        unknown = await tell("dance")
    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0
    assert ready.read_text() == endpoint
    assert (failed.status, failed.headers["Retry-After"]) == (429, "7")
    assert [(each["version"], each["definition"]["model"]) for each in made] == [("1", "m"), ("2", "n")]
    assert (counts, [call["status"] for call in calls]) == ({"create_version": 2}, [429, 200])
    assert (told, left, unknown) == ([204] * 5, [], 404)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("under_score", AGENT),
        ("-a", AGENT),
        ("a" * 64, AGENT),
        ("a", {**AGENT, "metadata": {str(number): "" for number in range(17)}}),
        ("a", {**AGENT, "metadata": {"k" * 65: ""}}),
        ("a", {**AGENT, "metadata": {"k": "v" * 513}}),
        ("a", {**AGENT, "description": "d" * 513}),
        ("a", {"definition": {"kind": "prompt", "model": ""}}),
        ("a", {"definition": {"kind": "prompt", "model": "m", "temperature": 2.1}}),
        ("a", {"definition": {"kind": "prompt", "model": "m", "tools": [{"type": "file_search"}]}}),
        ("a", {"definition": {"kind": "prompt", "model": "m", "tools": [{"type": "mcp"}]}}),
        ("a", {"definition": {"kind": "prompt", "model": "m", "tools": [{"type": "web_search"}] * 129}}),
        ("a", {"definition": {"kind": "workflow"}}),
    ],
)
async def test_it_refuses_what_the_service_documents_as_invalid(
    foundry: FakeFoundry, name: str, body: dict[str, Any]
) -> None:
    """A definition, a name or metadata that could not be made there cannot be made here, by the SDK either."""
    async with foundry_at(foundry) as provider:
        clients = await provider._ready()
        with pytest.raises(HttpResponseError) as caught:
            await clients._client.agents.create_version(name, body)

    assert caught.value.status_code in (400, 403)
    assert foundry.project.agents == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"instructions": "x"}, "instructions"),
        ({"temperature": 1}, "temperature"),
        ({"top_p": 1}, "top_p"),
        ({"tools": []}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"text": {}}, "text"),
        ({"model": ""}, "model"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input"),
        ({"agent_reference": None}, "agent_reference"),
    ],
)
async def test_it_refuses_what_an_agent_s_call_may_not_say(
    foundry: FakeFoundry, body: dict[str, Any], param: str
) -> None:
    """What the definition owns is not allowed beside an agent; an empty model is none; a call needs its output."""
    foundry.project.create_version("helper", AGENT)

    assert await answer(foundry, **body) == (400, param)
    assert (await answer(foundry))[0] == 200


async def test_it_pages_both_ways(foundry: FakeFoundry) -> None:
    """Lists are newest first unless asked otherwise, 20 a page, and go on after or stop before a cursor."""
    for _ in range(25):
        foundry.project.create_version("helper", AGENT)
    async with ClientSession() as client:

        async def listed(**query: Any) -> tuple[list[int], bool]:
            response = await client.get(f"{foundry.endpoint}/agents/helper/versions", params=query)
            page = await response.json()
            return [int(each["version"]) for each in page["data"]], page["has_more"]

        cursor = foundry.project.agents["helper"].versions["6"]["id"]
        assert await listed() == (list(range(25, 5, -1)), True)
        assert await listed(after=cursor) == ([5, 4, 3, 2, 1], False)
        assert await listed(before=cursor, limit=2) == ([8, 7], True)
        assert await listed(order="asc", limit=3) == ([1, 2, 3], True)
        refused = await client.get(f"{foundry.endpoint}/agents/helper/versions", params={"limit": 101})

    assert refused.status == 400


async def test_it_counts_and_keeps_what_arrived(foundry: FakeFoundry) -> None:
    """Every request is there with its operation, body and status, also the refused."""
    async with foundry_at(foundry) as provider:
        await provider.find(wanted(SPEC))
        await provider.create(wanted(SPEC))

    assert foundry.counts == {"list_versions": 1, "create_version": 1}
    assert [call.status for call in foundry.calls] == [404, 200]


def test_an_unknown_fault_is_a_mistake() -> None:
    """A misspelt fault fails the test that asked for it."""
    with pytest.raises(ValueError, match="throtled"):
        FakeFoundry().fail_next("throtled")  # pyright: ignore[reportArgumentType]
