"""A team: a session that goes from one agent to another, to a person and back."""

from typing import Any

from examples.demo.kit import Kit

ANN = {"by": "ann@example.com"}


async def teams(kit: Kit) -> None:
    """Have a support team answer, hand off, wait for a person, and continue."""
    greeter = {"simulate": {"reply": "Let me see.", "call_tool": "handoff_to_billing"}}
    await kit.call("PUT", "/api/agents/greeter", {"model": "gpt-5-mini"} | greeter)
    await kit.call("PUT", "/api/agents/biller", {"model": "gpt-5-mini", "simulate": {"reply": "The invoice is paid."}})
    person = {
        "name": "person",
        "condition": "keyword_detected",
        "parameters": {"keywords": ["a person"]},
        "target": "people",
    }
    members: list[dict[str, Any]] = [
        {"name": "front", "agent": "greeter", "role": "primary"},
        {"name": "billing", "agent": "biller", "specialization": "billing", "handoff_triggers": [person]},
        {"name": "people", "people": ["ann@example.com"], "specialization": "human"},
    ]
    await kit.call("PUT", "/api/teams/helpdesk", {"members": members})
    run = await _ask(kit, "Is my invoice paid?")
    way = " → ".join([hop["target"] for hop in run["team"]["hops"]])
    by_agent = run["agent"] == "biller" and run["state"] == "succeeded"
    kit.note("a team is asked", "the model hands over to another agent", way or "nobody", true=by_agent)

    run = await _ask(kit, "I want to talk to a person.")
    inbox = await kit.call("GET", "/api/inbox?team=helpdesk")
    await kit.call("POST", "/api/sessions/helpdesk-1/claim", ANN)
    answered = await kit.call("POST", "/api/sessions/helpdesk-1/reply", ANN | {"text": "Ann here, all is well."})
    kit.note(
        "somebody asks for a person",
        "the run waits in the inbox, and a person answers it",
        f"{run['state']}, then {answered['state']} by {answered['team']['by']}",
        true=run["state"] == "waiting" and len(inbox["items"]) == 1 and answered["state"] == "succeeded",
    )

    await kit.call("POST", "/api/sessions/helpdesk-1/return", ANN | {"reason": "it is settled"})
    run = await _ask(kit, "Thanks!")
    back = run["answer"] == "The invoice is paid."
    kit.note("the person gives it back", "an agent goes on", run["agent"], true=back)


async def _ask(kit: Kit, query: str) -> Any:
    body = {"query": query, "session_id": "helpdesk-1"}
    return await kit.call("POST", "/api/teams/helpdesk/runs", body, {"Prefer": "wait=25"})
