"""Asks judges about answers, separately from the runs, so that no answer waits for them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import AppError, InternalError, Unavailable
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.evaluation.answer_scoring import JUDGES, item_of
from lifecycle.evaluation.judge_costs import TRIES, Judgement, JudgingCharges, before_calls
from lifecycle.registry.actor_signals import AgentSignals
from llmops.evaluation.combined_score import Part
from llmops.evaluation.policy import EvaluationPolicy
from llmops.facts.scores import Evaluation, Evaluations, PendingEvaluation

if TYPE_CHECKING:
    from agent_framework import EvalItem

    from kernel.clock import Clock
    from lifecycle.registry.catalog import Catalog
    from llmops.facts.attempt_fact import Call

log = logging.getLogger(__name__)

ASKING = timedelta(minutes=5)
"""How long a judge may take."""
CLAIM = timedelta(minutes=15)
"""How long a judgement is claimed: longer than a judge may take, with a margin for clocks that differ."""
_AT_ONCE = 8
_A_ROUND = 64
_NO_MORE_AFTER = timedelta(seconds=40)
"""How long a round asks further judges: with the last one it ends well before the host's time limit of a function."""

Judge = Callable[[EvaluationPolicy, Run, "EvalItem", AgentSignals, Judgement], Awaitable[Sequence[Part]]]
"""Returns a judge's results; raises an AppError when the judge cannot be asked."""

ForgetUser = Callable[[Evaluation], Awaitable[None]]
"""Removes the user from the costs of judging an erased run, including those of judges whose worker died."""


@dataclass(frozen=True, slots=True)
class JudgingRound:
    """Counts of one round: judges that were asked and that failed. Those left to other rounds are in neither."""

    judged: int
    deferred: int


class JudgeEvaluation:
    """Asks the judges of answered runs."""

    def __init__(
        self,
        judges: Mapping[str, Judge],
        history: Evaluations,
        catalog: Catalog,
        conversations: ConversationStore,
        charges: JudgingCharges,
        forget_user: ForgetUser,
        clock: Clock,
        *,
        asking: timedelta = ASKING,
    ) -> None:
        self._judges = judges
        self._history = history
        self._catalog = catalog
        self._conversations = conversations
        self._charges = charges
        self._forget_user = forget_user
        self._clock = clock
        self._asking = asking

    async def run(self, signals: AgentSignals) -> JudgingRound:
        """Do a round. Rounds may overlap: a judgement is claimed before its judge is asked.

        After a crash, a judgement is claimed again when its claim is over (`CLAIM`). The cost of the interrupted try is
        then recorded, and the judge is asked again, at most TRIES times, unless its result was stored.
        """
        judged = deferred = 0
        until = self._clock() + _NO_MORE_AFTER
        agents = list((await self._history.waiting(_A_ROUND, self._clock())).items())
        random.shuffle(agents)  # one whose answers fill every round must not keep the others from their turn
        for (workspace, agent), waiting in agents:
            results = await self._round(workspace, agent, waiting, signals, until)
            judged += results.count(True)
            deferred += results.count(False)
        return JudgingRound(judged, deferred)

    async def _round(
        self,
        workspace: str,
        name: str,
        waiting: Sequence[PendingEvaluation],
        signals: AgentSignals,
        until: datetime,
    ) -> list[bool | None]:
        """Return whether each judgement was made; None if another round has it."""
        if not waiting or self._clock() >= until:
            return []
        try:
            agent = await self._catalog.find(workspace, name)
        except AppError as error:  # e.g. its row is unreadable; the others' answers are judged
            log.warning("agent %s: %s", name, error.code, extra={"event": "evaluation.judge_failed"})
            return [False] * len(waiting)
        policy = (agent.declaration.spec.evaluation if agent else None) or EvaluationPolicy()
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(waits: PendingEvaluation) -> bool | None:
            async with turns:
                if self._clock() >= until:
                    return None
                try:
                    return await self._judge(waits, policy, signals)
                except AppError as error:
                    # If the result cannot be stored now, a later round stores it; other answers are not delayed.
                    log.warning("judge %s: %s", waits.judge, error.code, extra={"event": "evaluation.judge_failed"})
                    return False

        return list(await asyncio.gather(*(one(waits) for waits in waiting)))

    async def _judge(self, waits: PendingEvaluation, policy: EvaluationPolicy, signals: AgentSignals) -> bool | None:
        judged = await self._history.of(waits)
        if judged is not None and waits.calls:
            await self._record_interrupted(waits, judged)
        if judged is not None and waits.judge not in judged.judged:
            if waits.tries >= TRIES:  # the last worker that tried has died
                parts = [Part(waits.judge, None, "Left out: the judge was interrupted.")]
                judged = await self._history.judged(waits, parts, policy.weights, self._clock())
            elif (claimed := await self._history.claim(waits, self._clock() + CLAIM)) is None:
                return None
            else:
                waits = claimed
                if (judged := await self._judged(claimed, judged, policy, signals)) is None:
                    return False
        if judged is not None and not await self._publish(judged, waits.judge):
            await self._forget_user(judged)
        await self._history.settle(waits)
        return True

    async def _record_interrupted(self, waits: PendingEvaluation, of: Evaluation) -> None:
        """Record the calls of a worker that died while judging: the open call at its estimate."""
        run = await self._conversations.run(of.workspace, of.session_id, of.run_id)
        if run is not None and run.attempt == of.attempt:
            await self._charges.record(run, waits.judge, waits.calls)

    async def _judged(
        self, waits: PendingEvaluation, of: Evaluation, policy: EvaluationPolicy, signals: AgentSignals
    ) -> Evaluation | None:
        """Return the evaluation with the judge's results; None if it could not be asked this time."""
        claimed = [waits]  # as last stored

        async def note(calls: Sequence[Call]) -> None:
            claimed[0] = await self._history.note(claimed[0], calls)

        judgement = Judgement(before_calls(JUDGES.index(waits.judge), of.attempt, waits.tries), note)
        try:
            parts = await self._asked(waits, of, policy, signals, judgement)
        except AppError as error:
            if error.retriable and waits.tries < TRIES:
                await self._history.release(claimed[0])
                return None
            log.warning("judge %s: %s", waits.judge, error.code, extra={"event": "evaluation.judge_failed"})
            parts = [Part(waits.judge, None, f"Left out: {error.code}.")]
        return await self._history.judged(waits, parts, policy.weights, self._clock())

    async def _asked(
        self,
        waits: PendingEvaluation,
        of: Evaluation,
        policy: EvaluationPolicy,
        signals: AgentSignals,
        judgement: Judgement,
    ) -> Sequence[Part]:
        run = await self._conversations.run(of.workspace, of.session_id, of.run_id)
        if run is None or run.answer is None or run.attempt != of.attempt:
            return [Part(waits.judge, None, "Left out: the answer is gone.")]
        from agent_framework import Message  # noqa: PLC0415 - cold start

        item = item_of(run, [Message("assistant", [run.answer])])
        judge = self._judges.get(waits.judge)
        if judge is None:
            return [Part(waits.judge, None, "Left out: the app has no such judge.")]
        try:
            async with asyncio.timeout(self._asking.total_seconds()):
                return await judge(policy, run, item, signals, judgement)
        except AppError:
            raise
        except TimeoutError as error:
            msg = "The judge took too long."
            raise Unavailable(msg, code="judge_too_slow") from error
        except Exception as error:
            log.error(  # noqa: TRY400 - an exception's text may quote an answer
                "judge %s: %s", waits.judge, type(error).__name__, extra={"event": "evaluation.judge_failed"}
            )
            raise InternalError from error

    async def _publish(self, judged: Evaluation, judge: str) -> bool:
        """Update the score on the run, with an event; return whether the run exists and is not erased."""
        data = {"run_id": judged.run_id, "judge": judge, "overall": judged.score.overall}
        event = Event("run.evaluated", data, self._clock())

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if _is_erased(stored) or stored.session is None or stored.run is None or stored.run.score == judged.score:
                return None
            return ConversationChange(stored.session, runs.scored(stored.run, judged.score), events=[event])

        return not _is_erased(
            await self._conversations.update(judged.workspace, judged.session_id, judged.run_id, decide)
        )


def _is_erased(stored: StoredConversation) -> bool:
    """Return whether the run is erased or being erased."""
    return stored.run is None or stored.session is None or stored.session.state is SessionState.ERASED
