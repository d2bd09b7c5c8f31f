"""What the tests of the web app share: a stack with real runs, and a real browser that looks at it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from devhost.errors import StartupError
from devhost.services import node
from tests.e2e.support import Api, MemoryStack, Stack
from tests.waiting import QUIET_S
from tests.webapp.support import HOSTILE, LINKS, Reader

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--renderer-process-limit=4")
"""Tabs of one site share four processes: one for each takes a small machine longer than what they are to show."""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def missing(what: str) -> None:
    """Skip at home, where not everybody has everything; fail in CI."""
    pytest.fail(what) if os.environ.get("CI") else pytest.skip(what)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        missing("Chromium is missing: apt-get install chromium, or set CHROMIUM to the path of a Chrome or Chromium.")
    return str(found)


@pytest.fixture(scope="session")
def app_stack(chromium: str) -> Iterator[Stack]:
    """Run the stack that the browser looks at."""
    try:
        node()
    except StartupError as error:
        missing(str(error))
    with (
        tempfile.TemporaryDirectory(prefix="webapp-") as directory,
        MemoryStack(Path(directory), RUN_LEASE_S="2") as running,
    ):
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def api(app_stack: Stack) -> AsyncIterator[Api]:
    """Yield the API as the page's reader sees it: the default workspace."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(QUIET_S)) as http:
        yield Api(http, app_stack, None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Yield the browser."""
    async with async_playwright() as driver:
        found = await driver.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield found
        await found.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def window(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Yield the window whose tabs the readers look at: the app's files are loaded once, as anybody's browser does."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def reader(window: BrowserContext, app_stack: Stack) -> AsyncIterator[Reader]:
    """Yield somebody with a tab open, as one who comes for the first time; errors of the page fail the test."""
    opened = Reader(await window.new_page(), app_stack)
    yield opened
    if opened.page.url.startswith("http"):
        await opened.page.evaluate("localStorage.clear()")
    await opened.page.close()
    assert opened.errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def hostile(api: Api) -> str:
    """Declare an agent whose name is harmless and whose words are not, and return its name."""
    await api.declare("mallory", description=f"{HOSTILE} agent", simulate={"reply": f"{HOSTILE}\n\n{LINKS}"})
    return "mallory"
