"""Handlers of timers."""

from __future__ import annotations

from kernel.errors import Forbidden, NotFound
from kernel.timer_status import TimerStatus
from triggers.http.handler_call import Call, Reply
from triggers.http.timers.views import TimerPage, TimerRunView, TimerView
from triggers.timers import TIMERS, Round, run


def _check_operator(call: Call) -> None:
    """Check that the caller's workspace is that of the app's operators.

    Raises:
        Forbidden: It is another one.
    """
    if call.workspace != call.services.core.settings.scaling_workspace:
        msg = "Timers work for all workspaces; they belong to the one that SCALING_WORKSPACE names."
        raise Forbidden(msg, code="timers_other_workspace")


async def timers_list(call: Call) -> Reply:
    _check_operator(call)
    now, settings = call.services.core.clock(), call.services.core.settings.by_alias()
    known = {status.timer: status for status in await call.services.events.timer_statuses.all()}
    items = [
        TimerView.of(
            status,
            name=timer.name,
            setting=timer.schedule,
            schedule=settings[timer.schedule],
            overdue=status.overdue(now),
        )
        for timer in TIMERS
        for status in [known.get(timer.name, TimerStatus(timer.name))]
    ]
    return Reply(TimerPage(items=items, next=None), headers={"Cache-Control": "no-store"})


async def timers_run(call: Call) -> Reply:
    _check_operator(call)
    name = call.route("name")
    timer = next((each for each in TIMERS if each.name == name), None)
    if timer is None:
        msg = f"There is no such timer. There are: {', '.join(each.name for each in TIMERS)}."
        raise NotFound(msg, code="timer_not_found")
    [done] = await run([timer], Round(call.services, call.queue, call.signals))
    return Reply(TimerRunView(name=name, done=str(done)))
