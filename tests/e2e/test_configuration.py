"""Agents composed of templates, personalities, capabilities and overrides, through the API."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.e2e.support import Api, Stack


def origins(effective: Any) -> dict[str, str]:
    """Return where each value comes from, by its pointer."""
    return {
        each["pointer"]: f"{each['origin']['kind']} {each['origin']['name']} {each['origin']['version']}"
        for each in effective["values"] + effective["choices"]
    }


async def test_an_agent_of_a_preset_answers_and_follows_its_templates(api: Api, stack: Stack) -> None:
    """From a preset to a template of the workspace's own, and from its change to a new version at the provider."""
    assert (await api.call("PUT", "agents/analyst", {"template": "market_analyst"})).status == 201
    assert (await api.answer("analyst"))["version"] == "1"

    await api.call("PUT", "personalities/dry", {"formality": 90, "prohibited": ["joke"]})
    body = {"extends": "market_analyst", "personality": "dry", "more_instructions": "You cover bicycles."}
    made = await api.call("PUT", "templates/bikes", body)
    assert (made.status, made.headers["etag"], made.headers["location"]) == (201, '"1"', "/api/templates/bikes")
    await api.call("PUT", "agents/analyst", {"template": "bikes", "labels": {"team": "bikes"}})
    await api.call("PUT", "overrides", {"max_output_tokens": 500})
    effective = await api.get("agents/analyst/effective")

    assert effective["declared"] == {"labels": {"team": "bikes"}, "template": "bikes"}
    assert effective["current"] is True
    assert effective["spec"] == (await api.get("agents/analyst"))["spec"]
    assert (
        "\n\n".join(part["text"].strip("\n") for part in effective["instructions"]) == effective["spec"]["instructions"]
    )
    found = origins(effective)
    assert found["/model"] == "template market_analyst 0"
    assert found["/labels/team"] == "agent  0"
    assert found["/max_output_tokens"] == "overrides  1"
    assert found["/personality"] == "template bikes 1"
    assert found["/provider"] == "default  0"

    await api.answer("analyst")
    before = await api.get("agents/analyst")
    changed = await api.call("PUT", "personalities/dry", {"formality": 10}, If_Match='"1"')
    followed = changed.json()["followed"]
    await stack.run_timer("follow_configuration")
    after = await api.agent_in("analyst", "active")
    run = await api.answer("analyst")

    assert (changed.status, followed["looked"], followed["changed"]) == (200, 1, 1)
    assert after["revision"] == before["revision"] + 1
    assert int(run["version"]) == int(before["version"]["version"]) + 1
    assert [item["version"] for item in await api.everything("personalities/dry/versions", 1)] == [2, 1]


async def test_what_is_refused_says_why_and_changes_nothing(api: Api) -> None:
    """Stable codes; another workspace's are as if they were not there."""
    await api.call("PUT", "templates/a", {"model": "m"})
    await api.call("PUT", "templates/b", {"extends": "a"})
    await api.call("PUT", "agents/bot", {"template": "b"})
    other = api.elsewhere()
    replies = await asyncio.gather(
        api.call("PUT", "agents/x", {"template": "none"}),
        api.call("PUT", "agents/x", {"model": "m", "personality": "none"}),
        other.call("PUT", "agents/x", {"template": "a"}),
        other.call("GET", "templates/a"),
        other.call("GET", "templates/a/dependents"),
        api.call("PUT", "templates/a", {"extends": "b"}),
        api.call("PUT", "templates/a", {"instructions": "no model"}),
        api.call("DELETE", "templates/a"),
        api.call("DELETE", "personalities/none"),
        api.call("PUT", "personalities/p", {"formality": 101}),
        api.call("PUT", "templates/A", {"model": "m"}),
        api.call("PUT", "templates/a", {"model": "n"}, If_Match='"7"'),
        api.call("DELETE", "templates/market_analyst"),
        api.call("GET", "templates?next=x"),
    )

    assert [(reply.status, reply.code) for reply in replies] == [
        (400, "unknown_template"),
        (400, "unknown_personality"),
        (400, "unknown_template"),
        (404, "template_not_found"),
        (404, "template_not_found"),
        (400, "template_cycle"),
        (409, "dependents_invalid"),
        (409, "item_in_use"),
        (404, "personality_not_found"),
        (400, "invalid_input"),
        (400, "invalid_template_name"),
        (412, "etag_mismatch"),
        (404, "template_not_found"),
        (400, "invalid_next"),
    ]
    assert replies[6].json()["errors"] == [{"pointer": "/agents/bot", "detail": "/model: Field required"}]
    assert (await api.get("templates/a"))["version"] == 1
    dependents = await api.everything("templates/a/dependents", 1)
    assert [(item["kind"], item["name"]) for item in dependents] == [("agent", "bot"), ("template", "b")]


async def test_what_a_user_prefers_goes_with_the_session_and_not_with_the_agent(api: Api) -> None:
    """Two users are answered by one version; the preferences of one are nobody else's to see."""
    await api.declare("bot")
    path = "users/ada+1@example.org/preferences"
    made = await api.call("PUT", path, {"language": "de", "note": "I ride a cargo bike."})
    plain = await api.answer("bot", user_id="bob")
    told = await api.answer("bot", user_id="ada+1@example.org")

    assert (made.status, made.headers["etag"]) == (201, '"1"')
    assert (plain["version"], told["version"]) == ("1", "1")
    assert told["spend"]["input_tokens"] > plain["spend"]["input_tokens"]
    assert (await api.elsewhere().call("GET", path)).code == "preferences_not_found"
    assert (await api.call("PUT", path, {"language": "de"}, If_Match='"7"')).code == "etag_mismatch"
    assert (await api.call("PUT", path, {"mood": "bad"})).code == "invalid_input"
    assert (await api.call("DELETE", path)).status == 204
    assert (await api.call("DELETE", path)).code == "preferences_not_found"
