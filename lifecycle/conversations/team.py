"""What a session and its runs say of the team that serves them. Values only; the rules are in `lifecycle.teams`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

HandoffBy = Literal["model", "trigger", "operator", "escalation", "failure", "person", "room"]
"""Who or what had a conversation change hands; `room`: it had waited for room."""

ROOM = "team_full"
"""Why a session waits that no member of its team has room for."""
PERSON = "person"
"""Why a session waits that a person has."""
TRAIL = 20
"""Most members that a session remembers to have been with."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A run going on with another member.

    Attributes:
        at: When, aware UTC.
        source: The member that had it; empty where none had.
        target: The member that has it from then on.
        by: Who or what had it change hands.
        reason: Why, in words.
        cost_micro_usd: What the run had cost with the member that had it.
        agent: The agent that had it; empty for people.
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
    """What whoever takes a conversation over is told besides its history.

    Attributes:
        source: The member that had it, or the person.
        reason: Why it changed hands.
        facts: What is known.
        questions: What is open.
        summary: What was said, where that stands for the history.
    """

    source: str
    reason: str
    facts: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    summary: str = ""


@dataclass(frozen=True, slots=True)
class PersonWait:
    """A conversation that a person has.

    Attributes:
        since: Since when somebody is waited for, aware UTC.
        due: When it goes to the next level of the escalation path; None for never.
        level: The level it has come to, from 0.
        claimed_by: Who has taken it; empty while nobody has.
        claimed_at: When; None while nobody has.
    """

    since: datetime
    due: datetime | None = None
    level: int = 0
    claimed_by: str = ""
    claimed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """Which team serves a session, and who of it.

    Attributes:
        team: The team.
        member: Who has it; empty while it waits for room.
        since: Since when, aware UTC.
        trail: The members that had it, the latest last.
        hops: How often it has changed hands.
        first_turn: The first message of the history that the member is told.
        runs: How many runs the session had when the member got it.
        note: What the member is told besides; None for nothing.
        desk: Who of the member's people, and until when; None where the member is an agent.
        reason: Why the member has it.
        begun: Whether the member has begun with it: an agent with a run, a person by taking it.
    """

    team: str
    member: str
    since: datetime
    trail: tuple[str, ...] = ()
    hops: int = 0
    first_turn: int = 0
    runs: int = 0
    note: Note | None = None
    desk: PersonWait | None = None
    reason: str = ""
    begun: bool = True


@dataclass(frozen=True, slots=True)
class TeamRun:
    """A run as its team sees it.

    Attributes:
        team: The team that was asked.
        reason: Why the member was asked that it was given to first.
        hops: The members it went on to, in order.
        by: Who answered, where a person did; empty for an agent.
        failures: Attempts that failed with the member that has it.
    """

    team: str
    reason: str = ""
    hops: tuple[Hop, ...] = field(default=())
    by: str = ""
    failures: int = 0
