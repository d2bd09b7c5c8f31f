"""The parts of teams."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.approvals import ApprovalParts

if TYPE_CHECKING:
    from lifecycle.teams.announcements import Announcements
    from lifecycle.teams.handoff import Handoffs
    from lifecycle.teams.inbox import Inbox
    from lifecycle.teams.people import People
    from lifecycle.teams.places import Places
    from lifecycle.teams.status import TeamLog, TeamView
    from lifecycle.teams.store import Teams
    from lifecycle.teams.submit import Rooms, TeamRouting

_TRUST = timedelta(seconds=5)


class TeamParts(ApprovalParts):
    """Makes what serves conversations with teams."""

    @cached_property
    def teams(self) -> Teams:
        """The teams."""
        from lifecycle.teams.store import Teams

        return Teams(self.tables, self.items, self.catalog, self.seats, self.clock, _TRUST)

    @cached_property
    def inbox(self) -> Inbox:
        """What waits for people, and for room."""
        from lifecycle.teams.inbox import Inbox

        return Inbox(self.tables, self.conversations, self.clock)

    @cached_property
    def team_routing(self) -> TeamRouting:
        """Says who of a team a run goes to."""
        from lifecycle.teams.submit import TeamRouting

        rooms = self._due("teamroom")
        return TeamRouting(self.teams, self._places, self.inbox, self.conversations, self.directory, rooms, self.clock)

    @cached_property
    def team_rooms(self) -> Rooms:
        """Gives what waits for room to who has some."""
        from lifecycle.teams.submit import Rooms

        rooms = self._due("teamroom")
        return Rooms(self.teams, self._places, self.inbox, self.conversations, self.handoffs, rooms, self.clock)

    @cached_property
    def handoffs(self) -> Handoffs:
        """Has conversations change hands."""
        from lifecycle.teams.handoff import Handoffs

        return Handoffs(
            self.teams, self._places, self.conversations, self._announcements, self._team_log, {}, self.clock
        )

    @cached_property
    def people(self) -> People:
        """What people do with conversations."""
        from lifecycle.teams.people import People

        return People(
            self.teams,
            self.handoffs,
            self.conversations,
            self._announcements,
            self._due("team"),
            self.run_recorder.record,
            self.clock,
        )

    @cached_property
    def team_view(self) -> TeamView:
        """How teams are doing."""
        from lifecycle.teams.status import TeamView

        return TeamView(self.teams, self.seats, self.inbox, self._team_log, self.clock)

    @cached_property
    def _team_log(self) -> TeamLog:
        from lifecycle.teams.status import TeamLog

        return TeamLog(self.tables, self.clock)

    @cached_property
    def _announcements(self) -> Announcements:
        from lifecycle.teams.announcements import Announcements

        return Announcements(self.teams, self.outbox)

    @cached_property
    def _places(self) -> Places:
        from lifecycle.teams.places import Places

        return Places(
            self.seats, self.inbox, self.directory, self.pins, self.catalog, self.session_pause, self._due("team")
        )
