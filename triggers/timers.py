"""Timers: what the app does by itself. Each can be run now: POST /admin/functions/{name}."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func

from triggers.heartbeats import noting
from triggers.http.api import MakeSignals

if TYPE_CHECKING:
    from bootstrap.services import Services
    from lifecycle.registry.signals import AgentSignals
    from lifecycle.runs.queue import RunQueue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Round:
    """What a timer works with when it is due.

    Attributes:
        services: The use cases.
        queue: Where runs are submitted to.
        signals: The way to agents' actors; None for timers that are declared without.
    """

    services: Services
    queue: RunQueue
    signals: AgentSignals | None

    @property
    def actors(self) -> AgentSignals:
        """The way to agents' actors."""
        if self.signals is None:
            msg = "declare the timer with signals=True"
            raise RuntimeError(msg)
        return self.signals


@dataclass(frozen=True, slots=True)
class Done:
    """What a timer did, for the log.

    Attributes:
        event: The log record's `event`.
        text: What is logged, with `%` placeholders.
        values: Their values.
        extra: Further fields of the record.
    """

    event: str
    text: str
    values: tuple[object, ...] = ()
    extra: dict[str, Any] | None = None


async def _prune(now: Round) -> Done:
    verdicts = await now.services.agents.prune.run(now.actors)
    done = Counter(verdict.action.value for verdict in verdicts)
    text = "of %d candidates %d agents retired, %d deleted, %d trimmed"
    return Done("prune.done", text, (len(verdicts), done["retire"], done["delete"], done["trim"]))


async def _verify(now: Round) -> Done:
    return Done("agents.verifying", "%d agents are verified", (await now.services.agents.verification.run(now.actors),))


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
    done = await now.services.runs.judges.run(now.actors)
    return Done("evaluation.done", "%d judges asked, %d deferred", (done.judged, done.deferred))


async def _reconcile(now: Round) -> Done:
    summaries = await now.services.drift.plans.reconcile()
    counts = sum((Counter(summary.counts) for summary in summaries.values()), Counter[str]())
    by_kind = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"
    extra = {f"drift_{kind}": number for kind, number in counts.items()}
    return Done("drift.found", "drift in %d workspaces: %s", (len(summaries), by_kind), extra)


async def _follow_configuration(now: Round) -> Done:
    done = await now.services.agents.propagation.finish(now.actors)
    text = "looked at %d agents: %d followed, %d could not"
    return Done("configuration.followed", text, (done.looked, done.changed, done.refused))


async def _evaluate_alerts(now: Round) -> Done:
    done = await now.services.alerts.evaluator.evaluate()
    text = "%d alert rules: %d fired, %d resolved, %d without data"
    return Done("alerts.evaluated", text, (done.rules, done.fired, done.resolved, done.no_data))


async def _submit_planned_runs(now: Round) -> Done:
    scheduled = await now.services.planned.schedule_runner.run(now.actors, now.queue.send)
    batched = await now.services.planned.batches.run(now.actors, now.queue.send)
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
    people = await now.services.teams.people.sweep(now.queue.send)
    rooms = await now.services.teams.rooms.sweep(now.queue.send)
    taken_on = await now.services.workflows.engine.sweep(now.actors, now.queue.send)
    sampled = await now.services.capacity.sampler.run(now.services.core.clock())
    await now.services.scaling.scaler.observe()
    text = (
        "%d reservations freed, %d runs resumed, %d runs' approvals, %d workflow runs and %d conversations of people "
        "looked at, %d conversations given room, %d counters forgotten, %d pools sampled"
    )
    looked_at = (settled, taken_on, people, rooms)
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
    """A timer function.

    Attributes:
        name: The function's name.
        schedule: The setting that says when it runs (NCRONTAB, UTC).
        run: What it does.
        signals: Whether it sends operations to agents' actors.
    """

    name: str
    schedule: str
    run: Callable[[Round], Awaitable[Done]]
    signals: bool = False


TIMERS = (
    Timer("prune_idle_agents", "PRUNE_SCHEDULE", _prune, signals=True),
    Timer("verify_agents", "VERIFY_SCHEDULE", _verify, signals=True),
    Timer("aggregate_facts", "AGGREGATION_SCHEDULE", _aggregate_facts),
    Timer("aggregate_costs", "REPORT_SCHEDULE", _aggregate_costs),
    Timer("expire_sessions", "SESSION_EXPIRY_SCHEDULE", _expire_sessions),
    Timer("account_dead_letters", "DEAD_LETTER_SCHEDULE", _account_dead_letters),
    Timer("evaluate_answers", "EVALUATION_SCHEDULE", _evaluate_answers, signals=True),
    Timer("reconcile_agents", "DRIFT_SCHEDULE", _reconcile),
    Timer("follow_configuration", "CONFIGURATION_SCHEDULE", _follow_configuration, signals=True),
    Timer("evaluate_alerts", "ALERT_SCHEDULE", _evaluate_alerts),
    Timer("submit_planned_runs", "PLANNED_RUNS_SCHEDULE", _submit_planned_runs, signals=True),
    Timer("deliver_notifications", "NOTIFY_SCHEDULE", _deliver_notifications),
    Timer("tend_budgets", "BUDGET_SCHEDULE", _tend_budgets, signals=True),
    Timer("expire_events", "EVENTS_SCHEDULE", _expire_events),
    Timer("learn_accesses", "LOADER_SCHEDULE", _learn_accesses),
)


def register(blueprint: df.Blueprint, services: Services, queue: RunQueue, make_signals: MakeSignals) -> None:
    """Add the timers."""
    for timer in TIMERS:
        _register(blueprint, timer, services, queue, make_signals)


def _register(
    blueprint: df.Blueprint, declared: Timer, services: Services, queue: RunQueue, make_signals: MakeSignals
) -> None:
    async def work(signals: AgentSignals | None) -> None:
        done = await declared.run(Round(services, queue, signals))
        log.info(done.text, *done.values, extra={"event": done.event} | (done.extra or {}))

    noted = noting(services, declared.name)
    if declared.signals:

        @blueprint.durable_client_input(client_name="client")
        @noted
        async def signalling(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
            await work(make_signals(client))

        function: Any = signalling
    else:

        @noted
        async def plain(timer: func.TimerRequest) -> None:
            await work(None)

        function = plain
    triggered = blueprint.timer_trigger(arg_name="timer", schedule=f"%{declared.schedule}%")(function)
    blueprint.function_name(declared.name)(triggered)
