"""HTTP: plan and apply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kernel.errors import NotFound
from triggers.api import MAX_LIMIT, Endpoint, Reply, page_token
from triggers.views.drift import PlanApplication, PlanView

if TYPE_CHECKING:
    from bootstrap.services import Services
    from triggers.api import Api, Call

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PAGING = {"limit": "Lines a page, 1-200; 50 unless given.", "next": "The `next` of the page before."}


def register(api: Api, services: Services) -> None:
    """Add the endpoints of plans."""

    @api.handle(
        Endpoint(
            "GET",
            "registry/plan",
            "registry_plan",
            "Compare what is declared, recorded and at the providers, and keep what differs as a plan to apply.",
            returns=PlanView,
            query=_PAGING,
            errors=(404,),
        )
    )
    async def plan(call: Call) -> Reply:
        position = call.cursor(_position)
        if position is not None:
            return await _page(services, call, *position)
        made = await services.plans.make(call.workspace)
        return await _page(services, call, made.id, 0)

    @api.handle(
        Endpoint(
            "GET",
            "registry/plan/{id}",
            "registry_plan_get",
            "Get a plan, with what has become of each line since it was applied.",
            returns=PlanView,
            query=_PAGING,
            errors=(404,),
        )
    )
    async def progress(call: Call) -> Reply:
        plan_id = _checked(call.route("id"))
        position = call.cursor(lambda value: _position_in(plan_id, value))
        return await _page(services, call, plan_id, position or 0)

    @api.handle_with_signals(
        Endpoint(
            "POST",
            "registry/apply",
            "registry_apply",
            "Have the agents' actors do what a plan says; the plan itself tells how far they are.",
            body=PlanApplication,
            returns=PlanView,
            status=202,
            errors=(404, 409),
        )
    )
    async def apply(call: Call) -> Reply:
        plan_id = _checked(call.body.plan_id)
        stored, steps = await services.plans.apply(
            call.workspace, plan_id, call.signals, destructive=call.body.destructive, by=call.caller
        )
        after = page_token(f"{plan_id}/{MAX_LIMIT}") if len(steps) > MAX_LIMIT else None
        view = PlanView.from_plan(stored, steps[:MAX_LIMIT], after)
        return Reply(view, 202, {"Location": f"/api/registry/plan/{plan_id}"})


async def _page(services: Services, call: Call, plan_id: str, first: int) -> Reply:
    limit = call.limit()
    stored = await services.plans.find(call.workspace, plan_id)
    steps = await services.plans.steps(stored, first, limit)
    after = first + limit if first + limit < stored.lines else None
    return Reply(PlanView.from_plan(stored, steps, page_token(f"{plan_id}/{after}") if after else None))


def _position(value: Any) -> tuple[str, int]:
    """Return the plan and the line that a cursor stands for.

    Raises:
        ValueError: It stands for none.
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
