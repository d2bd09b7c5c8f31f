"""Summaries of sessions: written by an agent for the member that takes a session over, before its own first model call.

This is the same for every cause of a handoff, as the assignment in the session says that a summary is wanted. Its calls
belong to the member's attempt: stored, priced, and within the run's budgets. The summary is stored with the session,
together with its calls, before anything else is done; no later attempt, and no later run, writes it again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError, Conflict, RunFailed
from kernel.journal import Event
from lifecycle.conversations.session_priority import Priority
from lifecycle.registry.providers import AttemptId
from lifecycle.runs.attempt_failures import let_go, translated
from lifecycle.runs.call_metering import CallMeter, MeterPolicy, charged
from lifecycle.runs.model_history import compacted, token_limit
from lifecycle.specs.team import SUMMARIZER_HAS_TOOLS
from lifecycle.teams.handoff_rules import summarizer_of, summed_up
from llmops.capacity.admission import AdmissionRequest

if TYPE_CHECKING:
    from datetime import datetime

    from lifecycle.conversations.run import Run
    from lifecycle.conversations.session import Session
    from lifecycle.loader.agent_resolver import LiveAgent
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.attempt import AttemptFactory
    from lifecycle.runs.run_lease import RunLease

log = logging.getLogger(__name__)

MAX_SUMMARY = 8_000
"""Most characters of a stored summary."""
_TASK = """Sum up the conversation below for a colleague who takes it over: what is wanted, what is known, what was
promised, and what is open. Say it in a few sentences, and nothing else.
"""


async def sum_up(maker: AttemptFactory, lease: RunLease, signals: AgentSignals, meters: list[CallMeter]) -> None:
    """Have the session summed up and store the summary, if its member waits for one.

    If it cannot be written, the member gets the last runs instead, and the event `handoff.not_summarized` says why.

    Args:
        maker: What attempts need.
        lease: The lease of the run.
        signals: Sends signals to the summarizer's actor.
        meters: The meters of the attempt; that of the summary is added.

    Raises:
        Unavailable: The summary cannot be stored, or another worker took the run over.
    """
    name = summarizer_of(lease.session, lease.run)
    if not name:
        return
    turns = lease.session.turns
    try:
        live = await maker.agents.use(lease.run.workspace, name, signals)
        text = await _written(maker, lease, live, signals, meters)
    except AppError as error:
        if lease.lost:
            raise
        log.warning("no summary of a conversation: %s", error.code, extra={"event": "team.not_summed_up"})
        lease.note("handoff.not_summarized", {"agent": name, "code": error.code})
        return
    finally:
        for meter in meters:
            meter.leave()
        lease.calls_before = [call for meter in meters for call in meter.totals.calls]
    await lease.keep_summary(partial(_summarized, name=name, text=text, turns=turns))
    for meter in meters:
        await meter.close()


async def _written(
    maker: AttemptFactory, lease: RunLease, live: LiveAgent, signals: AgentSignals, meters: list[CallMeter]
) -> str:
    """Return the agent's summary of the session.

    Raises:
        AppError: It could not be written.
    """
    run, session, policy = lease.run, lease.session, maker.policy
    if live.spec.tools:
        raise Conflict("The summarizer has tools, which a summary does not control.", code=SUMMARIZER_HAS_TOOLS)
    turns = await maker.turns(session, max(0, session.turns - policy.history_turns))
    messages = await compacted(turns, token_limit(session, live.spec, policy.history_tokens))
    transcript = "\n\n".join(f"{each.role}: {each.text}" for each in messages)
    wanted = AdmissionRequest(run.workspace, live.name, live.spec.labels, run.created_at, run.priority is Priority.HIGH)
    budget = maker.budgets.of(charged(run), run.attempt, await maker.budgets.admission(wanted))
    if run.attempt > 1:
        await budget.take_over()
    limits = MeterPolicy(policy.guard.of(live.spec.runaway), policy.output_tokens)
    await budget.enter()
    meter = CallMeter(run.workspace, live, budget, maker.rates, lease, maker.clock, limits)
    meters.append(meter)
    how: dict[str, Any] = {
        "middleware": meter.middleware(),
        "client_kwargs": {"attempt": AttemptId(run.id, run.attempt, run.workspace, run.session_id)},
    }
    try:
        async with meter.within(policy.timeout.total_seconds()):
            answer = await live.framework_agent.run(f"{_TASK}\n{transcript}", **how)
    except Exception as error:
        raise await let_go(maker.agents, signals, live, None, translated(live, error)) from error
    if text := str(answer.text).strip():
        return text[:MAX_SUMMARY]
    raise RunFailed("The summarizer answered nothing.", code="summary_empty")


def _summarized(
    session: Session, run: Run, now: datetime, *, name: str, text: str, turns: int
) -> tuple[Session, Run, Sequence[Event]]:
    """Return the session with its summary, the unchanged run, and the event."""
    event = Event("handoff.summarized", {"run_id": run.id, "attempt": run.attempt, "agent": name}, now)
    return summed_up(session, text, turns), run, [event]
