"""What only texts in Blob Storage can get wrong: the network, the account, and how much is imported."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from azure.storage.blob.aio import BlobServiceClient

from adapters import azure_texts
from adapters.azure_texts import CONTAINER, BlobTexts
from kernel.errors import Unavailable
from tests.connections import connection, listening

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # Azurite's, public


@asynccontextmanager
async def serving(answer: bytes, upstream: int = 0) -> AsyncIterator[BlobTexts]:
    """Yield texts whose service gives these bytes; with an upstream, passes on what is asked and loses one answer."""
    lost = not upstream

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lost
        if not upstream:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            writer.write(answer)
            await writer.drain()
            return
        async with connection(upstream) as (there, back):
            while data := await reader.read(1 << 16):
                back.write(data)
                got = await there.read(1 << 16)
                if data.startswith(b"PUT") and b" 201 " in got[:20] and not lost:
                    lost = True
                    break
                writer.write(got)

    async with listening(handle) as port:
        texts = BlobTexts.from_connection_string(
            f"AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        )
        try:
            yield texts
        finally:
            await texts.aclose()


def http(status: int, code: str = "") -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>secret words</Message></Error>" if code else ""
    lines = [f"HTTP/1.1 {status} Status", "Content-Type: application/xml", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, f"x-ms-error-code: {code}", "Connection: close", "", body]).encode()


@pytest.mark.parametrize(
    "answer",
    [
        http(500, "InternalError"),
        http(503, "ServerBusy"),
        http(403, "AuthorizationFailure"),
        http(404, "AccountNotFound"),
        http(409, "LeaseIdMissing"),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"no HTTP\r\n\r\n",
    ],
    ids=["500", "503", "403", "account", "lease", "hangs up", "half", "not HTTP"],
)
async def test_a_service_that_does_not_serve_is_unavailable(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """Whatever it answers, and none of what it says is passed on."""
    monkeypatch.setattr(azure_texts, "_RETRIES", 0)
    async with serving(answer) as texts:
        calls = [texts.put("a", "text"), texts.get("a"), texts.delete("a/")]
        failures = await asyncio.gather(*calls, return_exceptions=True)

    for failure in failures:
        assert isinstance(failure, Unavailable), repr(failure)
        assert failure.code == "storage_unavailable"
        assert not {"secret", "127.0.0.1", "devstoreaccount1"} & set(str(failure).replace("/", " ").split())
        assert failure.__cause__ is None


async def test_a_text_whose_answer_was_lost_is_kept(connection: str, place: str) -> None:
    """It took effect, and its repetition finds it there."""
    direct = BlobTexts.from_connection_string(connection)
    await direct.put(f"{place}/first", "so that the container is there")
    port = int(connection.partition("BlobEndpoint=http://127.0.0.1:")[2].partition("/")[0])
    async with serving(b"", port) as texts:
        await texts.put(f"{place}/a", "text")
    found = await direct.get(f"{place}/a")
    await direct.aclose()

    assert found == "text"


async def test_the_container_is_made_by_the_first_text(connection: str, place: str) -> None:
    """Before it, there is nothing to be found or deleted; of many first ones, all are kept."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        with suppress(Exception):
            await service.delete_container(CONTAINER)
    texts = BlobTexts.from_connection_string(connection)
    before = await texts.delete(f"{place}/")
    await asyncio.gather(*(texts.put(f"{place}/{number}", str(number)) for number in range(8)))
    found = [await texts.get(f"{place}/{number}") for number in range(8)]
    await texts.aclose()

    assert before == 0
    assert found == [str(number) for number in range(8)]


async def test_closed_texts_can_be_closed_again_and_used_again(connection: str, place: str) -> None:
    """Closing lets go of connections, nothing more."""
    texts = BlobTexts.from_connection_string(connection)
    await texts.aclose()
    await texts.put(f"{place}/a", "text")
    await texts.aclose()
    await texts.aclose()
    found = await texts.get(f"{place}/a")
    await texts.aclose()

    assert found == "text"


def test_importing_and_making_the_adapter_imports_no_sdk() -> None:
    """Who meets no large text pays for none."""
    script = (
        "import sys; from adapters.azure_texts import BlobTexts; BlobTexts.from_connection_string('');"
        "BlobTexts.from_endpoint('', None);"
        "sys.exit(any(name.startswith(('azure', 'aiohttp')) for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
