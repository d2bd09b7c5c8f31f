"""Service Bus queues: runs, one queue for each priority."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func

from bootstrap.services import Services
from kernel.errors import AppError
from kernel.tracing import attached
from lifecycle.conversations.message_headers import headers_of
from lifecycle.conversations.session_priority import Priority
from lifecycle.runs.message_signatures import SIGNATURE, Origin
from lifecycle.runs.run_queue import RunQueue
from triggers.http.request_handling import MakeSignals
from triggers.tracing import incoming

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run
    from lifecycle.registry.actor_signals import AgentSignals

log = logging.getLogger(__name__)

WORKFLOW = b'"workflow"'
"""Key in a message's body that marks it as a request for a workflow."""


class NotDone(Exception):
    """Raised to have the message delivered again, or dead-lettered after too many deliveries."""


def register(blueprint: df.Blueprint, services: Services, run_queue: RunQueue, make_signals: MakeSignals) -> None:
    """Register the functions that process the queues: one for each, because the host scales functions separately."""

    @blueprint.function_name("run_agent")
    @blueprint.service_bus_queue_trigger(
        arg_name="message", queue_name="%RUN_QUEUE%", connection="ServiceBusConnection", is_sessions_enabled=True
    )
    @blueprint.durable_client_input(client_name="client")
    async def run_agent(  # pyright: ignore[reportUnusedFunction] - registered
        message: func.ServiceBusMessage, client: df.DurableOrchestrationClient, context: func.Context
    ) -> None:
        await run(message, client, context, Priority.NORMAL)

    @blueprint.function_name("run_agent_priority")
    @blueprint.service_bus_queue_trigger(
        arg_name="message",
        queue_name="%RUN_QUEUE_PRIORITY%",
        connection="ServiceBusConnection",
        is_sessions_enabled=True,
    )
    @blueprint.durable_client_input(client_name="client")
    async def run_agent_priority(  # pyright: ignore[reportUnusedFunction] - registered
        message: func.ServiceBusMessage, client: df.DurableOrchestrationClient, context: func.Context
    ) -> None:
        await run(message, client, context, Priority.HIGH)

    @blueprint.function_name("run_agent_low")
    @blueprint.service_bus_queue_trigger(
        arg_name="message", queue_name="%RUN_QUEUE_LOW%", connection="ServiceBusConnection", is_sessions_enabled=True
    )
    @blueprint.durable_client_input(client_name="client")
    async def run_agent_low(  # pyright: ignore[reportUnusedFunction] - registered
        message: func.ServiceBusMessage, client: df.DurableOrchestrationClient, context: func.Context
    ) -> None:
        await run(message, client, context, Priority.LOW)

    settings = services.core.settings
    names = {
        Priority.NORMAL: settings.run_queue,
        Priority.HIGH: settings.run_queue_priority,
        Priority.LOW: settings.run_queue_low,
    }

    async def run(
        message: func.ServiceBusMessage,
        client: df.DurableOrchestrationClient,
        context: func.Context,
        priority: Priority,
    ) -> None:
        from lifecycle.conversations.run_request import parse_message  # noqa: PLC0415 - imports pydantic: cold start

        deliveries = message.delivery_count or 1
        requeue, signals = services.runs.requeue(run_queue.send), make_signals(client)
        try:
            body = message.get_body()
            if WORKFLOW in body and await start_workflow(message, signals, context, priority):
                return
            submission = parse_message(
                body,
                message_id=message.message_id,
                session_id=message.session_id,
                sequence_number=message.sequence_number or 0,
                priority=priority,
                max_query_bytes=settings.max_query_bytes,
                headers=headers_of(
                    message.application_properties or {},
                    message.reply_to if settings.reply_queues else None,  # has no meaning where nobody gets a reply
                    message.reply_to_session_id,
                    message.correlation_id,
                ),
            )
            if submission.callback is not None:
                await services.notifications.targets.check(submission.callback)
            services.runs.provenance.check(_origin(message, names[priority]), submission.workspace, body)
            last = deliveries >= settings.run_max_attempts
            with attached(incoming(message.application_properties or {}, context)), services.agents.preloader.run():
                try:
                    done = await services.runs.worker.process(submission, signals, requeue=requeue, last_delivery=last)
                finally:
                    await services.workflows.deliver(signals, run_queue.send)
            await services.conversations.publisher.publish_all_of(submission.workspace, submission.session_id)
            if done is not None and done.state.value != "queued":  # the SDK logs that as a warning
                log.info("run %s of %s: %s", done.id, done.agent, said_of(done), extra={"event": "run.worked_on"})
        except AppError as error:
            # Raising abandons the message; the broker counts deliveries and dead-letters it in the end.
            log.warning("delivery %d: %s", deliveries, error.code, extra={"event": "run.not_done"})
            msg = f"{error.code}: {error.detail}"
            raise NotDone(msg) from None

    async def start_workflow(
        message: func.ServiceBusMessage, signals: AgentSignals, context: func.Context, priority: Priority
    ) -> bool:
        """Start the workflow that the message asks for; return False if it asks for none."""
        from lifecycle.workflows.request import parse_workflow_message  # noqa: PLC0415 - imports pydantic: cold start

        body = message.get_body()
        asked = parse_workflow_message(
            body,
            message_id=message.message_id,
            session_id=message.session_id,
            sequence_number=message.sequence_number or 0,
            priority=priority,
            max_input_bytes=settings.max_query_bytes,
        )
        if asked is None:
            return False
        services.runs.provenance.check(_origin(message, names[priority]), asked.workspace, body)
        with attached(incoming(message.application_properties or {}, context)):
            await services.workflows.engine.start(
                asked.workspace, asked.workflow, asked.run_id, asked.request, signals, run_queue.send
            )
        return True


def said_of(run: Run) -> str:
    """Return the outcome of a delivery of the run's message as log text, without any user's text."""
    error, spend = run.error, run.spend
    code = f": {error.code}" if error is not None else ""
    match run.state.value:
        case "succeeded":
            seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else 0
            attempts = f" at attempt {run.attempt}" if run.attempt > 1 else ""
            score = f", score {run.score.overall}" if run.score is not None else ""
            calls = "1 model call" if spend.calls == 1 else f"{spend.calls} model calls"
            cost = f"{calls}, {spend.cost_micro_usd / 1_000_000:.6f} USD"
            return f"answered{attempts} in {seconds:.1f} s, {cost}{score}"
        case state:
            return f"{state}{code}"


def _origin(message: func.ServiceBusMessage, queue: str) -> Origin:
    signature = (message.application_properties or {}).get(SIGNATURE, "")
    return Origin(queue, message.label or "", message.message_id or "", str(signature))
