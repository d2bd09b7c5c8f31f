"""Ids as identity providers give them are usable wherever an id is, and are never mixed up."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.support import PROMPT, Api, Stack, eventually

IDS = [
    "auth0|64f0c1",
    "ada_contoso.com#EXT#@fabrikam.com",
    "o'brien@x.org",
    "zoë@x.org",
    "19:meeting_MjdhNjM4YzUtYzExZi00OTFkLTkzZTAtNTVlNmZmMDhkNGU2@thread.tacv2",
    "https://idp.example/users?id=7",
]


@pytest.mark.parametrize("name", IDS)
async def test_an_id_of_an_identity_provider_is_usable(api: Api, name: str) -> None:
    """As user and as session: in bodies, in paths, in filters, in scopes of budgets, and on the queue's SessionId."""
    await api.declare("a")
    in_path = quote(name, safe="")
    run = await api.answer("a", session_id=name, user_id=name)
    limits = {"limits": [{"unit": "calls", "period": "day", "limit": 100}]}
    replies = [
        await api.call("PUT", f"users/{in_path}/preferences", {"language": "de"}),
        await api.call("GET", f"users/{in_path}/preferences"),
        await api.call("PUT", f"budgets/user:{in_path}", limits),
        await api.call("GET", f"sessions/{in_path}/export?user_id={in_path}"),
        await api.call("GET", f"sessions/{in_path}/events?wait=0"),
        await api.call("POST", f"sessions/{in_path}/end"),
    ]

    assert (run["session_id"], run["user_id"]) == (name, name)
    assert [reply.status for reply in replies] == [201, 200, 201, 200, 200, 200], [reply.body for reply in replies]
    assert replies[0].headers["location"] == f"/api/users/{quote(name, safe=':@')}/preferences"
    assert [each["id"] for each in await api.everything(f"sessions?user_id={in_path}", 10)] == [name]
    assert (await api.get(f"usage?user={in_path}"))["items"][0]["used"] == 0
    assert len((await api.get(f"sessions/{in_path}/messages"))["items"]) == 2
    assert (await api.call("DELETE", f"sessions/{in_path}")).status in (200, 202)


async def test_ids_that_look_alike_are_others(api: Api) -> None:
    """By case, by Unicode normalisation, and by what stands for a slash in a path or a key."""
    await api.declare("a")
    alike = ["Ada", "ada", "zoë", "zoe\u0308", "a/b", "a=2Fb", "a2Fb"]
    for name in alike:
        assert (await api.call("POST", "sessions", {"agent": "a", "session_id": name, "user_id": name})).status == 201

    for name in alike:
        assert (await api.get(f"sessions/{quote(name, safe='')}"))["id"] == name
        assert [each["id"] for each in await api.everything(f"sessions?user_id={quote(name)}", 10)] == [name]


async def test_what_a_serializer_of_nulls_sends_is_a_run(api: Api, stack: Stack) -> None:
    """Over HTTP and on the queue, as if the fields were left out."""
    await api.declare("a")
    nulls = dict.fromkeys(("session_id", "user_id", "expected_topics", "metadata", "context", "priority", "stream"))
    over_http = await api.answer("a", **nulls)
    session, run_id = f"s-{uuid.uuid4().hex}", str(uuid.uuid4())
    body = nulls | {"run_id": None, "v": None, "workspace": api.workspace, "agent": "a", "query": PROMPT}
    await stack.send(body, session, run_id)

    async def look() -> Any:
        reply = await api.call("GET", f"runs/{run_id}")
        return reply.json() if reply.status == 200 and reply.json()["state"] == "succeeded" else None

    queued = await eventually(look)
    assert (over_http["metadata"], queued["metadata"], queued["session_id"]) == ({}, {}, session)


async def test_a_cloud_event_is_refused_with_what_was_expected(api: Api) -> None:
    """Its unknown fields are named, those that there are, and what of it is the body."""
    await api.declare("a")
    event = {"specversion": "1.0", "type": "ask", "source": "/x", "id": "1", "data": {"query": PROMPT}}
    reply = await api.call("POST", "agents/a/runs", event)
    detail = reply.json()["detail"]

    assert (reply.status, reply.code) == (400, "invalid_input")
    assert "There is no specversion, type, source, id, data; known are query, session_id" in detail
    assert "send its 'data' alone" in detail


async def test_versions_of_what_is_not_there_are_not_found(api: Api) -> None:
    """As the item itself; an agent that is enabled is no longer called disabled."""
    for kind in ("templates", "personalities", "capabilities"):
        assert (await api.call("GET", f"{kind}/unknown/versions")).status == 404
    await api.answer((await api.declare("a"))["name"])
    await api.call("POST", "agents/a/disable")
    await api.agent_in("a", "disabled")
    enabled = await api.call("POST", "agents/a/enable")

    assert enabled.json()["state"] != "disabled"
    await api.agent_in("a", "active")
