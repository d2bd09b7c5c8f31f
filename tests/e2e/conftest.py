"""The stack that the end-to-end tests run against: one for most of them, and one each for those that break it."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from devhost.errors import StartupError
from devhost.ports import free_port
from devhost.services import node
from tests.e2e.support import OPENAI_KEY, PATIENT, PROMPT, SIGNING_KEY, Api, MemoryStack, Stack, start_fake_openai
from tests.servicebus.support import shorten_sdk_polls
from tests.waiting import QUIET_S


@pytest.fixture(autouse=True)
def _impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_sdk_polls(monkeypatch)


@pytest.fixture(scope="session")
def emulators() -> None:
    """Skip without the emulators at home; fail without them in CI."""
    try:
        node()
    except StartupError as missing:
        pytest.fail(str(missing)) if os.environ.get("CI") else pytest.skip(str(missing))


@pytest.fixture(scope="session")
def openai_url(emulators: None) -> Iterator[str]:
    """Run the OpenAI stand-in and yield its base URL."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        child, url = start_fake_openai(Path(directory))
        with child:
            yield url


@pytest.fixture(scope="session")
def stack(emulators: None, openai_url: str) -> Iterator[Stack]:
    """Run the stack for all tests that leave it running; what it has logged in the end must be fit to be read."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        email = {"EMAIL_FROM": "agents@example.org", "SMTP_HOST": "127.0.0.1", "SMTP_SECURITY": "none"}
        with MemoryStack(Path(directory), OPENAI_BASE_URL=openai_url, SMTP_PORT=str(free_port()), **email) as running:
            yield running
        secrets = (PROMPT, OPENAI_KEY, SIGNING_KEY, "AccountKey", "SharedAccessKey")
        leaks = [secret for secret in secrets if secret in running.log()]
        assert leaks == []


@pytest.fixture(scope="session")
def fresh_stack(emulators: None) -> Iterator[Stack]:
    """Run a stack whose parts tests may kill, each of which starts again what it stopped, one after another."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory, Stack(Path(directory), **PATIENT) as running:
        yield running


@pytest_asyncio.fixture
async def api(stack: Stack) -> AsyncIterator[Api]:
    """Yield the API as a workspace of the test's own sees it."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(QUIET_S)) as http:
        yield Api(http, stack, f"ws-{uuid.uuid4().hex[:12]}")


@pytest_asyncio.fixture
async def default_api(stack: Stack) -> AsyncIterator[Api]:
    """Yield the API as the workspace `default` sees it, which the tests share."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(QUIET_S)) as http:
        yield Api(http, stack, None)


@pytest_asyncio.fixture
async def fresh_api(fresh_stack: Stack) -> AsyncIterator[Api]:
    """Yield the API of the stack that may be killed, as a workspace of the test's own sees it."""
    fresh_stack.mend()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(QUIET_S)) as http:
        yield Api(http, fresh_stack, f"ws-{uuid.uuid4().hex[:12]}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that kill a stack to one worker, so that no second one starts it."""
    for item in items:
        if "fresh_stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("fresh_stack"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the end of the host's log with a test that failed."""
    report = yield
    running = getattr(item, "funcargs", {})
    for name in ("stack", "fresh_stack"):
        if report.when == "call" and report.failed and isinstance(found := running.get(name), Stack):
            report.sections.append((f"log of the host of {name}", found.log()[-6000:]))
    return report
