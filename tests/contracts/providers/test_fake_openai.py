"""The fake endpoint as a process of its own, for end-to-end tests; in tests it is proven by those that use it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.fakes.openai_server import FakeOpenAI


async def test_it_runs_alone_and_is_told_to_fail(tmp_path: Path) -> None:
    """The command line writes its URL once it listens, takes faults and shows requests over HTTP, and ends cleanly."""
    ready = tmp_path / "ready"
    command = ("-m", "tests.fakes.openai_server", "--ready-file", str(ready))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    async with ClientSession(base_url=url.removesuffix("v1")) as client:
        await client.post("fake/fail", json={"fault": "throttled", "retry_after_s": 7})
        await client.post("fake/answer", json={"shape": "usage:null"})
        failed = await client.post("v1/chat/completions", json=body)
        answered = await client.post("v1/chat/completions", json=body)
        listed = await (await client.get("fake/requests")).json()
        said = await answered.json()
        text = said["choices"][0]["message"]["content"]
    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0
    assert ready.read_text() == url
    assert (failed.status, failed.headers["Retry-After"]) == (429, "7")
    assert said["usage"] is None
    assert text == "heard 1 messages (user), the last: 'Hi'"
    assert [each["body"] for each in listed] == [body, body]


async def test_it_takes_its_own_key_only() -> None:
    """With a key set, requests without it are refused."""
    async with FakeOpenAI(api_key="key-1") as fake, ClientSession() as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        url = f"{fake.base_url}/chat/completions"
        statuses = [
            (await client.post(url, json=body, headers=headers)).status
            for headers in ({}, {"Authorization": "Bearer key-1"}, {"api-key": "key-1"})
        ]

    assert statuses == [401, 200, 200]


def test_an_unknown_fault_is_a_mistake() -> None:
    """A misspelt fault fails the test that asked for it."""
    with pytest.raises(ValueError, match="throtled"):
        FakeOpenAI().fail_next("throtled")  # pyright: ignore[reportArgumentType]
