"""Handlers of budgets."""

from __future__ import annotations

import asyncio
from typing import Any

from kernel.ids import agent_name, parse_run_id, session_id, user_id
from lifecycle.conversations.run import RunState
from llmops.budgets.budget_rules import CostAttribution, parse_scope
from triggers.http.budgets.views import (
    BlockedRunPage,
    BlockedRunView,
    BudgetBody,
    BudgetPage,
    BudgetView,
    UsagePage,
    UsageView,
)
from triggers.http.handler_call import Call, Reply, page_token

WAITING = "Waiting-Runs"
"""Response header: the number of runs that waited for a budget; those now allowed continue in the background."""


def _charged(call: Call) -> CostAttribution:
    agent, user, session, run = (call.query(name) for name in ("agent", "user", "session", "run"))
    return CostAttribution(
        call.workspace,
        agent_name(agent) if agent is not None else "",
        session_id(session) if session is not None else "",
        parse_run_id(run) if run is not None else "",
        user_id(user) if user is not None else "",
    )


def _scope_text(value: Any) -> str:
    return str(parse_scope(value))


async def usage(call: Call) -> Reply:
    if any(call.query(name) is not None for name in ("agent", "user", "session", "run")):
        found, after = await call.services.budgets.usage.of(_charged(call)), None
    else:
        found, after = await call.services.budgets.usage.list(call.workspace, call.limit(), call.cursor(_scope_text))
    items = [UsageView.from_position(position) for position in found]
    return Reply(UsagePage(items=items, next=page_token(after)), headers={"Cache-Control": "no-store"})


async def usage_waiting(call: Call) -> Reply:
    waits, after = await call.services.budgets.waits.page(call.workspace, call.limit(), call.cursor(parse_run_id))
    store = call.services.conversations.store
    runs = await asyncio.gather(*(store.run(call.workspace, each.who.session_id, each.who.run_id) for each in waits))
    # The index of waiting runs may contain one that has continued.
    blocked = [(run, wait) for run, wait in zip(runs, waits, strict=True) if run and run.state is RunState.WAITING]
    items = [BlockedRunView.from_run(run, wait) for run, wait in blocked]
    return Reply(BlockedRunPage(items=items, next=page_token(after)), headers={"Cache-Control": "no-store"})


async def budgets_list(call: Call) -> Reply:
    found, after = await call.services.budgets.store.list(call.workspace, call.limit(), call.cursor(_scope_text))
    items = [BudgetView.from_budget(budget) for budget, _ in found]
    return Reply(BudgetPage(items=items, next=page_token(after)))


async def budgets_get(call: Call) -> Reply:
    budget, etag = await call.services.budgets.store.get(call.workspace, parse_scope(call.route("scope")))
    return Reply(BudgetView.from_budget(budget), headers={"ETag": etag})


async def budgets_put(call: Call) -> Reply:
    scope = parse_scope(call.route("scope"))
    body: BudgetBody = call.body
    budget = body.of(scope)
    etag, new = await call.services.budgets.store.put(call.workspace, budget, call.header("if-match"))
    waiting = await call.services.runs.resume.begin(call.workspace, call.queue.send)
    return Reply(BudgetView.from_budget(budget), 201 if new else 200, {"ETag": etag, WAITING: str(waiting)})


async def budgets_delete(call: Call) -> Reply:
    scope = parse_scope(call.route("scope"))
    await call.services.budgets.store.delete(call.workspace, scope, call.header("if-match"))
    waiting = await call.services.runs.resume.begin(call.workspace, call.queue.send)
    return Reply(status=204, headers={WAITING: str(waiting)})
