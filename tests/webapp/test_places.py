"""Where readers of the web app are, and stay: addresses, long lists, small screens, a server that is away."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Route, ViewportSize, expect

from tests.e2e.support import Api, Stack
from tests.waiting import eventually
from tests.webapp.support import PATIENCE_MS, Reader

pytestmark = [pytest.mark.xdist_group("webapp"), pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]
PAGE = 50
"""Sessions that a page of the list has."""
AT_MOST_EVERY_MS = 3000
"""How often a page reads something again at most; after so long it has, if it does."""
PHONE = ViewportSize(width=390, height=844)

expect.set_options(timeout=PATIENCE_MS)


async def test_a_list_stays_as_long_as_it_was_read(api: Api, reader: Reader) -> None:
    """What is new comes to what is shown, which is read again as far as it was: nobody is thrown back to the start."""
    agent = f"long-{uuid.uuid4().hex[:6]}"
    await api.declare(agent)
    begun = await asyncio.gather(*(api.call("POST", "sessions", {"agent": agent}) for _ in range(PAGE + 2)))
    await reader.open(f"sessions?agent={agent}")
    await expect(reader.page.locator(".conn")).to_have_attribute("data-state", "live")
    rows = reader.page.locator("tbody tr")
    await expect(rows).to_have_count(PAGE)
    await reader.button("Show more").click()
    await expect(rows).to_have_count(PAGE + 2)

    new = (await api.call("POST", "sessions", {"agent": agent})).json()["id"]

    await expect(reader.page.get_by_role("link", name=new)).to_be_visible()
    await expect(rows).to_have_count(PAGE + 3)
    await expect(reader.page.get_by_role("link", name=begun[0].json()["id"])).to_be_visible()
    await expect(reader.button("Show more")).to_have_count(0)


async def test_a_session_and_a_run_are_found_by_their_ids(api: Api, reader: Reader) -> None:
    """Both are UUIDs, unless somebody chose the session's."""
    await api.declare("sought")
    run = await api.answer("sought")
    await reader.open("sessions")
    for id_, place in ((run["id"], "runs"), (run["session_id"], "sessions")):
        await reader.go("sessions")
        await reader.page.get_by_label("Session or run id").fill(id_)
        await reader.page.keyboard.press("Enter")
        await expect(reader.page).to_have_url(f"{reader.page.url.partition('#')[0]}#/{place}/{id_}")
    await reader.see(run["query"])


async def test_an_address_that_somebody_mangled_leads_somewhere(reader: Reader) -> None:
    """It never leaves the page empty."""
    await reader.open("chat/50%")
    for place in ("costs?from=0000-00-00&to=0000-00-00", "quality?to=0001-01-01"):
        await reader.go(place)
        await expect(reader.page.locator("#title")).to_have_count(1)
    assert reader.errors == []


async def test_a_phone_shows_teams_and_no_more_than_there_is(browser: Browser, api: Api, app_stack: Stack) -> None:
    """A team can be chosen in the chat, and a long conversation scrolls in its place: nothing empty is below.

    Of the pages in a row, the one that is shown is seen.
    """
    await api.declare("walker", simulate={"reply": "word " * 900})
    team = {"members": [{"name": "only", "agent": "walker", "role": "primary"}]}
    assert (await api.call("PUT", "teams/on-foot", {"description": "", **team})).status in {200, 201}
    context = await browser.new_context(viewport=PHONE)
    reader = Reader(await context.new_page(), app_stack)
    session = (await api.answer("walker"))["session_id"]
    await reader.open(f"chat/walker?session={session}")
    await reader.see("Quality")

    await expect(reader.page.get_by_role("region", name="Teams").get_by_role("link", name="on-foot")).to_be_visible()
    chat = await reader.page.locator(".chat").bounding_box()
    assert chat is not None
    page = await reader.page.locator("html").evaluate("html => html.scrollHeight - scrollY")
    assert page - chat["y"] - chat["height"] < PHONE["height"] / 4
    await reader.page.evaluate("() => { location.hash = '#/operations'; }")
    await expect(reader.page.get_by_role("heading", name="Operations", level=1)).to_be_attached()
    await expect(reader.page.get_by_role("link", name="Operations")).to_be_in_viewport(ratio=0.9)
    await context.close()


async def test_what_could_not_be_had_is_asked_for_when_the_server_is_back(reader: Reader) -> None:
    """Without anybody pressing a button."""
    await reader.open("capacity")
    await expect(reader.page.locator(".conn")).to_have_attribute("data-state", "live")
    await reader.of_module("live.js", "({ connection }) => { connection.value = 'lost'; }")
    await reader.page.route("**/api/resources", lambda route: route.abort())
    await reader.go("now")
    await reader.go("capacity")
    await reader.see("The server cannot be reached.")
    await reader.page.unroute("**/api/resources")
    await reader.of_module("live.js", "({ connection }) => { connection.value = 'live'; }")

    await expect(reader.page.get_by_text("The server cannot be reached.")).to_have_count(0)
    await reader.see("Waiting for capacity")


async def test_a_slow_answer_is_shown_however_much_happens_meanwhile(reader: Reader) -> None:
    """And is asked for again after that, because it may be outdated."""
    asked: list[Route] = []
    answer = asyncio.Event()

    async def slowly(route: Route) -> None:
        asked.append(route)
        await answer.wait()
        await route.fulfill(json={"items": [], "next": None})

    await reader.page.route("**/api/dead-letters*", slowly)
    await reader.page.goto(f"{reader.address}/operations")
    await reader.page.get_by_role("heading", name="Dead letters").wait_for()
    await eventually(lambda: bool(asked))
    await reader.page.clock.set_fixed_time(datetime.now(UTC) + timedelta(minutes=1))  # long after it was asked for
    await reader.of_module("live.js", "({ generation }) => { generation.value += 1; }")
    await reader.page.wait_for_timeout(1000)
    at_once = len(asked)
    answer.set()
    await reader.see("Nothing is left over")
    await eventually(lambda: len(asked) == 2)

    assert at_once == 1, "a second question gives the first up"


async def test_a_session_is_not_read_again_for_what_happens_in_others(api: Api, reader: Reader) -> None:
    """It may be large: its own events have it read again, not those of a busy workspace."""
    await api.declare("elsewhere")
    own = (await api.answer("elsewhere"))["session_id"]
    await reader.open(f"sessions/{own}")
    await expect(reader.page.locator(".conn")).to_have_attribute("data-state", "live")
    before = len(reader.asked())
    other = (await api.answer("elsewhere"))["id"]
    taken = """() => import(document.querySelector("script[type=module]").src.replace("main.js", "live.js"))
        .then(({ recent }) => recent.value.some(({ name, data }) => name === "run.stage" && data.run_id === "%s"))"""
    await reader.page.wait_for_function(taken % other)
    await reader.page.wait_for_timeout(AT_MOST_EVERY_MS)

    assert len(reader.asked()) == before
    await api.answer("elsewhere", session_id=own)
    await reader.see("Run 2")
