"""Declared pools: which agents share which limits, and what happens to a call when the pool is full."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Literal

from kernel.errors import Conflict, InvalidInput, RunFailed, TooManyRequests, Unavailable
from kernel.lazy_dataclass import dataclass

Strategy = Literal["aggressive", "balanced", "conservative"]
WhenFull = Literal["wait", "refuse", "spill"]
Dimension = Literal["runs", "tokens", "requests"]

DIMENSIONS: tuple[Dimension, ...] = ("runs", "tokens", "requests")
_FIELDS: Mapping[Dimension, str] = {
    "runs": "concurrent_runs",
    "tokens": "tokens_per_minute",
    "requests": "requests_per_minute",
}
LENT: Mapping[Strategy, float] = {"aggressive": 1.0, "balanced": 0.5, "conservative": 0.0}
"""Share of an agent's reserve that others may use while the agent does not."""
MAX_AGENTS = 40
"""Most agents that a pool may name: they are stored in one transaction with the pool."""
MAX_SHARES = 20
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


class PoolFull(Unavailable):
    """The pool is full; the run is retried later, in its turn.

    Attributes:
        pool: Name of the pool.
    """

    code = "pool_full"

    def __init__(self, pool: str, retry_after_s: float) -> None:
        super().__init__(f"The pool {pool!r} has no room.", retry_after_s=retry_after_s)
        self.pool = pool


class PoolRefused(TooManyRequests):
    """The pool is full and refuses at once; a run that meets this fails."""

    code = "pool_full"


class NeverFits(RunFailed):
    """The call may need more than the pool's whole limit, so it can never be made."""

    code = "pool_call_too_large"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts of a pool: concurrent runs, and tokens and requests per minute."""

    runs: int = 0
    tokens: int = 0
    requests: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        """Return the sum."""
        return Amounts(self.runs + other.runs, self.tokens + other.tokens, self.requests + other.requests)

    def __sub__(self, other: Amounts) -> Amounts:
        """Return the difference."""
        return Amounts(self.runs - other.runs, self.tokens - other.tokens, self.requests - other.requests)

    def of(self, dimension: Dimension) -> int:
        """Return the amount of one dimension."""
        return getattr(self, dimension)

    @property
    def positive(self) -> Amounts:
        """The amounts with negative ones replaced by 0."""
        return Amounts(max(0, self.runs), max(0, self.tokens), max(0, self.requests))

    @property
    def parts(self) -> tuple[int, int, int]:
        """The amounts in the order of DIMENSIONS."""
        return (self.runs, self.tokens, self.requests)


NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a pool; None for unlimited.

    Attributes:
        concurrent_runs: Runs that are carried out at the same time.
        open_sessions: Sessions that are open.
        tokens_per_minute: Tokens, of input and output, of the calls that begin within any 60 seconds.
        requests_per_minute: Model calls that begin within any 60 seconds.
    """

    concurrent_runs: int | None = None
    open_sessions: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None

    def of(self, dimension: Dimension) -> float:
        """Return the limit of a dimension; infinity where there is none."""
        limit = getattr(self, _FIELDS[dimension])
        return math.inf if limit is None else limit


@dataclass(frozen=True, slots=True)
class Share:
    """An agent's part of a pool, as shares of each limit, 0-1.

    Attributes:
        least: Reserved for the agent: within it, the agent comes before all others.
        most: The most it may use.
    """

    least: float = 0.0
    most: float = 1.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Used shares from which a pool is in a warning state, 0-1."""

    memory: float = 0.90
    cpu: float = 0.85
    sessions: float = 0.95
    tokens: float = 0.90


@dataclass(frozen=True, slots=True)
class Pool:
    """Agents that share limits.

    Attributes:
        name: Unique in the workspace.
        agents: Its agents by name.
        labels: Its agents by label: those that have all of these and that no pool names.
        limits: What they may take together.
        shares: Parts of single agents.
        strategy: How much of an unused reserve other agents may use (LENT).
        when_full: What happens to a run or call when the pool is full: wait, refuse or spill.
        spill_to: The pool used instead when this one is full; None unless `when_full` is spill.
        aging_s: How much longer a run of normal priority must have waited to come before one of high priority.
        thresholds: When it is in a warning state.
    """

    name: str
    agents: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Limits = field(default_factory=Limits)
    shares: Mapping[str, Share] = field(default_factory=dict[str, Share])
    strategy: Strategy = "balanced"
    when_full: WhenFull = "wait"
    spill_to: str | None = None
    aging_s: float = 60.0
    thresholds: Thresholds = field(default_factory=Thresholds)

    def share_of(self, agent: str) -> str:
        """Return the share name for the agent's use: its own if it has a share, else the common one."""
        return agent if agent in self.shares else ""

    def most_of(self, share: str, dimension: Dimension) -> float:
        """Return the most of a dimension available to a share: its maximum, less others' reserves that are not lent."""
        limit = self.limits.of(dimension)
        if limit == math.inf:
            return limit
        lent = LENT[self.strategy]
        kept = sum(math.floor(one.least * limit) * (1 - lent) for name, one in self.shares.items() if name != share)
        most = self.shares[share].most if share in self.shares else 1.0
        return math.floor(min(most * limit, limit - kept))

    def has(self, agent: str, labels: Mapping[str, str]) -> bool:
        """Return whether the agent belongs to the pool, by name or by label."""
        return agent in self.agents or (
            bool(self.labels) and all(labels.get(name) == value for name, value in self.labels.items())
        )


def pool_of(pools: Sequence[Pool], agent: str, labels: Mapping[str, str]) -> Pool | None:
    """Return the agent's pool: the one naming it, else the first by name whose labels it has; None for none."""
    named = next((pool for pool in pools if agent in pool.agents), None)
    labelled = (pool for pool in sorted(pools, key=lambda pool: pool.name) if pool.has(agent, labels))
    return named or next(labelled, None)


def check(pool: Pool, others: Sequence[Pool]) -> None:
    """Check that a pool is valid."""
    wrong = dict(_wrong(pool, {other.name: other for other in others}))
    if wrong:
        raise InvalidInput(
            "The pool is not valid: " + "; ".join(wrong.values()) + ".", code="invalid_pool", fields=wrong
        )
    for other in others:
        both = sorted(set(pool.agents) & set(other.agents))
        if both:
            raise Conflict(f"{', '.join(both)} is in the pool {other.name!r} already.", code="agent_in_two_pools")
        if pool.labels and dict(pool.labels) == dict(other.labels):
            raise Conflict(f"The pool {other.name!r} has the same labels.", code="agent_in_two_pools")


def _wrong(pool: Pool, others: Mapping[str, Pool]) -> Sequence[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if not _NAME.fullmatch(pool.name):
        found.append(("/name", "a name is 1 to 63 of a-z, 0-9, - and _, the first and last a letter or digit"))
    if not pool.agents and not pool.labels:
        found.append(("/agents", "it has neither agents nor labels, so it would contain no agent"))
    if len(pool.agents) > MAX_AGENTS:
        found.append(("/agents", f"it names more than {MAX_AGENTS} agents; give them a label instead"))
    values = [getattr(pool.limits, one.name) for one in fields(pool.limits)]
    if all(value is None for value in values):
        found.append(("/limits", "it limits nothing"))
    found += [
        (f"/limits/{one.name}", f"{one.name} must be at least 1")
        for one, value in zip(fields(pool.limits), values, strict=True)
        if value is not None and value < 1
    ]
    found += _wrong_shares(pool)
    found += _wrong_spill(pool, others)
    if not 0 <= pool.aging_s <= 86_400:
        found.append(("/aging_s", "aging_s is 0 to 86400"))
    for one in fields(pool.thresholds):
        if not 0 < getattr(pool.thresholds, one.name) <= 1:
            found.append((f"/thresholds/{one.name}", f"the threshold of {one.name} is above 0 and at most 1"))
    return found


def _wrong_shares(pool: Pool) -> Sequence[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if len(pool.shares) > MAX_SHARES:
        found.append(("/shares", f"at most {MAX_SHARES} agents have shares"))
    for agent, share in pool.shares.items():
        at = f"/shares/{agent}"
        if agent not in pool.agents and not pool.labels:
            found.append((at, f"{agent} has a share and is not one of the pool's agents"))
        if not (0 <= share.least <= 1 and 0 < share.most <= 1):
            found.append((at, "min is 0 to 1, max above 0 and at most 1"))
        elif share.least > share.most:
            found.append((at, "min is above max"))
        elif any(
            math.floor(share.most * pool.limits.of(one)) < 1 for one in DIMENSIONS if pool.limits.of(one) < math.inf
        ):
            found.append((at, f"max of {agent} is less than one unit of a limit, so that it could never run"))
    if sum(share.least for share in pool.shares.values()) > 1 + 1e-9:
        found.append(("/shares", "the minima come to more than the whole"))
    return found


def _wrong_spill(pool: Pool, others: Mapping[str, Pool]) -> Sequence[tuple[str, str]]:
    if (pool.when_full == "spill") != (pool.spill_to is not None):
        return [("/spill_to", "spill_to names a pool where when_full is spill, and only there")]
    if pool.spill_to is None:
        return []
    if pool.spill_to not in others:
        return [("/spill_to", "spill_to names another pool of the workspace")]
    seen, at = {pool.name}, pool.spill_to
    while at is not None:
        if at in seen:
            return [("/spill_to", "the pools spill over in a cycle")]
        seen.add(at)
        at = others[at].spill_to if at in others else None
    return []
