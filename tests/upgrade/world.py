"""The app with its API, timers and workers over given rows; and a workspace in which everything has happened."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import azure.functions as func

from adapters.memory_tables import MemoryTables
from kernel.errors import AppError
from tests.lifecycle.doubles import ManualClock, MemoryQueue, make_services
from tests.triggers.conftest import CLIENT, context
from triggers.app import RESOURCES
from triggers.http.request_handling import Api
from triggers.timers import TIMERS, Round, run

READ = (
    "agents", "agents/clerk", "agents/clerk/versions", "agents/clerk/audit", "agents/clerk/effective",
    "agents/clerk/stats",
    "agents/composed", "agents/composed/effective", "agents/flaky", "stats",
    "templates", "templates/mine", "templates/mine/versions", "templates/mine/dependents", "personalities/mine",
    "capabilities/mine", "overrides", "users/ada/preferences",
    "sessions", "sessions/chat", "sessions/chat/messages", "sessions/chat/export", "sessions/ended", "sessions/paused",
    "sessions/tools/messages",
    "runs", "runs?state=failed", "runs?state=waiting", "dead-letters",
    "costs?group_by=agent", "costs?group_by=model", "costs?group_by=user", "costs?group_by=day",
    "reports", "reports?period=month", "performance", "performance/clerk",
    "evaluations?agent=clerk", "evaluations/clerk/versions",
    "budgets", "budgets/agent:clerk", "usage", "prices", "prices/my-model",
    "alerts", "alerts/slow", "alerts/fired", "channels", "channels/ops", "channels/ops/deliveries",
    "approvals", "approvals?state=closed", "approval-policy", "approval-rules",
    "workflows", "workflows/mine", "workflows/mine/runs", "pools", "pools/mine", "routes/mine", "optimizations",
    "teams", "teams/desk", "sessions/team/messages", "schedules", "schedules/morning", "callbacks", "channels/grid",
    "retention", "retention/receipts", "holds", "events?wait=0",
)  # fmt: skip
"""What is asked of every release's data."""


class World:
    """An app over rows."""

    def __init__(self, tables: MemoryTables, clock: ManualClock) -> None:
        self.tables, self.clock = tables, clock
        self.queue: Any = MemoryQueue()
        self.services = make_services(tables, clock, WEBHOOKS_ALLOW_PRIVATE="true")
        self.signals = self.services.agents.local_signals()
        api = Api(self.services.core.settings, self.services, self.queue, lambda _: self.signals, RESOURCES)
        made: Any = api.blueprint()
        self._functions: list[tuple[re.Pattern[str], Any]] = []
        for function in (builder._function for builder in made._function_builders):
            route = re.sub(r"\{\*?(\w+)(?::\w+)?\}", r"(?P<\1>[^/]+)", function.get_trigger().route)
            self._functions.append((re.compile(route), function))

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and the answer, of JSON its value, of anything else its text."""
        path, _, query = path.partition("?")
        found = [(match, function) for pattern, function in self._functions if (match := pattern.fullmatch(path))]
        match, function = min(found, key=lambda each: len(each[0].groupdict()))
        request = func.HttpRequest(
            method=method,
            url=f"/api/{path}",
            headers={"Content-Type": "application/json"} | {name.replace("_", "-"): v for name, v in headers.items()},
            params=dict(part.split("=", 1) for part in query.split("&") if part),
            route_params=match.groupdict(),
            body=b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode(),
        )
        signals = any(each.type == "durableClient" for each in function.get_bindings())
        given = {"client": CLIENT} if signals else {}
        answer = await function.get_user_function()(request, context=context(), **given)
        text = answer.get_body().decode()
        return answer.status_code, json.loads(text) if text and "json" in answer.mimetype else text

    async def done(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return the answer of what succeeds."""
        status, answer = await self.call(method, path, body, **headers)
        assert status < 300, (method, path, status, answer)
        return answer

    async def ask(self, agent: str, query: str, **more: Any) -> str:
        """Have a run submitted and carried out as far as it goes, and return its id."""
        run = await self.done("POST", f"agents/{agent}/runs", {"query": query, **more})
        await self.work()
        return run["id"]

    async def work(self) -> None:
        """Carry out what is queued."""
        while self.queue.sent:
            submission = self.queue.sent.pop(0)
            for _ in range(5):
                try:
                    await self.services.runs.worker.process(submission, self.signals)
                except AppError as error:
                    if error.retriable:
                        continue
                break

    async def timers(self) -> None:
        """Run every timer once."""
        for timer in TIMERS:
            await run([timer], Round(self.services, self.queue, self.signals))
        await self.work()
        await self.services.conversations.publisher.flush()

    async def read(self, paths: Sequence[str]) -> Mapping[str, Any]:
        """Return the answers to all that is asked."""
        return {path: await self.done("GET", path) for path in paths}

    async def aclose(self) -> None:
        await self.services.agents.use_recorder.aclose(self.signals)
        await self.services.aclose()


async def live(world: World) -> Sequence[str]:
    """Have everything happen once that is stored, and return more paths to read."""
    await world.done("PUT", "templates/mine", {"model": "gpt-5-mini", "instructions": "Work."})
    await world.done("PUT", "templates/mine", {"model": "gpt-5-mini", "instructions": "Work for people."})
    await world.done("PUT", "personalities/mine", {"formality": 30, "empathy": 80})
    await world.done("PUT", "capabilities/mine", {"instructions": "You can add.", "tools": ["calculator"]})
    await world.done("PUT", "overrides", {"more_instructions": "Be kind."})
    composed = {"template": "mine", "personality": "mine", "capabilities": {"mine": True}}
    await world.done("PUT", "agents/composed", composed)
    await world.done("PUT", "users/ada/preferences", {"language": "de", "verbosity": "brief"})
    clerk = {
        "model": "gpt-5-mini",
        "instructions": "Answer.",
        "tools": ["calculator"],
        "simulate": {"call_tool": "calculator"},
        "evaluation": {"topics": ["result"], "judge": {"agent": "judge", "rubric": "Is it right?"}},
        "approvals": [{"tools": ["calculator"], "when": "size(expression) > 5"}],
        "labels": {"team": "accounts"},
        "ladder": [{"at": 50, "do": "warn"}],
    }
    verdict = {"model": "gpt-5-mini", "simulate": {"reply": '{"score": 4, "reason": "Right."}'}}
    await world.done("PUT", "agents/judge", verdict)
    await world.done("PUT", "agents/clerk", clerk)
    await world.done("PUT", "agents/flaky", {"model": "x", "simulate": {"fail_first": 99, "fail_with": "unavailable"}})
    await world.done("PUT", "budgets/agent:clerk", {"limits": [{"unit": "usd", "period": "month", "limit": 25}]})
    await world.done("PUT", "budgets/user:bob", {"limits": [{"unit": "calls", "period": "day", "limit": 1}]})
    await world.done("PUT", "prices/my-model", {"input": 1.5, "output": 6})
    await world.done("PUT", "channels/ops", {"url": "http://127.0.0.1:9/hook", "events": ["alert.*", "budget.*"]})
    await world.done("PUT", "alerts/slow", {"metric": "runs", "condition": "gt", "threshold": 1, "window_s": 3600})
    policy = {"rules": [{"tools": ["refund*"], "agents": ["*"], "expires_s": 3600}]}
    await world.done("PUT", "approval-policy", policy)

    tools = {"tools": [{"name": "weather", "parameters": {"type": "object", "properties": {}}}]}
    asking = {"model": "x", "client_tools": True, "simulate": {"call_tool": "weather"}}
    await world.done("PUT", "agents/forecaster", asking)
    called = await world.done(
        "GET", f"runs/{await world.ask('forecaster', 'Bonn', session_id='tools', client_tools=tools)}"
    )
    results = {"results": [{"call_id": called["tool_calls"][0]["id"], "output": "Sunny."}]}
    await world.ask("forecaster", "", session_id="tools", client_tools=results)

    answered = await world.ask("clerk", "2 + 3", session_id="chat", user_id="ada", expected_topics=["sum"])
    await world.ask("clerk", "3 + 4", session_id="chat", user_id="ada", metadata={"ticket": "T-1"})
    await world.done("POST", f"runs/{answered}/feedback", {"helpful": True, "comment": "Right."})
    long = await world.ask("composed", "x" * 2000, session_id="long")
    failed = await world.ask("flaky", "Are you there?", session_id="failing")
    waiting = await world.ask("clerk", "120 + 3", session_id="approving", user_id="ada")
    blocked = await world.ask("clerk", "5 + 6", session_id="blocked", user_id="bob")
    decided = await world.ask("clerk", "500 + 7", session_id="decided")
    pending = (await world.done("GET", f"approvals?run={decided}"))["items"][0]["id"]
    await world.done("POST", f"approvals/{pending}/decision", {"decision": "approve", "reason": "ok", "always": "tool"})
    await world.work()
    for session in ("ended", "erased", "paused"):
        await world.ask("composed", f"In {session}", session_id=session, user_id="eve")
    await world.done("POST", "sessions/ended/end")
    await world.done("DELETE", "sessions/erased")
    await world.done("POST", "sessions/paused/pause")
    pinned = await world.done("POST", "sessions", {"agent": "composed", "session_id": "pinned", "pin_version": True})
    await world.done("PUT", "agents/composed", composed | {"more_instructions": "And quick."})
    steps = [{"name": "draft", "agent": "composed"}, {"name": "check", "agent": "judge"}]
    await world.done("PUT", "workflows/mine", {"steps": steps})
    flow = await world.done("POST", "workflows/mine/runs", {"input": "Write."})
    await world.work()
    await world.done("PUT", "pools/mine", {"agents": ["composed"], "limits": {"concurrent_runs": 50}})
    deployment = {"name": "spare", "provider": "offline", "model": "offline-1", "priority": 1}
    await world.done("PUT", "routes/mine", {"deployments": [deployment]})
    await world.done("POST", "optimizations", {"days": 14, "target_cost_reduction": 20})
    report = {"callback": {"url": "http://127.0.0.1:9/hook"}}
    reported = await world.ask("composed", "Report this.", session_id="reported", **report)
    morning = {
        "agent": "composed",
        "cron": "0 0 8 * * *",
        "time_zone": "Europe/Zurich",
        "run": {"query": "Good morning."},
    }
    lines = "\n".join(json.dumps({"id": name, "query": f"Describe {name}."}) for name in ("a", "b"))
    batch = await world.done("POST", "batches?agent=composed", lines, Content_Type="application/jsonl")
    members = [{"name": "front", "agent": "composed", "role": "primary"}]
    await world.done("PUT", "teams/desk", {"members": members})
    await world.done("POST", "teams/desk/runs", {"query": "Who is there?", "session_id": "team"})
    await world.work()
    await world.done("PUT", "schedules/morning", morning)
    await world.done("PUT", "channels/grid", {"url": "http://127.0.0.1:9/grid", "format": "cloudevents"})
    await world.done("PUT", "retention", {"sessions_s": 86_400 * 365, "facts_s": None})
    await world.done("PUT", "holds/user:ada", {"reason": "case 7"})
    await world.done("POST", "agents/clerk/disable")
    await world.done("POST", "agents/clerk/enable")
    await world.done("GET", "registry/plan")
    await world.timers()
    world.clock.move(hours=1)
    await world.timers()
    world.clock.move(hours=16)
    await world.ask("composed", "Tomorrow", session_id="tomorrow")
    await world.timers()
    day = pinned["created_at"][:10]
    runs = [
        f"runs/{run}{more}" for run in (answered, long, failed, waiting, blocked, decided) for more in ("", "/steps")
    ]
    return [
        *runs,
        f"runs/{reported}/callback",
        f"batches/{batch['id']}",
        f"workflow-runs/{flow['id']}",
        f"reports/{day}",
        f"reports/{day[:7]}",
        f"approvals/{pending}",
    ]
