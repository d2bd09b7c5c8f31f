"""The part of a session's history that is sent to a model: the latest messages, by Agent Framework's compaction.

The stored history stays; only what is sent is cut, oldest first. Nothing is summarized, so compaction costs nothing and
is deterministic.

Summaries of a session for the next member, written by an agent within the attempt that hands over.

Its calls belong to that attempt: stored, priced, and within the run's budgets. If a summary cannot be made (the agent
is missing, fails, or may not spend), the next member gets the latest runs instead.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError
from lifecycle.configuration.preferences import preference_text
from lifecycle.conversations.session import Session
from lifecycle.conversations.store import Turn
from lifecycle.registry.providers import AttemptId
from lifecycle.runs.client_tools import messages_of
from lifecycle.runs.metering import CallMeter, CallTotals, MeterPolicy, charged
from lifecycle.teams.moves import Move, wants_summary

if TYPE_CHECKING:
    from agent_framework import Message

    from lifecycle.loader.resolver import LiveAgent
    from lifecycle.registry.signals import AgentSignals
    from lifecycle.runs.attempt import AttemptFactory
    from lifecycle.runs.lease import RunLease
    from lifecycle.specs.spec import AgentSpec


_CHARACTERS_PER_TOKEN = 4  # as in the framework's CharacterEstimatorTokenizer
_MOST_AROUND = 200
"""Upper bound of the characters that the framework counts for a message besides its text."""


def estimate(text: str) -> int:
    """Return the estimated number of tokens of the text."""
    return max(1, len(text) // _CHARACTERS_PER_TOKEN)


def token_limit(session: Session, spec: AgentSpec, usual: int) -> int:
    """Return the most tokens of history to send to a model: the session's limit, else the agent's, else `usual`."""
    own = session.limits.max_history_tokens or spec.max_history_tokens
    return own or usual


def preference_messages(session: Session) -> Sequence[Message]:
    """Return the user's preferences as a user message, to go before all others."""
    text = preference_text(session.preferences) if session.preferences else ""
    if not text:
        return []
    from agent_framework import Message  # noqa: PLC0415 - cold start

    return [Message("user", [text])]


def fits(turns: Sequence[Turn], most_tokens: int) -> bool:
    """Return whether the messages certainly have at most so many tokens by the framework's count.

    This takes a hundredth of the time of the framework's count, which most sessions then do not need. False means
    unknown.
    """
    texts = (
        len(json.dumps(text, ensure_ascii=False)) for turn in turns for text in _texts(turn)
    )  # as the framework measures
    return sum((length + _MOST_AROUND) // _CHARACTERS_PER_TOKEN for length in texts) <= most_tokens


def _texts(turn: Turn) -> Iterator[str]:
    yield turn.text
    yield from (call.name + call.arguments for call in turn.tool_calls)


async def compacted(turns: Sequence[Turn], most_tokens: int) -> Sequence[Message]:
    """Return the latest messages with at most `most_tokens` tokens; always at least the last one.

    Each message counts some 20 tokens more than its text.
    """
    if not turns:
        return []
    from agent_framework import (  # noqa: PLC0415 - cold start
        CharacterEstimatorTokenizer,
        Message,
        TruncationStrategy,
        apply_compaction,
    )

    messages = [message for turn in turns for message in messages_of(turn)]
    if fits(turns, most_tokens):
        return messages
    tokenizer = CharacterEstimatorTokenizer()
    strategy = TruncationStrategy(max_n=most_tokens, compact_to=most_tokens, tokenizer=tokenizer)
    latest = await apply_compaction(messages, strategy=strategy, tokenizer=tokenizer)
    # The strategy leaves annotations on the messages, which must not be sent to a provider.
    return [Message(message.role, message.contents) for message in latest]


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
