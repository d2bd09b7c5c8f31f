"""Take the screenshots of the web app for the documents.

    make sample                                # in another terminal: the data that they show
    .venv/bin/python -m scripts.pictures       # docs/images/*.png

Needs Chromium (`apt-get install chromium`, or `CHROMIUM=/path/to/it`).
"""

import argparse
import asyncio
import os
import shutil
import sys
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright

IMAGES = Path(__file__).parents[1] / "docs/images"
SIZE = ViewportSize(width=1280, height=860)
TALL = ViewportSize(width=1280, height=1080)
"""Room for an answer with all that is known of it."""
PLACES = {
    "now": "now",
    "chat": "chat/sample-storage?session=sample-storage",
    "inbox": "inbox",
    "costs": "costs",
    "quality": "quality?agent=customer_service",
    "operations": "operations",
}
DARK = frozenset({"quality"})
"""Screenshots in dark colours."""


async def picture(page: Page, url: str, name: str) -> None:
    """Open a page of the app and save a screenshot."""
    await page.emulate_media(color_scheme="dark" if name in DARK else "light", reduced_motion="reduce")
    await page.set_viewport_size(TALL if name == "chat" else SIZE)
    await page.goto("about:blank")
    await page.goto(f"{url}/api/app/#/{PLACES[name]}")
    await page.locator("h1").first.wait_for(state="attached")
    await page.locator(".conn[data-state=live]").wait_for()
    await page.locator(".skeleton").first.wait_for(state="detached")
    if name == "chat":
        await page.get_by_role("button", name="Details").first.click()
        await page.locator(".parts").scroll_into_view_if_needed()
    if name == "quality":
        await page.locator("figure").first.scroll_into_view_if_needed()
    await page.wait_for_timeout(500)  # charts are drawn a frame later
    await page.screenshot(path=IMAGES / f"{name}.png")
    print(f"  docs/images/{name}.png")


async def main(url: str) -> None:
    """Take all screenshots."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser_path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not browser_path:
        sys.exit("Chromium is missing: apt-get install chromium, or set CHROMIUM to its path.")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        page = await (await browser.new_context(viewport=SIZE, locale="en-US")).new_page()
        page.set_default_timeout(120_000)
        for name in PLACES:
            await picture(page, url, name)
        await browser.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Take the screenshots for the documents.")
    arguments.add_argument("--url", default="http://127.0.0.1:7071", help="address of the app started by `make sample`")
    asyncio.run(main(arguments.parse_args().url))
