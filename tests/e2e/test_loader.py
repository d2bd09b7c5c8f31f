"""The loader over HTTP: what real runs did to the caches, what is preloaded, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.support import Api, Stack, eventually


async def test_the_loader_says_what_the_cache_does(stack: Stack, api: Api) -> None:
    """Hits and misses of runs, the agents held, what another cache would have hit; another workspace sees none."""
    await api.declare("loaded")
    for _ in range(3):
        await api.ask("loaded")

    async def counted() -> Any:
        found = (await api.get("loader"))["total"]["cache_performance"]
        return found if found["cache_hits"] + found["cache_misses"] >= 3 else None

    found = await eventually(counted)
    assert found["total_loads"] >= 1
    state = await api.get("loader")
    assert (state["strategies"], [one["strategy"] for one in state["workers"] if one["strategy"]]) == ([], [])
    assert isinstance(state["insights"], list)
    await stack.run_timer("aggregate_facts")
    await stack.run_timer("learn_accesses")
    replayed = await api.get("loader/what-if?policy=lru&capacity=1")
    assert replayed["accesses"] >= 3
    assert [one["policy"] for one in replayed["replays"]] == ["lru"]
    assert (await api.elsewhere("other").get("loader/what-if"))["accesses"] == 0
    assert (await api.get("loader/activity"))["next"] is None


async def test_agents_are_preloaded_on_request_and_optimised(api: Api) -> None:
    """Held after it; what does not exist is refused, and a dry run changes nothing."""
    await api.declare("wanted")
    await api.ask("wanted")
    asked = await api.call("POST", "loader/preload", {"agents": ["wanted"]})
    assert (asked.status, asked.json()) == (200, {"asked": ["wanted"], "held": ["wanted"]})
    assert (await api.call("POST", "loader/preload", {})).status == 200
    plan = (await api.call("POST", "loader/optimize")).json()
    assert plan["dry_run"]
    assert (await api.call("POST", "loader/optimize?dry_run=false")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "loader/preload", {"agents": ["nobody"]}, 404, "agent_not_found"),
        ("POST", "loader/preload", {"agents": []}, 400, "invalid_input"),
        ("POST", "loader/optimize?dry_run=perhaps", None, 400, "invalid_flag"),
        ("GET", "loader/what-if?policy=mru", None, 400, "invalid_setting"),
        ("GET", "loader/what-if?capacity=-1", None, 400, "invalid_setting"),
        ("GET", "loader/what-if?hours=721", None, 400, "invalid_setting"),
        ("GET", "loader/activity?next=x", None, 400, "invalid_next"),
    ],
)
async def test_bad_input_is_named(api: Api, method: str, path: str, body: Any, status: int, code: str) -> None:
    """A stable code for each."""
    reply = await api.call(method, path, body)

    assert (reply.status, reply.json()["code"]) == (status, code)
