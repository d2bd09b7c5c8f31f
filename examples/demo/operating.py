"""The operator's view: a run followed live, a budget, judged answers, and an alert with its notification."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from examples.demo.kit import Kit


async def live(kit: Kit) -> None:
    """Follow a streamed run by its session's events, as a browser's EventSource would."""
    story = " ".join(f"This is sentence {number} of a story that takes its time." for number in range(12))
    slow = {"model": "gpt-5-mini", "simulate": {"reply": story, "stream_chunk_ms": 40}}
    await kit.call("PUT", "/api/agents/narrator", slow)
    accepted = await kit.call("POST", "/api/agents/narrator/runs", {"query": "Tell me live.", "stream": True})
    pieces: list[str] = []
    stages: list[str] = []
    last = ""
    while not stages or stages[-1] not in ("COMPLETED", "FAILED"):
        path = f"/api/sessions/{accepted['session_id']}/events?last_event_id={last}"
        for ident, name, data in await _events(kit, path):
            last = ident
            if name == "run.delta":
                pieces.append(data["text"])
            elif name == "run.stage":
                stages.append(data["stage"])
    run = await kit.call("GET", f"/api/runs/{accepted['id']}")
    told = f"{' → '.join(dict.fromkeys(stages))}, {len(pieces)} pieces"
    kit.note("a streamed run", "its progress is followed live", told, true=len(pieces) > 1)
    same = "".join(pieces) == run["answer"]
    kit.note("", "the pieces are the answer", "equal" if same else "different", true=same)


async def budget(kit: Kit) -> None:
    """Let a run reach its agent's budget, and raise the budget."""
    await kit.call("PUT", "/api/agents/thrifty", {"model": "gpt-5-mini"})
    limit = {"unit": "calls", "period": "day", "limit": 2}
    await kit.call("PUT", "/api/budgets/agent:thrifty", {"limits": [limit]})
    await asyncio.sleep(0.6)  # until workers read the budgets again
    runs = [await kit.ask("thrifty", f"Question {number}") for number in range(2)]
    third = await kit.call("POST", "/api/agents/thrifty/runs", {"query": "One too many?"})
    waiting = await kit.until(
        lambda: kit.call("GET", f"/api/runs/{third['id']}"), lambda run: run["state"] == "waiting"
    )
    spent = sum(run["spend"]["calls"] for run in runs)
    kit.note("a budget of 2 model calls, 3 questions", "the third waits", f"{spent} calls, then {waiting['state']}",
             true=(spent, waiting["state"]) == (2, "waiting"))  # fmt: skip
    await kit.call("PUT", "/api/budgets/agent:thrifty", {"limits": [limit | {"limit": 3}]})
    answered = await kit.until(
        lambda: kit.call("GET", f"/api/runs/{third['id']}"), lambda run: run["state"] == "succeeded"
    )
    kit.note("raising the budget", "the same run goes on", answered["state"], true=answered["state"] == "succeeded")


async def approvals(kit: Kit) -> None:
    """Have a tool's calls wait for a person, who approves one and rejects the other."""
    rule = {"tools": ["calculator"], "when": "size(expression) > 4"}
    cashier = {"model": "gpt-5-mini", "tools": ["calculator"], "simulate": {"call_tool": "calculator"}}
    await kit.call("PUT", "/api/agents/cashier", cashier | {"approvals": [rule]})
    for query, decision, shows, said in (
        ("120 + 3", {"decision": "approve"}, "the tool is called", "returned '123'"),
        ("500 + 1", {"decision": "reject", "reason": "over the limit"}, "it is not called", "over the limit"),
    ):
        waiting = await kit.ask("cashier", query)
        found = await kit.call("GET", f"/api/approvals?run={waiting['id']}")
        for item in found["items"]:
            await kit.call("POST", f"/api/approvals/{item['id']}/decision", decision)
        done = await kit.until(
            lambda run=waiting: kit.call("GET", f"/api/runs/{run['id']}"), lambda run: run["state"] == "succeeded"
        )
        told = f"{waiting['state']}, then {done['state']}"
        true = (waiting["state"], len(found["items"])) == ("waiting", 1) and said in (done["answer"] or "")
        kit.note(f"a tool call that needs an approval: {decision['decision']}", shows, told, true=true)


async def quality(kit: Kit) -> None:
    """Have another agent judge an answer."""
    verdict = '{"score": 4, "reason": "It names no date."}'
    await kit.call("PUT", "/api/agents/judge", {"model": "gpt-5-mini", "simulate": {"reply": verdict}})
    judged = {"model": "gpt-5-mini", "evaluation": {"structure": ["bullets"], "judge": {"agent": "judge"}}}
    await kit.call("PUT", "/api/agents/author", judged)
    run = await kit.ask("author", "What happened?")

    async def look() -> Any:
        await kit.run_timer("evaluate_answers")
        return await kit.call("GET", f"/api/runs/{run['id']}")

    found = await kit.until(look, lambda run: "judge" in run["score"]["parts"])
    parts = ", ".join(f"{name} {value}" for name, value in found["score"]["parts"].items())
    told = f"{found['score']['overall']} ({parts})"
    kit.note("an answer, checked and judged", "its quality has parts", told, true=found["score"]["overall"] == 69)


async def alert(kit: Kit) -> None:
    """Make an agent fail until an alert fires, and receive its webhook."""
    async with _receiver() as (url, received):
        await kit.call("PUT", "/api/channels/ops", {"url": url, "events": ["alert.*"]})
        rule = {"metric": "error_rate", "agent": "broken", "condition": "gt", "threshold": 0.5}
        broken = {"model": "gpt-5-mini", "simulate": {"fail_first": 1, "fail_with": "rejected"}}
        await kit.call("PUT", "/api/agents/broken", broken)
        await kit.call("PUT", "/api/alerts/broken", rule)
        await kit.ask("broken", "Will you fail?")

        async def look() -> Any:
            await kit.run_timer("evaluate_alerts")
            await kit.run_timer("deliver_notifications")
            return await kit.call("GET", "/api/alerts/fired")

        def ours() -> list[str]:  # default rules fire too: the demo has exhausted a budget before
            return [each["data"]["title"] for each in received if each["data"]["title"].startswith("broken")]

        fired = await kit.until(
            look, lambda found: "broken" in [item["alert"] for item in found["items"]] and bool(ours())
        )
    names = sorted(item["alert"] for item in fired["items"])
    kit.note("an agent that fails", "an alert fires", ", ".join(names) or "none", true="broken" in names)
    kit.note("", "a webhook tells of it", ours()[0] if ours() else "nothing", true=bool(ours()))


async def _events(kit: Kit, path: str) -> list[tuple[str, str, Any]]:
    """Return the id, name and data of each event in a response."""
    found: list[tuple[str, str, Any]] = []
    for block in (await kit.text(path)).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


@asynccontextmanager
async def _receiver() -> AsyncIterator[tuple[str, list[Any]]]:
    """Listen for webhooks; yield the address and the list of received bodies."""
    received: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", received
    finally:
        await runner.cleanup()
