"""Handlers of drift."""

from __future__ import annotations

import re
from typing import Any

from kernel.errors import NotFound
from triggers.http.drift.views import PlanView
from triggers.http.endpoint import MAX_LIMIT
from triggers.http.handler_call import Call, Reply, page_token

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def _page(call: Call, plan_id: str, first: int) -> Reply:
    limit = call.limit()
    stored = await call.services.drift.plans.find(call.workspace, plan_id)
    steps = await call.services.drift.plans.steps(stored, first, limit)
    after = first + limit if first + limit < stored.lines else None
    return Reply(PlanView.from_plan(stored, steps, page_token(f"{plan_id}/{after}") if after else None))


def _position(value: Any) -> tuple[str, int]:
    """Return the plan and the line of a cursor.

    Raises:
        ValueError: The cursor is not valid.
    """
    plan_id, _, first = value.partition("/")
    if not _ID.fullmatch(plan_id) or not re.fullmatch(r"[0-9]{1,7}", first):
        msg = "no position"
        raise ValueError(msg)
    return plan_id, int(first)


def _position_in(plan_id: str, value: Any) -> int:
    other, first = _position(value)
    if other != plan_id:
        msg = "a position in another plan"
        raise ValueError(msg)
    return first


def _checked(plan_id: str) -> str:
    if not _ID.fullmatch(plan_id):
        raise NotFound("There is no such plan.", code="plan_not_found")
    return plan_id


async def registry_plan(call: Call) -> Reply:
    position = call.cursor(_position)
    if position is not None:
        return await _page(call, *position)
    made = await call.services.drift.plans.make(call.workspace)
    return await _page(call, made.id, 0)


async def registry_plan_get(call: Call) -> Reply:
    plan_id = _checked(call.route("id"))
    position = call.cursor(lambda value: _position_in(plan_id, value))
    return await _page(call, plan_id, position or 0)


async def registry_apply(call: Call) -> Reply:
    plan_id = _checked(call.body.plan_id)
    only, destructive = call.body.lines, call.body.destructive
    stored, steps = await call.services.drift.plans.apply(
        call.workspace, plan_id, call.signals, only=only, destructive=destructive, by=call.caller
    )
    after = page_token(f"{plan_id}/{MAX_LIMIT}") if only is None and len(steps) > MAX_LIMIT else None
    view = PlanView.from_plan(stored, steps[:MAX_LIMIT] if only is None else steps, after)
    return Reply(view, 202, {"Location": f"/api/registry/plan/{plan_id}"})
