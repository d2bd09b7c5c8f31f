"""A tool call waits for a person, over the whole stack, and for longer than any worker lives."""

from __future__ import annotations

from typing import Any

from tests.e2e.support import Api, Stack, eventually

ASKING: dict[str, Any] = {
    "tools": ["calculator"],
    "simulate": {"call_tool": "calculator"},
    "approvals": [{"tools": ["calculator"]}],
}


async def test_a_run_waits_through_the_end_of_every_worker_and_goes_on_once_it_is_decided(
    fresh_api: Api, fresh_stack: Stack
) -> None:
    """Killed while it waits, started again, decided: the call is made, and the model is not asked for it again."""
    api, stack = fresh_api, fresh_stack
    await api.declare("cashier", **ASKING)
    submitted = await api.submit("cashier", "20 + 3", session_id="till")
    await api.run_in(submitted["id"], "waiting")
    behind = await api.submit("cashier", "1 + 1", session_id="till")
    stack.kill_host()
    stack.start_host()
    (item,) = (await api.get(f"approvals?run={submitted['id']}"))["items"]
    decided = await api.call("POST", f"approvals/{item['id']}/decision", {"decision": "approve"})
    again = await api.call("POST", f"approvals/{item['id']}/decision", {"decision": "approve"})
    other = await api.call("POST", f"approvals/{item['id']}/decision", {"decision": "reject"})
    elsewhere = await api.elsewhere().call("GET", f"approvals/{item['id']}")
    done = await api.ended(submitted["id"])
    await eventually(lambda: _waiting(api, behind["id"]))
    after = await api.get(f"approvals/{item['id']}")
    named = [event["name"] for event in (await api.get("sessions/till/export"))["events"]]

    assert (decided.status, again.status, other.code, elsewhere.code) == (
        200,
        200,
        "approval_decided",
        "approval_not_found",
    )
    assert (done["state"], done["spend"]["calls"], done["wasted"]["calls"]) == ("succeeded", 2, 0)
    assert "returned '23'" in done["answer"]
    assert (after["state"], after["execution"]["times"]) == ("approved", 1)
    assert named.count("approval.requested") == 2
    assert named.count("approval.decided") == 1


async def _waiting(api: Api, run_id: str) -> list[Any]:
    return (await api.get(f"approvals?run={run_id}"))["items"]
