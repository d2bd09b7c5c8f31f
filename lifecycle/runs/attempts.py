"""One attempt at a run: get the agent, tell it the conversation, call the model, score the answer."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kernel.clock import Clock
from kernel.errors import AppError, InternalError, Unavailable
from kernel.ids import new_id
from lifecycle.evaluation.scorer import AnswerScorer
from lifecycle.loader.resolver import AgentResolver, LiveAgent
from lifecycle.loader.uses import UseRecorder
from lifecycle.registry.operations import Verify
from lifecycle.registry.providers import AttemptId
from lifecycle.registry.signals import AgentSignals
from lifecycle.runs.lease import RunLease
from lifecycle.runs.metering import Meter
from lifecycle.runs.rules import Answer, Run, Stage
from lifecycle.sessions.conversations import Conversations
from lifecycle.sessions.rules import Held
from llmops.spend.ledger import Ledger
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from agent_framework import AgentResponse, Message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptPolicy:
    """How attempts are made.

    Attributes:
        timeout: How long one may take.
        history_turns: Most messages of the conversation that the model is given by us; a conversation that the provider
            keeps is the provider's to limit.
    """

    timeout: timedelta
    history_turns: int


class Attempts:
    """Begins attempts."""

    def __init__(
        self,
        conversations: Conversations,
        resolver: AgentResolver,
        *,
        ledger: Ledger,
        uses: UseRecorder,
        scorer: AnswerScorer,
        clock: Clock,
        policy: AttemptPolicy,
    ) -> None:
        self.conversations = conversations
        self.resolver = resolver
        self.ledger = ledger
        self.uses = uses
        self.scorer = scorer
        self.clock = clock
        self.policy = policy

    def begin(self, lease: RunLease, signals: AgentSignals) -> Attempt:
        """Return an attempt at the run that the lease holds."""
        return Attempt(self, lease, signals)


class Attempt:
    """One try at a run; `answer` is called once.

    Attributes:
        spend: What its model calls have come to so far.
    """

    def __init__(self, parts: Attempts, lease: RunLease, signals: AgentSignals) -> None:
        self._parts = parts
        self._lease = lease
        self._signals = signals
        self._conversation: str | None = None
        self._meter: Meter | None = None

    @property
    def spend(self) -> Spend:
        """What its model calls have come to so far."""
        return self._meter.spend if self._meter else Spend()

    async def answer(self) -> Answer:
        """Return the model's answer, scored.

        Raises:
            AppError: There is none; retriable if another attempt may bring one.
        """
        parts, lease = self._parts, self._lease
        run = lease.run
        live = await parts.resolver.resolve(run.workspace, run.agent, self._signals, run.revision)
        await parts.uses.record(run.workspace, run.agent, self._signals)
        try:
            messages = [*await self._said_before(live), told(run)]
            lease.enter(Stage.RUNNING)
            meter = self._meter = Meter(run, live, parts.ledger, parts.clock)
            response = await self._asked(live, messages, meter)
        except Exception as error:
            await self._let_go(live, failure := _translated(live, error))
            raise failure from error
        lease.enter(Stage.EVALUATING)
        score = await parts.scorer.score(run, live, meter.model, response.messages)
        return Answer(response.text, score, meter.model, live.version.version)

    def held_after(self, turns: int) -> Held | None:
        """Return the provider's conversation once the answer stands in the history, of so many turns in all."""
        return Held(self._conversation, turns) if self._conversation else None

    def held_after_failure(self, error: AppError) -> Held | None:
        """Return the provider's conversation if it surely is what it was before, else None.

        A refusal for too many requests added nothing to it; of any other failure that cannot be said.
        """
        untouched = error.code == "provider_throttled" and not self.spend.calls
        return self._lease.session.held if untouched else None

    async def _said_before(self, live: LiveAgent) -> Sequence[Message]:
        """Return the part of the history that the model must be told, and take up the provider's conversation."""
        session = self._lease.session
        known = session.held
        key = f"{session.workspace}/{session.id}"
        self._conversation = await live.provider.conversation(live.version, key, known.id if known else None)
        goes_on = known is not None and self._conversation == known.id
        first = max(known.turns if goes_on and known else 0, session.turns - self._parts.policy.history_turns)
        if first >= session.turns:
            return []
        from agent_framework import Message  # noqa: PLC0415 - cold start

        turns = await self._parts.conversations.turns(session.workspace, session.id, first, session.turns - first)
        return [Message(turn.role, [turn.text]) for turn in turns]

    async def _asked(self, live: LiveAgent, messages: Sequence[Message | str], meter: Meter) -> AgentResponse[Any]:
        run, agent, timeout = self._lease.run, live.framework_agent, self._parts.policy.timeout.total_seconds()
        thread = agent.get_session(self._conversation) if self._conversation else None
        try:
            async with asyncio.timeout(timeout):
                return await agent.run(
                    messages,
                    session=thread,
                    middleware=[meter.middleware()],  # pyright: ignore[reportCallIssue] - every framework agent takes it
                    client_kwargs={"attempt": AttemptId(run.id, run.attempt)},
                )
        except TimeoutError:
            msg = f"The attempt took longer than {timeout:g} s."
            raise Unavailable(msg, code="run_timeout") from None

    async def _let_go(self, live: LiveAgent, failure: AppError) -> None:
        """Have the next attempt look the agent up anew, and its actor make what is gone at the provider."""
        self._parts.resolver.forget(live.workspace, live.name)
        if failure.code == "agent_version_gone":
            await self._signals.send(live.workspace, live.name, Verify(new_id()))


def told(run: Run) -> str:
    """Return what the model is told of a run, and what stands in the history for it: the query, and its context."""
    return run.query if run.context is None else f"{run.query}\n\n<context>\n{run.context}\n</context>"


def _translated(live: LiveAgent, error: Exception) -> AppError:
    translated = error if isinstance(error, AppError) else live.provider.translate(error)
    return defect(error) if isinstance(translated, InternalError) else translated


def defect(error: Exception) -> InternalError:
    """Log where an unexpected exception came from; not its text, which may quote a prompt."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error("%s at %s:%d", type(error).__name__, frame.filename, frame.lineno or 0, extra={"event": "run.defect"})
    return InternalError()
