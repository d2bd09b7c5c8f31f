"""What an owner and an operator do to agents, through the API."""

from __future__ import annotations

import asyncio

from tests.e2e.support import PROMPT, Api, Stack, eventually


async def test_declaring_the_same_again_changes_nothing(api: Api) -> None:
    """The first PUT is 201, the same one again 200 with the same ETag and revision."""
    first = await api.call("PUT", "agents/a", {"model": "gpt-4o"})
    again = await api.call("PUT", "agents/a", {"model": "gpt-4o", "provider": "offline", "labels": {}})

    assert (first.status, again.status) == (201, 200)
    assert (first.headers["location"], first.json()["state"]) == ("/api/agents/a", "registered")
    assert first.headers["etag"] == again.headers["etag"] == '"1"'
    assert first.json() == again.json() == await api.get("agents/a")
    assert (await api.call("GET", "agents/a")).headers["etag"] == '"1"'


async def test_many_declaring_at_once_agree(api: Api) -> None:
    """Of equal declarations made at once one is new, and the revision is 1."""
    replies = await asyncio.gather(*(api.call("PUT", "agents/a", {"model": "gpt-4o"}) for _ in range(10)))

    assert sorted(reply.status for reply in replies) == [200] * 9 + [201]
    assert {reply.headers["etag"] for reply in replies} == {'"1"'}


async def test_a_changed_spec_makes_a_new_version_that_later_runs_use(api: Api) -> None:
    """The next run after the change is answered by version 2; the version before is kept as superseded."""
    await api.declare("a", instructions="One.")
    before = await api.answer("a")
    await api.declare("a", instructions="Two, which is longer.")

    after = await api.answer("a")
    agent = await api.get("agents/a")

    assert (before["version"], after["version"]) == ("1", "2")
    assert after["spend"]["input_tokens"] > before["spend"]["input_tokens"]
    assert (agent["revision"], agent["current"], agent["superseded_versions"]) == (2, True, 1)
    listed = (await api.get("agents/a/versions"))["items"]
    assert [(item["version"], item["current"]) for item in listed] == [("2", True), ("1", False)]


async def test_a_changed_policy_makes_no_new_version(api: Api) -> None:
    """Labels, description and pinning are kept without touching the provider."""
    await api.declare("a")
    await api.answer("a")
    changed = await api.declare("a", labels={"team": "x"}, description="for x", pinned=True)

    run = await api.answer("a")

    assert (changed["revision"], run["version"]) == (2, "1")
    assert (await api.get("agents/a/stats"))["versions_created"] == 1


async def test_a_change_can_be_made_conditional(api: Api) -> None:
    """If-Match with another ETag is 412 and changes nothing; with the right one, or `*`, the change is made."""
    missing = await api.call("PUT", "agents/a", {"model": "gpt-4o"}, If_Match='"1"')
    await api.declare("a")

    wrong = await api.call("PUT", "agents/a", {"model": "gpt-4o-mini"}, If_Match='"7"')
    unchanged = await api.get("agents/a")
    right = await api.call("PUT", "agents/a", {"model": "gpt-4o-mini"}, If_Match='"1"')
    wrong_delete = await api.call("DELETE", "agents/a", If_Match='"1"')
    right_delete = await api.call("DELETE", "agents/a", If_Match="*")

    assert [(reply.status, reply.code) for reply in (missing, wrong, wrong_delete)] == [(412, "etag_mismatch")] * 3
    assert (unchanged["revision"], unchanged["spec"]["model"]) == (1, "gpt-4o")
    assert (right.status, right.headers["etag"], right_delete.status) == (200, '"2"', 204)


async def test_a_disabled_agent_refuses_until_it_is_enabled(api: Api) -> None:
    """Disabled, an agent takes no runs, sessions or pre-warming; enabled, it answers with the version it had."""
    await api.declare("a")
    await api.answer("a")

    off = await api.call("POST", "agents/a/disable")
    refused = [
        await api.call("POST", "agents/a/runs", {"query": PROMPT}),
        await api.call("POST", "agents/a/prewarm"),
        await api.call("POST", "agents/a/restore"),
        await api.call("POST", "sessions", {"agent": "a"}),
    ]
    on = await api.call("POST", "agents/a/enable")
    run = await api.answer("a")

    assert (off.status, off.json()["state"]) == (202, "disabled")
    assert [(reply.status, reply.code) for reply in refused] == [(409, "agent_disabled")] * 4
    assert (on.status, run["version"]) == (202, "1")
    assert (await api.get("agents/a"))["state"] == "active"


async def test_a_spec_changed_while_disabled_counts_once_enabled(api: Api) -> None:
    """What was declared while the agent was off is what runs when it is on again."""
    await api.declare("a", simulate={"reply": "old"})
    await api.answer("a")
    await api.call("POST", "agents/a/disable")
    await api.declare("a", simulate={"reply": "new"})
    await api.call("POST", "agents/a/enable")
    await api.agent_in("a", "active")

    run = await api.answer("a")

    assert (run["answer"], run["version"]) == ("new", "2")


async def test_a_queued_run_of_an_agent_disabled_meanwhile_fails(api: Api) -> None:
    """The kill switch also holds for what is queued; nothing is left pending."""
    await api.declare("a", simulate={"latency_ms": 1500})
    first = await api.submit("a", session_id="s")
    await api.run_in(first["id"], "running")
    second = await api.submit("a", session_id="s")
    await api.call("POST", "agents/a/disable")

    ended = await api.ended(second["id"])
    session = await api.get("sessions/s")

    assert (ended["state"], ended["error"]["code"], ended["attempt"]) == ("failed", "agent_disabled", 1)
    assert (session["pending"], (await api.get(f"runs/{first['id']}"))["state"]) == (0, "succeeded")


async def test_a_deleted_agent_is_gone_and_can_be_declared_again(api: Api, stack: Stack) -> None:
    """Deleted, it is 404 everywhere and gone at the provider; declared again, it starts again."""
    await api.declare("a")
    old = await api.answer("a")

    deleted = await api.call("DELETE", "agents/a")
    gone = [
        await api.call("GET", "agents/a"),
        await api.call("GET", "agents/a/stats"),
        await api.call("DELETE", "agents/a"),
        await api.call("POST", "agents/a/runs", {"query": PROMPT}),
        await api.call("POST", "agents/a/enable"),
    ]
    listed = await api.get("agents")

    async def removed() -> bool:
        return not await stack.rows("offlineagents", workspace=api.workspace or "")

    await eventually(removed)
    again = await api.call("PUT", "agents/a", {"model": "gpt-4o"})
    run = await api.answer("a")

    assert (deleted.status, deleted.body) == (204, b"")
    assert [(reply.status, reply.code) for reply in gone] == [(404, "agent_not_found")] * 5
    assert listed["items"] == []
    assert (again.status, again.json()["state"], again.json()["version"]) == (201, "registered", None)
    assert run["version"] != old["version"]
    assert (await api.get(f"runs/{old['id']}"))["answer"] == old["answer"]


async def test_a_queued_run_of_a_deleted_agent_fails(api: Api) -> None:
    """A run whose agent is deleted while it waits fails with `agent_not_found`."""
    await api.declare("a", simulate={"latency_ms": 1000})
    first = await api.submit("a", session_id="s")
    await api.run_in(first["id"], "running")
    second = await api.submit("a", session_id="s")
    await api.call("DELETE", "agents/a")

    ended = await api.ended(second["id"])

    assert (ended["state"], ended["error"]["code"]) == ("failed", "agent_not_found")


async def test_prewarm_makes_an_agent_ready_before_its_first_run(api: Api) -> None:
    """Prewarm is 202 and makes the version; asked again, it makes no other."""
    await api.declare("a")

    accepted = await api.call("POST", "agents/a/prewarm")
    ready = await api.agent_in("a", "active")
    await api.call("POST", "agents/a/prewarm")
    run = await api.answer("a")

    assert (accepted.status, accepted.headers["location"]) == (202, "/api/agents/a")
    assert (ready["current"], ready["version"]["version"], run["version"]) == (True, "1", "1")


async def test_a_retired_agent_can_be_restored_by_a_call(api: Api) -> None:
    """Retire removes it at the provider, restore makes it again; a pinned agent is not retired."""
    await api.declare("a")
    await api.declare("pinned", pinned=True)
    await api.answer("a")

    await api.call("POST", "agents/a/retire")
    retired = await api.agent_in("a", "idle")
    await api.call("POST", "agents/a/restore")
    restored = await api.agent_in("a", "active")
    refused = await api.call("POST", "agents/pinned/retire")

    assert (retired["version"], restored["version"]["version"]) == (None, "2")
    assert (refused.status, refused.code) == (409, "agent_pinned")


async def test_an_agent_lost_at_the_provider_is_made_again(api: Api, stack: Stack) -> None:
    """Somebody deletes our version behind our back: verify notices and makes it again, and the next run has it."""
    from azure.data.tables.aio import TableClient  # noqa: PLC0415

    await api.declare("a")
    await api.answer("a")
    row = (await stack.rows("offlineagents", workspace=api.workspace or ""))[0]
    async with TableClient.from_connection_string(stack.azurite.connection_string, "offlineagents") as table:
        await table.delete_entity(row["PartitionKey"], row["RowKey"])

    await api.call("POST", "agents/a/verify")

    async def made_again() -> bool:
        version = (await api.get("agents/a"))["version"]
        return version is not None and version["version"] == "2"

    await eventually(made_again)
    run = await api.answer("a")

    assert run["version"] == "2"


async def test_a_provider_outage_at_creation_is_waited_out(api: Api) -> None:
    """Creating fails twice, the run is retried, and the agent is made once."""
    await api.declare("a", simulate={"fail_creates": 2})

    run = await api.answer("a")
    stats = await api.get("agents/a/stats")

    assert (run["version"], stats["versions_created"]) == ("1", 1)
    assert run["spend"]["calls"] == 1


async def test_an_agent_that_cannot_be_made_says_why(api: Api) -> None:
    """When creating keeps failing the run fails, and the agent shows the reason; the next use tries again."""
    await api.declare("a", simulate={"fail_creates": 100})

    run = await api.ask("a")
    agent = await api.agent_in("a", "failed")

    assert (run["state"], run["error"]["code"]) == ("failed", "provider_unavailable")
    assert run["attempt"] == 3
    assert agent["failure"]["code"] == "provider_unavailable"
    await api.declare("a", simulate={"fail_creates": 0})
    assert (await api.answer("a"))["version"] == "1"
