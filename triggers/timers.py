"""Timers: what the app does by itself."""

from __future__ import annotations

import logging
from collections import Counter

import azure.durable_functions as df
import azure.functions as func

from bootstrap.services import Services
from lifecycle.registry.prune import Action
from lifecycle.runs.queue import RunQueue
from triggers.api import MakeSignals
from triggers.heartbeats import noting

log = logging.getLogger(__name__)


def register(blueprint: df.Blueprint, services: Services, queue: RunQueue, make_signals: MakeSignals) -> None:
    """Add the timers. Each can be run now: POST /admin/functions/{name}."""
    noted = noting(services)

    @blueprint.function_name("prune_idle_agents")
    @blueprint.timer_trigger(arg_name="timer", schedule="%PRUNE_SCHEDULE%")
    @blueprint.durable_client_input(client_name="client")
    @noted
    async def prune_idle_agents(  # pyright: ignore[reportUnusedFunction] - registered
        timer: func.TimerRequest, client: df.DurableOrchestrationClient
    ) -> None:
        verdicts = await services.prune.run(make_signals(client))
        done = Counter(verdict.action for verdict in verdicts)
        log.info(
            "of %d candidates %d agents retired, %d deleted, %d trimmed",
            len(verdicts),
            done[Action.RETIRE],
            done[Action.DELETE],
            done[Action.TRIM],
            extra={"event": "prune.done"},
        )

    @blueprint.function_name("verify_agents")
    @blueprint.timer_trigger(arg_name="timer", schedule="%VERIFY_SCHEDULE%")
    @blueprint.durable_client_input(client_name="client")
    @noted
    async def verify_agents(  # pyright: ignore[reportUnusedFunction] - registered
        timer: func.TimerRequest, client: df.DurableOrchestrationClient
    ) -> None:
        count = await services.verification.run(make_signals(client))
        log.info("%d agents are verified", count, extra={"event": "agents.verifying"})

    @blueprint.function_name("aggregate_facts")
    @blueprint.timer_trigger(arg_name="timer", schedule="%AGGREGATION_SCHEDULE%")
    @noted
    async def aggregate_facts(timer: func.TimerRequest) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        count = await services.folding.fold(services.clock())
        log.info("%d new facts", count, extra={"event": "facts.aggregated"})

    @blueprint.function_name("aggregate_costs")
    @blueprint.timer_trigger(arg_name="timer", schedule="%REPORT_SCHEDULE%")
    @noted
    async def aggregate_costs(timer: func.TimerRequest) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        done = await services.daily_costs.aggregate(services.clock())
        announced = await services.reports.announce()
        log.info(
            "%d new facts, %d days changed, %d reports announced",
            done.folded,
            done.changed,
            announced,
            extra={"event": "costs.aggregated"},
        )

    @blueprint.function_name("expire_sessions")
    @blueprint.timer_trigger(arg_name="timer", schedule="%SESSION_EXPIRY_SCHEDULE%")
    @noted
    async def expire_sessions(timer: func.TimerRequest) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        ended = await services.session_end.expire()
        resumed = await services.session_pause.finish(queue.send)
        erased = await services.session_erasure.finish() + await services.user_erasure.finish()
        log.info(
            "ended %d sessions; finished what was begun: %d resumed, %d erased",
            ended,
            resumed,
            erased,
            extra={"event": "sessions.expired"},
        )

    @blueprint.function_name("account_dead_letters")
    @blueprint.timer_trigger(arg_name="timer", schedule="%DEAD_LETTER_SCHEDULE%")
    @noted
    async def account_dead_letters(  # pyright: ignore[reportUnusedFunction] - registered
        timer: func.TimerRequest,
    ) -> None:
        count = await services.dead_letters(queue).account()
        log.info("failed %d runs whose workers died", count, extra={"event": "dead_letters.accounted"})

    @blueprint.function_name("evaluate_answers")
    @blueprint.timer_trigger(arg_name="timer", schedule="%EVALUATION_SCHEDULE%")
    @blueprint.durable_client_input(client_name="client")
    @noted
    async def evaluate_answers(  # pyright: ignore[reportUnusedFunction] - registered
        timer: func.TimerRequest, client: df.DurableOrchestrationClient
    ) -> None:
        done = await services.judges.hear(make_signals(client))
        log.info(
            "%d judges heard, %d put off",
            done.heard,
            done.put_off,
            extra={"event": "evaluation.done"},
        )

    @blueprint.function_name("reconcile_agents")
    @blueprint.timer_trigger(arg_name="timer", schedule="%DRIFT_SCHEDULE%")
    @noted
    async def reconcile_agents(timer: func.TimerRequest) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        summaries = await services.plans.reconcile()
        counts = sum((Counter(summary.counts) for summary in summaries.values()), Counter[str]())
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"
        extra = {f"drift_{kind}": number for kind, number in counts.items()}
        log.info("drift in %d workspaces: %s", len(summaries), told, extra={"event": "drift.found", **extra})

    @blueprint.function_name("follow_configuration")
    @blueprint.timer_trigger(arg_name="timer", schedule="%CONFIGURATION_SCHEDULE%")
    @blueprint.durable_client_input(client_name="client")
    @noted
    async def follow_configuration(  # pyright: ignore[reportUnusedFunction] - registered
        timer: func.TimerRequest, client: df.DurableOrchestrationClient
    ) -> None:
        done = await services.following.finish(make_signals(client))
        log.info(
            "looked at %d agents: %d followed, %d could not",
            done.looked,
            done.changed,
            done.refused,
            extra={"event": "configuration.followed"},
        )

    @blueprint.function_name("evaluate_alerts")
    @blueprint.timer_trigger(arg_name="timer", schedule="%ALERT_SCHEDULE%")
    @noted
    async def evaluate_alerts(timer: func.TimerRequest) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        done = await services.evaluator.evaluate()
        log.info(
            "%d alert rules: %d fired, %d resolved, %d without data",
            done.rules,
            done.fired,
            done.resolved,
            done.no_data,
            extra={"event": "alerts.evaluated"},
        )

    @blueprint.function_name("deliver_notifications")
    @blueprint.timer_trigger(arg_name="timer", schedule="%NOTIFY_SCHEDULE%")
    @noted
    async def deliver_notifications(  # pyright: ignore[reportUnusedFunction] - registered
        timer: func.TimerRequest,
    ) -> None:
        done = await services.courier.deliver()
        log.info(
            "webhooks: %d delivered, %d to be retried, %d given up",
            done.delivered,
            done.retrying,
            done.failed,
            extra={"event": "notifications.delivered"},
        )

    @blueprint.function_name("tend_budgets")
    @blueprint.timer_trigger(arg_name="timer", schedule="%BUDGET_SCHEDULE%")
    @noted
    async def tend_budgets(timer: func.TimerRequest) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        done = await services.tending.tend()
        resumed = await services.run_resume.resume_all(queue.send)
        log.info(
            "%d reservations freed, %d runs resumed, %d counters forgotten",
            done.freed,
            resumed,
            done.forgotten,
            extra={"event": "budgets.tended"},
        )

    @blueprint.function_name("expire_events")
    @blueprint.timer_trigger(arg_name="timer", schedule="%EVENTS_SCHEDULE%")
    @noted
    async def expire_events(timer: func.TimerRequest) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        done = await services.event_retention.apply()
        log.info(
            "deleted %d appends to streams, and the events of %d sessions",
            done.appends,
            done.sessions,
            extra={"event": "events.deleted"},
        )
