"""Request and response models of teams and the inbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StringConstraints

from lifecycle.specs.team import Team
from lifecycle.teams.person_actions import MAX_REPLY_CHARS
from triggers.http.base_models import Body, Page, View
from triggers.http.sessions.views import SessionView

if TYPE_CHECKING:
    from lifecycle.configuration.store import ConfigurationItem
    from lifecycle.conversations.session import Session
    from lifecycle.teams.status import MemberStatus, TeamStatus
    from lifecycle.teams.team_store import TeamItem

Statement = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class TeamView(View):
    """A team and its version."""

    name: str
    version: int
    updated_at: datetime | None
    team: Team

    @classmethod
    def from_item(cls, item: TeamItem) -> Self:
        """Return the view of a team."""
        return cls.of(item)


class TeamVersionView(View):
    """A version of a team; one without `team` is a deletion."""

    version: int
    updated_at: datetime | None
    team: Team | None

    @classmethod
    def from_item(cls, item: ConfigurationItem) -> Self:
        """Return the view of a version."""
        return cls(version=item.version, updated_at=item.updated_at, team=item.content)  # pyright: ignore[reportArgumentType]


class TeamPage(Page[TeamView]):
    """Teams by name."""


class TeamVersionPage(Page[TeamVersionView]):
    """Versions of a team, newest first."""


class MemberStatusView(View):
    """The status of a member; `answer_s` is the mean wait for an answer of its people, in seconds."""

    name: str
    agent: str | None
    people: Sequence[str]
    role: str
    specialization: str
    present: bool
    workload: int
    max_workload: int
    waiting: int
    longest_wait_s: float | None
    replies: int
    answer_s: float | None

    @classmethod
    def from_status(cls, status: MemberStatus) -> Self:
        """Return the view of a member's status."""
        return cls.of(status, status.member)


class TeamRouteView(View):
    """Handoffs from one member to another, and how many came straight back."""

    source: str
    target: str
    handoffs: int
    returned: int


class TeamStatusView(View):
    """The status of a team; handoffs and answers are counted from `since`, in whole UTC days."""

    team: str
    since: datetime
    members: Sequence[MemberStatusView]
    conversations: int
    waiting_for_member: int
    handoffs: int
    by: Mapping[str, int]
    escalations: int
    routes: Sequence[TeamRouteView]
    insights: Sequence[str]

    @classmethod
    def from_status(cls, status: TeamStatus) -> Self:
        """Return the view of a team's status."""
        return cls.of(status, members=[MemberStatusView.from_status(each) for each in status.members])


class WaitingView(View):
    """A session with a person: since when, due when, and claimed by whom."""

    session: SessionView
    team: str
    member: str
    reason: str
    since: datetime
    due: datetime | None
    level: int
    claimed_by: str
    claimed_at: datetime | None
    facts: Sequence[str]
    questions: Sequence[str]
    summary: str

    @classmethod
    def from_session(cls, session: Session) -> Self:
        """Return the view of a session that is with a person."""
        assignment = session.assignment
        if assignment is None or assignment.person_wait is None:
            msg = "no person has the session"
            raise ValueError(msg)
        note = assignment.note
        fields = {
            "facts": note.facts if note else (),
            "questions": note.questions if note else (),
            "summary": note.summary if note else "",
        }
        return cls.of(
            assignment.person_wait,
            assignment,
            session=SessionView.of(session),
            since=assignment.person_wait.since,
            **fields,
        )


class InboxPage(Page[WaitingView]):
    """Sessions with people, the longest wait first; a page can be short although there is a `next`."""


class PersonBody(Body):
    """The person at the inbox; only where sign-in does not identify them, as with a function key."""

    by: str | None = Field(default=None, min_length=1, max_length=128)


class ReplyBody(PersonBody):
    """A person's answer to the named run, so that it can be repeated safely, or to the one that has waited longest."""

    text: str = Field(max_length=MAX_REPLY_CHARS)
    run_id: str | None = Field(default=None, max_length=64)


class HandoffBody(Body):
    """The handoff of a session to a member, or to any with a specialization; else to one that is free.

    `preserve_full_context` gives the next agent the whole history, or none of it; default the team's setting.
    """

    reason: Statement
    target: str | None = Field(default=None, max_length=63)
    target_specialization: str | None = Field(default=None, max_length=64)
    urgency: Literal["low", "medium", "high"] = "medium"
    preserve_full_context: bool | None = None
    facts: Sequence[Statement] = Field(default=(), max_length=50)
    open_questions: Sequence[Statement] = Field(default=(), max_length=50)


class ReturnBody(PersonBody):
    """The return of a session by a person: to a member, or else to the agent that had it, with a note."""

    target: str | None = Field(default=None, max_length=63)
    reason: Statement = "the person has given it back"
    facts: Sequence[Statement] = Field(default=(), max_length=50)
    open_questions: Sequence[Statement] = Field(default=(), max_length=50)
