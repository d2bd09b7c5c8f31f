"""Status of a team: its members' sessions, what waits, and its handoffs.

Table `teams`, partition `{workspace}!{team}`, written before the event that they record:
`hop!{day}!{session}!{number}`   a handoff
`reply!{day}!{session}!{run}`    an answer of a person
Repeating an event writes the same row.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_rules import waits_for_person
from lifecycle.specs.team import Member, Team
from lifecycle.teams.member_workload import TABLE, Seat, Seats, home

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.teams.handoff_rules import Move
    from lifecycle.teams.team_store import Teams
    from lifecycle.teams.waiting_session_indexes import Inbox

KEPT_FOR = timedelta(days=30)
WINDOW = timedelta(days=7)
_FEW = 5
"""Fewer handoffs than this give no insight."""
_NOTEWORTHY = 0.25


@dataclass(frozen=True, slots=True)
class HopRow:
    """A handoff."""

    session_id: str
    number: int
    source: str
    target: str
    by: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """Status of a member.

    Attributes:
        member: The member.
        present: Whether it is available now, apart from its workload.
        workload: Its open sessions.
        waiting: Of a person's, those not claimed.
        longest_wait_s: How long the oldest of these has waited, in seconds; None without any.
        replies: Answers of its people in the window.
        answer_s: Mean time that sessions had waited for these answers, in seconds; None without answers.
    """

    member: Member
    present: bool
    workload: int
    waiting: int = 0
    longest_wait_s: float | None = None
    replies: int = 0
    answer_s: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Number of handoffs from one member to another in the window, and how many were returned directly."""

    source: str
    target: str
    handoffs: int
    returned: int


@dataclass(frozen=True, slots=True)
class TeamStatus:
    """Status of a team.

    Attributes:
        team: Its name.
        since: Start of the window for handoffs, aware UTC.
        members: Its members.
        conversations: Open sessions, including those that wait for a free member.
        waiting_for_member: Sessions that no member is free for.
        handoffs: Handoffs in the window.
        by: These, by cause.
        escalations: Of these, along the escalation path.
        routes: These, by member.
        insights: Insights, for people to read.
    """

    team: str
    since: datetime
    members: Sequence[MemberStatus]
    conversations: int
    waiting_for_member: int
    handoffs: int
    by: Mapping[str, int]
    escalations: int
    routes: Sequence[Route]
    insights: Sequence[str]


class TeamLog:
    """Records handoffs and answers of people, before they happen."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def handoff(self, session: Session, move: Move) -> None:
        """Record that a session is about to be handed over."""
        assignment = session.assignment
        if assignment is None or not assignment.member:
            return
        key = f"hop!{move.at:%Y-%m-%d}!{session.id}!{assignment.hops:06d}"
        values = {"source": assignment.member, "target": move.member.name, "by": move.by, "at": move.at}
        await self._tables.commit(TABLE, [Upsert(Row(home(session.workspace, assignment.team), key, values))])

    async def reply(self, session: Session, run_id: str) -> None:
        """Record that a person is about to answer a run."""
        assignment, now = session.assignment, self._clock()
        if assignment is None or assignment.person_wait is None:
            return
        waited = max(0, round((now - assignment.person_wait.since).total_seconds()))
        row = Row(
            home(session.workspace, assignment.team),
            f"reply!{now:%Y-%m-%d}!{session.id}!{run_id}",
            {"member": assignment.member, "waited_s": waited, "at": now},
        )
        await self._tables.commit(TABLE, [Upsert(row)])

    async def since(self, workspace: str, team: str, since: datetime) -> tuple[Sequence[HopRow], Sequence[Row]]:
        """Return the handoffs and answers from that day on."""
        hops, replies = [
            [row async for row in every(self._tables, TABLE, self._from(workspace, team, kind, since))]
            for kind in ("hop", "reply")
        ]
        return [_hop(row) for row in hops], replies

    def _from(self, workspace: str, team: str, kind: str, since: datetime) -> Span:
        return Span(home(workspace, team), key_from=f"{kind}!{since:%Y-%m-%d}", key_before=f"{kind}!~")

    async def forget(self, workspace: str, team: str) -> None:
        """Delete rows older than KEPT_FOR, a limited number in each call."""
        partition, before = home(workspace, team), self._clock() - KEPT_FOR
        for kind in ("hop", "reply"):
            span = Span(partition, key_from=f"{kind}!", key_before=f"{kind}!{before:%Y-%m-%d}")
            rows = await first_rows(self._tables, TABLE, span, MAX_WRITES)
            if rows:
                try:
                    await self._tables.commit(TABLE, [Delete(partition, row.key) for row in rows])
                except RowChanged:
                    continue  # another process deletes them


class TeamStatusReader:
    """Reads the status of teams."""

    def __init__(self, teams: Teams, seats: Seats, inbox: Inbox, team_log: TeamLog, clock: Clock) -> None:
        self._teams = teams
        self._seats = seats
        self._inbox = inbox
        self._log = team_log
        self._clock = clock

    async def of(self, workspace: str, name: str) -> TeamStatus:
        """Return the status of a team.

        Raises:
            NotFound: The team does not exist.
        """
        team = (await self._teams.get(workspace, name)).team
        seats = await self._seats.exact(workspace, name)
        person_waits = [
            waiting.session
            async for waiting in self._inbox.all(workspace)
            if waiting.session.assignment is not None and waiting.session.assignment.team == name
        ]
        waiting_for_member = [waiting async for waiting in self._inbox.waiting_for_member(workspace, name)]
        since = self._clock() - WINDOW
        hops, replies = await self._log.since(workspace, name, since)
        await self._log.forget(workspace, name)
        found = Found(team, seats, person_waits, len(waiting_for_member), hops, replies)
        return status_of(name, found, self._clock())


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored about a team.

    Attributes:
        team: Its spec.
        seats: Its members' open sessions.
        person_waits: Of these, those that people have.
        waiting_for_member: Number of sessions that wait for a free member.
        hops: Its handoffs in the window.
        replies: Its people's answers in the window.
    """

    team: Team
    seats: Sequence[Seat]
    person_waits: Sequence[Session]
    waiting_for_member: int
    hops: Sequence[HopRow]
    replies: Sequence[Row]


def status_of(name: str, found: Found, now: datetime) -> TeamStatus:
    """Return the status of a team, from what is stored about it."""
    seats, waiting_for_member, hops = found.seats, found.waiting_for_member, found.hops
    loads = Counter(seat.member for seat in seats)
    by = Counter(hop.by for hop in hops)
    routes = routes_of(hops)
    members = [_member(each, loads[each.name], found.person_waits, found.replies, now) for each in found.team.members]
    return TeamStatus(
        name,
        now - WINDOW,
        members,
        len({seat.session_id for seat in seats}) + waiting_for_member,
        waiting_for_member,
        len(hops),
        dict(sorted(by.items())),
        by["escalation"],
        routes,
        insights_of(routes, members, waiting_for_member),
    )


def routes_of(hops: Iterable[HopRow]) -> Sequence[Route]:
    """Return the number of handoffs between each two members, and of direct returns, most first."""
    sessions: dict[str, list[HopRow]] = defaultdict(list)
    for hop in hops:
        sessions[hop.session_id].append(hop)
    went: Counter[tuple[str, str]] = Counter()
    back: Counter[tuple[str, str]] = Counter()
    for own in sessions.values():
        own.sort(key=lambda hop: hop.number)
        for hop, following in zip(own, [*own[1:], None], strict=True):
            went[hop.source, hop.target] += 1
            if following is not None and (following.source, following.target) == (hop.target, hop.source):
                back[hop.source, hop.target] += 1
    return [
        Route(*pair, count, back[pair]) for pair, count in sorted(went.items(), key=lambda each: (-each[1], each[0]))
    ]


def insights_of(routes: Sequence[Route], members: Sequence[MemberStatus], waiting_for_member: int) -> Sequence[str]:
    """Return insights, for people to read."""
    found: list[str] = []
    for target in sorted({route.target for route in routes}):
        own = [route for route in routes if route.target == target]
        count, back = sum(route.handoffs for route in own), sum(route.returned for route in own)
        if count >= _FEW and back / count >= _NOTEWORTHY:
            found.append(f"{back / count:.0%} of {target} handoffs come back.")
    full = [each.member.name for each in members if each.workload >= each.member.max_workload]
    if full:
        found.append(f"Full: {', '.join(full)}.")
    if waiting_for_member:
        waiting = "1 conversation waits" if waiting_for_member == 1 else f"{waiting_for_member} conversations wait"
        found.append(f"{waiting} for a free member.")
    return found


def _member(
    member: Member, workload: int, person_waits: Sequence[Session], replies: Sequence[Row], now: datetime
) -> MemberStatus:
    waits = [
        (now - assignment.person_wait.since).total_seconds()
        for session in person_waits
        if (assignment := session.assignment) is not None
        and assignment.member == member.name
        and assignment.person_wait is not None
        and waits_for_person(session)
    ]
    answered = [row.integer("waited_s") for row in replies if row.text("member") == member.name]
    return MemberStatus(
        member,
        member.present(now),
        workload,
        len(waits),
        max(waits, default=None),
        len(answered),
        sum(answered) / len(answered) if answered else None,
    )


def _hop(row: Row) -> HopRow:
    _, _, session_id, number = row.key.split("!")
    return HopRow(session_id, int(number), row.text("source"), row.text("target"), row.text("by"), row.moment("at"))
