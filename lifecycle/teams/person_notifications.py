"""Notifies people of sessions that wait for them. Notifications contain no text of the session."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernel.errors import NotFound, Unavailable
from lifecycle.conversations.session_rules import waits_for_person
from llmops.notifications.notification import Notification, Severity

if TYPE_CHECKING:
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.team_assignment import TeamAssignment
    from lifecycle.teams.team_store import Teams
    from llmops.notifications.outbox import Outbox

log = logging.getLogger(__name__)

WAITING = "conversation.waiting"
ESCALATED = "conversation.escalated"


class Announcements:
    """Notifies a workspace's channels of what waits for people."""

    def __init__(self, teams: Teams, outbox: Outbox) -> None:
        self._teams = teams
        self._outbox = outbox

    async def waiting(self, session: Session) -> None:
        """Notify the member's channel that a session waits for a person; once for each wait."""
        assignment = session.assignment
        if assignment is None or not waits_for_person(session):
            return
        try:
            team = await self._teams.of(session.workspace, assignment.team)
        except NotFound:
            return
        member = team.find(assignment.member)
        await self._notify(session, assignment, WAITING, "info", (member.channel,) if member and member.channel else ())

    async def escalated(
        self, session: Session, assignment: TeamAssignment, level: int, channels: Sequence[str]
    ) -> None:
        """Notify channels that a session reaches a level of the escalation path; once for each level."""
        await self._notify(session, assignment, ESCALATED, "warning", channels, level)

    async def _notify(
        self,
        session: Session,
        assignment: TeamAssignment,
        event: str,
        severity: Severity,
        only: Sequence[str],
        level: int = 0,
    ) -> None:
        since = assignment.person_wait.since if assignment.person_wait else assignment.since
        waited = "has waited too long for a person" if assignment.person_wait else "is to be escalated"
        reason = "waits for a person" if event == WAITING else waited
        facts = {"Team": assignment.team, "Member": assignment.member, "Session": session.id}
        note = Notification(
            f"{event}/{session.id}/{int(since.timestamp() * 1000)}/{level}",
            session.workspace,
            event,
            severity,
            f"A conversation of {assignment.team} {reason}",
            f"It is with {assignment.member}." + (" Take it from the inbox." if assignment.person_wait else ""),
            facts | ({"Level": str(level)} if level else {}),
            at=since,
        )
        try:
            await self._outbox.put(note, only)
        except Unavailable as error:
            log.warning("conversation not announced: %s", error.code, extra={"event": "team.not_announced"})
