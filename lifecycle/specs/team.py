"""The spec of a team: agents and people who serve one session, and when it is handed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time
from typing import Annotated, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from lifecycle.specs.handoff_conditions import AnyCondition
from lifecycle.specs.spec import Label
from lifecycle.tools.handoff import PREFIX

T = TypeVar("T", str, int)

MemberName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,51}[a-z0-9])?$")]
"""Names of members are shorter than agents' names by `handoff_to_`, so that handoff tools' names have at most 64
characters."""
AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
Person = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^!%~\s][^!%\r\n]*$")]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"\S")]

Role = Literal["primary", "specialist", "backup"]
ContextPolicy = Literal["full", "last", "summary", "none"]
Overflow = Literal["queue", "backup", "refuse"]

MAX_MEMBERS = 50
SUMMARIZER_HAS_TOOLS = "summarizer_has_tools"
"""Error code for a summarizer whose agent has tools, whose calls a summary does not control."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Parameters(_Value):
    """Parameters of a trigger's condition.

    Attributes:
        keywords: For `keyword_detected`: one of these words is in the query (whole words, ignoring case).
        capability: For `capability_requested`: the run's metadata has it as `capability`, or the query names it.
        below: For `quality_below`: the answer's score, 0-100, is below this. For `sentiment_below`: the query's
            sentiment (`llmops.evaluation.sentiment`, 0-100, 50 is neutral) is below this.
        check: For `quality_below`: the check whose score counts; None for the overall score.
        count: For `failures`: this many attempts of the run failed. For `turns_above`: the member has had more runs
            than this.
        usd: For `cost_above`: the run has cost more than this, in USD.
    """

    keywords: tuple[Phrase, ...] = Field(default=(), max_length=100)
    capability: Phrase | None = None
    below: float | None = Field(default=None, ge=0, le=100)
    check: Label | None = None
    count: int | None = Field(default=None, ge=1, le=1_000)
    usd: float | None = Field(default=None, ge=0, le=10_000)


_NEEDS: Mapping[str, str] = {
    "keyword_detected": "keywords",
    "capability_requested": "capability",
    "quality_below": "below",
    "sentiment_below": "below",
    "failures": "count",
    "turns_above": "count",
    "cost_above": "usd",
}


def _check_parameters(condition: str, parameters: Parameters) -> None:
    needed = _NEEDS.get(condition)
    if needed is not None and not getattr(parameters, needed):
        msg = f"{condition} needs parameters.{needed}"
        raise ValueError(msg)


class HandoffTrigger(_Value):
    """When a member hands a session over, and to which member.

    Attributes:
        name: Unique in its member.
        condition: The condition's kind; `extension:name` for one of an extension.
        parameters: Parameters of the condition.
        target: The member to hand over to.
        target_specialization: Instead of a target, the specialization of members to hand over to.
        priority: 0-100; if several triggers fire, the highest wins.
        active: Whether the trigger is evaluated.
    """

    name: Label
    condition: AnyCondition
    parameters: Parameters = Parameters()
    target: MemberName | None = None
    target_specialization: Label | None = None
    priority: int = Field(default=50, ge=0, le=100)
    active: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.target is None) == (self.target_specialization is None):
            msg = "set either target or target_specialization"
            raise ValueError(msg)
        _check_parameters(self.condition, self.parameters)
        return self


class Hours(_Value):
    """Working hours of people.

    Attributes:
        time_zone: An IANA name, like `Europe/Berlin`.
        days: Days of the week.
        start: Start time, like `09:00`.
        end: End time; if before `start`, on the next day.
    """

    time_zone: str = "UTC"
    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], Field(min_length=1)] = (
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
    )
    start: time = time(9)
    end: time = time(17)

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            msg = "is not a time zone; use an IANA name like Europe/Berlin"
            raise ValueError(msg) from None
        return name

    def cover(self, moment: datetime) -> bool:
        """Return whether the moment is within the hours; equal `start` and `end` mean the whole day."""
        local = moment.astimezone(ZoneInfo(self.time_zone))
        now, today = local.time().replace(tzinfo=None), local.weekday()
        if self.start < self.end:
            return _DAYS[today] in self.days and self.start <= now < self.end
        yesterday = _DAYS[(today - 1) % 7]
        return (now >= self.start and _DAYS[today] in self.days) or (now < self.end and yesterday in self.days)


class Member(_Value):
    """A member of a team: an agent, a person or a rota.

    Attributes:
        name: Unique in the team; models hand over with the tool `handoff_to_{name}`.
        agent: The agent; None for people.
        people: The people who answer, by their sign-in names; one is a person, several a rota. Empty for an agent.
        role: `primary` gets sessions by default; `backup` gets those that no other member is free for.
        specialization: Its field of work.
        priority: Lower numbers are chosen first among otherwise equal members.
        availability: Whether it gets sessions at present.
        max_workload: Most sessions of the team that it may have open.
        capabilities: Its capabilities, as words that a query may mention.
        handoff_triggers: When it hands over automatically.
        description: Its description for the other members' models.
        channel: For people: the notification channel; None for every channel that wants the event.
        hours: For people: their working hours; None for always.
        metadata: The owner's strings.
    """

    name: MemberName
    agent: AgentName | None = None
    people: tuple[Person, ...] = Field(default=(), max_length=50)
    role: Role = "specialist"
    specialization: Label = "general"
    priority: int = Field(default=1, ge=1, le=100)
    availability: Literal["available", "away"] = "available"
    max_workload: int = Field(default=10, ge=1, le=1_000)
    capabilities: tuple[Label, ...] = Field(default=(), max_length=50)
    handoff_triggers: tuple[HandoffTrigger, ...] = Field(default=(), max_length=50)
    description: str = Field(default="", max_length=500)
    channel: AgentName | None = None
    hours: Hours | None = None
    metadata: Mapping[Label, Annotated[str, StringConstraints(max_length=512)]] = Field(default={}, max_length=16)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.agent is None) == (not self.people):
            msg = "set either agent or people"
            raise ValueError(msg)
        if self.agent is not None and (self.channel or self.hours):
            msg = "channel and hours are for people"
            raise ValueError(msg)
        if self.people and self.handoff_triggers:
            msg = "people hand over by themselves; handoff_triggers are for agents"
            raise ValueError(msg)
        if (again := _repeated(trigger.name for trigger in self.handoff_triggers)) is not None:
            msg = f"two handoff_triggers are named {again!r}"
            raise ValueError(msg)
        return self

    @property
    def tool(self) -> str:
        """The name of the tool that hands over to it; `-` becomes `_`, as tools' names have no `-`."""
        return PREFIX + self.name.replace("-", "_")

    @property
    def human(self) -> bool:
        """Whether it is a person or a rota."""
        return self.agent is None

    def present(self, now: datetime) -> bool:
        """Return whether it is available at that time; without its workload."""
        return self.availability == "available" and (self.hours is None or self.hours.cover(now))


class EscalationLevel(_Value):
    """A level of a team's escalation path.

    Attributes:
        level: Its number on the path, from 1.
        target: The member that gets the session.
        target_specialization: Instead of a target, the specialization of members that get it.
        condition: When an agent's session reaches this level, like a trigger's condition. None for a level that is
            reached by waiting: by sessions that no person has claimed within `after_s`.
        parameters: Parameters of the condition.
        after_s: Seconds that the previous level has; at the first one, the person first asked.
        notification_channels: Channels to notify; empty for every channel that wants the event.
        auto_escalate: Whether the session is moved; if not, only the channels are notified.
        requires_approval: Whether one of the team's `approvers` has to approve that it is moved.
    """

    level: int = Field(ge=1, le=20)
    target: MemberName | None = None
    target_specialization: Label | None = None
    condition: AnyCondition | None = None
    parameters: Parameters = Parameters()
    after_s: int = Field(default=900, ge=1, le=2_592_000)
    notification_channels: tuple[AgentName, ...] = Field(default=(), max_length=20)
    auto_escalate: bool = True
    requires_approval: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.target is None) == (self.target_specialization is None):
            msg = "set either target or target_specialization"
            raise ValueError(msg)
        if self.condition is not None:
            _check_parameters(self.condition, self.parameters)
        if self.requires_approval and self.condition in ("quality_below", "failures"):
            msg = f"{self.condition} is known only after the agent was asked; then there is no time for an approval"
            raise ValueError(msg)
        return self


class HandoffPolicy(_Value):
    """How sessions are handed over.

    Attributes:
        context: What the next agent gets of the conversation: `full` history, the `last` runs, a `summary` by the model
            that hands over or by the summarizer, or `none`. The run's query and the handoff's note are always included.
        last_turns: Number of runs that `last` includes.
        summarizer: Agent, without tools, that writes the `summary` for the next agent if no model that handed over gave
            one. None for no such agent: the next one then gets the last runs.
        max_hops: Most handoffs of one run.
        max_returns: How often one run may return to the same member.
    """

    context: ContextPolicy = "full"
    last_turns: int = Field(default=5, ge=1, le=100)
    summarizer: AgentName | None = None
    max_hops: int = Field(default=5, ge=1, le=20)
    max_returns: int = Field(default=1, ge=0, le=10)


class Team(_Value):
    """The spec of a team.

    Attributes:
        description: Its purpose.
        members: Its members.
        overflow: What happens to a session that no member is free for: it waits (`queue`), goes to members with role
            `backup` and waits if these are busy too (`backup`), or is refused.
        handoff: How sessions are handed over.
        escalation_path: Who gets a session that waits too long for a person, or that meets a condition.
        out_of_hours: If a person is not available: the `next` member is chosen, or the session waits.
        requires_human_approval: Whether every answer waits for an approval.
        approvers: Who may approve answers and escalations: `user:…`, `role:…`, `group:…` or `link`; empty for anybody
            in the workspace.
        idle_timeout_s: Seconds without a run after which a session ends.
    """

    description: str = Field(default="", max_length=512)
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=MAX_MEMBERS)]
    overflow: Overflow = "queue"
    handoff: HandoffPolicy = HandoffPolicy()
    escalation_path: tuple[EscalationLevel, ...] = Field(default=(), max_length=20)
    out_of_hours: Literal["next", "wait"] = "next"
    requires_human_approval: bool = False
    approvers: tuple[
        Annotated[str, StringConstraints(pattern=r"^(?:link|(?:user|role|group):[^\s:][^\n]{0,255})$")], ...
    ] = Field(default=(), max_length=32)
    idle_timeout_s: int = Field(default=3_600, ge=60, le=2_592_000)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for wrong in _wrong(self):
            raise ValueError(wrong)
        return self

    def find(self, name: str) -> Member | None:
        """Return the member of that name; None if there is none."""
        return next((member for member in self.members if member.name == name), None)

    def level_after(self, level: int) -> EscalationLevel | None:
        """Return the next level of the escalation path that is reached by waiting; None after the last."""
        later = [each for each in self.escalation_path if each.level > level and each.condition is None]
        return min(later, key=lambda each: each.level, default=None)

    @property
    def agents(self) -> Sequence[str]:
        """The agents among its members."""
        return [member.agent for member in self.members if member.agent is not None]

    @property
    def all_agents(self) -> Sequence[str]:
        """The agents among its members, and the summarizer."""
        summarizer = self.handoff.summarizer
        return list(dict.fromkeys([*self.agents, *([summarizer] if summarizer else [])]))


def _wrong(team: Team) -> Iterator[str]:
    """Yield the errors in a team as a whole."""
    if not team.agents:
        yield "a team has at least one agent"
    if (again := _repeated(member.name for member in team.members)) is not None:
        yield f"two members are named {again!r}"
    if (again := _repeated(member.tool for member in team.members)) is not None:
        yield f"two members are handed over to by {again!r}: '-' and '_' are the same there"
    if (again := _repeated(team.agents)) is not None:
        yield f"the agent {again!r} is two members"
    primaries = [member.name for member in team.members if member.role == "primary"]
    if len(primaries) > 1:
        yield f"the members {', '.join(primaries)} overlap: one member at most is primary"
    if team.overflow == "backup" and not any(member.role == "backup" for member in team.members):
        yield "overflow is to backup, but no member has that role"
    yield from _wrong_path(team)
    for member in team.members:
        for trigger in member.handoff_triggers:
            if (wrong := _wrong_target(team, member, trigger)) is not None:
                yield f"the trigger {trigger.name!r} of {member.name!r} {wrong}"


def _wrong_path(team: Team) -> Iterator[str]:
    if (again := _repeated(level.level for level in team.escalation_path)) is not None:
        yield f"escalation_path has two levels {again}"
    waited = [level.target for level in team.escalation_path if level.target and level.condition is None]
    if (again := _repeated(waited)) is not None:
        yield f"escalation_path goes in a circle: it comes to {again!r} twice"
    special = {member.specialization for member in team.members}
    for level in team.escalation_path:
        if level.target is not None and team.find(level.target) is None:
            yield f"escalation_path level {level.level}: there is no member {level.target!r}"
        wanted = level.target_specialization
        if wanted is not None and wanted not in special:
            yield f"escalation_path level {level.level}: no member has the specialization {wanted!r}"


def _wrong_target(team: Team, member: Member, trigger: HandoffTrigger) -> str | None:
    if trigger.target is not None:
        if team.find(trigger.target) is None:
            return f"hands over to {trigger.target!r}, but there is no such member"
        return "hands over to the member itself" if trigger.target == member.name else None
    wanted = trigger.target_specialization
    if all(each.specialization != wanted for each in team.members):
        return f"hands over for {wanted!r}, but no member has the specialization {wanted!r}"
    others = [each for each in team.members if each is not member]
    return None if any(each.specialization == wanted for each in others) else "hands over to the member itself"


def _repeated(values: Iterable[T]) -> T | None:
    return next((value for value, times in Counter(values).items() if times > 1), None)
