"""Drafts of answers that a person approves before they leave.

A draft waits as a tool call does, and the run's progress holds it, so that what it cost is not wasted: once it is
approved, as it was written or amended, it is the answer, and no model is called. Once it is rejected, the model is told
why and writes another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel.errors import RunFailed
from lifecycle.approvals.gate import ANSWER, ApprovalGate, ApprovalPending
from lifecycle.approvals.model import State, rejection
from lifecycle.conversations.run import Run
from lifecycle.runs.metering import CallTotals
from lifecycle.runs.progress import dumped
from lifecycle.specs.team import Team

if TYPE_CHECKING:
    from agent_framework import Message

REJECTED = "drafts_rejected"
"""Code of a run whose drafts were not approved; no other member is asked then."""
MAX_REJECTED = 5
"""Drafts of a run that may be rejected before it fails."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What was decided of the latest draft: the text to give, or why the model is to write another."""

    text: str | None = None
    rejected: str = ""


class Drafts:
    """The drafts of one run."""

    def __init__(self, gate: ApprovalGate, team: Team, run: Run) -> None:
        self._gate = gate
        self._team = team
        self._run = run

    async def reviewed(self) -> Reviewed:
        """Return what was decided of the latest draft; nothing where there is none yet.

        Raises:
            ApprovalPending: It is still to be decided.
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
        """Return what has the run wait until this draft is approved."""
        return self._gate.draft(self._run, version, text, self._team.approvers)


def drafts_of(gate: ApprovalGate | None, team: Team | None, run: Run) -> Drafts | None:
    """Return the drafts of a run whose team has answers approved; None for any other."""
    if gate is None or team is None or not team.requires_human_approval:
        return None
    return Drafts(gate, team, run)


def with_draft(before: Sequence[Message], metered: CallTotals, draft: str, conversation: str | None) -> str | None:
    """Return the progress of a run whose answer waits for an approval, as `dumped` does.

    Args:
        before: What an earlier attempt has left.
        metered: What this one was given.
        draft: The answer.
        conversation: The conversation at the provider, which holds it; None where the provider keeps none.
    """
    from agent_framework import Message  # noqa: PLC0415 - cold start

    answer = Message("assistant", [draft])
    if conversation is not None:
        return dumped([answer], conversation)
    return dumped([*before, *metered.messages[metered.given :], answer], None)
