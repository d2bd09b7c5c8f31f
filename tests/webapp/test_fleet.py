"""Looking after agents in the web app: drift, versions, states, dead letters."""

from __future__ import annotations

import uuid

import pytest
from playwright.async_api import expect

from tests.e2e.support import Api, eventually
from tests.webapp.support import PATIENCE_MS, Reader

pytestmark = [pytest.mark.xdist_group("webapp"), pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]
expect.set_options(timeout=PATIENCE_MS)


async def test_drift_is_applied_line_by_line(api: Api, reader: Reader) -> None:
    """Shown like a diff, with the reason of each line; the one that is applied is done, the other waits."""
    names = [f"drift-{uuid.uuid4().hex[:6]}-{letter}" for letter in "ab"]
    for name in names:
        await api.declare(name)
    await reader.open("operations")
    await reader.page.get_by_role("region", name="Drift").get_by_role("button", name="Check").click()
    lines = reader.page.get_by_role("list", name="Lines of the plan")
    one, other = (lines.get_by_role("listitem").filter(has_text=name) for name in names)
    await expect(one).to_contain_text("create")
    assert await reader.violations() == []
    await reader.picture("operations-drift")

    await one.get_by_role("button", name=f"Apply to {names[0]}").click()
    await expect(one.locator(".badge")).to_have_text("Done")
    await expect(one.get_by_role("button")).to_have_count(0)
    await expect(other.get_by_role("button", name=f"Apply to {names[1]}")).to_be_visible()
    assert [(await api.get(f"agents/{name}"))["state"] for name in names] == ["active", "registered"]


async def test_an_agent_is_switched_off_put_away_and_back(api: Api, reader: Reader) -> None:
    """With a question before, by keyboard alone; the page follows the actor."""
    await api.declare("switch")
    await reader.open("agents/switch")
    await reader.button("Prewarm").click()
    await api.agent_in("switch", "active")
    for button, question, state, back in (
        ("Disable", "Disable it", "disabled", "Enable"),
        ("Retire", "Retire it", "idle", "Restore"),
    ):
        await reader.button(button).focus()
        await reader.page.keyboard.press("Enter")
        await reader.button(question).focus()
        await reader.page.keyboard.press("Enter")
        await api.agent_in("switch", state)
        await reader.button(back).click()
        await api.agent_in("switch", "active")
        await reader.button(button).wait_for()


async def test_two_versions_side_by_side_and_back_to_the_first(api: Api, reader: Reader) -> None:
    """Line by line, the newer at the right; rolled back, the first is current, and the audit says so."""
    for instructions in ("Be kind.\nBe brief.", "Be kind.\nBe thorough."):
        await api.declare("edited", instructions=instructions)
        await api.answer("edited")
    await reader.open("agents/edited?tab=versions")
    specs = reader.page.get_by_role("region", name="Specs side by side")
    await expect(specs.locator("td.minus")).to_have_text(["−   Be brief."])
    await expect(specs.locator("td.plus")).to_have_text(["+   Be thorough."])
    await expect(specs).to_contain_text("Be kind.")
    assert await reader.violations() == []
    await reader.picture("versions")

    await reader.button("Roll back").click()
    await reader.page.get_by_role("dialog").get_by_role("button", name="Roll back").click()

    async def back() -> bool:
        agent = await api.get("agents/edited")
        return agent["spec"]["instructions"].endswith("brief.") and agent["current"]

    await eventually(back, what="the first version's spec")
    await reader.open("agents/edited?tab=spec")
    await expect(reader.page.get_by_role("region", name="Effective spec")).to_contain_text("/modelgpt-4oAgent")
    await reader.open("agents/edited?tab=audit")
    await expect(reader.page.get_by_role("region", name="What happened to the agent")).to_contain_text("Created")


async def test_a_dead_letter_is_redriven(api: Api, reader: Reader) -> None:
    """It is listed with its reason, and answered when it is tried once more; the timeline shows what failed before."""
    await api.declare("flaky", simulate={"fail_first": 3})
    run = await api.submit("flaky")
    assert (await api.ended(run["id"]))["state"] == "failed"
    await reader.open("operations")
    row = (
        reader.page.get_by_role("region", name="Messages that the queue gave up on")
        .locator("tr")
        .filter(has=reader.page.get_by_role("link", name=run["id"][:13]))
    )
    await row.get_by_role("button", name="Redrive").click()
    await api.run_in(run["id"], "succeeded")
    await reader.open(f"runs/{run['id']}")
    lanes = reader.page.locator(".timeline")
    await expect(lanes).to_contain_text("Waiting to be tried again")
    await expect(lanes).to_contain_text("attempt 4")


async def test_what_the_prune_would_do_is_seen_before(api: Api, reader: Reader) -> None:
    """The preview names agents with the reason, and changes nothing."""
    await api.declare("keep-me", pinned=True)
    await api.answer("keep-me")
    await reader.open("operations")
    await reader.page.get_by_role("region", name="Prune").get_by_role("button", name="Preview").click()
    await expect(reader.page.get_by_role("region", name="Prune").get_by_role("button", name="Preview")).to_be_enabled()
    assert (await api.get("agents/keep-me"))["state"] == "active"


async def test_what_is_not_known_of_an_agents_servers_is_said(api: Api, reader: Reader) -> None:
    """With the reason, beside who calls them."""
    await api.declare("served", tools=[{"type": "mcp", "server_label": "docs", "url": "http://127.0.0.1:9/mcp"}])
    await reader.open("agents/served?tab=spec")
    row = reader.page.get_by_role("table", name="What each offered when the agent was declared").locator("tbody tr")

    await expect(row).to_contain_text("this app")
    await expect(row).to_contain_text("mcp_unavailable")
    assert await reader.violations() == []
