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
from lifecycle.registry.operations import Keep, Verify
from lifecycle.registry.providers import AttemptId
from lifecycle.registry.signals import AgentSignals
from lifecycle.runs.endings import Effort
from lifecycle.runs.guard import Guard, GuardPolicy
from lifecycle.runs.lease import RunLease
from lifecycle.runs.metering import Meter, charged
from lifecycle.runs.progress import dumped, loaded
from lifecycle.runs.rules import Answer, Run, Stage
from lifecycle.runs.streaming import told_on_the_way
from lifecycle.sessions.conversations import Conversations
from lifecycle.sessions.history import compacted, estimate, token_limit, wishes
from lifecycle.sessions.rules import Held, Kept
from llmops.budgets.purse import Treasury, reserve_for
from llmops.budgets.rules import Amounts, BudgetBlocked
from llmops.budgets.waits import Wait
from llmops.spend.rates import RateBook
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from agent_framework import AgentResponse, Message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptPolicy:
    """How attempts are made.

    Attributes:
        timeout: How long one may take.
        history_turns: Most messages of the history that the model is told.
        history_tokens: Most tokens of the history that the model is told, where the session does not say.
        output_tokens: Most tokens of a model call's answer within budgets, where the agent does not say.
        guard: When a run has run away, where the agent does not say.
    """

    timeout: timedelta
    history_turns: int
    history_tokens: int
    output_tokens: int
    guard: GuardPolicy


class Attempts:
    """Begins attempts."""

    def __init__(
        self,
        conversations: Conversations,
        resolver: AgentResolver,
        *,
        treasury: Treasury,
        rates: RateBook,
        uses: UseRecorder,
        scorer: AnswerScorer,
        clock: Clock,
        policy: AttemptPolicy,
    ) -> None:
        self.conversations = conversations
        self.resolver = resolver
        self.treasury = treasury
        self.rates = rates
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
        self._done: Sequence[Message] = ()
        self._tokens = 0
        self._meter: Meter | None = None
        self._version = ""

    @property
    def spend(self) -> Spend:
        """What its model calls have come to so far."""
        return self._meter.spend if self._meter else Spend()

    @property
    def effort(self) -> Effort:
        """What it was made with so far."""
        meter = self._meter
        return Effort(self._version, tuple(meter.lines) if meter else (), self.went_on)

    def wait(self, error: BudgetBlocked) -> Wait:
        """Return what the run waits for whose next call a budget does not allow."""
        meter, run = self._meter, self._lease.run
        intent = meter.intent if meter else None
        need = reserve_for(intent) if intent else Amounts(calls=1)
        model, below = (intent.model if intent else ""), (meter.waits_below if meter else None)
        return Wait(charged(run), error.code, need, model, below)

    @property
    def progress(self) -> str | None:
        """How far the run has come, for another attempt to go on from; None for its beginning."""
        meter = self._meter
        if meter is None or not meter.spend.calls:
            return self._lease.run.progress if self.went_on else None
        if self._conversation is not None:
            return dumped(meter.messages, self._conversation)
        return dumped([*self._done, *meter.messages[meter.first :]], None)

    @property
    def went_on(self) -> bool:
        """Whether it has gone on from where an earlier one was stopped."""
        return bool(self._done)

    async def answer(self) -> Answer:
        """Return the model's answer, scored.

        Raises:
            AppError: There is none; retriable if another attempt may bring one.
        """
        parts, lease = self._parts, self._lease
        run = lease.run
        pin = lease.session.pin
        live = await parts.resolver.resolve(run.workspace, run.agent, self._signals, run.revision, pin=pin)
        self._version = live.version.version
        await parts.uses.record(run.workspace, run.agent, self._signals)
        try:
            said = await self._said_before(live)
            self._done = loaded(run.progress, self._conversation)
            within = bool(self._done) and self._conversation is not None
            messages = self._done if within else [*said, told(run), *self._done]
            meter = self._meter = await self._paying(live)
            lease.enter(Stage.RUNNING)
            response = await self._asked(live, messages, meter)
        except Exception as error:
            raise await self._let_go(live, _translated(live, error)) from error
        text = lease.text if run.stream else response.text
        self._tokens += estimate(told(run)) + estimate(text)
        lease.enter(Stage.EVALUATING)
        score = await parts.scorer.score(run, live, response.messages)
        return Answer(text, score, meter.model, live.version.version)

    def held_after(self, turns: int) -> Held | None:
        """Return the provider's conversation once the answer stands in the history, of so many turns in all."""
        return Held(self._conversation, turns, self._tokens) if self._conversation else None

    def held_after_failure(self, error: AppError) -> Held | None:
        """Return the provider's conversation if it surely is what it was before, else None.

        A refusal for too many requests added nothing to it, nor did a call that a budget did not allow, before which it
        holds what was answered; of any other failure that cannot be said.
        """
        if isinstance(error, BudgetBlocked) and self.spend.calls and self._conversation is not None:
            return Held(self._conversation, self._lease.session.turns, self._tokens)
        refused = isinstance(error, BudgetBlocked) or error.code == "provider_throttled"
        untouched = refused and not self.spend.calls
        return self._lease.session.held if untouched else None

    async def _said_before(self, live: LiveAgent) -> Sequence[Message]:
        """Return the part of the history that the model must be told, and take up the provider's conversation."""
        session, policy = self._lease.session, self._parts.policy
        most = token_limit(session, policy.history_tokens)
        known = session.held
        if known is not None and known.tokens > most:
            known = None  # it has grown too long: another one is begun, with the latest part of the history
        key = f"{session.workspace}/{session.id}"
        self._conversation = await live.provider.conversation(live.version, key, known.id if known else None)
        goes_on = known is not None and self._conversation == known.id
        if self._conversation is not None and not goes_on:
            await self._lease.keep(Kept(live.spec.provider, self._conversation))
            most = max(1, most // 2)  # room to go on in it
        first = max(known.turns if goes_on and known else 0, session.turns - policy.history_turns)
        messages = [] if goes_on else [*wishes(session)]
        if first < session.turns:
            turns = await self._parts.conversations.turns(session.workspace, session.id, first, session.turns - first)
            latest = await compacted(turns, most)
            if len(latest) < len(turns):
                self._lease.note("run.history_compacted", {"told": len(latest), "of": len(turns)})
            messages += latest
        self._tokens = (known.tokens if goes_on and known else 0) + sum(estimate(each.text) for each in messages)
        return messages

    async def _asked(self, live: LiveAgent, messages: Sequence[Message | str], meter: Meter) -> AgentResponse[Any]:
        run, agent, timeout = self._lease.run, live.framework_agent, self._parts.policy.timeout.total_seconds()
        how: dict[str, Any] = {
            "session": agent.get_session(self._conversation) if self._conversation else None,
            "middleware": meter.middleware(),
            "client_kwargs": {"attempt": AttemptId(run.id, run.attempt)},
        }
        try:
            async with asyncio.timeout(timeout) as limit:
                meter.limit, meter.latest = limit, asyncio.get_running_loop().time() + timeout
                if run.stream:
                    return await told_on_the_way(agent.run(messages, stream=True, **how), self._lease)
                return await agent.run(messages, **how)
        except TimeoutError:
            if meter.purse.out_of_time:
                raise BudgetBlocked("The wall time that a budget allows is over.") from None
            msg = f"The attempt took longer than {timeout:g} s."
            raise Unavailable(msg, code="run_timeout") from None
        finally:
            await meter.purse.close()

    async def _paying(self, live: LiveAgent) -> Meter:
        """Return what pays for the attempt's calls, after what earlier attempts have left open is recorded."""
        parts, run, held = self._parts, self._lease.run, self._lease.session.held
        purse = parts.treasury.purse(charged(run), run.attempt)
        if run.attempt > 1:
            await purse.take_over((run.started_at or run.created_at).date())
        if await purse.limits():
            self._lease.enter(Stage.CHECKING_BUDGET)
        return Meter(
            run,
            live,
            purse,
            parts.rates,
            Guard(parts.policy.guard.of(live.spec.runaway)),
            parts.treasury.news,
            parts.clock,
            usual_output=parts.policy.output_tokens,
            # Its estimate takes a token for four characters; what is reserved must not be less than what is sent.
            held_tokens=held.tokens * 4 if held and held.id == self._conversation else 0,
        )

    async def _let_go(self, live: LiveAgent, failure: AppError) -> AppError:
        """Have the next attempt look the agent up anew, and its actor make what is gone; return what the failure is."""
        pin = self._lease.session.pin
        self._parts.resolver.forget(live.workspace, live.name, pin)
        if failure.code == "agent_version_gone":
            operation = Keep(new_id(), pin.spec) if pin else Verify(new_id())
            await self._signals.send(live.workspace, live.name, operation)
        if failure.code == "provider_disabled" and await self._parts.resolver.put_away_since(live):
            msg = "The agent was put away while the run began; it is brought back."
            return Unavailable(msg, code="agent_put_away")
        return failure


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
