"""Somebody who looks at the web app, and what a hostile answer looks like."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from playwright.async_api import CDPSession, Locator, Page, Request

from tests.e2e.support import Stack

PATIENCE_MS = 40_000
"""How long a busy machine may take to show something."""
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)> <style>*{display:none}</style> "'>"""
LINKS = (
    "[click](javascript:alert(3)) ![pixel](https://example.invalid/p.png) [ok](https://example.com/a) "
    "<img src=https://example.invalid/q.png onerror=alert(4)>"
)
_RUN_AXE = """
axe.run({resultTypes: ["violations"], ...%s}).then(({violations}) => JSON.stringify(
    violations.map(({id, nodes}) => `${id}: ${nodes.slice(0, 3).map(({html}) => html).join(" | ")}`)
))
"""
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS") or Path(__file__).parents[2] / "build/screenshots")
AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"


class Reader:
    """A page of the web app, and what went wrong in it."""

    def __init__(self, page: Page, stack: Stack) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._axe: dict[str, Any] = {}
        self.address = f"{stack.host.url}/api/app/#"
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(f"a script ran: {dialog.message}"))
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        self.requests.append(request.url)

    async def open(self, place: str) -> None:
        """Open a place of the app, like `costs?from=2026-11-01`, and wait until it has loaded."""
        if self.page.url.startswith(self.address.removesuffix("/#")):
            await self.page.goto("about:blank")
        await self.page.goto(f"{self.address}/{place}")
        await self.loaded()

    async def go(self, place: str) -> None:
        """Go to a place of the app that is open, as a link does, and wait until it has loaded."""
        await self.page.evaluate("place => { location.hash = `#/${place}`; }", place)
        await self.painted()
        await self.loaded()

    async def loaded(self) -> None:
        """Wait until nothing of the page is still to come."""
        await self.page.locator("h1").first.wait_for(state="attached")
        await self.page.locator(".skeleton").first.wait_for(state="detached")

    def asked(self) -> list[str]:
        """Return what the page has asked of the API, but for what every page asks (see docs/web-app.md)."""
        paths = [url.partition("/api/")[2] for url in self.requests if "/api/" in url]
        shared = re.compile(r"app|events\?|alerts/fired|usage/waiting|approvals\?limit|inbox\?")
        return [path for path in paths if not shared.match(path)]

    def button(self, name: str) -> Locator:
        """Return the button of that name."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def see(self, text: str) -> None:
        """Wait until a text is to be seen."""
        await self.page.get_by_text(text).first.wait_for()

    async def ask(self, query: str) -> None:
        """Send a message in the chat."""
        await self.page.locator("#query").fill(query)
        await self.page.keyboard.press("Enter")

    async def violations(self, *rules: str) -> list[str]:
        """Return what axe finds wrong with the page for people who use it otherwise than by mouse and eye.

        Args:
            rules: The rules to look at only; none for all.
        """
        # Evaluated by the debugger's protocol in a world of its own, which the page's policy does not reach.
        session = await self.page.context.new_cdp_session(self.page)
        tree: Any = await session.send("Page.getFrameTree")
        frame = tree["frameTree"]["frame"]
        if self._axe.get("loaderId") != frame["loaderId"]:
            world = await session.send("Page.createIsolatedWorld", {"frameId": frame["id"], "worldName": "axe"})
            self._axe = {"loaderId": frame["loaderId"], "contextId": world["executionContextId"]}
            await self._evaluated(session, AXE.read_text(encoding="utf-8"))
        only = json.dumps({"runOnly": rules} if rules else {})
        found = await self._evaluated(session, _RUN_AXE % only)
        await session.detach()
        return json.loads(found["result"]["value"])

    async def _evaluated(self, session: CDPSession, expression: str) -> Any:
        asked = {"expression": expression, "contextId": self._axe["contextId"], "awaitPromise": True}
        return await session.send("Runtime.evaluate", asked | {"returnByValue": True})

    async def wider(self) -> int:
        """Return by how many pixels the page is wider than its window; what is within it may scroll."""
        return await self.page.locator("html").evaluate("html => html.scrollWidth - innerWidth")

    async def of_module(self, name: str, expression: str) -> Any:
        """Return what a function, given the exports of one of the page's modules, returns."""
        script = f"""async () => {{
            const main = document.querySelector("script[type=module]").src;
            return ({expression})(await import(main.replace("main.js", "{name}")));
        }}"""
        return await self.page.evaluate(script)

    async def painted(self) -> None:
        """Wait until what was changed is drawn, canvases included."""
        frames = (
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
        )
        await self.page.evaluate(frames)

    async def picture(self, name: str) -> None:
        """Keep a picture of the page where somebody will look at it: in CI, or where `SCREENSHOTS` says."""
        if os.environ.get("CI") or os.environ.get("SCREENSHOTS"):
            await self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
