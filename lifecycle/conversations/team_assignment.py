"""What sessions and runs store about the team that serves them. Values only; the rules are in `lifecycle.teams`."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Literal

from kernel.lazy_dataclass import dataclass

HandoffBy = Literal["model", "trigger", "operator", "escalation", "failure", "person", "member_free"]
"""What caused a handoff; `member_free`: a member became free while the session waited."""

NO_FREE_MEMBER = "team_full"
"""Reason of a session's wait for a free member of its team."""
PERSON = "person"
"""Reason of a session's wait for a person."""
TRAIL = 20
"""Most earlier members that a session stores."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A handoff of a run to another member.

    Attributes:
        at: When, aware UTC.
        source: The member that had it; empty for none.
        target: The member that has it after this.
        by: What caused the handoff.
        reason: The reason, for people to read.
        cost_micro_usd: What the run cost with the source, in millionths of a USD.
        agent: The source's agent; empty for people.
    """

    at: datetime
    source: str
    target: str
    by: HandoffBy
    reason: str
    cost_micro_usd: int = 0
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """What the next member gets besides the session's history.

    Attributes:
        source: The member, or person, that handed over.
        reason: Why it was handed over.
        facts: Known facts.
        questions: Open questions.
        summary: A summary to use in place of the history; empty to use the history.
        summarizer: The agent that is to write the summary, in the member's first run; empty if none is wanted, or it is
            written.
    """

    source: str
    reason: str
    facts: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    summary: str = ""
    summarizer: str = ""


@dataclass(frozen=True, slots=True)
class PersonWait:
    """A session that waits for a person, or that a person has.

    Attributes:
        since: Since when, aware UTC.
        due: When it goes to the next level of the escalation path, aware UTC; None for never.
        level: Its present level, from 0.
        claimed_by: The person who has claimed it; empty before.
        claimed_at: When it was claimed, aware UTC; None before.
        approval: The approval that the move to the present level waits for; empty for none.
        idle: Whether nothing is left to answer: what was asked was cancelled, or was answered before it was
            released. It then waits for nobody until something else is asked.
    """

    since: datetime
    due: datetime | None = None
    level: int = 0
    claimed_by: str = ""
    claimed_at: datetime | None = None
    approval: str = ""
    idle: bool = False


@dataclass(frozen=True, slots=True)
class TeamAssignment:
    """The team that serves a session, and the member that has it.

    Attributes:
        team: The team's name.
        member: The member that has it; empty while it waits for a free member.
        since: Since when, aware UTC.
        trail: Earlier members, latest last.
        hops: Number of handoffs.
        first_turn: Number of the first history message that the member gets.
        runs: How many runs the session had when the member got it.
        note: What the member gets besides the history; None for nothing.
        person_wait: The state of waiting for the member's people; None if the member is an agent.
        reason: Why the member has it.
        begun: Whether the member has started: an agent by a run, a person by claiming it.
    """

    team: str
    member: str
    since: datetime
    trail: tuple[str, ...] = ()
    hops: int = 0
    first_turn: int = 0
    runs: int = 0
    note: Note | None = None
    person_wait: PersonWait | None = None
    reason: str = ""
    begun: bool = True


@dataclass(frozen=True, slots=True)
class TeamRun:
    """A run's state in its team.

    Attributes:
        team: The team's name.
        reason: Why the first member was chosen.
        hops: Its handoffs, in order.
        by: The person who answered; empty for an agent.
        failures: Failed attempts with the present member.
    """

    team: str
    reason: str = ""
    hops: tuple[Hop, ...] = field(default=())
    by: str = ""
    failures: int = 0
