"""Figures of a workspace's teams, for metrics and alert rules."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session_rules import waits_for_person
from lifecycle.teams.status import routes_of

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.session import Session
    from lifecycle.teams.member_workload import Seats
    from lifecycle.teams.status import TeamLog
    from lifecycle.teams.team_store import Teams
    from lifecycle.teams.waiting_session_indexes import Inbox

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Waits:
    """Sessions that wait for a person and are not claimed.

    Attributes:
        conversations: Number of them.
        longest_s: How long the oldest has waited, in seconds; 0 without any.
    """

    conversations: int = 0
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TeamFigures:
    """Figures of a team.

    Attributes:
        team: Its name.
        workload: Number of open sessions of each member.
        waits: What waits for its people.
        without_member: Sessions that no member is free for.
        handoffs: Handoffs in the window.
        returned: Of these, those back to the previous member.
        escalations: Of these, those along the escalation path.
        answers_s: How long sessions had waited for each answer of a person in the window, in seconds.
    """

    team: str
    workload: Mapping[str, int]
    waits: Waits
    without_member: int
    handoffs: int
    returned: int
    escalations: int
    answers_s: Sequence[float]

    @property
    def answer_s(self) -> float | None:
        """Mean time that sessions had waited for answers of people, in seconds; None without answers."""
        return sum(self.answers_s) / len(self.answers_s) if self.answers_s else None


class TeamFiguresReader:
    """Reads figures of teams. Its cost depends on open sessions and the window, not on what is stored."""

    def __init__(self, teams: Teams, seats: Seats, inbox: Inbox, team_log: TeamLog, clock: Clock) -> None:
        self._teams = teams
        self._seats = seats
        self._inbox = inbox
        self._log = team_log
        self._clock = clock

    async def waits(self, workspace: str) -> Waits:
        """Return what waits for people, over all teams."""
        sessions = [waiting.session async for waiting in self._inbox.all(workspace)]
        return waits_of(sessions, self._clock())

    async def read(self, workspace: str, since: datetime) -> Sequence[TeamFigures]:
        """Return the figures of all teams since then, by name."""
        names: list[str] = []
        after: str | None = None
        while True:
            found, after = await self._teams.list(workspace, _PAGE, after)
            names += [item.name for item in found]
            if after is None:
                break
        if not names:
            return []
        person_waits = [waiting.session async for waiting in self._inbox.all(workspace)]
        return await asyncio.gather(*(self._of(workspace, name, person_waits, since) for name in names))

    async def _of(self, workspace: str, name: str, person_waits: Iterable[Session], since: datetime) -> TeamFigures:
        seats, (hops, replies) = await asyncio.gather(
            self._seats.taken(workspace, name), self._log.since(workspace, name, since)
        )
        waiting_for_member = [waiting async for waiting in self._inbox.waiting_for_member(workspace, name)]
        hops = [hop for hop in hops if hop.at is None or hop.at >= since]
        own = [
            session for session in person_waits if session.assignment is not None and session.assignment.team == name
        ]
        return TeamFigures(
            name,
            Counter(seat.member for seat in seats),
            waits_of(own, self._clock()),
            len(waiting_for_member),
            len(hops),
            sum(route.returned for route in routes_of(hops)),
            sum(hop.by == "escalation" for hop in hops),
            [float(row.integer("waited_s")) for row in replies if (at := row.moment("at")) is None or at >= since],
        )


def waits_of(sessions: Iterable[Session], now: datetime) -> Waits:
    """Return which of the sessions wait for a person."""
    waits = [
        (now - assignment.person_wait.since).total_seconds()
        for session in sessions
        if (assignment := session.assignment) is not None
        and assignment.person_wait is not None
        and waits_for_person(session)
    ]
    return Waits(len(waits), max([0.0, *waits]))
