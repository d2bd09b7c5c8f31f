"""HTTP: how the system is, and what happened over some days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmops.spend.costs import check_range
from triggers.api import Endpoint, Reply
from triggers.days import day
from triggers.views.status import AnalyticsView, StatusView

if TYPE_CHECKING:
    from bootstrap.services import Services
    from lifecycle.runs.queue import RunQueue
    from lifecycle.status.checks import Status
    from triggers.api import Api, Call


def register(api: Api, services: Services, queue: RunQueue) -> None:
    """Add the endpoints of the whole."""

    async def look(workspace: str) -> Status:
        return await services.system_status.look(workspace, queue, services.dead_letters(queue))

    @api.handle(
        Endpoint(
            "GET",
            "status",
            "status",
            "How the system is: healthy, degraded or critical, with the reason for each part that is not healthy.",
            returns=StatusView,
        )
    )
    async def status(call: Call) -> Reply:
        return Reply(StatusView.from_status(await look(call.workspace)), 200, {"Cache-Control": "no-store"})

    @api.handle(
        Endpoint(
            "GET",
            "analytics",
            "analytics",
            "What happened over some days: sessions, performance, resources, health.",
            returns=AnalyticsView,
            query={
                "from": "First UTC day, like 2026-11-01; today unless given.",
                "to": "Last UTC day, included; today unless given.",
            },
        )
    )
    async def analytics(call: Call) -> Reply:
        today = services.clock().date()
        last = day(call.query("to"), "to") or today
        first = day(call.query("from"), "from") or min(today, last)
        check_range(first, last)
        found = await services.analytics.read(call.workspace, first, last)
        return Reply(AnalyticsView.from_analytics(found, await look(call.workspace)))
