"""Composition of teams."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.approvals import ApprovalServices
    from bootstrap.parts.configuration import ConfigurationServices
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.extensions import ExtensionServices
    from bootstrap.parts.notifications import NotificationServices
    from lifecycle.conversations.session import Session
    from lifecycle.teams.escalation import Escalations, WaitingForPeople
    from lifecycle.teams.handoff import Handoffs
    from lifecycle.teams.handoff_indexes import HandoffIndexes
    from lifecycle.teams.member_workload import Seats
    from lifecycle.teams.person_actions import People
    from lifecycle.teams.person_notifications import Announcements
    from lifecycle.teams.status import TeamLog, TeamStatusReader
    from lifecycle.teams.team_metrics import TeamFiguresReader
    from lifecycle.teams.team_store import Teams
    from lifecycle.teams.team_submission import TeamRouting, WaitingSessions
    from lifecycle.teams.waiting_session_indexes import Inbox


@dataclass(eq=False)
class TeamServices:
    """Builds the use cases of teams: routing, handoffs, people, status."""

    _core: Core
    _notifications: NotificationServices
    _extensions: ExtensionServices
    _configuration: ConfigurationServices
    _conversations: ConversationServices
    _agents: AgentServices
    _approvals: ApprovalServices

    @cached_property
    def store(self) -> Teams:
        """Stores teams."""
        from lifecycle.teams.team_store import Teams

        return Teams(
            self._agents.memberships,
            self._configuration.items,
            self._agents.catalog,
            self.seats,
            self.inbox,
            self._extensions.loaded.conditions,
            self._core.clock,
            trust_for=self._core.budget_trust,
        )

    @cached_property
    def seats(self) -> Seats:
        """Counts members' open conversations."""
        from lifecycle.teams.member_workload import Seats

        return Seats(self._core.tables, self._conversations.store, self._core.clock)

    @cached_property
    def inbox(self) -> Inbox:
        """The index of sessions that wait for people, or for a free member."""
        from lifecycle.teams.waiting_session_indexes import Inbox

        return Inbox(self._core.tables, self._conversations.store, self._core.clock)

    @cached_property
    def routing(self) -> TeamRouting:
        """Decides which member of a team a run goes to."""
        from lifecycle.teams.team_submission import TeamRouting

        return TeamRouting(
            self.store,
            self._places,
            self.inbox,
            self._conversations.store,
            self._conversations.directory,
            self._core.due("teammember"),
            self._core.clock,
        )

    @cached_property
    def waiting_sessions(self) -> WaitingSessions:
        """Assigns waiting sessions to members with a free seat."""
        from lifecycle.teams.team_submission import WaitingSessions

        return WaitingSessions(
            self.store,
            self._places,
            self.inbox,
            self._conversations.store,
            self.handoffs,
            self._core.due("teammember"),
            self._core.clock,
        )

    @cached_property
    def handoffs(self) -> Handoffs:
        """Hands sessions off between members."""
        from lifecycle.teams.handoff import Handoffs

        return Handoffs(
            self.store,
            self._places,
            self._conversations.store,
            self._escalations,
            self._log,
            self._extensions.loaded.conditions,
            self._core.clock,
        )

    @cached_property
    def people(self) -> People:
        """Actions of people in sessions."""
        from lifecycle.teams.person_actions import People

        return People(
            self.store,
            self.handoffs,
            self._conversations.store,
            self._conversations.recorder.record,
            self._core.clock,
        )

    @cached_property
    def waiting_for_people(self) -> WaitingForPeople:
        """Escalates sessions that wait too long for a person."""
        from lifecycle.teams.escalation import WaitingForPeople

        return WaitingForPeople(
            self.store,
            self.handoffs,
            self._conversations.store,
            self._escalations,
            self._core.due("team"),
            self._core.clock,
        )

    @cached_property
    def status(self) -> TeamStatusReader:
        """Reads the status of teams."""
        from lifecycle.teams.status import TeamStatusReader

        return TeamStatusReader(self.store, self.seats, self.inbox, self._log, self._core.clock)

    @cached_property
    def figures(self) -> TeamFiguresReader:
        """Reads figures of teams, for metrics and alert rules."""
        from lifecycle.teams.team_metrics import TeamFiguresReader

        return TeamFiguresReader(self.store, self.seats, self.inbox, self._log, self._core.clock)

    async def release(self, session: Session) -> None:
        """Remove the pin and the seat of a session that is over."""
        await self._conversations.pins.drop(session)
        served = session.served
        if served is not None and served.member:
            await self.seats.give_back(session.workspace, served.team, served.member, session.id)

    @cached_property
    def _log(self) -> TeamLog:
        from lifecycle.teams.status import TeamLog

        return TeamLog(self._core.tables, self._core.clock)

    @cached_property
    def _escalations(self) -> Escalations:
        from lifecycle.teams.escalation import Escalations

        return Escalations(self._announcements, self._approvals.store, self._approvals.requests, self._core.clock)

    @cached_property
    def _announcements(self) -> Announcements:
        from lifecycle.teams.person_notifications import Announcements

        return Announcements(self.store, self._notifications.outbox)

    @cached_property
    def _places(self) -> HandoffIndexes:
        from lifecycle.teams.handoff_indexes import HandoffIndexes

        return HandoffIndexes(
            self.seats,
            self.inbox,
            self._conversations.directory,
            self._conversations.pins,
            self._agents.catalog,
            self._conversations.pause,
            self._core.due("team"),
        )
