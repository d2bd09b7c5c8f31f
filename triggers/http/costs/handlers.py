"""Handlers of costs."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from kernel.errors import InvalidInput
from kernel.ids import MODEL_NAME
from llmops.spend.costs import (
    LONGEST_BY_SESSION_DAYS,
    MOST_FACTS,
    check_range,
    costs_by_session,
    costs_of,
    group_by,
    split_by,
    split_days,
)
from triggers.http.costs.views import CostsView, PriceBody, PricePage, PriceView
from triggers.http.days import day_range
from triggers.http.handler_call import Call, Reply, page_token

_PRICED = re.compile(MODEL_NAME)
_RATE_KEY = re.compile(r"rate![0-9a-f]{32}")


def _priced(call: Call) -> str:
    name = unquote(call.route("name"))  # a slash in a name is sent as %2F, which hosts do not decode
    if not _PRICED.fullmatch(name):
        msg = "A price is of a model as its provider names it, or of 'tool:' and a tool's name."
        raise InvalidInput(msg, code="invalid_price_name")
    return name


def _rate_key(value: Any) -> str:
    if not _RATE_KEY.fullmatch(value):
        msg = "no position"
        raise ValueError(msg)
    return value


async def prices_list(call: Call) -> Reply:
    found, after = await call.services.budgets.rates.list(call.workspace, call.limit(), call.cursor(_rate_key))
    return Reply(PricePage(items=[PriceView.from_rate(rate) for rate, _ in found], next=page_token(after)))


async def prices_get(call: Call) -> Reply:
    rate, etag = await call.services.budgets.rates.get(call.workspace, _priced(call))
    return Reply(PriceView.from_rate(rate), headers={"ETag": etag})


async def prices_put(call: Call) -> Reply:
    body: PriceBody = call.body
    rate = body.of(_priced(call))
    if rate is None:
        msg = "A model is priced by input and output, a name with 'tool:' by per_1000_calls."
        raise InvalidInput(msg, code="invalid_price")
    etag, new = await call.services.budgets.rates.put(call.workspace, rate, call.header("if-match"))
    return Reply(PriceView.from_rate(rate), 201 if new else 200, {"ETag": etag})


async def prices_delete(call: Call) -> Reply:
    await call.services.budgets.rates.delete(call.workspace, _priced(call), call.header("if-match"))
    return Reply(status=204)


async def costs(call: Call) -> Reply:
    today = call.services.core.clock().date()
    first, last = day_range(call)
    grouping = group_by(call.query("group_by") or "agent")
    wanted = call.query("split_by")
    split = split_by(wanted, grouping) if wanted is not None else None
    if grouping == "session":
        check_range(first, last, LONGEST_BY_SESSION_DAYS)
        spent = await call.services.spend.figures.sessions(call.workspace, first, last, MOST_FACTS)
        return Reply(CostsView.from_costs(costs_by_session(spent, first, last)))
    check_range(first, last)
    sums = await call.services.spend.daily_costs.sums(call.workspace, first, last, today)
    found = costs_of(sums, first, last, grouping)
    return Reply(CostsView.from_costs(split_days(found, sums, split) if split else found))
