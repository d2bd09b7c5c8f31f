"""Exports: all of a workspace, all of a user, page by page."""

from __future__ import annotations

import json
from typing import Any

from tests.lifecycle.doubles import MemoryQueue, spec
from tests.triggers.conftest import Edge, request
from triggers.http import agents, configuration, pools, retention, runs, schedules, sessions, teams


async def everything(edge: Edge, function: str, limit: int = 2, **route: str) -> list[tuple[str, Any]]:
    """Return all that an export gives, by kind, two things a page."""
    found: list[tuple[str, Any]] = []
    params = {"limit": str(limit)}
    while True:
        answer = await edge(function, request(method="GET", params=params, route=route))
        assert answer.status_code == 200, answer.get_body()
        page = json.loads(answer.get_body())
        found += [(item["kind"], item["data"]) for item in page["items"]]
        if page["next"] is None:
            return found
        params = {"limit": str(limit), "next": page["next"]}


async def put(edge: Edge, function: str, body: Any, **route: str) -> None:
    answer = await edge(function, request(body, method="PUT", route=route))
    assert answer.status_code < 300, answer.get_body()


async def used() -> Edge:
    """Return an app in which two users asked an agent, one of them in a session that is nobody's."""
    queue = MemoryQueue()
    edge = Edge(agents, configuration, pools, retention, runs, schedules, sessions, teams, queue=queue)
    await edge.services.agents.administration.declare("default", "bot", spec(), edge.signals)
    await edge.services.sessions.start.start("default", "bot", "shared")
    for session, user in (("ada-1", "ada"), ("ada-2", "ada"), ("bob-1", "bob"), ("shared", "ada")):
        body = {"query": f"Asked by {user}.", "session_id": session, "user_id": user}
        answer = await edge("runs_submit", request(body, route={"name": "bot"}))
        assert answer.status_code == 202, answer.get_body()
        await edge.services.runs.worker.process(queue.sent[-1], edge.signals)
    await put(edge, "preferences", {"language": "de"}, user_id="ada")
    await put(edge, "pools_item", {"agents": ["bot"], "limits": {"concurrent_runs": 4}}, name="small")
    cron = {"agent": "bot", "run": {"query": "Report."}, "cron": "0 0 9 * * *"}
    await put(edge, "schedules_item", cron, name="daily")
    return edge


async def test_a_user_is_exported_across_sessions() -> None:
    """Preferences, all own sessions with what was said, and runs in sessions that are nobody's; nothing of others."""
    edge = await used()
    found = await everything(edge, "users_export", user_id="ada")
    nobody = await everything(edge, "users_export", user_id="eve")

    kinds = [kind for kind, _ in found]
    assert kinds == ["preferences", "session", "session", "run", "run", "run"]
    assert found[0][1]["preferences"]["language"] == "de"
    transcripts = [data for kind, data in found if kind == "session"]
    assert {data["session"]["id"] for data in transcripts} == {"ada-1", "ada-2"}
    assert all(len(data["messages"]) == 2 for data in transcripts)
    assert {data["session_id"] for kind, data in found if kind == "run"} == {"ada-1", "ada-2", "shared"}
    assert "bob" not in json.dumps(found)
    assert nobody == []
    await edge.services.aclose()


async def test_a_workspace_is_exported_with_all_that_was_set_and_said() -> None:
    """Each kind once, in pages of any size."""
    edge = await used()
    found = await everything(edge, "export")
    whole = await everything(edge, "export", limit=200)

    assert found == whole
    kinds = {kind for kind, _ in found}
    assert {"agent", "pool", "schedule", "approval_policy", "retention_policy", "session"} <= kinds
    assert {data["session"]["id"] for kind, data in found if kind == "session"} == {"ada-1", "ada-2", "bob-1", "shared"}
    assert [data["name"] for kind, data in found if kind in {"pool", "schedule"}] == ["small", "daily"]
    await edge.services.aclose()
