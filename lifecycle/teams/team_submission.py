"""Submission of runs to teams: a new session gets a member, an existing one keeps its member."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from kernel.errors import AppError, Conflict, InvalidInput, Unavailable
from kernel.ids import session_of_run
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session import Session
from lifecycle.teams import handoff_rules as moves
from lifecycle.teams import member_routing as routing

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.run_request import RunRequest, Send
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.specs.team import Team
    from lifecycle.teams.handoff import Handoffs
    from lifecycle.teams.handoff_indexes import HandoffIndexes
    from lifecycle.teams.team_store import Teams
    from lifecycle.teams.waiting_session_indexes import Inbox

FULL_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class Routed:
    """Target of a run that is asked of a team.

    Attributes:
        team: The team.
        agent: The agent that has the session; for a person, the agent that the session is entered under.
        reason: Why the member was chosen; empty for an existing session.
        open: Makes a new session with the team; None for an existing session.
        member: The member with a seat for the new session; empty if none is free.
        session_id: The session.
        again: Has an idle session wait for its person anew; None for other sessions.
    """

    team: str
    agent: str
    reason: str = ""
    open: Callable[[Session], Session] | None = None
    member: str = ""
    session_id: str = ""
    again: Callable[[Session], Session] | None = None


class TeamRouting:
    """Chooses a team's member for a run."""

    def __init__(
        self,
        teams: Teams,
        places: HandoffIndexes,
        inbox: Inbox,
        conversations: ConversationStore,
        directory: Directory,
        waiting: DueIndex,
        clock: Clock,
    ) -> None:
        self._teams = teams
        self._places = places
        self._inbox = inbox
        self._conversations = conversations
        self._directory = directory
        self._waiting = waiting
        self._clock = clock

    async def route(self, workspace: str, name: str, request: RunRequest, run_id: str) -> Routed:
        """Return the target of the run; a repeated run goes to the session that it is in.

        Raises:
            NotFound: The team does not exist.
            InvalidInput: It pins a version, which a team's sessions do not support.
            Conflict: The session is not the team's.
            Unavailable: No member is free, and the team refuses sessions then (code `team_full`).
        """
        team = (await self._teams.get(workspace, name)).team
        if request.pin_version:
            msg = "A team's conversation is not pinned to a version of one agent."
            raise InvalidInput(msg, code="team_not_pinned", fields={"/pin_version": msg})
        place = await self._directory.find_run(workspace, run_id)
        ident = (place.session_id if place else request.session_id) or session_of_run(workspace, run_id)
        if place is not None or request.session_id is not None:
            session = (await self._conversations.load(workspace, ident)).session
            if session is not None:
                return await self._in_session(session, name, team)
        now = self._clock()
        loads = await self._places.loads(workspace, name, team)
        for choice in routing.for_new(team, request.query, request.metadata, loads, now):
            member = choice.member
            if await self._places.take_for(workspace, name, ident, member):
                if member.human:
                    await self._places.enter_person_wait(workspace, ident, team, now)
                opening = partial(moves.started, name=name, team=team, member=member, reason=choice.reason, now=now)
                agent = member.agent or stand_in(team)
                return Routed(name, agent, f"{member.name}: {choice.reason}", opening, member.name, ident)
        if team.overflow == "refuse":
            msg = "No member of the team is free for another conversation."
            raise Unavailable(msg, code="team_full", retry_after_s=FULL_RETRY_S)
        await self._waiting.add(workspace, name, now)
        await self._inbox.enter_for_member(workspace, name, ident, now)
        best = next(iter(routing.for_new(team, request.query, request.metadata, {}, now)), None)
        agent = (best.member.agent if best else None) or stand_in(team)
        return Routed(
            name, agent, "it waits for a free member", partial(moves.without_member, name=name, team=team, now=now)
        )

    async def _in_session(self, session: Session, name: str, team: Team) -> Routed:
        assignment = session.assignment
        if assignment is None or assignment.team != name:
            msg = f"Session {session.id!r} is not with this team."
            raise Conflict(msg, code="session_agent_mismatch")
        if assignment.person_wait is None or not assignment.person_wait.idle:
            return Routed(name, session.agent)
        now = self._clock()
        await self._places.enter_person_wait(session.workspace, session.id, team, now, assignment.person_wait.level)
        return Routed(name, session.agent, again=partial(moves.waiting_again, team=team, now=now))

    async def settled(self, workspace: str, routed: Routed) -> None:
        """Release the seat taken for a session that another member has, or that was not stored."""
        if not routed.member:
            return
        session = (await self._conversations.load(workspace, routed.session_id)).session
        assignment = session.assignment if session else None
        if assignment is None or assignment.member != routed.member:
            await self._places.give_back(workspace, routed.team, routed.session_id, routed.member)


class WaitingSessions:
    """Gives sessions that wait for a free member to members that have become free."""

    def __init__(
        self,
        teams: Teams,
        places: HandoffIndexes,
        inbox: Inbox,
        conversations: ConversationStore,
        handoffs: Handoffs,
        waiting: DueIndex,
        clock: Clock,
    ) -> None:
        self._teams = teams
        self._places = places
        self._inbox = inbox
        self._conversations = conversations
        self._handoffs = handoffs
        self._waiting = waiting
        self._clock = clock

    async def sweep(self, send: Send) -> int:
        """Give waiting sessions of all teams to free members; return how many."""
        count = 0
        async for entry in self._waiting.until(self._clock()):
            try:
                given, waiting = await self.assign(entry.workspace, entry.name, send)
            except AppError:
                continue  # the next time
            count += given
            if not waiting:
                await self._waiting.drop(entry.workspace, entry.name, entry.hour)
        return count

    async def assign(self, workspace: str, name: str, send: Send) -> tuple[int, bool]:
        """Give a team's waiting sessions to free members, oldest first.

        Returns:
            How many sessions were given, and whether others still wait.
        """
        count, team = 0, None
        async for waiting in self._inbox.waiting_for_member(workspace, name):
            team = team or (await self._teams.get(workspace, name)).team
            if not await self._assigned(name, team, waiting.session, send):
                return count, True
            await self._inbox.leave_for_member(workspace, name, waiting)
            count += 1
        return count, False

    async def _assigned(self, name: str, team: Team, session: Session, send: Send) -> bool:
        from lifecycle.teams.handoff import HandoffRequest  # noqa: PLC0415 - it imports this package's rules

        first = await self._first(session)
        query, metadata = first or ("", {})
        loads = await self._places.loads(session.workspace, name, team)
        choices = routing.for_new(team, query, metadata, loads, self._clock())
        request = HandoffRequest(routing.Wanted(), "member_free", "a member is free again")
        move = await self._handoffs.choose(session, team, choices, request)
        if move is None:
            return False
        await self._handoffs.commit(session, move, send)
        return True

    async def _first(self, session: Session) -> tuple[str, dict[str, str]] | None:
        found = [run async for run in self._conversations.runs(session.workspace, session.id) if not run.finished]
        first = min(found, key=lambda run: run.number, default=None)
        return (first.query, dict(first.metadata)) if first else None


def stand_in(team: Team) -> str:
    """Return the agent under which a session is entered that a person has: the primary one, or the first."""
    agents = [member for member in team.members if member.agent is not None]
    found = next((member for member in agents if member.role == "primary"), agents[0])
    return found.agent or ""
