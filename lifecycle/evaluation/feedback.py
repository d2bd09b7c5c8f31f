"""Users' feedback on answers: a score part of its own, besides those of checks and judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import Conflict, NotFound, Unavailable
from kernel.journal import Event
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from llmops.evaluation.combined_score import FEEDBACK, Part, Score, with_parts
from llmops.facts.fact_store import Facts, kept_of

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.registry.catalog import Catalog
    from llmops.facts.scores import Evaluation, Evaluations

HELPFUL, NOT_HELPFUL = 100, 0


class RunFeedback:
    """Records users' feedback."""

    def __init__(
        self, facts: Facts, evaluations: Evaluations, conversations: ConversationStore, catalog: Catalog, clock: Clock
    ) -> None:
        self._facts = facts
        self._evaluations = evaluations
        self._conversations = conversations
        self._catalog = catalog
        self._clock = clock

    async def give(self, run: Run, *, helpful: bool, comment: str = "") -> Run:
        """Record feedback on a run's answer and return the run. The same feedback again changes nothing.

        The comment is stored as the part's reason, and is erased with the session.

        Raises:
            Conflict: The run has no scored answer, or has different feedback.
            NotFound: The run does not exist any more.
            Unavailable: The storage cannot be reached, or the run has just ended and its fact is not written yet.
        """
        if run.state is not RunState.SUCCEEDED or run.score is None:
            msg = "The run has no scored answer."
            raise Conflict(msg, code="not_scored")
        value = HELPFUL if helpful else NOT_HELPFUL
        weights = await self._weights(run)

        def add(before: Score) -> Score:
            if weights.get(FEEDBACK):
                return replace(with_parts(before, [Part(FEEDBACK, value, comment)], weights), pending=before.pending)
            reasons = dict(before.reasons) | ({FEEDBACK: comment} if comment else {})
            return replace(before, parts=dict(before.parts) | {FEEDBACK: value}, reasons=reasons)

        home, key = await self._answer(run)
        found = await self._evaluations.change(home, key, FEEDBACK, add, self._clock())
        if found is None:
            raise _not_found()
        if found.score.parts.get(FEEDBACK) != value:
            msg = "The answer has different feedback already."
            raise Conflict(msg, code="feedback_given")
        return await self._publish(run, found)

    async def _weights(self, run: Run) -> Mapping[str, float]:
        """Return the weights of the agent's policy, by which judges' later results are combined, too."""
        agent = await self._catalog.find(run.workspace, run.agent)
        policy = agent.declaration.spec.evaluation if agent else None
        return policy.weights if policy else {}

    async def _answer(self, run: Run) -> tuple[str, str]:
        """Return the partition and the key of the row with the answer's fact."""
        ended = run.times.finished or self._clock()
        for row in await self._facts.rows_of_run(run.workspace, run.agent, run.id, run.times.accepted, ended):
            fact = kept_of(row).fact
            if fact.attempt == run.attempt and not fact.judge:
                return row.partition, row.key
        msg = "The run's attempt is not recorded yet; try again."
        raise Unavailable(msg, code="not_recorded")

    async def _publish(self, run: Run, found: Evaluation) -> Run:
        """Update the score on the run, with an event."""
        data = {"run_id": run.id, "judge": FEEDBACK, "overall": found.score.overall}
        event = Event("run.evaluated", data, self._clock())

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.session is None or stored.session.state is SessionState.ERASED:
                return None
            if stored.run is None or stored.run.score == found.score:
                return None
            return ConversationChange(stored.session, runs.scored(stored.run, found.score), events=[event])

        stored = await self._conversations.update(run.workspace, run.session_id, run.id, decide)
        if stored.run is None:
            raise _not_found()
        return stored.run


def _not_found() -> NotFound:
    return NotFound("The run is gone.")
