"""Requests approvals: stores them before the run waits, and sends notifications once it does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from lifecycle.approvals.approval import Approval, ApprovalTerms, Subject, requested
from lifecycle.approvals.gate import excerpt_of, place_of
from lifecycle.approvals.store import ApprovalStore, Record
from llmops.notifications.notification import Notification

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex
    from lifecycle.conversations.run import Run
    from llmops.notifications.outbox import Outbox

log = logging.getLogger(__name__)

REQUESTED = "approval.requested"


class ApprovalRequests:
    """Requests approvals."""

    def __init__(self, approvals: ApprovalStore, due: DueIndex, outbox: Outbox, clock: Clock) -> None:
        self._approvals = approvals
        self._due = due
        self._outbox = outbox
        self._clock = clock

    async def enter(self, run: Run, records: Sequence[Record]) -> None:
        """Store the approvals. Call it before the run waits, or they would not be found."""
        # First of all: if the process dies after this, the timer still finds the run.
        await self._due.add(run.workspace, run.id, self._clock())
        await self._approvals.add([record for record in records if not record.etag])

    def budget(self, run: Run, version: str, why: str) -> Record:
        """Return an approval that would let the run past a degradation step of its agent; not stored yet."""
        subject = Subject("budget", "", f"wait-{run.dispatch.uncounted + 1}", "", version, why)
        asked = requested(
            place_of(run), subject, ApprovalTerms(on_expiry="keep"), run.spend.cost_micro_usd, self._clock()
        )
        return Record(asked, excerpt=excerpt_of(run))

    async def announce(self, approvals: Sequence[Approval]) -> None:
        """Notify the workspace's channels of pending approvals; once for each level."""
        for approval in approvals:
            try:
                await self._outbox.put(notification_of(approval))
            except Unavailable as error:
                log.warning("approval not announced: %s", error.code, extra={"event": "approval.not_announced"})


def notification_of(approval: Approval) -> Notification:
    """Return the notification of a pending approval; the delivery timer adds the link that decides."""
    place, subject = approval.place, approval.subject
    call = f"call {subject.tool}"
    whats = {"tool": call, "hosted": call, "answer": "give its answer", "escalation": "have its conversation escalated"}
    purpose = whats.get(subject.kind, "go on beyond a share of its budget")
    facts = {"Approval": approval.id, "Agent": place.agent, "Run": place.run_id, "Session": place.session_id}
    if approval.due is not None:
        facts["Decide by"] = f"{approval.due:%Y-%m-%d %H:%M} UTC"
    return Notification(
        f"{REQUESTED}/{approval.id}/{approval.level}",
        place.workspace,
        REQUESTED,
        "warning",
        f"{place.agent} asks to {purpose}",
        f"A run waits for a decision, which {subject.why} demands.",
        facts,
        at=approval.requested_at,
    )
