"""Summaries of a session for the next member, written by an agent within the attempt that hands over.

Its calls belong to that attempt: stored, priced, and within the run's budgets. If a summary cannot be made (the agent
is missing, fails, or may not spend), the next member gets the latest runs instead.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError
from lifecycle.registry.providers import AttemptId
from lifecycle.runs.history import compacted, token_limit
from lifecycle.runs.metering import CallMeter, CallTotals, MeterPolicy, charged
from lifecycle.teams.moves import Move, wants_summary

if TYPE_CHECKING:
    from lifecycle.loader.resolver import LiveAgent
    from lifecycle.registry.signals import AgentSignals
    from lifecycle.runs.attempt import AttemptFactory
    from lifecycle.runs.lease import RunLease

log = logging.getLogger(__name__)

MAX_SUMMARY = 8_000
"""Most characters of a stored summary."""
_TASK = """Sum up the conversation below for a colleague who takes it over: what is wanted, what is known, what was
promised, and what is open. Say it in a few sentences, and nothing else.
"""


class Summary:
    """A summary of a session.

    Attributes:
        meter: The meter of its calls and of the attempt's earlier ones; None if no model was called.
    """

    def __init__(self, maker: AttemptFactory, lease: RunLease, signals: AgentSignals) -> None:
        self._maker = maker
        self._lease = lease
        self._signals = signals
        self.meter: CallMeter | None = None

    async def added(self, move: Move, before: CallMeter | None) -> Move:
        """Return the move with a summary, if its team wants one by an agent and it has none.

        Args:
            move: The handoff.
            before: Meter of the attempt so far; None before its first call.
        """
        name, note, run = move.team.handoff.summarizer, move.note, self._lease.run
        if name is None or note is None or not wants_summary(move, self._lease.session.turns):
            return move
        try:
            live = await self._maker.agents.use(run.workspace, name, self._signals)
            text = await self._written(live, before)
        except Exception as error:  # noqa: BLE001 - the handoff is worth more than its summary
            code = error.code if isinstance(error, AppError) else type(error).__name__
            log.warning("no summary of a conversation: %s", code, extra={"event": "team.not_summed_up"})
            return move
        return replace(move, note=replace(note, summary=text[:MAX_SUMMARY])) if text else move

    async def _written(self, live: LiveAgent, before: CallMeter | None) -> str:
        """Return the agent's summary; empty if the agent has tools, which are not controlled here."""
        maker, lease = self._maker, self._lease
        run, session = lease.run, lease.session
        if live.spec.tools or live.spec.mcp_servers:
            log.warning("a summarizer has tools", extra={"event": "team.not_summed_up"})
            return ""
        turns = await maker.turns(session, max(0, session.turns - maker.policy.history_turns))
        messages = await compacted(turns, token_limit(session, live.spec, maker.policy.history_tokens))
        transcript = "\n\n".join(f"{each.role}: {each.text}" for each in messages)
        policy = MeterPolicy(maker.policy.guard.of(live.spec.runaway), maker.policy.output_tokens)
        budget = maker.budgets.of(charged(run), run.attempt)
        meter = CallMeter(run.workspace, live, budget, maker.rates, lease, maker.clock, policy)
        meter.totals = CallTotals(calls=list(before.totals.calls) if before else [])
        self.meter = meter
        how: dict[str, Any] = {
            "middleware": meter.middleware(),
            "client_kwargs": {"attempt": AttemptId(run.id, run.attempt, run.workspace, run.session_id)},
        }
        async with meter.within(maker.policy.timeout.total_seconds()):
            return str((await live.framework_agent.run(f"{_TASK}\n{transcript}", **how)).text).strip()
