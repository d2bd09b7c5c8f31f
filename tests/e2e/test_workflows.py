"""Workflows as their users meet them: declared, run over HTTP and from the queue, watched, cancelled, gone on with."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from tests.e2e.support import PRIORITY_QUEUE, PROMPT, Api, Stack, eventually

BRIEF: dict[str, Any] = {
    "description": "A brief with both sides of it.",
    "steps": [
        {"name": "research", "agent": "researcher", "prompt": "Find facts on {input}"},
        {
            "name": "views",
            "parallel": [
                {"name": "pro", "agent": "writer", "prompt": "In favour: {steps.research.answer}"},
                {"name": "con", "agent": "writer", "prompt": "Against: {steps.research.answer}"},
            ],
            "aggregator": {"agent": "writer", "prompt": "Weigh {steps.pro.answer} against {steps.con.answer}"},
        },
        {"name": "publish", "agent": "writer", "prompt": "{steps.views.answer}", "when": "steps.views.score >= 50"},
        {"name": "never", "agent": "writer", "when": "steps.publish.state != 'succeeded'"},
    ],
}


async def ended(api: Api, ident: str) -> Any:
    """Wait until a workflow run has ended, and return it."""

    async def look() -> Any:
        run = await api.get(f"workflow-runs/{ident}")
        seen.append([(step["name"], step["state"], len(step["tries"])) for step in run["steps"]])
        return run if run["state"] != "running" else None

    seen: list[Any] = []
    return await eventually(look, progress=lambda: seen[-1], what=f"workflow run {ident}")


async def test_a_workflow_from_its_declaration_to_its_answer(api: Api) -> None:
    """Sequential, parallel and conditional steps, each a run of its own; costs and scores add up."""
    await api.declare("researcher", simulate={"reply": "Tea is a plant."})
    await api.declare("writer")
    put = await api.call("PUT", "workflows/brief", BRIEF)
    key = str(uuid.uuid4())
    body = {"input": PROMPT, "user_id": "ada", "metadata": {"ticket": "7"}}
    started = await api.call("POST", "workflows/brief/runs", body, Idempotency_Key=key)
    again = await api.call("POST", "workflows/brief/runs", body, Idempotency_Key=key)
    other = await api.call("POST", "workflows/brief/runs", {"input": "other"}, Idempotency_Key=key)
    run = await ended(api, key)

    assert (put.status, put.headers["etag"], put.headers["location"]) == (201, '"1"', "/api/workflows/brief")
    assert (started.status, started.headers["location"]) == (202, f"/api/workflow-runs/{key}")
    assert (again.status, again.json()["id"]) == (202, key)
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assert (run["state"], run["code"], run["version"], run["user_id"]) == ("succeeded", "", 1, "ada")
    by = {step["name"]: step for step in run["steps"]}
    assert {name: step["state"] for name, step in by.items()} == {
        "research": "succeeded",
        "pro": "succeeded",
        "con": "succeeded",
        "views": "succeeded",
        "publish": "succeeded",
        "never": "skipped",
    }
    runs = {name: await api.get(f"runs/{step['run_id']}") for name, step in by.items() if step["run_id"]}
    assert runs["pro"]["query"] == "In favour: Tea is a plant."
    assert {one["workflow_run_id"] for one in runs.values()} == {key}
    assert len({one["session_id"] for one in runs.values()}) == len(runs) == 5
    assert run["answer"] == runs["publish"]["answer"]
    costs = [one["spend"]["cost_micro_usd"] for one in runs.values()]
    assert run["spend"]["cost_micro_usd"] == sum(costs) == sum(step["cost_micro_usd"] for step in by.values())
    assert run["score"] == round(sum(one["score"]["overall"] for one in runs.values()) / 5)
    page = await api.get("workflows/brief/runs")
    assert [(one["id"], one["answer"]) for one in page["items"]] == [(key, None)]

    async def told() -> Any:
        text = (await api.call("GET", "events?names=workflow.*&wait=0")).body.decode()
        return text if "event: workflow.ended" in text else None

    events = await eventually(told)
    assert {name: events.count(f"event: workflow.{name}\n") for name in ("started", "step_started", "step_ended")} == {
        "started": 1,
        "step_started": 5,
        "step_ended": 6,
    }


async def test_a_message_runs_a_workflow(api: Api, stack: Stack) -> None:
    """Twice sent it is one; on the queue of high priority its steps have that, too; one too early is redriven."""
    await api.declare("writer")
    await api.call("PUT", "workflows/echo", {"steps": [{"name": "only", "agent": "writer"}]})
    ident = str(uuid.uuid4())
    body = {"workflow": "echo", "input": PROMPT, "workspace": api.workspace}
    session = f"wf-{uuid.uuid4()}"
    await stack.send(body, session, ident, PRIORITY_QUEUE)
    await stack.send(body | {"run_id": ident}, session, str(uuid.uuid4()), PRIORITY_QUEUE)
    early = str(uuid.uuid4())
    await stack.send({**body, "workflow": "later"}, session, early)

    async def there(ident: str) -> bool:
        return (await api.call("GET", f"workflow-runs/{ident}")).status == 200

    await eventually(lambda: there(ident))
    run = await ended(api, ident)
    listed = await api.get("workflows/echo/runs")

    assert (run["state"], run["priority"], len(listed["items"])) == ("succeeded", "high", 1)
    [letter] = await api.letters(session)
    assert (letter["code"], letter["redrivable"], letter["run_id"]) == ("workflow_not_started", True, early)
    await api.call("PUT", "workflows/later", {"steps": [{"name": "only", "agent": "writer"}]})
    redriven = await api.call("POST", f"dead-letters/{letter['id']}/redrive")
    assert (redriven.status, redriven.headers["location"]) == (202, f"/api/workflow-runs/{early}")
    await eventually(lambda: there(early))
    assert (await ended(api, early))["state"] == "succeeded"


async def test_cancelling_a_workflow_run_cancels_its_steps(api: Api) -> None:
    await api.declare("slow", simulate={"latency_ms": 60_000})
    branches = [{"name": name, "agent": "slow"} for name in ("a", "b")]
    await api.call("PUT", "workflows/slow", {"steps": [{"name": "both", "parallel": branches}]})
    started = (await api.call("POST", "workflows/slow/runs", {"input": PROMPT})).json()
    await api.run_in(started["steps"][0]["run_id"], "running")
    cancelled = await api.call("POST", f"workflow-runs/{started['id']}/cancel")
    run = await ended(api, started["id"])
    again = await api.call("POST", f"workflow-runs/{started['id']}/cancel")

    assert (cancelled.status, cancelled.json()["cancel_requested"]) == (202, True)
    assert (run["state"], run["code"], run["answer"]) == ("cancelled", "cancelled", None)
    assert [step["state"] for step in run["steps"]] == ["cancelled", "cancelled", "skipped"]
    assert [(await api.ended(step["run_id"]))["state"] for step in run["steps"][:2]] == ["cancelled", "cancelled"]
    assert (again.status, again.json()["state"]) == (200, "cancelled")


async def test_the_timer_cancels_a_step_that_takes_too_long_and_asks_its_fallback(api: Api, stack: Stack) -> None:
    await api.declare("slow", simulate={"latency_ms": 60_000})
    await api.declare("writer")
    step = {"name": "only", "agent": "slow", "timeout_s": 1, "fallback": "writer"}
    await api.call("PUT", "workflows/late", {"steps": [step]})
    started = (await api.call("POST", "workflows/late/runs", {"input": PROMPT})).json()
    await api.run_in(started["steps"][0]["run_id"], "running")
    await asyncio.sleep(step["timeout_s"])  # before it is over, the timer has nothing to do

    async def timed_out() -> Any:
        await stack.run_timer("tend_budgets")
        run = await api.get(f"workflow-runs/{started['id']}")
        return run if run["state"] != "running" else None

    run = await eventually(timed_out)
    tries = run["steps"][0]["tries"]
    assert [(one["agent"], one["state"], one["run_state"], one["code"]) for one in tries] == [
        ("slow", "cancelled", "cancelled", "step_timeout"),
        ("writer", "succeeded", "succeeded", ""),
    ]


async def test_what_is_wrong_with_a_workflow_is_said_and_changes_nothing(api: Api) -> None:
    await api.declare("writer")
    good = {"steps": [{"name": "only", "agent": "writer"}]}
    cases = [
        ({"steps": []}, 400, "invalid_input", "/steps"),
        ({"steps": [{"name": "a", "agent": "writer", "when": "1 +"}]}, 400, "invalid_input", "/steps/0/when"),
        ({"steps": [{"name": "a", "agent": "writer", "when": "x"}]}, 400, "unknown_variable", "/steps/0/when"),
        ({"steps": [{"name": "a", "agent": "writer", "prompt": "{steps.a.answer}"}]}, 400, "invalid_input", "/"),
        ({"steps": [{"name": "a", "agent": "nobody"}]}, 400, "unknown_agent", "/steps/0/agent"),
    ]
    for body, status, code, place in cases:
        reply = await api.call("PUT", "workflows/bad", body)
        places = [error["pointer"] for error in reply.json()["errors"]]
        assert (reply.status, reply.code, places) == (status, code, [place])
    missing = await api.call("GET", "workflows/bad")
    bad_name = await api.call("PUT", "workflows/No%20Name", good)
    await api.call("PUT", "workflows/good", good)
    stale = await api.call("PUT", "workflows/good", good, If_Match='"7"')
    empty = await api.call("POST", "workflows/good/runs", {"input": " "})
    elsewhere = await api.elsewhere().call("GET", "workflows/good")
    foreign = (await api.call("POST", "workflows/good/runs", {"input": PROMPT})).json()["id"]
    hidden = await api.elsewhere().call("GET", f"workflow-runs/{foreign}")
    no_id = await api.call("GET", "workflow-runs/nonsense")
    await ended(api, foreign)
    deleted = await api.call("DELETE", "workflows/good")
    gone = await api.call("POST", "workflows/good/runs", {"input": PROMPT})

    assert (missing.status, missing.code) == (404, "workflow_not_found")
    assert (bad_name.status, bad_name.code) == (400, "invalid_workflow_name")
    assert (stale.status, stale.code) == (412, "etag_mismatch")
    assert (empty.status, empty.code) == (400, "empty_query")
    assert (elsewhere.status, hidden.status, hidden.code) == (404, 404, "workflow_run_not_found")
    assert (no_id.status, no_id.code) == (400, "invalid_run_id")
    assert (deleted.status, gone.status, gone.code) == (204, 404, "workflow_not_found")
