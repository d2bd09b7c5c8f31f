"""Sums of facts, as values: costs by group, what an agent's version did by hour and minute, and its scores.

Every sum is a row in the partition of its facts, `{kind}!…`:
`cost!{workspace}!{digest}`                     the spend of one group;
`hour!{workspace}!{agent}!{hour}!{version}`     what an agent's version did in an hour;
`slot!{workspace}!{agent}!{minute}!{version}`   the same by minute;
`score!{workspace}!{agent}!{version}`           the day's scores of a version;
`access!{ten minutes}`                          which agents were used, in order (`llmops.facts.agent_access_sums`);
`folded!`                                       the number of facts and score changes added in this partition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from kernel.codec import JsonCodec, Unreadable
from kernel.lazy_dataclass import dataclass
from llmops.evaluation.score_distribution import ScoreDistribution
from llmops.facts.agent_access_sums import AccessSum, access_key, access_of
from llmops.facts.performance_summary import PerformanceSummary, summary_of
from llmops.spend.costs import Group, add_up
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from kernel.tables import Row, Scalar
    from llmops.evaluation.combined_score import Score
    from llmops.facts.attempt_fact import AttemptFact, Call

HOUR, MINUTE = "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M"
OVERALL = "overall"
FOLDED = "folded!"
MAX_GROUPS = 30
"""Most models of a fact that are summed separately: all sums of a fact must fit in one transaction."""
OTHER_MODELS = "(other)"

Parts = Mapping[str, ScoreDistribution]


@dataclass(frozen=True, slots=True)
class CostSum:
    """The spend of one group."""

    group: Group
    spend: Spend

    def __add__(self, other: CostSum) -> CostSum:
        return CostSum(self.group, self.spend + other.spend)


@dataclass(frozen=True, slots=True)
class Cell:
    """What an agent's version did in an hour or a minute.

    Attributes:
        agent: The agent.
        version: Its version at the provider; empty for attempts that ended before they had one.
        start: Start of the hour or minute, aware UTC.
        summary: What it did.
    """

    agent: str
    version: str
    start: datetime
    summary: PerformanceSummary

    def __add__(self, other: Cell) -> Cell:
        return Cell(self.agent, self.version, self.start, self.summary + other.summary)


@dataclass(frozen=True, slots=True)
class DaySum:
    """The scores of a version's answers on a UTC day, by part (including `overall`)."""

    version: str
    day: date
    parts: Parts = field(default_factory=dict[str, ScoreDistribution])

    def __add__(self, other: DaySum) -> DaySum:
        return DaySum(self.version, self.day, added(self.parts, other.parts))


Sum = CostSum | Cell | DaySum | AccessSum | int

_CODECS: Mapping[str, JsonCodec[Any]] = {
    "cost": JsonCodec(CostSum, whole=True),
    "hour": JsonCodec(Cell, whole=True),
    "slot": JsonCodec(Cell, whole=True),
    "score": JsonCodec(DaySum, whole=True),
    "access": JsonCodec(AccessSum, whole=True),
    "folded": JsonCodec(int, whole=True),
}


def added(one: Parts, other: Parts) -> dict[str, ScoreDistribution]:
    """Return the sum of both, by part."""
    return {
        name: one.get(name, ScoreDistribution()) + other.get(name, ScoreDistribution())
        for name in one.keys() | other.keys()
    }


def values_of(score: Score) -> dict[str, int]:
    """Return the values of a score by part, including `overall`."""
    return {**score.parts, OVERALL: score.overall}


def changes(before: Score | None, after: Score | None) -> Parts:
    """Return what to add to sums of scores when a score changes."""
    was, now = (values_of(score) if score else {} for score in (before, after))
    return {
        name: (ScoreDistribution.of(now[name]) if name in now else ScoreDistribution())
        + (-ScoreDistribution.of(was[name]) if name in was else ScoreDistribution())
        for name in was.keys() | now.keys()
        if was.get(name) != now.get(name)
    }


def costs_of(fact: AttemptFact) -> dict[Group, Spend]:
    """Return the spend of the fact's calls by group; models beyond MAX_GROUPS count as OTHER_MODELS."""
    who = fact.who
    named = list(dict.fromkeys((call.provider, call.model) for call in fact.calls))[:MAX_GROUPS]

    def group(call: Call) -> Group:
        model = call.model if (call.provider, call.model) in named else OTHER_MODELS
        return Group(who.workspace, who.agent, call.provider, model, who.user_id, fact.purpose)

    return add_up((group(call), call.spend) for call in fact.calls if call.outcome != "refused")


def cell_of(fact: AttemptFact, form: str) -> Cell:
    """Return the cell of the hour (HOUR) or minute (MINUTE) in which the attempt ended."""
    return _cell_of(fact, form, summary_of(fact))


def _cell_of(fact: AttemptFact, form: str, summary: PerformanceSummary) -> Cell:
    start = fact.timing.ended_at.astimezone(UTC).replace(second=0, microsecond=0)
    start = start.replace(minute=0) if form == HOUR else start
    return Cell(fact.who.agent, fact.who.version, start, summary)


def cost_key(group: Group) -> str:
    """Return the key of a group's sum."""
    return f"cost!{group.workspace}!{group.digest}"


def score_key(workspace: str, agent: str, version: str) -> str:
    """Return the key of the sum of a version's scores."""
    return f"score!{workspace}!{agent}!{_digest(version)}"


def sums_of(fact: AttemptFact) -> Sequence[tuple[str, Sum]]:
    """Return the amounts that a new fact adds, by key of the sum.

    An evaluation adds only to costs; its score is added where it changes the answer's.
    """
    return list(_sums_of(fact))


def _sums_of(fact: AttemptFact) -> Iterator[tuple[str, Sum]]:
    who = fact.who
    yield FOLDED, 1
    for group, spend in costs_of(fact).items():
        yield cost_key(group), CostSum(group, spend)
    if fact.judge:
        return
    version, summary = _digest(who.version), summary_of(fact)
    for kind, form in (("hour", HOUR), ("slot", MINUTE)):
        cell = _cell_of(fact, form, summary)
        yield f"{kind}!{who.workspace}!{who.agent}!{cell.start.strftime(form)}!{version}", cell
    if (access := access_of(fact)) is not None:
        yield access_key(fact.timing.ended_at), AccessSum((access,))
    if (score := day_sum_of(fact)) is not None:
        yield score_key(who.workspace, who.agent, who.version), score


def day_sum_of(fact: AttemptFact) -> DaySum | None:
    """Return the sum of an answer's score; None where it has none, and for an evaluation."""
    if fact.score is None or fact.judge:
        return None
    return DaySum(fact.who.version, fact.timing.ended_at.date(), changes(None, fact.score))


def dump(amount: Sum) -> Mapping[str, Scalar | None]:
    """Return a sum as the properties of its row."""
    match amount:
        case CostSum():
            kind = "cost"
        case Cell():
            kind = "hour"
        case DaySum():
            kind = "score"
        case AccessSum():
            kind = "access"
        case int():
            kind = "folded"
    return {"sum": _CODECS[kind].dump(amount)}


def load(row: Row) -> Sum:
    """Return the sum in a row.

    Raises:
        Unreadable: The row holds none.
    """
    codec = _CODECS.get(row.key.partition("!")[0])
    if codec is None:
        raise Unreadable
    return codec.load(row.text("sum"))


def cost_of(row: Row) -> tuple[Group, Spend]:
    """Return the group and amount of a `cost!` row."""
    found: CostSum = _CODECS["cost"].load(row.text("sum"))
    return found.group, found.spend


def _digest(version: str) -> str:
    # A version may contain characters that keys may not.
    return hashlib.sha256(version.encode("utf-8", "surrogatepass")).hexdigest()[:16]
