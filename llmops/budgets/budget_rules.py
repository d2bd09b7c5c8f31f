"""Budgets: limits on what a scope may spend in a period. Pure rules; `store` and `counters` store them.

A budget belongs to a scope and has limits. Each limit applies to one counter. Every model call reserves in that counter
before it is made, and settles there afterwards:

    period     counter
    run        the run's, whatever the scope
    session    the session's, whatever the scope
    day        the scope's of the UTC day
    month      the scope's of the UTC month
    total      the scope's, for ever
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import add, sub
from typing import Literal

from kernel.errors import AppError, InvalidInput
from kernel.ids import agent_name, parse_run_id, session_id, user_id
from kernel.lazy_dataclass import dataclass

Unit = Literal["tokens", "usd", "calls", "seconds"]
Period = Literal["run", "session", "day", "month", "total"]
Kind = Literal["workspace", "agent", "user", "session", "run"]

ANY = "*"
SHORTEST_MS = 1000
"""Least remaining wall time with which a call is begun."""


class BudgetBlocked(AppError):
    """A budget does not allow the next model call; the run waits."""

    code = "budget_exceeded"

    def __init__(self, detail: str, *, code: str | None = None, refusals: Sequence[Refusal] = ()) -> None:
        super().__init__(detail, code=code)
        self.refusals = tuple(refusals)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Model calls, their tokens (input and output), cost in micro-USD and wall time in ms."""

    calls: int = 0
    tokens: int = 0
    micro_usd: int = 0
    ms: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*map(add, self.values, other.values))

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(*map(sub, self.values, other.values))

    @property
    def values(self) -> tuple[int, ...]:
        """The fields in order."""
        return (self.calls, self.tokens, self.micro_usd, self.ms)

    def of(self, unit: Unit) -> int:
        """Return the amount of a unit, in its smallest part (micro-USD, ms)."""
        return {"calls": self.calls, "tokens": self.tokens, "usd": self.micro_usd, "seconds": self.ms}[unit]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a budget applies to: the workspace, or an agent, user, session or run; `*` for each agent or each user."""

    kind: Kind
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}" if self.subject else self.kind


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that may be spent in a period.

    Attributes:
        unit: What is limited.
        period: The period.
        amount: How much, in the unit's smallest part: tokens, micro-USD, calls, milliseconds.
        soft: Percentages of the amount at which an event is published, ascending.
    """

    unit: Unit
    period: Period
    amount: int
    soft: tuple[int, ...] = (50, 80, 100)


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a scope."""

    scope: Scope
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class CostAttribution:
    """Whom the cost of a model call is attributed to."""

    workspace: str
    agent: str
    session_id: str
    run_id: str
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class AppliedLimit:
    """A limit that applies to a call: its scope, its counter, and when the counter resets (None: never)."""

    scope: str
    limit: Limit
    counter: str
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter: what was spent, and what is reserved for calls under way."""

    spent: Amounts = Amounts()
    reserved: Amounts = Amounts()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused reservation: the limit, what was spent and reserved, and what was needed.

    Attributes:
        full: Whether spent amounts alone exhaust the limit; else open reservations do, which may be released.
    """

    scope: str
    unit: Unit
    period: Period
    limit: int
    spent: int
    reserved: int
    need: int
    full: bool


def parse_scope(text: str) -> Scope:
    """Return the scope that a key like `agent:helper` names.

    Raises:
        InvalidInput: It is not the key of a scope.
    """
    kind, colon, subject = text.partition(":")
    if text == "workspace":
        return Scope("workspace")
    if colon and subject == ANY and kind in ("agent", "user"):
        return Scope(kind, ANY)
    checks = {"agent": agent_name, "user": user_id, "session": session_id, "run": parse_run_id}
    if not colon or kind not in checks or subject == ANY:
        msg = "A budget is of: workspace, agent:NAME, user:ID, session:ID, run:ID, agent:* or user:*."
        raise InvalidInput(msg, code="invalid_scope", fields={"scope": msg})
    return Scope(kind, checks[kind](subject))  # pyright: ignore[reportArgumentType] - checked above


def check(budget: Budget) -> None:
    """Check a budget beyond its types.

    Raises:
        InvalidInput: A period does not exist for the scope, or two limits have the same unit and period.
    """
    seen: dict[tuple[str, Unit], int] = {}
    for at, limit in enumerate(budget.limits):
        where = f"/limits/{at}"
        if budget.scope.kind == "run" and limit.period not in ("run", "total"):
            raise _invalid(where + "/period", "a run has the periods run and total only")
        if list(limit.soft) != sorted(set(limit.soft)):
            raise _invalid(where + "/soft", "percentages ascend")
        over = _counter_kind(budget.scope, limit.period)
        if (over, limit.unit) in seen:
            raise _invalid(where, f"overlaps /limits/{seen[over, limit.unit]}: one limit a unit and period")
        seen[over, limit.unit] = at


def applying(budgets: Sequence[Budget], who: CostAttribution, now: datetime) -> Sequence[AppliedLimit]:
    """Return the limits that apply to a call; where several have the same counter and unit, the strictest.

    A budget of one agent or user replaces that of each (`*`) for the same unit and period.
    """
    found: dict[tuple[str, Unit], AppliedLimit] = {}
    own: set[tuple[Kind, Unit, Period]] = set()
    for budget in sorted(budgets, key=lambda each: each.scope.subject == ANY):
        scope = _concrete(budget.scope, who)
        if scope is None:
            continue
        for limit in budget.limits:
            same = (scope.kind, limit.unit, limit.period)
            if budget.scope.subject == ANY and same in own:
                continue
            own.add(same)
            key, resets_at = counter_of(scope, limit.period, who, now)
            known = found.get((key, limit.unit))
            if known is None or limit.amount < known.limit.amount:
                found[key, limit.unit] = AppliedLimit(str(scope), limit, key, resets_at)
    return list(found.values())


def counter_of(scope: Scope, period: Period, who: CostAttribution, now: datetime) -> tuple[str, datetime | None]:
    """Return the key of a limit's counter, and when it resets; None for never."""
    moment = now.astimezone(UTC)
    if period == "run" or scope.kind == "run":
        return f"run:{who.run_id}", None
    if period == "session" or (scope.kind == "session" and period == "total"):
        return f"session:{who.session_id}", None
    if period == "total":
        return f"{scope}!total", None
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return f"{scope}!{moment:%Y-%m-%d}", midnight + timedelta(days=1)
    return f"{scope}!{moment:%Y-%m}", (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def granted(
    need: Amounts, limits: Sequence[AppliedLimit], counters: Mapping[str, Counter]
) -> tuple[Amounts, Sequence[Refusal]]:
    """Return the amounts a reservation gets, and the limits that refuse it. It gets nothing if any limit refuses.

    Wall time is granted as far as any is left, because a call can be cut short; all else is granted in full or not at
    all.
    """
    ms = need.ms
    refusals: list[Refusal] = []
    for each in limits:
        limit, counter = each.limit, counters.get(each.counter, Counter())
        spent, reserved = counter.spent.of(limit.unit), counter.reserved.of(limit.unit)
        wanted = SHORTEST_MS if limit.unit == "seconds" else need.of(limit.unit)
        if spent + reserved + wanted > limit.amount:
            full = spent + wanted > limit.amount
            refusals.append(Refusal(each.scope, limit.unit, limit.period, limit.amount, spent, reserved, wanted, full))
        elif limit.unit == "seconds":
            ms = min(ms, limit.amount - spent - reserved)
    return (Amounts(), refusals) if refusals else (Amounts(need.calls, need.tokens, need.micro_usd, ms), ())


def percent(each: AppliedLimit, counters: Mapping[str, Counter]) -> int:
    """Return the spent share of a limit in percent, rounded down."""
    spent = counters.get(each.counter, Counter()).spent.of(each.limit.unit)
    return spent * 100 // each.limit.amount


def shown(unit: Unit, amount: int) -> float | int:
    """Return an amount in its unit for people: USD and seconds as fractions."""
    return {"usd": amount / 1_000_000, "seconds": amount / 1000}.get(unit, amount)


def refusal_text(refusal: Refusal) -> str:
    """Return the refusal as a sentence."""
    spent, reserved, need, limit = (
        f"{shown(refusal.unit, amount):g}" for amount in (refusal.spent, refusal.reserved, refusal.need, refusal.limit)
    )
    held = f" and {reserved} are reserved" if refusal.reserved else ""
    return (
        f"The budget of {refusal.scope} allows {limit} {refusal.unit} per {refusal.period}: "
        f"{spent} are spent{held}, and the next call may take {need}."
    )


def _concrete(scope: Scope, who: CostAttribution) -> Scope | None:
    """Return the scope with `*` replaced by the caller's own name; None when the scope does not apply to the caller."""
    if scope.kind == "workspace":
        return scope
    names = {"agent": who.agent, "user": who.user_id, "session": who.session_id, "run": who.run_id}
    name = names[scope.kind]
    return Scope(scope.kind, name) if name and scope.subject in (ANY, name) else None


def _counter_kind(scope: Scope, period: Period) -> str:
    if period == "run" or scope.kind == "run":
        return "run"
    if period == "session" or (scope.kind == "session" and period == "total"):
        return "session"
    return period


def _invalid(where: str, rule: str) -> InvalidInput:
    return InvalidInput(f"The budget is not valid: {where}: {rule}.", code="invalid_budget", fields={where: rule})
