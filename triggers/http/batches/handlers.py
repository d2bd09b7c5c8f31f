"""Handlers of batches."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from kernel.errors import InvalidInput
from kernel.ids import agent_name, new_id, newest_first_key, parse_run_id, run_id
from lifecycle.batches.batch_rules import Batch, parse_lines
from triggers.http.batches import JSON_LINES
from triggers.http.batches.views import BatchPage, BatchResultLine, BatchView
from triggers.http.handler_call import Call, Reply, index, page_token

_MOST_USD = 1_000_000


def _view(batch: Batch) -> BatchView:
    progress = batch.progress
    return BatchView.of(
        batch,
        submitted=progress.submitted,
        underway=len(progress.underway),
        succeeded=progress.succeeded,
        failed=progress.failed,
        cancelled=progress.cancelled,
        cost_micro_usd=progress.cost_micro_usd,
        uncosted_runs=progress.uncosted,
    )


async def batches_create(call: Call) -> Reply:
    agent = call.query("agent")
    items = parse_lines(call.body, agent_name(agent) if agent else None, call.services.core.settings.max_query_bytes)
    key = call.header("idempotency-key")
    ident = run_id(call.workspace, key) if key else new_id()
    batch, _ = await call.services.planned.batches.create(
        call.workspace, ident, items, _micro_usd(call.written("max_cost_usd"))
    )
    return Reply(_view(batch), 202, {"Location": f"/api/batches/{batch.id}"})


async def batches_list(call: Call) -> Reply:
    found, after = await call.services.planned.batch_store.list(
        call.workspace, call.limit(), call.cursor(newest_first_key)
    )
    return Reply(BatchPage(items=[_view(batch) for batch in found], next=page_token(after)))


async def batches_get(call: Call) -> Reply:
    return Reply(_view(await call.services.planned.batches.get(call.workspace, _id(call))))


async def batches_cancel(call: Call) -> Reply:
    batch = await call.services.planned.batches.cancel(call.workspace, _id(call))
    return Reply(_view(batch), 200 if batch.over else 202)


async def batches_results(call: Call) -> Reply:
    ident, limit, first = _id(call), call.limit(), call.cursor(index) or 0
    found = await call.services.planned.batches.results(call.workspace, ident, first, limit)
    lines = "".join(f"{BatchResultLine.of_result(each).model_dump_json()}\n" for each in found)
    headers: dict[str, str] = {}
    if len(found) == limit:
        token = page_token(first + limit)
        headers["Link"] = f'</api/batches/{ident}/results?limit={limit}&next={token}>; rel="next"'
    return Reply(lines, headers=headers, mimetype=JSON_LINES)


def _id(call: Call) -> str:
    try:
        return parse_run_id(call.route("id"))
    except InvalidInput:
        raise InvalidInput("A batch's id is a UUID.", code="invalid_batch_id") from None


def _micro_usd(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not (amount.is_finite() and 0 < amount <= _MOST_USD):
        rule = f"an amount in USD above 0, at most {_MOST_USD:,}"
        raise InvalidInput(f"max_cost_usd is {rule}.", code="invalid_max_cost", fields={"max_cost_usd": rule})
    return max(1, int(amount * 1_000_000))
