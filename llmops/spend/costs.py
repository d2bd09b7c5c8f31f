"""Cost queries, and the groups that costs are summed by: day, agent, model, user or session."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import date
from typing import Literal, TypeVar, get_args

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass
from llmops.spend.usage import Spend

K = TypeVar("K")


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """The key of a cost sum: calls of one group differ only in run, time and amounts."""

    workspace: str
    agent: str
    provider: str
    model: str
    user_id: str
    purpose: str = "answer"

    @property
    def digest(self) -> str:
        """Identifies the group within its workspace in row keys, which cannot hold every character of a model name."""
        text = f"{self.agent}\n{self.provider}\n{self.model}\n{self.user_id}\n{self.purpose}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def add_up(parts: Iterable[tuple[K, Spend]]) -> dict[K, Spend]:
    """Return the sum for every key."""
    totals: dict[K, Spend] = {}
    for key, spend in parts:
        totals[key] = totals.get(key, Spend()) + spend
    return totals


GroupBy = Literal["agent", "model", "provider", "user", "purpose", "day", "session"]
SplitBy = Literal["agent", "model", "provider", "user", "purpose"]
LONGEST_RANGE_DAYS = 366
MOST_PARTS = 9
"""Most parts that a day is split into, the most expensive over all days; the rest is OTHERS."""
OTHERS = "*"
LONGEST_BY_SESSION_DAYS = 7
MOST_FACTS = 20_000
"""Most attempts read for costs by session, for which there are no sums."""


@dataclass(frozen=True, slots=True)
class Costs:
    """A workspace's spend from the first to the last UTC day, both included: in total and by group.

    `parts` are the parts of each group where a split was requested, the most expensive over all days first.
    """

    first: date
    last: date
    group_by: GroupBy
    total: Spend
    groups: Sequence[tuple[str, Spend]]
    parts: Mapping[str, Sequence[tuple[str, Spend]]] = field(default_factory=dict[str, Sequence[tuple[str, Spend]]])


def check_range(first: date, last: date, longest: int = LONGEST_RANGE_DAYS) -> None:
    """Check the order and number of days.

    Raises:
        InvalidInput: They are out of order, or too many.
    """
    if first > last:
        raise InvalidInput("'from' is after 'to'.", code="invalid_range", fields={"from": "must not be after 'to'"})
    if (last - first).days >= longest:
        msg = f"At most {longest} days can be asked for at once."
        raise InvalidInput(msg, code="invalid_range", fields={"from": msg})


def group_by(text: str) -> GroupBy:
    """Return the grouping of that name.

    Raises:
        InvalidInput: There is no such grouping.
    """
    for name in get_args(GroupBy):
        if name == text:
            return name
    allowed = ", ".join(get_args(GroupBy))
    raise InvalidInput(f"group_by is one of: {allowed}.", code="invalid_group_by", fields={"group_by": allowed})


def split_by(text: str, grouping: GroupBy) -> SplitBy:
    """Return what the days are split by.

    Raises:
        InvalidInput: There is no such split, or the costs are not grouped by day.
    """
    for name in get_args(SplitBy):
        if name == text and grouping == "day":
            return name
    allowed = f"one of {', '.join(get_args(SplitBy))}, with group_by=day"
    raise InvalidInput(f"split_by is {allowed}.", code="invalid_split_by", fields={"split_by": allowed})


def split_days(costs: Costs, by_day: Mapping[date, Mapping[Group, Spend]], split: SplitBy) -> Costs:
    """Return costs by day, each split into the most expensive parts over all days and OTHERS."""
    named = {
        day: add_up((_name(day, group, split), spend) for group, spend in sums.items()) for day, sums in by_day.items()
    }
    totals = add_up(item for parts in named.values() for item in parts.items())
    order = sorted(totals, key=lambda name: (-totals[name].cost_micro_usd, name))
    kept = order if len(order) <= MOST_PARTS + 1 else order[:MOST_PARTS]
    parts: dict[str, Sequence[tuple[str, Spend]]] = {}
    for day, sums in named.items():
        left = [spend for name, spend in sums.items() if name not in kept]
        shown = [(name, sums[name]) for name in kept if name in sums]
        parts[day.isoformat()] = [*shown, (OTHERS, sum(left, Spend()))] if left else shown
    return replace(costs, parts=parts)


def costs_of(by_day: Mapping[date, Mapping[Group, Spend]], first: date, last: date, grouping: GroupBy) -> Costs:
    """Return the sums by group; the most expensive group first, days in order."""
    groups = add_up(
        (_name(day, group, grouping), spend) for day, sums in by_day.items() for group, spend in sums.items()
    )
    ordered = sorted(
        groups.items(), key=lambda item: item[0] if grouping == "day" else (-item[1].cost_micro_usd, item[0])
    )
    return Costs(first, last, grouping, sum(groups.values(), Spend()), ordered)


def costs_by_session(spent: Mapping[str, Spend] | None, first: date, last: date) -> Costs:
    """Return the spend of sessions, the most expensive first.

    Args:
        spent: By session; None where there was too much to read.
        first: The first UTC day.
        last: The last UTC day.

    Raises:
        InvalidInput: There was too much to read.
    """
    if spent is None:
        msg = f"More than {MOST_FACTS:,} attempts ended on these days; ask for fewer days."
        raise InvalidInput(msg, code="range_too_large", fields={"from": msg})
    ordered = sorted(spent.items(), key=lambda item: (-item[1].cost_micro_usd, item[0]))
    return Costs(first, last, "session", sum(spent.values(), Spend()), ordered)


def _name(day: date, group: Group, grouping: GroupBy | SplitBy) -> str:
    match grouping:
        case "day":
            return day.isoformat()
        case "user":
            return group.user_id
        case _:
            return str(getattr(group, grouping))
