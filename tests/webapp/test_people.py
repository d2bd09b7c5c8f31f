"""Teams in the web app: who answers, and the people that conversations and approvals wait for."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.support import Api, eventually
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
    cards = reader.page.get_by_role("region", name="Approval of calculator").filter(has_text="till asks")
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


async def test_who_may_not_decide_is_offered_nothing(api: Api, reader: Reader) -> None:
    """The approval is shown, with who may decide, and without what only they may do."""
    rule = {"tools": ["calculator"], "approvers": [["user:ann@example.com"]]}
    await api.declare("vault", tools=["calculator"], simulate={"call_tool": "calculator"}, approvals=[rule])
    run = await api.submit("vault", "1 + 1")
    await api.run_in(run["id"], "waiting")
    await reader.open(f"chat/vault?session={run['session_id']}")
    card = reader.page.get_by_role("region", name="Approval of calculator")
    await expect(card).to_contain_text("may decide: user:ann@example.com")
    await expect(card).to_contain_text("You may not decide this.")
    await expect(card.get_by_role("button")).to_have_count(0)
    assert await reader.violations() == []
    await api.call("POST", f"runs/{run['id']}/cancel")


async def test_the_most_urgent_comes_first(reader: Reader) -> None:
    """What is critical or due within minutes, then by when it is due or since when it waits."""
    await reader.open("inbox")
    order = await reader.of_module(
        "waiting.js",
        """({ ordered }) => {
            const at = (time) => `2026-11-30T${time}:00Z`;
            const alert = (id, time) => ({ id, severity: id, fired_at: at(time) });
            const approval = (id, time) => ({ id, expires_at: at(time) });
            const found = {
                approvals: [approval("later", "18:00"), approval("soon", "12:05")],
                people: [{ id: "person", since: at("11:00") }],
                alerts: [alert("warning", "09:00"), alert("critical", "11:59")],
                runs: [{ id: "budget", since: at("08:00") }],
            };
            return ordered(found, Date.parse(at("12:00"))).map(({ of }) => of.id);
        }""",
    )

    assert order == ["critical", "soon", "person", "later", "budget", "warning"]


async def test_a_team_is_asked_and_the_card_says_who_answered(api: Api, reader: Reader) -> None:
    """Chosen beside agents; the hops with their reasons, and the calls, are folded away in the answer's details."""
    name = await team(api)
    await reader.open("chat")
    await reader.page.get_by_role("region", name="Teams").get_by_role("link", name=name).click()
    await reader.ask("Hello")
    await expect(reader.page.locator(".message.agent footer")).to_have_count(1)
    await reader.ask("I want a refund")
    await expect(reader.page.locator(".message.agent footer")).to_have_count(2)
    await reader.button("Details").last.click()
    answer = reader.page.locator(".message.agent").last
    await expect(answer).to_contain_text("The cash desk.")
    await expect(answer.locator(".hops li")).to_contain_text(["front", "cash (cash-desk)"])
    await expect(answer).to_contain_text("by a trigger")
    await expect(answer.get_by_role("region", name="Steps of the run")).to_have_count(0)
    await answer.get_by_text("Model and tool calls").click()
    await expect(answer.get_by_role("region", name="Steps of the run")).to_contain_text("Model call")
    assert await reader.violations() == []
    await reader.picture("chat-team")

    await reader.page.reload()
    await expect(reader.page.get_by_role("heading", name=name)).to_be_visible()
    await reader.ask("And let me talk to a person")
    await reader.see("hands over to people")
    await expect(reader.page.get_by_role("status").get_by_text("a person answers")).to_be_visible()
    (item,) = [each for each in (await api.get("inbox"))["items"] if each["session"]["id"] in reader.page.url]
    body = {"by": "ann@example.com", "text": "It is Ann."}
    await api.call("POST", f"sessions/{item['session']['id']}/reply", body)
    await expect(answer).to_contain_text("It is Ann.")
    await expect(answer.locator("footer")).to_contain_text("ann@example.com")


async def test_how_full_it_is(api: Api, reader: Reader) -> None:
    """Pools with what is in use, routes with their deployments' health and share, teams with their members."""
    name = await team(api)
    await api.call("PUT", "pools/desk", {"agents": ["routed"], "limits": {"requests_per_minute": 60}})
    away = {"name": "away", "provider": "openai", "model": "m", "endpoint": "http://127.0.0.1:9/v1", "priority": 1}
    spare = {"name": "spare", "provider": "offline", "model": "offline-1", "priority": 2}
    routed = await api.call("PUT", "routes/both", {"deployments": [away, spare]})
    assert routed.status == 201, routed.body
    await api.declare("routed", provider="route", model="both")
    await api.answer("routed")

    async def told() -> bool:
        deployments = (await api.get("routes/both"))["deployments"]
        return all(one["share"] for one in deployments)

    await eventually(told, what="both deployments' shares")
    await reader.open("capacity")

    limits = reader.page.get_by_role("region", name="Limits of pools, and what is used of them")
    await expect(limits).to_contain_text("Requests per minute")
    await expect(limits).to_contain_text("of 60")
    deployed = reader.page.get_by_role("region", name="Deployments of both")
    await expect(deployed.locator("tbody tr")).to_have_count(2)
    await expect(deployed).to_contain_text("50%")
    await expect(reader.page.get_by_role("region", name=f"Members of {name}")).to_contain_text("ann@example.com")
    assert len(reader.asked()) <= 7, reader.asked()
    for theme in ("light", "dark"):
        await reader.page.emulate_media(color_scheme=theme)
        await reader.painted()
        assert await reader.violations() == [], theme
        await reader.picture(f"capacity-{theme}")
    await reader.page.set_viewport_size({"width": 360, "height": 740})
    assert await reader.page.locator("html").evaluate("html => html.scrollWidth - innerWidth") <= 0
