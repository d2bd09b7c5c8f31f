"""A workspace sees only its own."""

from __future__ import annotations

from tests.e2e.support import PROMPT, Api, Stack


async def test_nothing_of_one_workspace_shows_in_another(api: Api, stack: Stack) -> None:
    """Agents, runs, sessions, costs, reports, prunes and dead letters of one workspace are 404 or absent in another."""
    other = api.elsewhere()
    await api.declare("a", simulate={"fail_first": 9})
    failed = await api.ask("a", session_id="s")
    await api.declare("a")
    run = await api.answer("a", session_id="s")
    letter = (await api.letters("s"))[0]
    await stack.run_timer("aggregate_costs")

    hidden = [
        await other.call("GET", "agents/a"),
        await other.call("GET", "agents/a/stats"),
        await other.call("DELETE", "agents/a"),
        await other.call("POST", "agents/a/disable"),
        await other.call("POST", "agents/a/runs", {"query": PROMPT, "session_id": "s"}),
        await other.call("GET", f"runs/{run['id']}"),
        await other.call("POST", f"runs/{run['id']}/cancel"),
        await other.call("GET", "sessions/s"),
        await other.call("GET", "sessions/s/messages"),
        await other.call("GET", "sessions/s/events"),
        await other.call("POST", "sessions/s/end"),
        await other.call("POST", f"dead-letters/{letter['id']}/redrive"),
    ]

    assert [reply.status for reply in hidden] == [404] * len(hidden)
    for path in ("agents", "sessions", "reports", "dead-letters"):
        assert await other.get(path) == {"items": [], "next": None}
    stats = await other.get("stats")
    assert (stats["items"], stats["lifecycle"]["agents"], stats["lifecycle"]["steps"]) == ([], {}, {})
    metrics = (await other.call("GET", "metrics")).body.decode()
    assert [line for line in metrics.splitlines() if "{" in line] == []
    assert (await other.get("costs"))["total"]["calls"] == 0
    assert (await other.call("POST", "prune")).json()["items"] == []
    assert (await api.get("agents/a"))["state"] == "active"
    assert (await api.get(f"runs/{failed['id']}"))["state"] == "failed"


async def test_the_same_names_live_side_by_side(api: Api, stack: Stack) -> None:
    """Agents, sessions and keys of the same names in two workspaces have nothing to do with each other."""
    other = api.elsewhere()
    runs = []
    for each, reply in ((api, "one"), (other, "two")):
        await each.declare("a", simulate={"reply": reply})
        run = await each.submit("a", f"{PROMPT} {reply}", session_id="s", headers={"Idempotency_Key": "k"})
        runs.append(await each.ended(run["id"]))
    agents = [await each.get("agents/a") for each in (api, other)]
    await api.call("DELETE", "agents/a")

    assert [run["answer"] for run in runs] == ["one", "two"]
    assert runs[0]["id"] != runs[1]["id"]
    assert agents[0]["version"]["name"] != agents[1]["version"]["name"]
    assert [(await each.get("sessions/s"))["turns"] for each in (api, other)] == [2, 2]
    assert (await other.answer("a"))["version"] == "1"
    assert len(await stack.rows("offlineagents", workspace=other.workspace or "")) == 1


async def test_without_the_header_it_is_the_default_workspace(default_api: Api) -> None:
    """Who does not say is in `default`, and `default` can be named."""
    await default_api.declare("in-default")

    named = await default_api.elsewhere("default").get("agents/in-default")

    assert named["workspace"] == "default"
