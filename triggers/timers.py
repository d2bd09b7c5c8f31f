"""Timers: the app's periodic work. Each can also be run by POST /api/timers/{name}/run.

Short ones are run by one function, once a minute in the default schedules: an idle app is woken by that function alone,
apart from a few times an hour. Every invocation is paid for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func

from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from kernel.timer_status import TimerRun
from lifecycle.schedules.schedule_rules import covering, is_due, next_due_after, until_next
from triggers.http.request_handling import MakeSignals

if TYPE_CHECKING:
    from bootstrap.services import Services
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.run_queue import RunQueue

log = logging.getLogger(__name__)

_A_MOMENT_S = 0.5
"""How long the others wait for the end of a slow one: mostly it has nothing to do, and one write notes them all."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a due timer works with.

    Attributes:
        services: The use cases.
        queue: The queue that runs are submitted to.
        signals: Sends signals to agents' actors.
    """

    services: Services
    queue: RunQueue
    signals: AgentSignals


@dataclass(frozen=True, slots=True)
class Done:
    """What a timer did, for the log.

    Attributes:
        event: The log record's `event`.
        text: Log message with `%` placeholders.
        values: Values of the placeholders.
        extra: Further fields of the record.
    """

    event: str
    text: str
    values: tuple[object, ...] = ()
    extra: dict[str, Any] | None = None

    def __str__(self) -> str:
        """Return the log message."""
        return self.text % self.values


async def _prune(now: Round) -> Done:
    verdicts = await now.services.agents.prune.run(now.signals)
    done = Counter(verdict.action.value for verdict in verdicts)
    text = "of %d candidates %d agents retired, %d deleted, %d trimmed"
    return Done("prune.done", text, (len(verdicts), done["retire"], done["delete"], done["trim"]))


async def _verify(now: Round) -> Done:
    return Done(
        "agents.verifying", "%d agents are verified", (await now.services.agents.verification.run(now.signals),)
    )


async def _aggregate_facts(now: Round) -> Done:
    return Done(
        "facts.aggregated", "%d new facts", (await now.services.spend.aggregation.run(now.services.core.clock()),)
    )


async def _aggregate_costs(now: Round) -> Done:
    done = await now.services.spend.daily_costs.aggregate(now.services.core.clock())
    announced = await now.services.reports.store.announce()
    text = "%d new facts, %d days changed, %d reports announced"
    return Done("costs.aggregated", text, (done.folded, done.changed, announced))


async def _expire_sessions(now: Round) -> Done:
    ended = await now.services.sessions.end.expire()
    resumed = await now.services.conversations.pause.finish(now.queue.send)
    erased = await now.services.sessions.erasure.finish() + await now.services.sessions.user_erasure.finish()
    text = "ended %d sessions; finished what was begun: %d resumed, %d erased"
    return Done("sessions.expired", text, (ended, resumed, erased))


async def _account_dead_letters(now: Round) -> Done:
    count = await now.services.runs.dead_letters(now.queue).account()
    return Done("dead_letters.accounted", "failed %d runs whose workers died", (count,))


async def _evaluate_answers(now: Round) -> Done:
    done = await now.services.runs.judges.run(now.signals)
    return Done("evaluation.done", "%d judges asked, %d deferred", (done.judged, done.deferred))


async def _reconcile(now: Round) -> Done:
    summaries = await now.services.drift.plans.reconcile()
    counts = sum((Counter(summary.counts) for summary in summaries.values()), Counter[str]())
    by_kind = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"
    extra = {f"drift_{kind}": number for kind, number in counts.items()}
    return Done("drift.found", "drift in %d workspaces: %s", (len(summaries), by_kind), extra)


async def _follow_configuration(now: Round) -> Done:
    done = await now.services.agents.propagation.finish(now.signals)
    text = "looked at %d agents: %d followed, %d could not"
    return Done("configuration.followed", text, (done.looked, done.changed, done.refused))


async def _evaluate_alerts(now: Round) -> Done:
    done = await now.services.alerts.evaluator.evaluate()
    text = "%d alert rules: %d fired, %d resolved, %d without data"
    return Done("alerts.evaluated", text, (done.rules, done.fired, done.resolved, done.no_data))


async def _submit_planned_runs(now: Round) -> Done:
    scheduled = await now.services.planned.schedule_runner.run(now.signals, now.queue.send)
    batched = await now.services.planned.batches.run(now.signals, now.queue.send)
    text = "schedules: %d runs submitted, %d refused, %d times missed; batches: %d runs submitted"
    return Done("runs.planned", text, (scheduled.submitted, scheduled.refused, scheduled.missed, batched))


async def _deliver_notifications(now: Round) -> Done:
    done = await now.services.alerts.delivery.deliver()
    reported = await now.services.conversations.callbacks.deliver()
    forwarded = await now.services.alerts.forwarding.run()
    text = "notifications: %d delivered, %d to be retried, %d given up; callbacks: %d, %d, %d; %d events sent"
    both = (done.delivered, done.retrying, done.failed, reported.delivered, reported.retrying, reported.failed)
    return Done("notifications.delivered", text, (*both, forwarded))


async def _tend_budgets(now: Round) -> Done:
    done = await now.services.budgets.maintenance.run()
    resumed = await now.services.runs.resume.resume_all(now.queue.send)
    settled = await now.services.approvals.decisions.sweep(now.queue.send)
    people = await now.services.teams.waiting_for_people.sweep(now.queue.send)
    assigned = await now.services.teams.waiting_sessions.sweep(now.queue.send)
    taken_on = await now.services.workflows.engine.sweep(now.signals, now.queue.send)
    sampled = await now.services.capacity.sampler.run(now.services.core.clock())
    await now.services.scaling.scaler.observe()
    text = (
        "%d reservations freed, %d runs resumed, %d runs' approvals, %d workflow runs and %d conversations of people "
        "looked at, %d conversations given a free member, %d counters forgotten, %d pools sampled"
    )
    looked_at = (settled, taken_on, people, assigned)
    return Done("budgets.tended", text, (done.freed, resumed, *looked_at, done.forgotten, sampled))


async def _expire_events(now: Round) -> Done:
    done = await now.services.conversations.event_retention.apply()
    links = await now.services.approvals.links.sweep()
    receipts = await now.services.sessions.retention_rounds.run()
    text = (
        "deleted %d appends to streams, the events of %d sessions, and %d links of approvals; by retention policies "
        "%d sessions, %d facts"
    )
    sessions, facts = (sum(getattr(receipt, name) for receipt in receipts) for name in ("sessions", "facts"))
    return Done("events.deleted", text, (done.appends, done.sessions, links, sessions, facts))


async def _learn_accesses(now: Round) -> Done:
    done = await now.services.agents.learn_accesses()
    return Done("loader.learned", "%d uses of agents read, %d agents ranked", (done.accesses, done.agents))


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer.

    Attributes:
        name: Its name.
        schedule: The setting that says when it runs (NCRONTAB, UTC).
        run: What it does.
        alone: Whether it is a function of its own, because it may take minutes; else `run_timers` runs it.
        last: Whether it runs after the others that are due at the same time: it sends what they have found.
        slow: Whether it may take minutes although it seldom does: `run_timers` goes on with the others meanwhile.
    """

    name: str
    schedule: str
    run: Callable[[Round], Awaitable[Done]]
    alone: bool = False
    last: bool = False
    slow: bool = False


@dataclass(frozen=True, slots=True)
class _Ran:
    """A timer that has ended: when it began, and what it did or failed with."""

    timer: Timer
    began: datetime
    end: Done | Exception


TIMERS = (
    Timer("prune_idle_agents", "PRUNE_SCHEDULE", _prune, alone=True),
    Timer("verify_agents", "VERIFY_SCHEDULE", _verify, alone=True),
    Timer("reconcile_agents", "DRIFT_SCHEDULE", _reconcile, alone=True),
    Timer("expire_events", "EVENTS_SCHEDULE", _expire_events, alone=True),
    Timer("aggregate_facts", "AGGREGATION_SCHEDULE", _aggregate_facts),
    Timer("aggregate_costs", "REPORT_SCHEDULE", _aggregate_costs),
    Timer("expire_sessions", "SESSION_EXPIRY_SCHEDULE", _expire_sessions),
    Timer("account_dead_letters", "DEAD_LETTER_SCHEDULE", _account_dead_letters),
    Timer("evaluate_answers", "EVALUATION_SCHEDULE", _evaluate_answers, slow=True),
    Timer("follow_configuration", "CONFIGURATION_SCHEDULE", _follow_configuration),
    Timer("evaluate_alerts", "ALERT_SCHEDULE", _evaluate_alerts),
    Timer("submit_planned_runs", "PLANNED_RUNS_SCHEDULE", _submit_planned_runs),
    Timer("tend_budgets", "BUDGET_SCHEDULE", _tend_budgets),
    Timer("learn_accesses", "LOADER_SCHEDULE", _learn_accesses),
    Timer("deliver_notifications", "NOTIFY_SCHEDULE", _deliver_notifications, last=True),
)


async def run_due(timers: Sequence[Timer], now: Round) -> None:
    """Run those timers that are due, by when they last ran.

    While a slow one goes on, the others are run again whenever they are due: the host does not begin this function
    anew before it has ended.

    Raises:
        Exception: What one failed with, when all have ended; an ExceptionGroup of several.
    """
    due = await _due(timers, now)
    slow = [asyncio.create_task(_run(each, now)) for each in due if each.slow]
    others = [each for each in timers if not each.slow]
    schedules = now.services.core.settings.by_alias()
    try:
        ran = await _together([each for each in due if not each.slow], now, slow, _A_MOMENT_S)
        while slow:
            pause = until_next((schedules[each.schedule] for each in others), now.services.core.clock())
            await asyncio.wait(slow, timeout=pause.total_seconds() if pause else None)
            if all(task.done() for task in slow):
                ran += await _together([], now, slow)
            else:
                ran += await _again(others, now, slow)
    finally:
        for task in slow:
            task.cancel()
    _ended(ran)


async def run(timers: Sequence[Timer], now: Round) -> Sequence[Done]:
    """Run timers concurrently, and store the result of each for `GET status`; one that fails does not stop others.

    Returns:
        What each did, in no order.

    Raises:
        Exception: The error of a failed timer, after all have ended; an ExceptionGroup for several.
    """
    return _ended(await _together(timers, now, []))


async def _due(timers: Sequence[Timer], now: Round) -> Sequence[Timer]:
    began, settings = now.services.core.clock(), now.services.core.settings.by_alias()
    last = {status.timer: status.began_at for status in await now.services.events.timer_statuses.all()}
    return [each for each in timers if is_due(settings[each.schedule], last.get(each.name), began)]


async def _again(timers: Sequence[Timer], now: Round, slow: list[asyncio.Task[_Ran]]) -> list[_Ran]:
    """Run those that are due meanwhile; where that cannot be said, they are looked at the next time."""
    try:
        due = await _due(timers, now)
    except AppError as unavailable:
        log.warning("timers: %s", unavailable.code, extra={"event": "timer.not_looked_at"})
        return []
    return await _together(due, now, slow)


async def _together(
    timers: Sequence[Timer], now: Round, slow: list[asyncio.Task[_Ran]], patience_s: float = 0
) -> list[_Ran]:
    """Run the timers, and return how they ended and those of the slow ones that have by then, which are taken out."""
    found: list[_Ran] = []
    for wave in ([each for each in timers if not each.last], [each for each in timers if each.last]):
        ran = await asyncio.gather(*(_run(each, now) for each in wave))
        if slow:
            await asyncio.wait(slow, timeout=patience_s)
        over = [task for task in slow if task.done()]
        slow[:] = [task for task in slow if not task.done()]
        ran += [task.result() for task in over]
        await _note(ran, now.services)
        found += ran
    now.services.agents.preloader.wake()
    return found


def _ended(ran: Sequence[_Ran]) -> Sequence[Done]:
    errors = [each.end for each in ran if isinstance(each.end, Exception)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        msg = "several timers failed"
        raise ExceptionGroup(msg, errors)
    return [each.end for each in ran if isinstance(each.end, Done)]


async def _run(timer: Timer, now: Round) -> _Ran:
    """Return what the timer did, or its exception; events it committed are published by then."""
    began = now.services.core.clock()
    try:
        done = await timer.run(now)
        await now.services.conversations.publisher.flush()
    except Exception as error:  # noqa: BLE001 - raised when the others have ended
        return _Ran(timer, began, error)
    level = logging.INFO if any(done.values) else logging.DEBUG
    log.log(level, "%s: %s", timer.name, done, extra={"event": done.event} | (done.extra or {}))
    return _Ran(timer, began, done)


async def _note(ran: Sequence[_Ran], services: Services) -> None:
    if not ran:
        return
    schedules = services.core.settings.by_alias()
    runs = [
        TimerRun(
            each.timer.name, each.began, next_due_after(schedules[each.timer.schedule], each.began), _failure(each.end)
        )
        for each in ran
    ]
    try:
        await services.events.timer_statuses.note(runs)
    except AppError as unavailable:
        names = ", ".join(each.timer.name for each in ran)
        log.warning("%s: %s", names, unavailable.code, extra={"event": "timer.not_noted"})


def _failure(end: Done | Exception) -> str | None:
    if isinstance(end, Done):
        return None
    return end.code if isinstance(end, AppError) else type(end).__name__


def register(blueprint: df.Blueprint, services: Services, queue: RunQueue, make_signals: MakeSignals) -> None:
    """Register the functions: one for each timer that runs alone, one for all others.

    Raises:
        InvalidSettings: A schedule is not an NCRONTAB expression.
    """

    def add(name: str, schedule: str, work: Callable[[Round], Awaitable[object]]) -> None:
        @blueprint.durable_client_input(client_name="client")
        async def function(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
            await work(Round(services, queue, make_signals(client)))

        made: Any = function
        blueprint.function_name(name)(blueprint.timer_trigger(arg_name="timer", schedule=schedule)(made))

    for timer in TIMERS:
        if timer.alone:
            add(timer.name, f"%{timer.schedule}%", partial(run, [timer]))
    together = [timer for timer in TIMERS if not timer.alone]
    settings = services.core.settings.by_alias()
    schedule = covering({timer.schedule: settings[timer.schedule] for timer in together})
    add("run_timers", schedule, partial(run_due, together))
