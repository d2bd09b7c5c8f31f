"""Every implementation of the LargeTexts seam, and the emulator that one of them needs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.azure_texts import BlobTexts
from adapters.file_texts import FileTexts
from adapters.memory_texts import MemoryTexts
from devhost.services import start_azurite
from kernel.large_texts import LargeTexts


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the connection string of an Azurite of this test session's own."""
    with start_azurite(tmp_path_factory.mktemp("azurite"), timeout_s=120) as azurite:
        yield azurite.connection_string


@pytest.fixture(params=["memory", "file", "azurite"])
async def large(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LargeTexts]:
    """Yield each implementation of the seam in turn."""
    if request.param == "memory":
        made: LargeTexts = MemoryTexts()
    elif request.param == "file":
        made = FileTexts(tmp_path / "storage.db")
    else:
        made = BlobTexts.from_connection_string(request.getfixturevalue("connection"))
    yield made
    await made.aclose()


@pytest.fixture
def place() -> str:
    """Return the first part of keys that no other test uses."""
    return uuid.uuid4().hex
