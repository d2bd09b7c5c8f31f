"""Hearing the judges of answers that were given: apart from the runs, so that no answer waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernel.clock import Clock
from kernel.errors import AppError, InternalError
from lifecycle.evaluation.charging import ATTEMPT
from lifecycle.evaluation.scorer import item_of
from lifecycle.registry.catalog import Catalog
from lifecycle.registry.signals import AgentSignals
from lifecycle.runs.rules import Run
from lifecycle.sessions.conversations import Change, Conversations, Event, Stored
from lifecycle.sessions.rules import SessionState
from llmops.budgets.purse import Treasury
from llmops.evaluation.policy import EvaluationPolicy
from llmops.evaluation.scoring import Part
from llmops.facts.forgetting import RunForgetting
from llmops.facts.scores import Evaluation, Evaluations, Waiting

if TYPE_CHECKING:
    from agent_framework import EvalItem

log = logging.getLogger(__name__)

TRIES = 5
"""How often a judge is asked about an answer before it is given up."""
_AT_ONCE = 8
_A_ROUND = 64

Judge = Callable[[EvaluationPolicy, Run, "EvalItem", AgentSignals], Awaitable[Sequence[Part]]]
"""Returns what a judge finds; raises an AppError when it cannot be asked."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one round did: judges heard, and judges that could not be."""

    heard: int
    put_off: int


class Judges:
    """Hears the judges that wait, of the agents that have answered."""

    def __init__(
        self,
        judges: Mapping[str, Judge],
        history: Evaluations,
        catalog: Catalog,
        conversations: Conversations,
        *,
        treasury: Treasury,
        forgetting: RunForgetting,
        clock: Clock,
    ) -> None:
        self._judges = judges
        self._history = history
        self._catalog = catalog
        self._conversations = conversations
        self._treasury = treasury
        self._forgetting = forgetting
        self._clock = clock

    async def hear(self, signals: AgentSignals) -> Heard:
        """Do a round. It reads what is new; running it twice, or again after a crash, changes nothing more.

        A crash between a judge's answer and its record has the judge asked again, and paid again.
        """
        heard = put_off = 0
        for (workspace, agent), waiting in (await self._history.waiting(_A_ROUND)).items():
            results = await self._round(workspace, agent, waiting, signals)
            heard += sum(results)
            put_off += len(results) - sum(results)
        return Heard(heard, put_off)

    async def _round(
        self, workspace: str, name: str, waiting: Sequence[Waiting], signals: AgentSignals
    ) -> Sequence[bool]:
        agent = await self._catalog.find(workspace, name)
        policy = (agent.declaration.spec.evaluation if agent else None) or EvaluationPolicy()
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(waits: Waiting) -> bool:
            async with turns:
                try:
                    return await self._heard(waits, policy, signals)
                except AppError as error:
                    # What cannot be written now is written the next time, and holds up no other answer.
                    log.warning("judge %s: %s", waits.judge, error.code, extra={"event": "evaluation.judge_failed"})
                    return False

        return await asyncio.gather(*(one(waits) for waits in waiting))

    async def _heard(self, waits: Waiting, policy: EvaluationPolicy, signals: AgentSignals) -> bool:
        judged = await self._history.of(waits)
        if judged is not None and waits.judge not in judged.judged:
            judged = await self._judged(waits, judged, policy, signals)
            if judged is None:
                return False
        if judged is not None and not await self._tell(judged, waits.judge):
            await self._forget_asker(judged)
        await self._history.settle(waits)
        return True

    async def _judged(
        self, waits: Waiting, of: Evaluation, policy: EvaluationPolicy, signals: AgentSignals
    ) -> Evaluation | None:
        """Return the evaluation with what the judge found; None where it could not be asked this time."""
        try:
            parts = await self._asked(waits, of, policy, signals)
        except AppError as error:
            if error.retriable and waits.tries + 1 < TRIES:
                await self._history.put_off(waits)
                return None
            log.warning("judge %s: %s", waits.judge, error.code, extra={"event": "evaluation.judge_failed"})
            parts = [Part(waits.judge, None, f"Left out: {error.code}.")]
        return await self._history.judged(waits, parts, policy.weights, self._clock())

    async def _asked(
        self, waits: Waiting, of: Evaluation, policy: EvaluationPolicy, signals: AgentSignals
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
            return await judge(policy, run, item, signals)
        except AppError:
            raise
        except Exception as error:
            log.error(  # noqa: TRY400 - an exception's text may quote an answer
                "judge %s: %s", waits.judge, type(error).__name__, extra={"event": "evaluation.judge_failed"}
            )
            raise InternalError from error

    async def _forget_asker(self, of: Evaluation) -> None:
        """Take who asked out of what judging an erased run has cost, also what a judge spent that died."""
        await self._treasury.free(of.workspace, of.run_id, ATTEMPT + 1)
        await self._forgetting.forget(of.workspace, of.agent, of.run_id, of.accepted_at, self._clock())

    async def _tell(self, judged: Evaluation, judge: str) -> bool:
        """Show the score at the run, and that it changed; return whether the run is there, and was not erased."""
        data = {"run_id": judged.run_id, "judge": judge, "overall": judged.score.overall}
        event = Event("run.evaluated", data, self._clock())

        def decide(stored: Stored) -> Change | None:
            if _gone(stored) or stored.session is None or stored.run is None or stored.run.score == judged.score:
                return None
            return Change(stored.session, replace(stored.run, score=judged.score), events=[event])

        return not _gone(await self._conversations.update(judged.workspace, judged.session_id, judged.run_id, decide))


def _gone(stored: Stored) -> bool:
    """Return whether the run was erased, or is about to be."""
    return stored.run is None or stored.session is None or stored.session.state is SessionState.ERASED
