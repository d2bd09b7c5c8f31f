"""Routing in a team: who gets a session, and when it is handed over. Pure and deterministic rules.

Order in which members are offered a new session: those that a trigger names, by the trigger's priority; those with
capabilities that the query asks for, most matches first; the primary member; the others. Ties are broken by relative
workload, then `priority`, then name. Members that are unavailable or full are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.specs.team import ContextPolicy, EscalationLevel, HandoffTrigger, Member, Team
from llmops.evaluation.sentiment import sentiment

if TYPE_CHECKING:
    from lifecycle.conversations.team_assignment import Hop

CAPABILITY = "capability"
"""Key of a run's metadata that asks for a capability."""

Loads = Mapping[str, int]
"""Number of the team's open sessions of each member; 0 for members left out."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Input of triggers.

    Attributes:
        query: The run's query.
        metadata: The run's metadata.
        runs: Number of the session's runs that the member has had, including this one.
        cost_micro_usd: What the run has cost, in millionths of a USD.
        failures: Failed attempts of the run with the member.
        answer: The member's answer; None before.
        score: The answer's overall score, 0-100; None without a score.
        scores: The answer's scores by check.
    """

    query: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    runs: int = 1
    cost_micro_usd: int = 0
    failures: int = 0
    answer: str | None = None
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict[str, float])


Extension = Callable[[Situation], bool]
"""A trigger's condition of an extension."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A member that could have the session, and the reason."""

    member: Member
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to hand a session to: a member, or any member with a specialization; neither for any."""

    member: str | None = None
    specialization: str | None = None


def for_new(team: Team, query: str, metadata: Mapping[str, str], loads: Loads, now: datetime) -> Sequence[Choice]:
    """Return the members to offer a new session to, in order; empty if all are full."""
    named = _named_by_triggers(team, query, metadata)
    ranked: list[tuple[tuple[object, ...], Choice]] = []
    for member in team.members:
        if not _takes(team, member, loads, now):
            continue
        priority, why = named.get(member.name, (-1, ""))
        asked = _asked_for(member, query, metadata)
        matched = bool(why or asked)
        if member.human and not matched and member.role == "specialist" and team.agents:
            continue  # people get only sessions that name them, or as primary or backup
        reason = why or (f"it can do {', '.join(asked)}" if asked else _unmatched(member, loads))
        order = (
            member.role == "backup",
            -priority,
            -len(asked),
            not (matched or member.role == "primary"),
            _relative(member, loads),
            member.priority,
            member.name,
        )
        ranked.append((order, Choice(member, reason)))
    return [choice for _, choice in sorted(ranked, key=lambda each: each[0])]


def for_handoff(
    team: Team, source: str, wanted: Wanted, loads: Loads, now: datetime, trail: Sequence[str] = ()
) -> Sequence[Choice]:
    """Return the members that a session can be handed to, in order; empty if there is none.

    First the requested one; then those with the same specialization; then the previous member; then people.

    Args:
        team: The team.
        source: The member that has it; empty for none.
        wanted: The requested member or specialization.
        loads: The members' workloads.
        now: The time.
        trail: Earlier members, latest last.
    """
    free = [member for member in team.members if member.name != source and _takes(team, member, loads, now)]
    free.sort(key=lambda member: (member.role == "backup", _relative(member, loads), member.priority, member.name))
    asked = team.find(wanted.member) if wanted.member else None
    special = wanted.specialization or (asked.specialization if asked else None)
    before = next((name for name in reversed(trail) if name != source), None)
    found: dict[str, Choice] = {}

    def offer(members: Sequence[Member], reason: str) -> None:
        for member in members:
            found.setdefault(member.name, Choice(member, reason))

    if asked is not None:
        offer([member for member in free if member is asked], "it was asked for")
        instead = f"{asked.name} cannot take it now, and it is for {asked.specialization}, too"
        offer([member for member in free if member.specialization == special], instead)
    elif special is not None:
        offer([member for member in free if member.specialization == special], f"it is for {special}")
    else:
        offer([member for member in free if not member.human], "it can take it")
    offer([member for member in free if member.name == before], "nobody else can take it, and it had it before")
    offer([member for member in free if member.human], "nobody else can take it, and it is a person")
    return list(found.values())


def fired(
    member: Member, situation: Situation, conditions: Sequence[str], extensions: Mapping[str, Extension]
) -> HandoffTrigger | None:
    """Return the member's trigger that fires, the one of highest priority; None if none fires.

    Args:
        member: The member that has the session.
        situation: Input of the triggers.
        conditions: Kinds of conditions to evaluate now; `extension` means all of extensions.
        extensions: Conditions of extensions by name. An unknown one is false.
    """
    active = [trigger for trigger in member.handoff_triggers if trigger.active and _kind(trigger) in conditions]
    for trigger in sorted(active, key=lambda each: (-each.priority, each.name)):
        if _holds(trigger, situation, extensions):
            return trigger
    return None


def escalates(
    team: Team, member: Member, situation: Situation, conditions: Sequence[str], extensions: Mapping[str, Extension]
) -> EscalationLevel | None:
    """Return the lowest level of the escalation path whose condition holds; None if none does.

    Left out are levels that lead to the member itself and, once there is an answer, those that require an approval. The
    other arguments are those of `fired`.
    """
    for level in sorted(team.escalation_path, key=lambda each: each.level):
        own = level.target == member.name or level.target_specialization == member.specialization
        late = level.requires_approval and situation.answer is not None
        if (
            not (own or late)
            and level.condition
            and _kind(level) in conditions
            and _holds(level, situation, extensions)
        ):
            return level
    return None


OF_QUERY = ("keyword_detected", "capability_requested", "sentiment_below")
"""Conditions on the query alone: they also choose the member for a new session."""
BEFORE = (*OF_QUERY, "turns_above", "cost_above", "always", "extension")
"""Conditions that are evaluated before a member is asked."""
AFTER = ("quality_below", "cost_above", "extension")
"""Conditions that are evaluated after an answer."""
FAILED = ("failures",)
"""Conditions that are evaluated after a failed attempt."""


def may_go_on(team: Team, first: str, hops: Sequence[Hop], target: str) -> bool:
    """Return whether a run may go on to the member, by the limits of hops and returns.

    Args:
        team: The team.
        first: The first member.
        hops: The members that the run was handed to.
        target: The next member.
    """
    policy = team.handoff
    visits = [first, *(hop.target for hop in hops)].count(target)
    return len(hops) < policy.max_hops and visits <= policy.max_returns


def failed_before(hops: Sequence[Hop]) -> frozenset[str]:
    """Return the members from which a run was taken because they could not answer it."""
    return frozenset(hop.source for hop in hops if hop.by == "failure")


def first_turn(team: Team, turns: int, context: ContextPolicy) -> int:
    """Return the number of the first message, in a history of `turns` messages, that the next member gets."""
    match context:
        case "full":
            return 0
        case "last":
            return max(0, turns - 2 * team.handoff.last_turns)
        case "summary" | "none":
            return turns


def trigger_reason(trigger: HandoffTrigger) -> str:
    """Return a trigger as the reason of a handoff, for people to read."""
    return f"the trigger {trigger.name!r} has fired ({trigger.condition})"


def wanted_by(trigger: HandoffTrigger) -> Wanted:
    """Return whom a trigger hands over to."""
    return Wanted(trigger.target, trigger.target_specialization)


def _takes(team: Team, member: Member, loads: Loads, now: datetime) -> bool:
    if member.role == "backup" and team.overflow != "backup":
        return False
    available = member.present(now) or (
        member.human and member.availability == "available" and team.out_of_hours == "wait"
    )
    return available and loads.get(member.name, 0) < member.max_workload


def _relative(member: Member, loads: Loads) -> float:
    return loads.get(member.name, 0) / member.max_workload


def _unmatched(member: Member, loads: Loads) -> str:
    if member.role == "primary":
        return "it is the primary member"
    if member.role == "backup":
        return "nobody else is free, and it is a backup"
    return f"it has the least workload ({loads.get(member.name, 0)} of {member.max_workload})"


def _named_by_triggers(team: Team, query: str, metadata: Mapping[str, str]) -> Mapping[str, tuple[int, str]]:
    """Return the members that triggers name by the query alone, each with the highest priority and the reason."""
    situation = Situation(query, metadata)
    found: dict[str, tuple[int, str]] = {}
    for member in team.members:
        for trigger in member.handoff_triggers:
            if trigger.active and trigger.condition in OF_QUERY and _holds(trigger, situation, {}):
                for target in _targets(team, member, trigger):
                    if trigger.priority > found.get(target, (-1, ""))[0]:
                        found[target] = trigger.priority, trigger_reason(trigger)
    return found


def _targets(team: Team, source: Member, trigger: HandoffTrigger) -> Iterator[str]:
    for member in team.members:
        meant = member.name == trigger.target or member.specialization == trigger.target_specialization
        if meant and member is not source:
            yield member.name


def _asked_for(member: Member, query: str, metadata: Mapping[str, str]) -> list[str]:
    asked = metadata.get(CAPABILITY, "").casefold()
    return [word for word in member.capabilities if word.casefold() == asked or _contains(query, word)]


def _kind(trigger: HandoffTrigger | EscalationLevel) -> str:
    return (trigger.condition or "").partition(":")[0]


def _holds(
    trigger: HandoffTrigger | EscalationLevel, situation: Situation, extensions: Mapping[str, Extension]
) -> bool:
    given = trigger.parameters
    match _kind(trigger):
        case "always":
            return True
        case "keyword_detected":
            return any(_contains(situation.query, word) for word in given.keywords)
        case "capability_requested":
            wanted = given.capability or ""
            asked = situation.metadata.get(CAPABILITY, "").casefold()
            return asked == wanted.casefold() or _contains(situation.query, wanted)
        case "sentiment_below":
            return given.below is not None and sentiment(situation.query) < given.below
        case "quality_below":
            score = situation.score if given.check is None else situation.scores.get(given.check)
            return score is not None and given.below is not None and score < given.below
        case "failures":
            return given.count is not None and situation.failures >= given.count
        case "turns_above":
            return given.count is not None and situation.runs > given.count
        case "cost_above":
            return given.usd is not None and situation.cost_micro_usd > given.usd * 1_000_000
        case _:
            condition = extensions.get((trigger.condition or "").partition(":")[2])
            return condition is not None and condition(situation)


def _contains(text: str, phrase: str) -> bool:
    return _pattern(phrase).search(text.casefold()) is not None


@lru_cache(maxsize=4_096)
def _pattern(phrase: str) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in phrase.casefold().split())
    return re.compile(rf"(?<!\w){words}(?!\w)")
