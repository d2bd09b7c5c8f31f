"""People in sessions: they claim one from the inbox, answer, return it to an agent, or release it.

A person's answer ends the oldest waiting run, in one transaction with its two messages, like a model's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import Session, SessionState
from lifecycle.conversations.session_rules import with_person_wait
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation, Turn
from lifecycle.conversations.session_updates import outcome
from lifecycle.conversations.team_assignment import PersonWait, TeamAssignment, TeamRun
from lifecycle.teams import handoff_rules as moves
from lifecycle.teams.member_routing import Wanted

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.run_request import Send
    from lifecycle.specs.team import Member, Team
    from lifecycle.teams.handoff import HandoffRequest, Handoffs
    from lifecycle.teams.team_store import Teams

MAX_REPLY_CHARS = 100_000

Record = Callable[[Run], Awaitable[None]]
"""Wakes callers that wait for an answered run, and writes the facts of its ended attempts."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The person who uses the inbox.

    Attributes:
        name: Their name in records.
        ids: Every id that sign-in gives for them; empty without sign-in, as with a function key.
    """

    name: str
    ids: frozenset[str] = frozenset()


class People:
    """Lets people claim, answer, hand over and return sessions."""

    def __init__(
        self,
        teams: Teams,
        handoffs: Handoffs,
        conversations: ConversationStore,
        record: Record,
        clock: Clock,
    ) -> None:
        self._teams = teams
        self._handoffs = handoffs
        self._conversations = conversations
        self._record = record
        self._clock = clock

    async def claim(self, workspace: str, session_id: str, caller: Caller) -> Session:
        """Claim a session; claiming it again changes nothing.

        Raises:
            NotFound: The session does not exist.
            Forbidden: The caller is not one of the member's people.
            Conflict: No person has the session, or another person has claimed it (code `already_claimed`).
        """
        await self._check(workspace, session_id, caller)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            session, wait = _with_person(stored, session_id)
            if wait.claimed_by == caller.name:
                return None
            if wait.claimed_by:
                msg = f"{wait.claimed_by} has taken this conversation."
                raise Conflict(msg, code="already_claimed")
            now = self._clock()
            after = with_person_wait(session, replace(wait, claimed_by=caller.name, claimed_at=now, idle=False))
            after, events = moves.begin(after, None, now)
            data = {"by": caller.name, "member": _assignment_of(session).member}
            return ConversationChange(after, events=[Event("person.claimed", data, now), *events])

        return await self._changed(workspace, session_id, None, decide)

    async def release(self, workspace: str, session_id: str, caller: Caller) -> Session:
        """Release a claimed session to the member's other people; its deadline is unchanged.

        Raises:
            NotFound: The session does not exist.
            Forbidden: The caller is not one of the member's people.
            Conflict: No person has the session, or another person has claimed it.
        """
        await self._check(workspace, session_id, caller)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            session, wait = _with_person(stored, session_id)
            if not wait.claimed_by:
                return None
            _check_own(wait, caller)
            idle = session.pending == 0 and session.runs > _assignment_of(session).runs
            after = with_person_wait(session, replace(wait, claimed_by="", claimed_at=None, idle=idle))
            data = {"by": caller.name, "member": _assignment_of(session).member}
            return ConversationChange(after, events=[Event("person.released", data, self._clock())])

        return await self._changed(workspace, session_id, None, decide)

    async def reply(self, workspace: str, session_id: str, caller: Caller, text: str, run_id: str | None = None) -> Run:
        """Answer a waiting run, and return it; this also claims the session.

        Args:
            workspace: The workspace.
            session_id: The session's id.
            caller: The person who answers.
            text: The answer.
            run_id: The run's id; None for the oldest waiting one. With an id, repeating the same answer changes
                nothing.

        Raises:
            NotFound: The session does not exist, or has no such run.
            InvalidInput: The answer is blank or too long.
            Forbidden: The caller is not one of the member's people.
            Conflict: No run waits for an answer (code `nothing_to_answer`), no person has the session, another person
                has claimed it, or it has ended.
        """
        _check_text(text)
        session, _, _ = await self._check(workspace, session_id, caller)
        if run_id is not None:
            first = await self._conversations.run(workspace, session_id, run_id)
            if first is None:
                raise NotFound(f"There is no run {run_id!r} in this conversation.", code="run_not_found")
            if _is_answer_of(first, caller, text):
                return first
        else:
            found = self._conversations.runs_in(workspace, session_id, RunState.WAITING)
            first = min([run async for run in found], key=lambda run: run.number, default=None)
        if first is None or first.state is not RunState.WAITING:
            msg = "Nothing waits for an answer in this conversation."
            raise Conflict(msg, code="nothing_to_answer")
        await self._handoffs.replying(session, first.id)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.run is not None and _is_answer_of(stored.run, caller, text):
                return None  # an earlier try took effect
            session, wait = _with_person(stored, session_id)
            _check_own(wait, caller, free=True)
            if stored.run is None or stored.run.state is not RunState.WAITING:
                msg = "The run was answered or cancelled meanwhile."
                raise Conflict(msg, code="nothing_to_answer")
            return _answered(session, wait, stored.run, caller, text, self)

        stored = await self._conversations.update(workspace, session_id, first.id, decide)
        if stored.run is None:
            raise NotFound(f"There is no session {session_id!r}.", code="session_not_found")
        await self._record(stored.run)
        return stored.run

    async def return_(
        self, workspace: str, session_id: str, caller: Caller, wanted: Wanted, request: HandoffRequest, send: Send
    ) -> Session:
        """Return the session to an agent: the given one, else the last that had it.

        Waiting runs are answered by that agent, which gets a note of what happened.

        Raises:
            NotFound: The session does not exist.
            InvalidInput: The member does not exist.
            Forbidden: The caller is not one of the member's people.
            Conflict: No person has the session, another person has claimed it, or no agent is free.
            Unavailable: It is handed over, but its waiting runs could not be queued; a timer does it.
        """
        session, team, _ = await self._check(workspace, session_id, caller)
        _, wait = _with_person(StoredConversation(session, None), session_id)
        _check_own(wait, caller, free=True)
        assignment = _assignment_of(session)
        if wanted.member is None and wanted.specialization is None:
            agents = {member.name for member in team.members if not member.human}
            last = next((name for name in reversed(assignment.trail) if name in agents), None)
            wanted = Wanted(last)
        asked = replace(request, wanted=wanted, by="person", source=assignment.member)
        return await self._handoffs.hand_over(workspace, session_id, asked, send)

    async def _check(self, workspace: str, session_id: str, caller: Caller) -> tuple[Session, Team, Member]:
        """Return the session, its team and its member, after checking that the caller is one of the member's people.

        Raises:
            NotFound: The session does not exist.
            Forbidden: The caller is not one of the member's people.
            Conflict: No person has the session, or it has ended.
        """
        session, _ = _with_person(await self._conversations.load(workspace, session_id), session_id)
        assignment = _assignment_of(session)
        team = (await self._teams.get(workspace, assignment.team)).team
        member = team.find(assignment.member)
        if member is None:
            raise Conflict("The member that has it is no longer in the team; hand it over.", code="unknown_member")
        if not (caller.ids or {caller.name}) & set(member.people):
            msg = f"You are not one of the people of {member.name}."
            raise Forbidden(msg, code="not_in_rota")
        return session, team, member

    async def _changed(
        self,
        workspace: str,
        session_id: str,
        run_id: str | None,
        decide: Callable[[StoredConversation], ConversationChange | None],
    ) -> Session:
        stored = await self._conversations.update(workspace, session_id, run_id, decide)
        if stored.session is None:
            raise NotFound(f"There is no session {session_id!r}.", code="session_not_found")
        return stored.session

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._clock


def _answered(
    session: Session, wait: PersonWait, run: Run, caller: Caller, text: str, people: People
) -> ConversationChange:
    """Return the change by which a person answers a run."""
    now = people.clock()
    wait = replace(wait, claimed_by=caller.name, claimed_at=wait.claimed_at or now)
    session, events = moves.begin(with_person_wait(session, wait), run.id, now)
    team = run.team or TeamRun(_assignment_of(session).team)
    after = runs.answered_by_person(run, text, now)
    after = replace(after, dispatch=replace(after.dispatch, team=replace(team, by=caller.name)))
    own_events = [Event("person.replied", {"run_id": run.id, "by": caller.name}, now)]
    if run.stream:
        data = {"run_id": run.id, "attempt": run.attempt + 1, "offset": 0, "text": text}
        ended = {"run_id": run.id, "attempt": run.attempt + 1, "outcome": "completed"}
        own_events += [Event("run.delta", data, now), Event("run.stream_ended", ended, now)]
    turns = [Turn("user", runs.user_message(run), run.id, now), Turn("assistant", text, run.id, now, caller.name)]
    return outcome(session, run, after, [*events, *own_events], turns, now)


def _is_answer_of(run: Run, caller: Caller, text: str) -> bool:
    """Return whether the run has this answer of the caller."""
    return run.answer == text and run.team is not None and run.team.by == caller.name


def _with_person(stored: StoredConversation, session_id: str) -> tuple[Session, PersonWait]:
    session = stored.session
    if session is None or session.state is SessionState.ERASED:
        raise NotFound(f"There is no session {session_id!r}.", code="session_not_found")
    if session.over:
        msg = f"Session {session_id!r} has ended ({session.end_reason})."
        raise Conflict(msg, code="session_ended")
    assignment = session.assignment
    if assignment is None or assignment.person_wait is None:
        msg = f"No person has session {session_id!r}."
        raise Conflict(msg, code="not_with_person")
    return session, assignment.person_wait


def _assignment_of(session: Session) -> TeamAssignment:
    if session.assignment is None:
        raise Conflict("No team serves this session.", code="no_team")
    return session.assignment


def _check_own(wait: PersonWait, caller: Caller, *, free: bool = False) -> None:
    if wait.claimed_by == caller.name or (free and not wait.claimed_by):
        return
    msg = f"{wait.claimed_by} has taken this conversation." if wait.claimed_by else "Nobody has taken it."
    raise Conflict(msg, code="already_claimed" if wait.claimed_by else "not_claimed")


def _check_text(text: str) -> None:
    if not text.strip():
        raise InvalidInput("The answer is empty.", code="empty_reply", fields={"/text": "must not be blank"})
    if len(text) > MAX_REPLY_CHARS:
        msg = f"An answer has at most {MAX_REPLY_CHARS} characters."
        raise InvalidInput(msg, code="reply_too_long", fields={"/text": msg})
