"""A conversation that goes from an agent to another, to a person and back, over the whole stack."""

from __future__ import annotations

from typing import Any

from tests.e2e.support import PROMPT, Api, Stack, eventually

MEMBERS: list[dict[str, Any]] = [
    {"name": "triage", "agent": "triage", "role": "primary"},
    {"name": "billing", "agent": "billing", "specialization": "billing", "capabilities": ["refund"]},
    {"name": "people", "people": ["ann@example.com"], "specialization": "human", "max_workload": 2},
]
TRIGGERS = [
    {
        "name": "human",
        "condition": "keyword_detected",
        "parameters": {"keywords": ["a person"]},
        "target": "people",
    }
]
ANN = {"by": "ann@example.com"}


async def found(api: Api) -> None:
    """Declare a support team."""
    await api.declare("triage", simulate={"reply": "triage here", "call_tool": "handoff_to_billing"})
    await api.declare("billing", simulate={"reply": "billing here"})
    members = [MEMBERS[0], MEMBERS[1] | {"handoff_triggers": TRIGGERS}, MEMBERS[2]]
    made = await api.call("PUT", "teams/support", {"members": members, "handoff": {"context": "last", "last_turns": 3}})
    assert made.status == 201, made.body
    assert made.headers["location"] == "/api/teams/support"


async def asked(api: Api, query: str, **more: Any) -> Any:
    """Ask the team, and return the run as it is then."""
    reply = await api.call("POST", "teams/support/runs", {"query": query} | more, Prefer="wait=25")
    assert reply.status in (200, 202), reply.body
    return reply.json()


async def test_a_conversation_goes_to_a_person_and_back_though_every_worker_dies_meanwhile(
    fresh_api: Api, fresh_stack: Stack
) -> None:
    """One answer a run, by whoever had it; what waits for a person waits through the end of every worker."""
    api, stack = fresh_api, fresh_stack
    await found(api)
    first = await asked(api, f"{PROMPT} hello", session_id="chat", stream=True)
    waiting = await asked(api, f"{PROMPT} let me talk to a person", session_id="chat")
    stack.kill_host()
    stack.start_host()
    (item,) = (await api.get("inbox?team=support"))["items"]
    claimed = await api.call("POST", "sessions/chat/claim", ANN)
    stranger = await api.call("POST", "sessions/chat/claim", {"by": "eve@example.com"})
    replied = await api.call("POST", "sessions/chat/reply", ANN | {"text": "Ann here."})
    behind = await api.call("POST", "teams/support/runs", {"query": f"{PROMPT} thanks", "session_id": "chat"})
    returned = await api.call("POST", "sessions/chat/return", ANN | {"reason": "agreed", "facts": ["20 USD come back"]})
    last = await api.ended(behind.json()["id"])
    messages = (await api.get("sessions/chat/messages"))["items"]
    names = [event["name"] for event in (await api.get("sessions/chat/export"))["events"]]
    status = await api.get("teams/support/status")

    assert (first["state"], first["answer"], first["agent"]) == ("succeeded", "billing here", "billing")
    assert [(hop["source"], hop["target"], hop["by"]) for hop in first["team"]["hops"]] == [
        ("triage", "billing", "model")
    ]
    assert (waiting["state"], item["member"], item["session"]["id"]) == ("waiting", "people", "chat")
    assert (claimed.status, stranger.code) == (200, "not_in_rota")
    assert (replied.json()["answer"], replied.json()["team"]["by"]) == ("Ann here.", "ann@example.com")
    assert (behind.json()["state"], returned.json()["assignment"]["member"]) == ("waiting", "billing")
    assert (last["answer"], [hop["by"] for hop in last["team"]["hops"]]) == ("billing here", ["person"])
    assert [(turn["text"], turn["author"]) for turn in messages if turn["role"] == "assistant"] == [
        ("billing here", ""),
        ("Ann here.", "ann@example.com"),
        ("billing here", ""),
    ]
    assert names.count("handoff.initiated") == names.count("handoff.completed") == 3
    assert names.count("person.replied") == 1
    assert (await api.get("inbox"))["items"] == []
    assert {each["name"]: each["workload"] for each in status["members"]} == {"triage": 0, "billing": 1, "people": 0}
    assert status["by"] == {"model": 1, "person": 1, "trigger": 1}


async def test_producers_ask_a_team_by_the_queue(fresh_api: Api, fresh_stack: Stack) -> None:
    """`team` instead of `agent`; the same message again is the same run."""
    api, stack = fresh_api, fresh_stack
    await found(api)
    run_id = "0190f6a0-1111-7000-8000-000000000001"
    body = {"workspace": api.workspace, "team": "support", "query": f"{PROMPT} my refund"}
    await stack.send(body, "q1", run_id)
    await eventually(lambda: _there(api, run_id))
    run = await api.ended(run_id)
    assert (run["answer"], run["team"]["reason"]) == ("billing here", "billing: it can do refund")
    assert run["team"]["hops"] == []


async def test_a_team_is_versioned_and_kept_while_it_is_used(fresh_api: Api) -> None:
    """ETags guard it; its members must be there; an open conversation keeps it."""
    api = fresh_api
    await found(api)
    unknown = await api.call("PUT", "teams/other", {"members": [{"name": "a", "agent": "nobody"}]})
    circle = await api.call(
        "PUT",
        "teams/other",
        {"members": MEMBERS, "escalation_path": [{"level": 1, "target": "people"}, {"level": 2, "target": "people"}]},
    )
    stale = await api.call("PUT", "teams/support", {"members": MEMBERS}, If_Match='"9"')
    again = await api.call("PUT", "teams/support", {"members": MEMBERS, "description": "x"}, If_Match='"1"')
    run = await asked(api, f"{PROMPT} refund")
    used = await api.call("DELETE", "teams/support")
    ended = await api.call("POST", f"sessions/{run['session_id']}/end")
    deleted = await api.call("DELETE", "teams/support")
    gone = await api.call("GET", "teams/support")
    versions = (await api.get("teams/support/versions"))["items"]

    assert (unknown.code, circle.code, stale.code) == ("unknown_member", "invalid_input", "etag_mismatch")
    assert "circle" in circle.body.decode()
    assert (again.status, again.headers["etag"]) == (200, '"2"')
    assert (used.code, ended.status, deleted.status, gone.code) == ("team_in_use", 200, 204, "team_not_found")
    assert run["session_id"] in used.body.decode()
    assert [(each["version"], each["team"] is None) for each in versions] == [(3, True), (2, False), (1, False)]


async def _there(api: Api, run_id: str) -> bool:
    return (await api.call("GET", f"runs/{run_id}")).status == 200
