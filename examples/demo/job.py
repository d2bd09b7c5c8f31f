"""The main use case: declare → ask → reuse → cost → prune → ask again."""

import asyncio

from examples.demo.kit import Kit
from kernel.money import format_usd

IDLE = 11
"""Agents of the demo that are not pinned."""


async def main_job(kit: Kit) -> None:
    """Ask agents repeatedly, and retire them."""
    first = await asyncio.gather(*(kit.ask("market_analyst", f"Question {n} at once?") for n in range(20)))
    answered = sum(run["state"] == "succeeded" for run in first)
    stats = await kit.call("GET", "/api/agents/market_analyst/stats")
    kit.note("20 first questions at once", "all answered", f"{answered} answers", true=answered == 20)
    made = stats["versions_created"]
    kit.note("", "the agent was created once", f"{made} created", true=made == 1)

    session = first[0]["session_id"]
    follow_up = await kit.ask("market_analyst", "And what did I ask before?", session_id=session)
    remembers = "Question 0 at" in (follow_up.get("answer") or "")
    kit.note("a follow-up question", "the conversation goes on", f"turn {'2' if remembers else '1'}", true=remembers)

    scored = await kit.ask("tech_advisor", "Which queue?", expected_topics=["model", "Service Bus"])
    quality = (scored.get("score") or {}).get("overall")
    kit.note("an answer with 1 of 2 expected topics", "it is scored", f"quality {quality}", true=quality == 83)

    again = [await kit.ask("tech_advisor", "The same twice.", key="demo-key") for _ in range(2)]
    same = again[0]["id"] == again[1]["id"]
    kit.note("the same Idempotency-Key twice", "one run", "one run" if same else "two runs", true=same)

    run_id = await kit.produce("customer_service", "Where is my order?")
    produced = await kit.until(
        lambda: kit.call("GET", f"/api/runs/{run_id}"), lambda run: run.get("state") == "succeeded"
    )
    kit.note("a message from a producer", "runs without HTTP", produced.get("state"), true=bool(produced.get("answer")))

    flaky = {"model": "gpt-5-mini", "simulate": {"fail_first": 2, "fail_with": "throttled"}}
    await kit.call("PUT", "/api/agents/flaky", flaky)
    retried = await kit.ask("flaky", "Are you there?")
    kit.note(
        "a provider that throttles twice", "retried until answered", f"attempt {retried['attempt']}",
        true=(retried["state"], retried["attempt"]) == ("succeeded", 3),
    )  # fmt: skip
    await _costs(kit)


async def _costs(kit: Kit) -> None:
    costs = await kit.call("GET", "/api/costs")
    total = costs["total"]
    cost = format_usd(total["cost_micro_usd"])
    kit.note("GET costs", "every call is priced", f"{total['calls']} calls, {cost}", true=total["calls"] == 25)
    day = costs["last"]
    for _ in range(2):
        await kit.run_timer("aggregate_costs")
    report = await kit.until(
        lambda: kit.call("GET", f"/api/reports/{day}"), lambda found: "total" in found and found["total"] == total
    )
    same = report.get("total") == total
    kit.note("the report timer, twice", "counts each call once", "equal" if same else report, true=same)


async def end_sessions(kit: Kit) -> None:
    """End all sessions: an agent with an open one is not retired."""
    after = ""
    while True:
        page = await kit.call("GET", f"/api/sessions?limit=50&next={after}")
        for session in page["items"]:
            await kit.call("POST", f"/api/sessions/{session['id']}/end")
        after = page["next"]
        if after is None:
            return


async def prune(kit: Kit) -> None:
    """Retire idle agents, keep the others, and restore one."""
    await end_sessions(kit)
    plan = await kit.until(
        lambda: kit.call("POST", "/api/prune?dry_run=true"),
        lambda found: sum(item["retire"] for item in found["items"]) == IDLE,
    )
    idle = sorted(item["agent"] for item in plan["items"] if item["retire"])
    kit.note("prune, dry run", "idle agents; not the pinned", f"{len(idle)} agents", true=len(idle) == IDLE)
    await kit.run_timer("prune_idle_agents")
    agent = await kit.until(
        lambda: kit.call("GET", "/api/agents/market_analyst"), lambda found: found["state"] == "idle"
    )
    kit.note("the prune timer", "retired at the provider", agent["state"], true=agent["state"] == "idle")
    kept = await kit.call("GET", "/api/agents/customer_service")
    kit.note("", "the pinned agent is kept", kept["state"], true=kept["state"] == "active")
    back = await kit.ask("market_analyst", "Are you back?")
    stats = await kit.call("GET", "/api/agents/market_analyst/stats")
    found = f"{back['state']}, version {back['version']}, {stats['versions_created']} created"
    kit.note("a question to a retired agent", "it is restored", found, true=back["state"] == "succeeded")
