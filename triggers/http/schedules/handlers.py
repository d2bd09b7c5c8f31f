"""Handlers of schedules."""

from __future__ import annotations

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from lifecycle.conversations.run_request import check
from lifecycle.schedules.store import Schedule
from triggers.http.handler_call import Call, Reply
from triggers.http.schedules.views import LastDueView, SchedulePage, ScheduleView

_COMING = 5


def _view(call: Call, schedule: Schedule) -> ScheduleView:
    last = schedule.last
    return ScheduleView.of(
        schedule,
        run=schedule.run.model_copy(update={"callback": None}),
        has_callback=schedule.run.callback is not None,
        cron=schedule.cron.expression,
        time_zone=schedule.cron.time_zone,
        next_at=list(schedule.coming(call.services.core.clock(), _COMING)),
        last=LastDueView(due_at=last.due_at, run_id=last.run_id, error=last.error) if last else None,
    )


async def schedules_put(call: Call) -> Reply:
    name, wanted = agent_name(call.route("name")), call.body.request()
    try:
        check(wanted.run, call.services.core.settings.max_query_bytes)
        if wanted.run.callback is not None:
            await call.services.notifications.targets.check(wanted.run.callback)
    except InvalidInput as error:
        error.fields = {f"/run{place}": fault for place, fault in error.fields.items()}
        raise
    schedule, new = await call.services.planned.schedules.put(call.workspace, name, wanted, call.header("if-match"))
    headers = {"ETag": schedule.etag} | ({"Location": f"/api/schedules/{name}"} if new else {})
    return Reply(_view(call, schedule), 201 if new else 200, headers)


async def schedules_get(call: Call) -> Reply:
    schedule = await call.services.planned.schedules.get(call.workspace, agent_name(call.route("name")))
    return Reply(_view(call, schedule), headers={"ETag": schedule.etag})


async def schedules_list(call: Call) -> Reply:
    found = await call.services.planned.schedules.list(call.workspace)
    return Reply(SchedulePage(items=[_view(call, schedule) for schedule in found], next=None))


async def schedules_delete(call: Call) -> Reply:
    await call.services.planned.schedules.delete(
        call.workspace, agent_name(call.route("name")), call.header("if-match")
    )
    return Reply(status=204)
