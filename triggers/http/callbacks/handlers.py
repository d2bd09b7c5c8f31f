"""Handlers of callbacks."""

from __future__ import annotations

from kernel.errors import InvalidInput
from kernel.ids import newest_first_key, parse_run_id
from lifecycle.callbacks.callback_delivery import no_callback
from llmops.notifications.delivery_history import DeliveryState
from triggers.http.callbacks.views import CallbackPage, CallbackView
from triggers.http.handler_call import Call, Reply, page_token


async def callbacks_list(call: Call) -> Reply:
    state = _state(call.query("state"))
    found, after = await call.services.conversations.callback_records.list(
        call.workspace, call.limit(), call.cursor(newest_first_key), state
    )
    return Reply(CallbackPage(items=[CallbackView.of(each) for each in found], next=page_token(after)))


async def runs_callback(call: Call) -> Reply:
    run = await call.services.runs.queries.get(call.workspace, parse_run_id(call.route("run_id")))
    record = await call.services.conversations.callback_records.of_run(call.workspace, run.created_at, run.id)
    if record is None:
        raise no_callback(run.id)
    return Reply(CallbackView.of(record))


async def runs_callback_redeliver(call: Call) -> Reply:
    run = await call.services.runs.queries.get(call.workspace, parse_run_id(call.route("run_id")))
    await call.services.conversations.callbacks.redeliver(run)
    return Reply(status=202, headers={"Location": f"/api/runs/{run.id}/callback"})


def _state(text: str | None) -> DeliveryState | None:
    if text is None:
        return None
    try:
        return DeliveryState(text)
    except ValueError:
        rule = f"one of {', '.join(DeliveryState)}"
        raise InvalidInput(f"'state' is {rule}.", code="invalid_state", fields={"state": rule}) from None
