"""Drafts of answers that a person has to approve.

A draft waits like a tool call, and is stored in the run's progress, so that its cost is not wasted. Once approved, as
written or amended, it is the answer without another model call. Once rejected, the model gets the reason and writes
another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernel.errors import RunFailed
from kernel.lazy_dataclass import dataclass
from lifecycle.approvals.approval import State, rejection
from lifecycle.approvals.gate import ANSWER, ApprovalGate, ApprovalPending
from lifecycle.runs.stored_progress import dumped

if TYPE_CHECKING:
    from agent_framework import Message

    from lifecycle.conversations.run import Run
    from lifecycle.runs.call_metering import CallTotals
    from lifecycle.specs.team import Team

REJECTED = "drafts_rejected"
"""Error code of a run whose drafts were rejected; it is not handed to another member."""
MAX_REJECTED = 5
"""Number of rejected drafts after which a run fails."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The decision about the latest draft: the text to answer with, or why the model has to write another."""

    text: str | None = None
    rejected: str = ""


class Drafts:
    """The drafts of one run."""

    def __init__(self, gate: ApprovalGate, team: Team, run: Run) -> None:
        self._gate = gate
        self._team = team
        self._run = run

    async def reviewed(self) -> Reviewed:
        """Return the decision about the latest draft; an empty one if there is no draft.

        Raises:
            ApprovalPending: It is not decided yet.
            RunFailed: Too many were rejected (code `drafts_rejected`).
        """
        if self._run.attempt == 1:
            return Reviewed()
        records = await self._gate.drafts(self._run)
        latest = records[-1].approval if records else None
        if latest is None or latest.state is State.WITHDRAWN:
            return Reviewed()
        if latest.open:
            raise ApprovalPending([records[-1]])
        if latest.state is State.APPROVED:
            return Reviewed(str(json.loads(records[-1].arguments or "{}").get(ANSWER, "")))
        if len(records) >= MAX_REJECTED:
            msg = f"{len(records)} drafts of the answer were not approved."
            raise RunFailed(msg, code=REJECTED)
        return Reviewed(rejected=f"Your answer was not given: {rejection(latest)}. Write another one.")

    def ask(self, version: str, text: str) -> ApprovalPending:
        """Return the exception that has the run wait until this draft is approved."""
        return self._gate.draft(self._run, version, text, self._team.approvers)


def drafts_of(gate: ApprovalGate | None, team: Team | None, run: Run) -> Drafts | None:
    """Return the drafts of a run whose team requires approval of answers; None for other runs."""
    if gate is None or team is None or not team.requires_human_approval:
        return None
    return Drafts(gate, team, run)


def with_draft(before: Sequence[Message], metered: CallTotals, draft: str, conversation: str | None) -> str | None:
    """Return the progress of a run whose answer waits for approval, like `dumped`.

    Args:
        before: The progress of an earlier attempt.
        metered: The calls of this attempt.
        draft: The answer.
        conversation: The provider's conversation with it; None if the provider has none.
    """
    from agent_framework import Message  # noqa: PLC0415 - cold start

    answer = Message("assistant", [draft])
    if conversation is not None:
        return dumped([answer], conversation)
    return dumped([*before, *metered.messages[metered.given :], answer], None)
