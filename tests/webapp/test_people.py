"""Teams in the web app: who answers, and the people that conversations and approvals wait for."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.support import Api
from tests.webapp.support import PATIENCE_MS, Reader

pytestmark = [pytest.mark.xdist_group("webapp"), pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]
expect.set_options(timeout=PATIENCE_MS)


def trigger(word: str, target: str) -> dict[str, Any]:
    """Return what hands over when a word is in the query."""
    return {"name": target, "condition": "keyword_detected", "parameters": {"keywords": [word]}, "target": target}


async def team(api: Api) -> str:
    """Declare a team of two agents and a person, and return its name."""
    await api.declare("front-desk", simulate={"reply": "The front desk."})
    await api.declare("cash-desk", simulate={"reply": "The cash desk."})
    members = [
        {"name": "front", "agent": "front-desk", "role": "primary", "handoff_triggers": [trigger("refund", "cash")]},
        {"name": "cash", "agent": "cash-desk", "handoff_triggers": [trigger("a person", "people")]},
        {"name": "people", "people": ["ann@example.com"], "specialization": "human"},
    ]
    made = await api.call("PUT", "teams/shop", {"members": members})
    assert made.status in (200, 201), made.body
    return "shop"


async def test_a_person_answers_from_the_inbox(api: Api, reader: Reader) -> None:
    """It comes while the page is open, with the question; claimed, answered and given back, it is gone."""
    name, session = await team(api), f"p-{uuid.uuid4().hex[:8]}"
    await reader.open("inbox")
    for query in ("I want a refund", "Let me talk to a person"):
        run = (
            await api.call("POST", f"teams/{name}/runs", {"query": query, "session_id": session}, Prefer="wait=10")
        ).json()
        run = await api.run_in(run["id"], "succeeded", "waiting")
    assert run["state"] == "waiting"

    card = reader.page.get_by_role("region", name=f"Conversation {session}")
    await expect(card).to_contain_text("Let me talk to a person")
    await expect(reader.page.locator("nav .count")).to_be_visible()
    await card.get_by_role("button", name="Claim").click()
    await reader.page.get_by_label("Your name in the team").fill("ann@example.com")
    await reader.page.keyboard.press("Tab")
    await card.get_by_role("button", name="Claim").click()
    await expect(card).to_contain_text("Taken by ann@example.com")
    assert await reader.violations() == []
    await reader.picture("inbox-person")
    await card.get_by_label("Your answer").fill("Hello, this is Ann.")
    await card.get_by_role("button", name="Reply").click()
    done = await api.ended(run["id"])
    assert (done["answer"], done["team"]["by"]) == ("Hello, this is Ann.", "ann@example.com")
    await card.get_by_role("button", name="Give back").click()
    await expect(card).to_have_count(0)


async def test_approvals_are_decided_by_keys_after_a_question(api: Api, reader: Reader) -> None:
    """The keys are named on the page; a question comes first, and no decision without its answer."""
    await api.declare(
        "till", tools=["calculator"], simulate={"call_tool": "calculator"}, approvals=[{"tools": ["calculator"]}]
    )
    runs = [await api.submit("till", f"{number} + 1") for number in (20, 30)]
    for run in runs:
        await api.run_in(run["id"], "waiting")
    await reader.open("inbox")
    cards = reader.page.get_by_role("region", name="Approval of calculator")
    await expect(cards).to_have_count(2)
    await expect(reader.page.locator("main kbd").first).to_have_text("a")

    await reader.page.keyboard.press("a")
    await reader.button("Cancel").click()
    pending = [item for item in (await api.get("approvals?state=pending"))["items"] if item["agent"] == "till"]
    assert len(pending) == 2
    await cards.last.get_by_label("Reason").fill("No.")
    await reader.page.keyboard.press("Tab")
    await reader.page.keyboard.press("r")
    await reader.button("Reject it").click()
    await expect(cards).to_have_count(1)
    await reader.page.keyboard.press("a")
    await reader.button("Approve it").click()
    await expect(cards).to_have_count(0)
    decided = [await api.get(f"approvals/{item['id']}") for item in pending]
    assert sorted(item["state"] for item in decided) == ["approved", "rejected"]
