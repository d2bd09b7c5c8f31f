"""What people do in the web app, in a real browser, against the running stack."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, Download, expect

from devhost.services import start_host
from tests.e2e.support import PROJECT, Api, Stack, eventually
from tests.webapp.app_service import COOKIE, authentication
from tests.webapp.support import HOSTILE, PATIENCE_MS, Reader

pytestmark = [pytest.mark.xdist_group("webapp"), pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]
TABS = 6
LONG = " ".join(f"word{number}" for number in range(160))

expect.set_options(timeout=PATIENCE_MS)


def named() -> str:
    """Return a session id of the test's own."""
    return f"s-{uuid.uuid4().hex[:8]}"


async def text_of(download: Download) -> list[str]:
    """Return the lines of a file that was saved."""
    return (await asyncio.to_thread(Path(await download.path()).read_text)).splitlines()


async def opened(context: BrowserContext, stack: Stack) -> Reader:
    """Return somebody with a new tab."""
    return Reader(await context.new_page(), stack)


async def test_asking_an_agent(api: Api, reader: Reader) -> None:
    """The answer comes while it is written, with its stages; then with what it cost; and is there after a reload."""
    await api.declare("helper", description="Helps", simulate={"reply": f"**Hello.** {LONG}", "stream_chunk_ms": 20})
    await reader.open("chat/helper")
    await reader.page.get_by_text("Expected topics").click()
    await reader.page.get_by_label("What a good answer speaks of").fill("hello, cats")
    await reader.ask("Who are you?")

    await reader.page.locator(".prose.pending").wait_for()
    await expect(reader.page.get_by_role("list", name="Progress")).to_contain_text("Running")
    await reader.button("Details").click()

    run_id = await reader.page.locator("dd a.mono").inner_text()
    run = await api.get(f"runs/{run_id}")
    assert run["score"]["parts"]["topics"] == 50
    await expect(reader.page.locator(".parts")).to_contain_text("Topics")
    details = reader.page.locator(".message.agent dl")
    await expect(details).to_contain_text(f"${run['spend']['cost_micro_usd'] / 1e6:.6f}".rstrip("0"))
    await expect(details).to_contain_text(run["model"])
    await expect(reader.page.locator(".prose strong").first).to_have_text("Hello.")
    await reader.picture("chat")

    await reader.page.reload()
    await expect(reader.page.locator(".message.agent")).to_contain_text("word159")
    await reader.ask("And again?")
    await expect(reader.page.locator(".message.agent footer")).to_have_count(2)
    assert (await api.get(f"sessions/{run['session_id']}"))["runs"] == 2


async def test_saying_what_one_thinks_of_an_answer(api: Api, reader: Reader) -> None:
    """A verdict and a comment become a score of their own, and stay with the answer."""
    session = named()
    await api.declare("rated")
    run = await api.answer("rated", session_id=session)
    await reader.open(f"chat/rated?session={session}")
    await reader.button("Not helpful").click()
    await reader.page.get_by_label("Comment").fill("Too short.")
    await reader.button("Send").click()

    await reader.see("Found not helpful")
    score = (await api.get(f"runs/{run['id']}"))["score"]
    assert (score["parts"]["feedback"], score["reasons"]["feedback"]) == (0, "Too short.")
    await reader.page.reload()
    await reader.see("Found not helpful")


async def test_what_was_said_is_taken_along(api: Api, reader: Reader) -> None:
    """As Markdown and as JSON, and an answer on the clipboard."""
    await api.declare("quotable", simulate={"reply": "# Yes\n\nIt is so."})
    session = named()
    await api.answer("quotable", "Is it so?", session_id=session)
    await reader.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await reader.open(f"chat/quotable?session={session}")
    files: list[str] = []
    for kind in ("Markdown", "JSON"):
        async with reader.page.expect_download() as saved:
            await reader.button(f"Export {kind}").click()
        files.append("\n".join(await text_of(await saved.value)))
    await reader.button("Copy").click()
    await reader.see("Copied.")

    assert "Is it so?" in files[0]
    assert json.loads(files[1])["runs"][0]["query"] == "Is it so?"
    assert await reader.page.evaluate("navigator.clipboard.readText()") == "# Yes\n\nIt is so."


async def test_an_approval_is_given_where_it_is_asked_for(api: Api, reader: Reader) -> None:
    """In the chat, between question and answer; the answer comes in the same place."""
    await api.declare(
        "asks-first", tools=["calculator"], simulate={"call_tool": "calculator"}, approvals=[{"tools": ["calculator"]}]
    )
    await reader.open("chat/asks-first")
    await reader.ask("2 + 3")
    card = reader.page.locator(".message.agent").get_by_role("region", name="Approval of calculator")
    await expect(card).to_contain_text("2 + 3")
    await card.get_by_role("button", name="Approve").click()

    await expect(reader.page.locator(".message.agent footer")).to_have_count(1)
    await expect(card).to_have_count(0)


async def test_stopping_an_answer(api: Api, reader: Reader) -> None:
    """Escape or the button; the run is cancelled, and one can ask again."""
    await api.declare("slow", simulate={"reply": LONG, "stream_chunk_ms": 300})
    await reader.open("chat/slow")
    await reader.ask("Take your time.")
    await reader.page.locator(".prose.pending").wait_for()
    await reader.button("Stop").click()

    await reader.see("Stopped")
    await expect(reader.button("Ask again")).to_be_visible()


async def test_what_agents_say_and_are_called_is_text(hostile: str, api: Api, reader: Reader) -> None:
    """Markup of a model, a user or a spec never becomes the page's: no script, no picture, no link that runs."""
    session = named()
    await api.answer(hostile, HOSTILE, session_id=session, metadata={"<i>k</i>": HOSTILE})
    outside: list[str] = []
    reader.page.on("request", lambda request: outside.append(request.url) if "invalid" in request.url else None)
    for place in ("agents", f"agents/{hostile}", f"sessions/{session}", f"chat/{hostile}?session={session}"):
        await reader.open(place)
        await expect(reader.page.locator("main")).to_contain_text("<script>alert(1)</script>")
        assert await reader.page.locator("main :is(script, img, style)").count() == 0
    links = reader.page.locator(".prose a[href]")
    await expect(links).to_have_count(2)

    found = await links.evaluate_all("all => all.map(({href}) => href)")
    assert found == ["https://example.invalid/p.png", "https://example.com/a"]
    assert await links.last.get_attribute("rel") == "noopener noreferrer nofollow"
    assert outside == []


async def test_a_server_that_dies_while_it_answers(api: Api, app_stack: Stack, reader: Reader) -> None:
    """The page says so, and goes on by itself with the whole answer once the server is back."""
    await api.declare("steady", simulate={"reply": LONG, "stream_chunk_ms": 60})
    await reader.open("chat/steady")
    await reader.ask("Tell me everything.")
    await reader.page.locator(".prose.pending").wait_for()
    port = int(app_stack.host.url.rpartition(":")[2])
    app_stack.kill_host()
    await reader.see("Connection lost")
    state = app_stack._directory / "host"
    app_stack.host = start_host(PROJECT, app_stack.environment(), port, state)

    await reader.button("Details").wait_for()
    await expect(reader.page.locator(".prose")).to_have_text(LONG)
    await expect(reader.page.locator(".conn")).to_have_text("Live")
    await expect(reader.page.get_by_text("Connection lost")).to_have_count(0)


async def test_what_a_budget_stops_waits_in_the_inbox(api: Api, reader: Reader) -> None:
    """It shows while the page is open, in badge, title and banner; once there is room it can be resumed there."""
    agent, session = "thrifty", named()
    await api.declare(agent)
    await api.call("PUT", f"budgets/agent:{agent}", {"limits": [{"unit": "calls", "period": "total", "limit": 1}]})
    await api.answer(agent, session_id=session)
    await reader.open("now")
    await api.submit(agent, "One more, please.", session_id=session)

    await expect(reader.page.get_by_role("link", name="Open the inbox")).to_be_visible()
    await expect(reader.page).to_have_title(re.compile(r"^\(\d+\) "))
    await reader.page.keyboard.press("g")
    await reader.page.keyboard.press("i")
    card = reader.page.get_by_role("region", name=f"Run in session {session}")
    await expect(card).to_contain_text("One more, please.")
    await api.call("PUT", f"budgets/agent:{agent}", {"limits": [{"unit": "calls", "period": "total", "limit": 100}]})
    if await card.get_by_role("button", name="Resume").count():  # raising the limit may have resumed it already
        await card.get_by_role("button", name="Resume").click()
    await expect(card).to_have_count(0)


async def test_erasing_a_session(api: Api, reader: Reader) -> None:
    """Asked for twice, and answered with a receipt."""
    session = named()
    await api.declare("forgetful")
    await api.answer("forgetful", session_id=session)
    await reader.open(f"sessions/{session}")
    await expect(reader.page.locator(".timeline .lane")).not_to_have_count(0)
    await reader.button("Erase…").click()
    await expect(reader.button("Erase it")).to_be_disabled()
    await reader.page.get_by_label("Type erase to confirm").fill("erase")
    await reader.button("Erase it").click()

    await expect(reader.page.get_by_role("dialog")).to_contain_text("Kept")
    await reader.button("Close").click()
    assert (await api.call("GET", f"sessions/{session}")).status == 404


async def test_money_is_what_the_api_says(api: Api, reader: Reader) -> None:
    """The total to the micro-dollar, and the same numbers as a file."""
    await api.declare("costly")
    today = (await api.answer("costly"))["created_at"][:10]
    await reader.open(f"costs?from={today}&to={today}")
    total = (await api.get(f"costs?group_by=agent&from={today}&to={today}"))["total"]["cost_micro_usd"]

    await expect(reader.page.locator("tfoot")).to_contain_text(f"${total / 1e6:.6f}".rstrip("0"))
    async with reader.page.expect_download() as saved:
        await reader.page.get_by_role("region", name="Breakdown").get_by_role("button", name="Export CSV").click()
    lines = await text_of(await saved.value)
    assert lines[0].startswith("Agent,Cost (USD),")
    assert any(line.startswith("costly,") for line in lines[1:])


async def test_a_day_of_costs_leads_to_its_runs(api: Api, reader: Reader) -> None:
    """Stacked by user, with the users' names in the table behind the chart; from there to the runs of that day."""
    await api.declare("dayworker")
    run = await api.answer("dayworker", user_id="by-day@example.com")
    today = run["created_at"][:10]
    await reader.open("costs?by=user")
    chart = reader.page.get_by_role("region", name="Spend by day", exact=True).first
    await chart.get_by_text("Numbers as a table").click()
    await expect(chart.locator("thead")).to_contain_text("by-day@example.com")
    await reader.picture("costs-stacked")
    await chart.locator("tbody a").last.click()

    await expect(reader.page).to_have_url(re.compile(f"view=runs&from={today}&to={today}"))
    await expect(reader.page.get_by_role("link", name=run["id"][:18])).to_be_visible()
    await reader.page.get_by_label("To (UTC)").fill("2026-01-01")
    await reader.see("'from' is after 'to'.")
    await reader.page.get_by_label("From (UTC)").fill("2026-01-01")
    await reader.see("No runs")


async def test_half_a_dozen_tabs_follow_at_the_cost_of_one(browser: Browser, api: Api, app_stack: Stack) -> None:
    """One tab asks for all, events and what waits; when it is closed another goes on, and none misses anything."""
    context = await browser.new_context()
    readers = [Reader(await context.new_page(), app_stack)]
    await readers[0].open("inbox")
    await expect(readers[0].page.locator(".conn")).to_have_text("Live")
    readers += await asyncio.gather(*(opened(context, app_stack) for _ in range(TABS - 1)))
    await asyncio.gather(*(each.open("inbox") for each in readers[1:]))
    for each in readers:
        await expect(each.page.locator(".conn")).to_have_text("Live")

    def asked(each: Reader) -> int:
        """Return how often a tab asked the API for anything but the conversations that may be in the inbox."""
        return sum("/api/" in url and not re.search(r"/api/(app|runs\?session)", url) for url in each.requests)

    assert [asked(each) for each in readers[1:]] == [0] * (TABS - 1)
    await readers[0].page.close()
    await eventually(lambda: sum(map(asked, readers[1:])) >= 5, what="another tab that follows")
    assert len([each for each in readers[1:] if asked(each)]) == 1
    session = named()
    await api.declare(
        "crowded", simulate={"call_tool": "calculator"}, tools=["calculator"], approvals=[{"tools": ["calculator"]}]
    )
    run = await api.submit("crowded", "1 + 1", session_id=session)

    for each in readers[1:]:
        await expect(each.page.locator("main").get_by_text("1 + 1").first).to_be_attached()
        await expect(each.page).to_have_title(re.compile(r"^\(\d+\) "))
    assert len([each for each in readers[1:] if asked(each)]) == 1
    await context.close()
    await api.call("POST", f"runs/{run['id']}/cancel")


async def test_the_tab_that_is_looked_at_follows(browser: Browser, app_stack: Stack) -> None:
    """Browsers slow the timers of hidden tabs, so the one that becomes visible takes over."""
    context = await browser.new_context()
    first, second = [Reader(await context.new_page(), app_stack) for _ in range(2)]
    for each in (first, second):
        await each.open("inbox")
        await expect(each.page.locator(".conn")).to_have_text("Live")
    assert not [url for url in second.requests if "/api/events?" in url]
    await second.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await eventually(lambda: [url for url in second.requests if "/api/events?" in url], what="the second tab's turn")
    await second.page.close()
    before = len(first.requests)

    await eventually(lambda: [url for url in first.requests[before:] if "/api/events?" in url], what="the first's")
    await context.close()


async def test_what_changed_since_one_last_looked(api: Api, reader: Reader) -> None:
    """What happened while no page was open is told when it is opened again."""
    await reader.open("now")
    await expect(reader.page.locator(".conn")).to_have_text("Live")
    await reader.page.goto("about:blank")
    name = f"news-{uuid.uuid4().hex[:6]}"
    await api.declare(name)
    await api.answer(name)
    await reader.open("now")

    news = reader.page.get_by_role("region", name="Since you last looked")
    await expect(news).to_contain_text(name)
    await expect(news).to_contain_text("runs ended")


async def test_a_key_is_asked_for_and_stays_in_the_tab(chromium: str, browser: Browser, app_stack: Stack) -> None:
    """In session storage and a header, never in an address; a wrong one is refused in words."""
    state = app_stack._directory / "locked"
    environment = app_stack.environment() | {"RUN_QUEUE": "worker-runs"}
    locked = start_host(PROJECT, environment, 0, state, options=("--enforce-keys",))
    try:
        key = re.findall(r"host: (\S+)", locked.child.output())[0]
        page = await (await browser.new_context()).new_page()
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        await page.goto(f"{locked.url}/api/app/")
        for attempt, title in (("wrong", "This key is not accepted"), (key, "")):
            await page.get_by_label("Function key").fill(attempt)
            await page.get_by_role("button", name="Sign in").click()
            if title:
                await expect(page.get_by_role("dialog", name=title)).to_be_visible()

        await expect(page.locator(".stat .value").first).to_be_visible()
        await expect(page.locator(".conn")).to_have_text("Live")
        assert not [address for address in addresses if key in address]
    finally:
        locked.stop()


async def test_the_platform_signs_in_and_out(browser: Browser, app_stack: Stack) -> None:
    """Back at the same place, with a session that no script can read and no other site can use."""
    state = app_stack._directory / "entra"
    environment = app_stack.environment() | {"RUN_QUEUE": "worker-runs", "AUTH_MODE": "entra"}
    host = start_host(PROJECT, environment, 0, state)
    claims = {"tid": f"tenant-{uuid.uuid4().hex[:6]}", "preferred_username": "ann@example.com"}
    context = await browser.new_context()
    try:
        async with authentication(host.url, claims) as address:
            page = await context.new_page()
            await page.goto(f"{address}/api/app/#/agents")
            await page.get_by_role("button", name="Sign in with Microsoft Entra").click()
            await expect(page.get_by_role("heading", name="Agents", exact=True)).to_be_visible()
            await expect(page.get_by_role("dialog")).to_have_count(0)
            declared = """fetch("/api/agents/mine", {method: "PUT", body: '{"model": "m"}', headers:
                {"content-type": "application/json"}}).then((answer) => answer.status)"""
            assert await page.evaluate(declared) == 201
            assert await page.evaluate("document.cookie") == ""
            await page.reload()
            await expect(page.get_by_role("link", name="mine")).to_be_visible()
            async with aiohttp.ClientSession(cookies={COOKIE: "session"}) as other:
                foreign = {"Origin": "https://elsewhere.example"}
                assert (await other.post(f"{address}/api/prune", headers=foreign)).status == 403

            await page.get_by_role("button", name="Sign out").click()
            await expect(page.get_by_role("button", name="Sign in with Microsoft Entra")).to_be_visible()
    finally:
        await context.close()
        host.stop()


async def test_an_access_token_is_sent_as_one(reader: Reader) -> None:
    """Where the platform takes sign-ins, what is entered is a bearer token and no function key."""
    await reader.open("agents")
    await reader.page.evaluate("sessionStorage.setItem('agent-lifecycle-key', 'eyJhbGciOiJub25lIn0.e30.')")
    async with reader.page.expect_request("**/api/agents?*") as asked:
        await reader.page.reload()
    sent = await (await asked.value).all_headers()

    assert sent["authorization"] == "Bearer eyJhbGciOiJub25lIn0.e30."
    assert "x-functions-key" not in sent


async def test_a_slow_network_shows_that_it_loads(reader: Reader, api: Api) -> None:
    """Something stands where the answer will, and nothing of the page is lost."""
    await api.declare("patient")
    session = await reader.page.context.new_cdp_session(reader.page)
    await session.send("Network.enable")
    slow = {"offline": False, "latency": 400, "downloadThroughput": 60_000, "uploadThroughput": 30_000}
    await session.send("Network.emulateNetworkConditions", slow)
    await reader.page.goto(f"{reader.address}/agents")
    await reader.page.get_by_role("status").get_by_text("Loading").first.wait_for(state="attached")

    await expect(reader.page.get_by_role("link", name="patient")).to_be_visible()
