"""Handlers of savings and of what-if."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from kernel.errors import InvalidInput, NotFound
from kernel.ids import parse_run_id
from lifecycle.optimization.what_if_replay import Replayed
from llmops.optimization import what_if as rules
from triggers.http.handler_call import Call, Reply, at, page_token
from triggers.http.optimizations.views import (
    ApplyBody,
    OptimizationBody,
    OptimizationPage,
    OptimizationSummaryView,
    OptimizationView,
    OtherTermsBody,
    ReplayedHistoryView,
)


def _id(call: Call) -> str:
    try:
        return parse_run_id(call.route("id"))
    except InvalidInput:  # not the format of an id
        raise NotFound("There is no such optimization.", code="optimization_not_found") from None


async def optimizations_find(call: Call) -> Reply:
    body: OptimizationBody = call.body
    found = await call.services.optimization.proposals.find(call.workspace, body.request())
    return Reply(OptimizationView.from_optimization(found, {}), 201, at("optimizations", found.id))


async def optimizations_list(call: Call) -> Reply:
    found, after = await call.services.optimization.proposals.list(
        call.workspace, call.limit(), call.cursor(parse_run_id)
    )
    items = [OptimizationSummaryView.from_optimization(one) for one in found]
    return Reply(OptimizationPage(items=items, next=page_token(after)))


async def optimizations_get(call: Call) -> Reply:
    found, measured = await call.services.optimization.proposals.get(call.workspace, _id(call))
    return Reply(OptimizationView.from_optimization(found, measured))


async def optimizations_apply(call: Call) -> Reply:
    body: ApplyBody = call.body
    found = await call.services.optimization.proposals.apply(
        call.workspace, _id(call), body.proposals, call.signals, call.caller
    )
    return Reply(OptimizationView.from_optimization(found, {}))


async def what_if(call: Call) -> Reply:
    body: OtherTermsBody = call.body
    return Reply(ReplayedHistoryView.of_replay(body, await _replayed(call, body)))


async def _replayed(call: Call, body: OtherTermsBody) -> Replayed:
    replay, about = call.services.optimization.what_if, (call.workspace, body.agent, body.days)
    match body.kind:
        case "prices":
            own = body.rates()
            return await replay.of_facts(*about, lambda facts, rates: rules.other_prices(facts, own(rates), body.model))
        case "budget":
            rule = partial(rules.other_budget, unit=body.unit, period=body.period, limit=body.amount)
            return await replay.of_facts(*about, lambda facts, _: rule(facts))
        case "ttl":
            idle_after = timedelta(seconds=body.idle_after_s or 0)
            return await replay.of_facts(*about, lambda facts, _: rules.other_ttl(facts, idle_after))
        case "pool":
            limits = rules.OtherLimits(body.concurrency, body.tokens_per_minute, body.requests_per_minute)
            return await replay.of_facts(*about, lambda facts, _: rules.other_limit(facts, limits))
        case "cache":
            return await replay.of_cache(call.workspace, body.days, body.capacity or 1, body.workers or 1)
