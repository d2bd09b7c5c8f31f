"""openapi.json says what the API does: real answers are checked against it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate

from tests.e2e.support import PROMPT, REPLY_QUEUE, Api, Reply, Stack, eventually


@pytest.fixture
async def document(api: Api) -> Any:
    """Return the API's own description."""
    return await api.get("openapi.json")


def check(document: Any, method: str, path: str, reply: Reply) -> str:
    """Check a real answer against the document, and return the operation it was."""
    path = path.partition("?")[0]
    for template, operations in sorted(document["paths"].items(), key=lambda item: item[0].count("{")):
        if _pattern(template).fullmatch(f"/{path}") and method.lower() in operations:
            operation = operations[method.lower()]
            break
    else:
        raise AssertionError(f"{method} {path} is not in the document")
    described = operation["responses"][str(reply.status)]
    contents = described.get("content", {})
    assert bool(contents) == bool(reply.body), (method, path)
    if contents:
        kind = reply.headers["content-type"].partition(";")[0]
        schema = contents[kind].get("schema")
        if schema and kind.endswith("json"):
            whole = {**schema, "components": document["components"]}
            Draft202012Validator(whole, format_checker=FormatChecker()).validate(reply.json())
    return operation["operationId"]


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    """Return what matches a path of the template; compiled once, which matters with 200 templates for each answer."""
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", template))


async def test_it_is_valid_and_complete(document: Any, stack: Stack) -> None:
    """The document is valid OpenAPI 3.1 and lists exactly the paths of the app's HTTP functions."""
    validate(document)
    async with aiohttp.ClientSession() as http, http.get(f"{stack.host.url}/admin/functions") as response:
        functions = await response.json()
    served = {
        (f"/{trigger['route']}", trigger["authLevel"].lower())
        for function in functions
        for trigger in function["config"]["bindings"]
        if trigger["type"] == "httpTrigger"
    }

    described = {
        (path, "anonymous" if operation.get("security") == [] else "function")
        for path, operations in document["paths"].items()
        for operation in operations.values()
    }
    assert described == served - {("/app", "anonymous"), ("/app/{*path}", "anonymous")}  # the web app's files


async def _people(call: Callable[..., Awaitable[Reply]], run_id: str) -> None:
    """Call every operation by which people look at runs, and decide about them."""
    for path in ("runs", "runs?state=succeeded&agent=a", "runs?session=s", "runs?state=lost", f"runs/{run_id}/steps"):
        await call("GET", path)
    await call("POST", f"runs/{run_id}/feedback", {"helpful": True, "comment": "Good."})
    await call("POST", f"runs/{run_id}/feedback", {"helpful": "maybe"})
    for path in ("approvals", "approvals?limit=0", f"approvals/{run_id}", "approval-policy", "approval-rules"):
        await call("GET", path)
    await call("POST", f"approvals/{run_id}/decision", {"decision": "approve"})
    await call("POST", f"approvals/{run_id}/decision", {"decision": "perhaps"})
    await call("PUT", "approval-policy", {})
    await call("DELETE", f"approval-rules/a/{run_id}")
    await call("GET", "approval-links/none")
    await call("POST", "approval-links/none", {})
    await call("DELETE", "dead-letters/0")
    await call("DELETE", "users/nobody")
    await _keep(call)


async def _keep(call: Callable[..., Awaitable[Reply]]) -> None:
    """Call every operation on how long data is kept, and export it all."""
    await call("GET", "retention")
    for body in ({"sessions_s": 86_400, "facts_s": None}, {"sessions_s": 1}, {"no": "such field"}):
        await call("PUT", "retention", body)
    for path in ("retention/apply", "retention/apply?dry_run=false", "retention/apply?dry_run=perhaps"):
        await call("POST", path)
    for path in ("retention/receipts", "retention/receipts?limit=0", "holds", "export?limit=0", "export?next=x"):
        await call("GET", path)
    for body in ({"reason": "case 7"}, {"reason": "case 7"}, {"reason": ""}):
        await call("PUT", "holds/user:nobody", body)
    await call("PUT", "holds/run:none", {"reason": "case 7"})
    for _ in range(2):
        await call("DELETE", "holds/user:nobody")
    for path in ("users/ada/export", "users/ada/export?next=x"):
        await call("GET", path)
    page = (await call("GET", "export")).json()
    kinds = {item["kind"] for item in page["items"]}
    while page["next"]:
        page = (await call("GET", f"export?next={page['next']}")).json()
        kinds |= {item["kind"] for item in page["items"]}

    assert {"agent", "template", "overrides", "approval_policy", "report", "retention_policy", "session"} <= kinds


async def _compose(call: Callable[..., Awaitable[Reply]]) -> None:
    """Call every operation on what agents are composed of."""
    guideline = {"when": "asked", "then": "answer", "category": "x"}
    bodies = {
        "templates": {"model": "m", "guidelines": {"g": guideline}, "labels": {"k": "v"}, "temperature": None},
        "personalities": {"formality": 9, "response_templates": {"Greeting": "Hi"}},
        "capabilities": {"instructions": "x", "tools": ["calculator"]},
    }
    for path, body in bodies.items():
        for content in (body, body, {"no": "such field"}):
            await call("PUT", f"{path}/x", content)
        await call("PUT", f"{path}/x", body, If_Match='"9"')
        for each in (path, f"{path}/x", f"{path}/none", f"{path}/x/versions", f"{path}?limit=0"):
            await call("GET", each)
    composed = {"template": "x", "personality": "x", "capabilities": {"x": True}, "guidelines": {"h": guideline}}
    await call("PUT", "agents/composed", composed)
    await call("GET", "agents/composed/effective")
    await call("GET", "agents/nobody/effective")
    await call("PUT", "templates/x", {"instructions": "no model"})
    for path in bodies:
        await call("GET", f"{path}/x/dependents")
        await call("GET", f"{path}/none/dependents")
        await call("DELETE", f"{path}/x")
        await call("DELETE", f"{path}/none")
    await call("GET", "overrides")
    await call("PUT", "overrides", {"temperature": 0.5})
    await call("GET", "overrides/versions")
    await call("DELETE", "overrides")
    await call("DELETE", "overrides")
    for body in ({"language": "de"}, {"language": "?"}):
        await call("PUT", "users/ada@x.org/preferences", body)
    await call("GET", "users/ada@x.org/preferences")
    await call("DELETE", "users/ada@x.org/preferences")
    await call("GET", "users/ada@x.org/preferences")


async def _team(call: Callable[..., Awaitable[Reply]]) -> None:
    """Call every operation on teams, and by which people take part in conversations."""
    people = {"name": "people", "people": ["ann"], "specialization": "human"}
    trigger = {"name": "p", "condition": "keyword_detected", "parameters": {"keywords": ["ann"]}, "target": "people"}
    team = {"members": [{"name": "a", "agent": "a", "handoff_triggers": [trigger]}, people], "description": "x"}
    for body in (team, team, {"members": []}):
        await call("PUT", "teams/t", body)
    await call("PUT", "teams/t", team, If_Match='"9"')
    for path in ("teams", "teams/t", "teams/none", "teams/t/versions", "teams/t/status", "teams/none/status"):
        await call("GET", path)
    for query in (f"{PROMPT} ann", "", f"{PROMPT} ann"):
        await call("POST", "teams/t/runs", {"query": query, "session_id": "t1"})
    await call("POST", "teams/none/runs", {"query": PROMPT})
    for path in ("inbox", "inbox?team=t&member=people", "inbox?next=x"):
        await call("GET", path)
    for verb, body in (
        ("claim", {"by": "eve"}),
        ("claim", {"by": "ann"}),
        ("release", {"by": "ann"}),
        ("reply", {"by": "ann", "text": "Hello."}),
        ("reply", {"by": "ann", "text": " "}),
        ("return", {"by": "ann"}),
        ("return", {"by": "ann"}),
        ("handoff", {"reason": "x", "target": "people"}),
        ("handoff", {"reason": "x", "target": "people"}),
        ("handoff", {}),
    ):
        await call("POST", f"sessions/t1/{verb}", body)
        await call("POST", f"sessions/nothing/{verb}", body)
    await call("DELETE", "teams/t")
    await call("DELETE", "teams/none")


async def _save(call: Callable[..., Awaitable[Reply]]) -> None:
    """Call every operation on savings, and on history under other terms."""
    found = (await call("POST", "optimizations", {"days": 3})).json()["id"]
    for body in ({"agent": "nobody"}, {"days": 0}, {"aggressive": True, "preserve_performance": True}):
        await call("POST", "optimizations", body)
    for path in ("optimizations", "optimizations?limit=0", f"optimizations/{found}", "optimizations/none"):
        await call("GET", path)
    for body in ({"proposals": ["cheaper_model:a"]}, {"proposals": []}):
        await call("POST", f"optimizations/{found}/apply", body)
    for body in ({"kind": "pool", "concurrency": 2}, {"kind": "cache", "capacity": 2}, {"kind": "pool", "capacity": 2}):
        await call("POST", "what-if", body)


async def _workflows(call: Callable[..., Awaitable[Reply]]) -> None:
    """Call every operation of workflows and their runs."""
    branches = [{"name": name, "agent": "a", "on_failure": "continue"} for name in ("x", "y")]
    steps = [{"name": "both", "parallel": branches, "aggregator": {"agent": "a"}}, {"name": "z", "agent": "a"}]
    for content in ({"steps": steps}, {"steps": steps}, {"steps": []}, {"steps": [{"name": "z", "agent": "nobody"}]}):
        await call("PUT", "workflows/w", content)
    await call("PUT", "workflows/w", {"steps": steps}, If_Match='"9"')
    body = {"input": PROMPT, "user_id": "ada", "metadata": {"k": "v"}, "priority": "high"}
    started = (await call("POST", "workflows/w/runs", body, Idempotency_Key="k")).json()
    await call("POST", "workflows/w/runs", {"input": "y"}, Idempotency_Key="k")
    await call("POST", "workflows/w/runs", {"input": "y" * 70_000})
    await call("POST", "workflows/none/runs", body)
    for path in (
        *("workflows", "workflows/w", "workflows/none", "workflows/w/versions", "workflows/none/versions"),
        *("workflows/w/runs", "workflows/w/runs?limit=0", f"workflow-runs/{started['id']}", "workflow-runs/none"),
    ):
        await call("GET", path)
    await call("POST", f"workflow-runs/{started['id']}/cancel")
    await call("POST", "workflow-runs/none/cancel")
    await call("DELETE", "workflows/w", If_Match='"9"')
    for _ in range(2):
        await call("DELETE", "workflows/w")


async def _share(call: Callable[..., Awaitable[Reply]]) -> None:
    """Call every operation of pools, resources and scaling."""
    pool = {"agents": ["a"], "limits": {"concurrent_runs": 50, "tokens_per_minute": 1_000_000}}
    for body in (pool, pool, {"agents": ["a"], "limits": {"memory_mb": 8192}}, {"no": "such field"}):
        await call("PUT", "pools/a", body)
    await call("PUT", "pools/b", pool)
    for path in ("pools", "pools/a", "pools/none", "pools/a/costs", "pools/none/costs", "pools/a/costs?from=x"):
        await call("GET", path)
    for path in ("resources", "resources/history", "resources/history?hours=0"):
        await call("GET", path)
    for _ in range(2):
        await call("DELETE", "pools/a")
    trigger = {"metric": "memory_share", "condition": "gt", "threshold": 0.85}
    for workspace in ("default", "another"):
        await call("GET", "scaling/policy", X_Workspace=workspace)
        for body in ({"triggers": [trigger]}, {"min_instances": 11}, {"no": "such field"}):
            await call("PUT", "scaling/policy", body, X_Workspace=workspace)
        plan = (await call("GET", "scaling/recommendation", X_Workspace=workspace)).json()
        for body in ({"id": plan.get("id", "0" * 16)}, {"id": "x"}):
            await call("POST", "scaling/apply", body, X_Workspace=workspace)


async def _other_protocols(call: Callable[..., Awaitable[Reply]]) -> None:
    """Call every operation in other shapes: OpenAI's API, MCP and A2A."""
    await call("PUT", "agents/spoken", {"model": "m"})
    question = {"model": "spoken", "messages": [{"role": "user", "content": PROMPT}]}
    for path in ("v1/models", "v1/models/spoken", "v1/models/nobody", "v1/models?no=1", "v1/responses/x"):
        await call("GET", path)
    for body in (question, question | {"stream": True}, question | {"model": "nobody"}, question | {"n": 2}, {}):
        await call("POST", "v1/chat/completions", body)
    await call("POST", "v1/conversations", {})
    made = await call("POST", "v1/responses", {"model": "spoken", "input": PROMPT})
    await call("POST", "v1/responses", {"model": "spoken", "input": PROMPT, "store": False})
    await call("GET", f"v1/responses/{made.json()['id']}")
    await call("POST", f"v1/responses/{made.json()['id']}/cancel")
    await call("POST", "v1/responses/x/cancel")
    await call("POST", "mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
    await call("POST", "mcp", b"{", Content_Type="text/plain")
    await call("GET", "a2a/spoken/.well-known/agent-card.json")
    await call("GET", "a2a/nobody/.well-known/agent-card.json")
    task = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}
    await call("POST", "a2a/spoken", task, A2A_Version="1.0")
    await call("POST", "a2a/nobody", task, A2A_Version="1.0")
    run = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": PROMPT}]}
    for name, body in (("spoken", run), ("nobody", run), ("spoken", {})):
        await call("POST", f"agui/{name}", body)


async def _operate(call: Callable[..., Awaitable[Reply]], run_id: str) -> None:
    """Call every operation on what watches and limits agents, and on sessions' lives."""
    for body in ({"agents": ["a"]}, {"agents": ["nobody"]}, {"no": "such field"}):
        await call("POST", "loader/preload", body)
    for flag in ("true", "false", "perhaps"):
        await call("POST", f"loader/optimize?dry_run={flag}")
    limits = {"limits": [{"unit": "calls", "period": "day", "limit": 100}]}
    price = {"input": 1, "output": 2}
    bodies: dict[str, Any] = {
        "budgets/agent:a": limits,
        "prices/my-model": {"input": 1.5, "output": 6},
        "routes/chat": {"deployments": [{"name": "one", "provider": "offline", "model": "m", "price": price}]},
        "alerts/slow": {"metric": "latency_p95_ms", "condition": "gt", "threshold": 9},
        "channels/ops": {"url": "http://127.0.0.1:9/hook", "events": ["alert.*"]},
    }
    for path, body in bodies.items():
        for content in (body, body, {"no": "such field"}):
            await call("PUT", path, content)
        kind = path.split("/", maxsplit=1)[0]
        for each in (path, kind, f"{kind}/none", f"{kind}?limit=0"):
            await call("GET", each)
    for path in (
        "usage",
        "usage?agent=a",
        "usage/waiting",
        "usage/waiting?limit=1&next=none",
        "channels/ops/deliveries",
        "channels/none/deliveries",
        "alerts/fired",
        "loader",
        "loader/activity",
        "loader/what-if?hours=1&workers=2",
        "loader/what-if?capacity=0",
        "performance",
        "performance/a",
        "performance/nobody",
        "performance/a/insights",
        "evaluations?agent=a",
        "evaluations",
        "evaluations/a/versions",
        "evaluations/a/comparison",
        "agents/a/audit",
        "agents/nobody/audit",
        "events?wait=0",
        "events?last_event_id=x",
        "status",
        "analytics",
        "analytics?from=x",
        "metrics",
    ):
        await call("GET", path)
    await _save(call)
    await _share(call)
    await call("POST", "channels/ops/test")
    await call("POST", "agents/a/rollback", {"revision": 1})
    await call("POST", "agents/a/rollback", {})
    await call("POST", f"runs/{run_id}/resume")
    await call("POST", "sessions", {"agent": "a", "session_id": "s4", "limits": {"max_turns": 3}, "pin_version": True})
    for verb in ("unpin", "pause", "resume", "resume"):
        await call("POST", f"sessions/s4/{verb}")
    for path in ("sessions/s/export", "sessions/s/export?format=markdown", "sessions/s/export?format=x"):
        await call("GET", path)
    for _ in range(2):
        await call("DELETE", "sessions/s4")
    for path in bodies:
        await call("DELETE", path)
        await call("DELETE", path)


async def test_real_answers_are_as_described(api: Api, document: Any, stack: Stack) -> None:
    """Every operation is called, with success and with failure, and each answer fits its schema."""
    seen: set[str] = set()

    async def call(method: str, path: str, body: Any = None, **headers: str) -> Reply:
        reply = await api.call(method, path, body, **headers)
        seen.add(check(document, method, path, reply))
        return reply

    spec = {"model": "gpt-4o", "labels": {"team": "x"}, "simulate": {"fail_first": 1}, "tools": ["calculator"]}
    await call("PUT", "agents/a", spec)
    await call("PUT", "agents/a", spec)
    await call("PUT", "agents/a", spec, If_Match='"9"')
    await call("PUT", "agents/A", spec)
    await call("PUT", "agents/a", {"model": 7})
    body = {"query": PROMPT, "session_id": "s", "user_id": "ada", "expected_topics": ["x"], "metadata": {"k": "v"}}
    run = (await call("POST", "agents/a/runs", body, Idempotency_Key="k")).json()
    await api.ended(run["id"])
    await call("POST", "agents/a/runs", body, Idempotency_Key="k")
    await call("POST", "agents/a/runs", body | {"query": "y"}, Idempotency_Key="k")
    await call("POST", "agents/a/runs", body | {"query": "y" * 70_000})
    await call("POST", "agents/nobody/runs", body)
    waited = await call("POST", "agents/a/runs", {"query": PROMPT}, Prefer="wait=20")
    await call("GET", f"runs/{run['id']}")
    await call("GET", f"runs/{waited.json()['id']}")
    await call("GET", "runs/x")
    await call("POST", f"runs/{run['id']}/cancel")
    for verb in ("prewarm", "verify", "disable"):
        await call("POST", f"agents/a/{verb}")
    await call("POST", "agents/a/restore")
    for verb in ("enable", "retire", "restore"):
        await call("POST", f"agents/a/{verb}")
    for path in ("agents", "agents/a", "agents/b", "agents/a/stats", "agents/a/versions", "stats", "agents?limit=0"):
        await call("GET", path)
    for version in ("1", "9"):
        await call("GET", f"agents/a/versions/{version}")
    await call("POST", "sessions", {"agent": "a", "session_id": "s2"})
    await call("POST", "sessions", {"agent": "a", "session_id": "s2", "user_id": "bob"})
    await call("POST", "sessions/s2/end")
    await call("POST", "sessions/nothing/end")
    for path in (
        "sessions",
        "sessions/s",
        "sessions/x",
        "sessions/s/messages",
        "sessions/s/events",
        "sessions?limit=x",
    ):
        await call("GET", path)
    await stack.run_timer("aggregate_costs")
    report = (await call("GET", "reports")).json()["items"][0]
    key = report["period"]["key"]
    for path in (f"reports/{key}", f"reports/{key}?format=csv", "reports/1999-01-01", "reports/x", "costs"):
        await call("GET", path)
    await call("POST", "prune")
    await call("POST", "prune?dry_run=x")
    await call("PUT", "agents/unused", {"model": "m"})
    plan = (await call("GET", "registry/plan")).json()
    for path in (f"registry/plan/{plan['id']}", "registry/plan/x", "registry/plan?next=x"):
        await call("GET", path)
    await call("POST", "registry/apply", {"plan_id": plan["id"]})
    await call("POST", "registry/apply", {"plan_id": "x"})
    await call("POST", "registry/apply", {})
    await stack.send({"workspace": api.workspace, "agent": "unborn", "query": PROMPT}, "s3", "m")
    letter = (await api.letters("s3"))[0]
    await call("GET", "dead-letters")
    await call("POST", f"dead-letters/{letter['id']}/redrive")
    await call("POST", "dead-letters/0/redrive")
    await call("POST", "dead-letters/x/redrive")
    await _compose(call)
    await _workflows(call)
    await _operate(call, run["id"])
    await _people(call, run["id"])
    await _plan(call, stack, run["id"])
    await _team(call)
    await _other_protocols(call)
    await call("GET", "health")
    await call("GET", "openapi.json")
    await call("GET", "docs")
    await call("DELETE", "agents/a", If_Match='"1"')
    await call("DELETE", "agents/a")
    await call("DELETE", "agents/a")
    await eventually(lambda: api.letters("s3"))

    described = {op["operationId"] for operations in document["paths"].values() for op in operations.values()}
    assert described == seen


async def _plan(call: Callable[..., Awaitable[Reply]], stack: Stack, run_id: str) -> None:
    """Call what asks agents by itself, and what reports runs."""
    await call("PUT", "agents/planned", {"model": "gpt-5-mini"})
    replied = {"query": PROMPT, "callback": {"queue": REPLY_QUEUE}}
    reported = (await call("POST", "agents/planned/runs", replied, Prefer="wait=20")).json()
    await call("POST", "agents/planned/runs", replied | {"callback": {}})
    await stack.run_timer("deliver_notifications")
    await call("GET", f"runs/{reported['id']}/callback")
    await call("POST", f"runs/{reported['id']}/callback/redeliver")
    await call("POST", f"runs/{run_id}/callback/redeliver")
    await call("GET", "callbacks?state=delivered")
    await call("GET", "callbacks?state=x")
    wanted = {"agent": "planned", "run": {"query": PROMPT}, "cron": "0 0 9 * * *"}
    for body in (wanted, wanted | {"time_zone": "Europe/Berlin"}, wanted | {"cron": "x"}):
        await call("PUT", "schedules/daily", body)
    for path in ("schedules", "schedules/daily", "schedules/x"):
        await call("GET", path)
    await call("DELETE", "schedules/daily", If_Match='"9"')
    await call("DELETE", "schedules/daily")
    line = json.dumps({"query": PROMPT}).encode()
    batch = (await call("POST", "batches?agent=planned&max_cost_usd=1", line, Content_Type="application/jsonl")).json()
    await call("POST", "batches", line, Content_Type="application/jsonl")
    await call("POST", "batches", {"query": PROMPT})
    for path in ("batches", f"batches/{batch['id']}", "batches/x", f"batches/{batch['id']}/results"):
        await call("GET", path)
    await call("POST", f"batches/{batch['id']}/cancel")
    for workspace in ("default", "another"):
        await call("GET", "timers", X_Workspace=workspace)
        await call("POST", "timers/submit_planned_runs/run", X_Workspace=workspace)
    await call("POST", "timers/nothing/run", X_Workspace="default")
    await call("POST", f"batches/{batch['id']}/cancel")
