"""Index entries of handoffs: made before a session is handed over, and removed after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lifecycle.teams.handoff_rules import Move, person_wait_of

if TYPE_CHECKING:
    from kernel.due_index import DueIndex
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.run_request import Send
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.version_pin_index import Pins
    from lifecycle.registry.catalog import Catalog
    from lifecycle.registry.declarations import Pin
    from lifecycle.sessions.pause import SessionPause
    from lifecycle.specs.team import Member, Team
    from lifecycle.teams.member_workload import Seats
    from lifecycle.teams.waiting_session_indexes import Inbox


class HandoffIndexes:
    """Makes and removes the entries."""

    def __init__(
        self,
        seats: Seats,
        inbox: Inbox,
        directory: Directory,
        pins: Pins,
        catalog: Catalog,
        pause: SessionPause,
        due: DueIndex,
    ) -> None:
        self._seats = seats
        self._inbox = inbox
        self._directory = directory
        self._pins = pins
        self._catalog = catalog
        self._pause = pause
        self._due = due

    async def loads(self, workspace: str, name: str, team: Team) -> Mapping[str, int]:
        """Return the number of each member's open sessions."""
        return await self._seats.loads(workspace, name, team.members)

    async def take(self, session: Session, member: Member) -> bool:
        """Take a seat of the member and return whether one was free."""
        assignment = session.assignment
        return assignment is not None and await self.take_for(session.workspace, assignment.team, session.id, member)

    async def take_for(self, workspace: str, team: str, session_id: str, member: Member) -> bool:
        """Take a seat of the member for a session and return whether one was free; an agent must be enabled."""
        if member.agent is not None:
            agent = await self._catalog.find(workspace, member.agent)
            if agent is None or agent.declaration.deleted or not agent.declaration.enabled:
                return False
        return await self._seats.take(workspace, team, member, session_id)

    async def give_back(self, workspace: str, team: str, session_id: str, member: str) -> None:
        """Release the seat of a session that the member does not get."""
        await self._seats.give_back(workspace, team, member, session_id)

    async def pin(self, session: Session, member: Member) -> Pin | None:
        """Return the pin of the member's agent for a pinned session; None for other sessions."""
        if session.pin is None or member.agent is None:
            return session.pin
        return (await self._catalog.get(session.workspace, member.agent)).declaration.pin

    async def enter(self, session: Session, move: Move) -> None:
        """Enter the session in the indexes of its next member."""
        if move.member.human:
            await self.enter_person_wait(session.workspace, session.id, move.team, move.at, move.level)
        elif move.member.agent is not None:
            after = replace(session, agent=move.member.agent, terms=replace(session.terms, pin=move.pin))
            await asyncio.gather(self._directory.enter_session(after), self._pins.add(after))

    async def enter_person_wait(
        self, workspace: str, session_id: str, team: Team, now: datetime, level: int = 0
    ) -> None:
        """Enter a session that is about to wait for a person."""
        due = person_wait_of(team, now, level).due
        await asyncio.gather(
            self._inbox.enter(workspace, session_id, now),
            self._due.add(workspace, session_id, due or now + timedelta(days=1)),
        )

    async def leave(self, before: Session, after: Session, move: Move) -> None:
        """Remove outdated entries: those of the previous member, or if the handoff did not happen, of the next one."""
        was, assignment = before.assignment, after.assignment
        if was is None or assignment is None:
            return
        workspace = before.workspace
        for name in {was.member, move.member.name} - {assignment.member, ""}:
            await self._seats.give_back(workspace, was.team, name, before.id)
        if before.agent != after.agent:
            await self._directory.close_session(workspace, before.agent, before.id)
            await self._pins.drop(before)
        if was.person_wait is not None and (
            assignment.person_wait is None or assignment.person_wait.since != was.person_wait.since
        ):
            await self._inbox.leave(workspace, before.id, was.person_wait.since)

    async def announce(self, session: Session) -> None:
        """Enter a session that is about to be resumed in the index of the timer that completes resumptions."""
        await self._pause.announce(session.workspace, session.id, session.agent)

    async def queue_kept(self, session: Session, send: Send) -> None:
        """Queue the session's waiting runs in order."""
        await self._pause.queue_kept(session.workspace, session.id, send)
