"""HTTP: budgets, how much of them is used, and runs that wait for one."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from bootstrap.services import Services
from kernel.errors import InvalidInput
from kernel.ids import agent_name, parse_run_id, session_id, user_id
from lifecycle.runs.queue import RunQueue
from llmops.budgets.rules import Charged, parse_scope
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, page_token
from triggers.views.budgets import (
    BudgetBody,
    BudgetPage,
    BudgetView,
    PriceBody,
    PricePage,
    PriceView,
    UsagePage,
    UsageView,
)
from triggers.views.runs import RunView

WAITING = "Waiting-Runs"
"""Header: how many runs wait for a budget; those that have room again go on in the background."""

_NAMED = {
    "agent": "Only what applies to this agent …",
    "user": "… to this user …",
    "session": "… to this session …",
    "run": "… and to this run.",
}
_PRICED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")
_RATE_KEY = re.compile(r"rate![0-9a-f]{32}")


def register(api: Api, services: Services, queue: RunQueue) -> None:
    """Add the endpoints of budgets and prices."""
    _register_budgets(api, services, queue)
    _register_prices(api, services)

    @api.handle(
        Endpoint("GET", "usage", "usage", "How much of each budget is used.", returns=UsagePage, query=PAGING | _NAMED)
    )
    async def usage(call: Call) -> Reply:
        if any(call.query(name) for name in _NAMED):
            found, after = await services.positions.of(_charged(call)), None
        else:
            found, after = await services.positions.list(call.workspace, call.limit(), call.cursor(_scope_text))
        items = [UsageView.from_position(position) for position in found]
        return Reply(UsagePage(items=items, next=page_token(after)), headers={"Cache-Control": "no-store"})

    @api.handle(
        Endpoint(
            "POST",
            "runs/{run_id}/resume",
            "runs_resume",
            "Let a run go on that waits for a budget or for approval; if there is still no room, it waits again.",
            returns=RunView,
            status=202,
            errors=(404, 409),
        )
    )
    async def resume(call: Call) -> Reply:
        run_id = parse_run_id(call.route("run_id"))
        run = await services.run_resume.resume(call.workspace, run_id, queue.send, call.caller)
        return Reply(RunView.of(run), 202, {"Location": f"/api/runs/{run.id}"})


def _register_budgets(api: Api, services: Services, queue: RunQueue) -> None:
    @api.handle(Endpoint("GET", "budgets", "budgets_list", "List budgets by scope.", returns=BudgetPage, query=PAGING))
    async def listing(call: Call) -> Reply:
        found, after = await services.budgets.list(call.workspace, call.limit(), call.cursor(_scope_text))
        items = [BudgetView.from_budget(budget) for budget, _ in found]
        return Reply(BudgetPage(items=items, next=page_token(after)))

    @api.handle(Endpoint("GET", "budgets/{scope}", "budgets_get", "Get a budget.", returns=BudgetView, errors=(404,)))
    async def get(call: Call) -> Reply:
        budget, etag = await services.budgets.get(call.workspace, parse_scope(call.route("scope")))
        return Reply(BudgetView.from_budget(budget), headers={"ETag": etag})

    @api.handle(
        Endpoint(
            "PUT",
            "budgets/{scope}",
            "budgets_put",
            "Declare a scope's budget; runs that wait and have room again go on.",
            body=BudgetBody,
            returns=BudgetView,
            also=201,
            errors=(412,),
        )
    )
    async def put(call: Call) -> Reply:
        scope = parse_scope(call.route("scope"))
        body: BudgetBody = call.body
        budget = body.of(scope)
        etag, new = await services.budgets.put(call.workspace, budget, call.header("if-match"))
        waiting = await services.run_resume.begin(call.workspace, queue.send)
        return Reply(BudgetView.from_budget(budget), 201 if new else 200, {"ETag": etag, WAITING: str(waiting)})

    @api.handle(
        Endpoint("DELETE", "budgets/{scope}", "budgets_delete", "Delete a budget.", status=204, errors=(404, 412))
    )
    async def delete(call: Call) -> Reply:
        scope = parse_scope(call.route("scope"))
        await services.budgets.delete(call.workspace, scope, call.header("if-match"))
        waiting = await services.run_resume.begin(call.workspace, queue.send)
        return Reply(status=204, headers={WAITING: str(waiting)})


def _register_prices(api: Api, services: Services) -> None:
    @api.handle(Endpoint("GET", "prices", "prices_list", "List rates of your own.", returns=PricePage, query=PAGING))
    async def listing(call: Call) -> Reply:
        found, after = await services.rates.list(call.workspace, call.limit(), call.cursor(_rate_key))
        return Reply(PricePage(items=[PriceView.from_rate(rate) for rate, _ in found], next=page_token(after)))

    @api.handle(
        Endpoint("GET", "prices/{name}", "prices_get", "Get a rate of your own.", returns=PriceView, errors=(404,))
    )
    async def get(call: Call) -> Reply:
        rate, etag = await services.rates.get(call.workspace, _priced(call))
        return Reply(PriceView.from_rate(rate), headers={"ETag": etag})

    @api.handle(
        Endpoint(
            "PUT",
            "prices/{name}",
            "prices_put",
            "Price a model, a deployment or a provider's tool at a rate of your own.",
            body=PriceBody,
            returns=PriceView,
            also=201,
            errors=(412,),
        )
    )
    async def put(call: Call) -> Reply:
        body: PriceBody = call.body
        rate = body.of(_priced(call))
        if rate is None:
            msg = "A model is priced by input and output, a name with 'tool:' by per_1000_calls."
            raise InvalidInput(msg, code="invalid_price")
        etag, new = await services.rates.put(call.workspace, rate, call.header("if-match"))
        return Reply(PriceView.from_rate(rate), 201 if new else 200, {"ETag": etag})

    @api.handle(
        Endpoint(
            "DELETE",
            "prices/{name}",
            "prices_delete",
            "Go back to the public price.",
            status=204,
            errors=(404, 412),
        )
    )
    async def delete(call: Call) -> Reply:
        await services.rates.delete(call.workspace, _priced(call), call.header("if-match"))
        return Reply(status=204)


def _charged(call: Call) -> Charged:
    agent, user, session, run = (call.query(name) for name in ("agent", "user", "session", "run"))
    return Charged(
        call.workspace,
        agent_name(agent) if agent else "",
        session_id(session) if session else "",
        parse_run_id(run) if run else "",
        user_id(user) if user else "",
    )


def _priced(call: Call) -> str:
    name = unquote(call.route("name"))  # a slash in it comes as %2F, which hosts leave as it is
    if not _PRICED.fullmatch(name):
        msg = "A price is of a model as its provider names it, or of 'tool:' and a tool's name."
        raise InvalidInput(msg, code="invalid_price_name")
    return name


def _scope_text(value: Any) -> str:
    return str(parse_scope(value))


def _rate_key(value: Any) -> str:
    if not _RATE_KEY.fullmatch(value):
        msg = "no position"
        raise ValueError(msg)
    return value
