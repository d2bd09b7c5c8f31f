"""Statistics of agents' uses: frequency, recency, success, and which agents are used together.

Figures are decayed: a use counts half after a half-life, so that they follow what is popular now and no history has
to be kept. What is held is bounded, whatever is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from kernel.lazy_dataclass import dataclass

Key = tuple[str, str]
"""An agent: its workspace and name."""

_LEAST_USES = 0.01
_MAX_USERS = 10_000


@dataclass(frozen=True, slots=True)
class LearningRules:
    """How uses are made into priorities and companions.

    Attributes:
        weights: What of a priority is frequency, recency and success; they add up to 1.
        half_life_s: After so long a use counts half for frequency, success, response time and companions.
        recency_half_life_s: After so long without a use an agent's recency is a half; of six hours, after 24 hours a
            sixteenth.
        together_s: Two agents are used together if one user uses one at most so long after the other.
        companions: Most companions of an agent; with 0 none are learnt.
    """

    weights: tuple[float, ...] = (0.4, 0.3, 0.3)
    half_life_s: float = 3 * 86_400.0
    recency_half_life_s: float = 6 * 3600.0
    together_s: float = 600.0
    companions: int = 8


RULES = LearningRules()


@dataclass(frozen=True, slots=True)
class Use:
    """One use of an agent.

    Attributes:
        at: When, in seconds since 1970 UTC.
        key: The agent.
        user: An id of the user, at least unique among concurrent users.
        answered: Whether it succeeded; None if unknown or not the agent's fault.
        ms: Its duration in milliseconds; None if unknown.
        micro_usd: Its cost in millionths of a USD.
    """

    at: float
    key: Key
    user: object = None
    answered: bool | None = None
    ms: float | None = None
    micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """Statistics of an agent's uses. Decayed figures are as of `last_used`.

    Attributes:
        last_used: In seconds since 1970 UTC.
        uses: Decayed number of uses.
        total: Number of uses since the statistics began.
        judged: Decayed number of uses with a known outcome.
        answered: Decayed number of these that succeeded.
        timed: Decayed number of uses with a known duration.
        ms: Decayed sum of these durations, in milliseconds.
        micro_usd: Cost of all uses, in millionths of a USD.
        companions: Agents of its workspace that the same user used after it: decayed number of times, most first.
    """

    last_used: float
    uses: float = 0.0
    total: int = 0
    judged: float = 0.0
    answered: float = 0.0
    timed: float = 0.0
    ms: float = 0.0
    micro_usd: int = 0
    companions: tuple[tuple[str, float], ...] = ()

    @property
    def success_rate(self) -> float | None:
        """Decayed share of uses that succeeded, 0-1; None if unknown."""
        return self.answered / self.judged if self.judged else None

    @property
    def average_ms(self) -> float | None:
        """Decayed average duration of a use, in milliseconds; None if unknown."""
        return self.ms / self.timed if self.timed else None

    def uses_at(self, now: float, half_life_s: float = RULES.half_life_s) -> float:
        """Return the number of uses, decayed to `now`."""
        return self.uses * decay(now - self.last_used, half_life_s)

    def companion_share(self, agent: str) -> float:
        """Return in which share of its uses, 0-1, the agent was used after this one."""
        return min(1.0, dict(self.companions).get(agent, 0.0) / self.uses) if self.uses else 0.0


def decay(age_s: float, half_life_s: float) -> float:
    """Return the weight, 0-1, of something of this age."""
    return 2.0 ** (-max(0.0, age_s) / half_life_s)


def used(before: Activity | None, use: Use, half_life_s: float = RULES.half_life_s) -> Activity:
    """Return the activity with one more use; a use older than the last counts as if it were at the same time."""
    before_use = before or Activity(use.at)
    at = max(use.at, before_use.last_used)
    factor = decay(at - before_use.last_used, half_life_s) if at > before_use.last_used else 1.0
    says, timed = use.answered is not None, use.ms is not None
    # By position and not by `replace`, which takes five times as long: this is done once for every use.
    return Activity(
        at,
        before_use.uses * factor + 1,
        before_use.total + 1,
        before_use.judged * factor + says,
        before_use.answered * factor + bool(use.answered),
        before_use.timed * factor + timed,
        before_use.ms * factor + (use.ms or 0.0),
        before_use.micro_usd + use.micro_usd,
        tuple((agent, count * factor) for agent, count in before_use.companions) if before_use.companions else (),
    )


def ended(activity: Activity, *, answered: bool, ms: float | None, micro_usd: int) -> Activity:
    """Return the activity with the outcome of its last use added."""
    return replace(
        activity,
        judged=activity.judged + 1,
        answered=activity.answered + answered,
        timed=activity.timed + (ms is not None),
        ms=activity.ms + (ms or 0.0),
        micro_usd=activity.micro_usd + micro_usd,
    )


def followed(activity: Activity, agent: str, most: int = RULES.companions) -> Activity:
    """Return the activity with one more use of `agent` after it; in a full list, the rarest companion is replaced."""
    counts = dict(activity.companions[:most])
    if not most:
        return replace(activity, companions=())
    if agent not in counts and len(counts) >= most:
        # The newcomer takes over the count of the one that goes, or it never could stay (space-saving, Metwally 2005).
        rarest = min(counts, key=counts.__getitem__)
        counts[agent] = counts.pop(rarest)
    counts[agent] = counts.get(agent, 0.0) + 1
    return replace(activity, companions=tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0]))))


def priority(activity: Activity, most_uses: float, now: float, rules: LearningRules = RULES) -> float:
    """Return how much an agent is worth holding, 0-1: frequency, recency and success, weighted.

    Args:
        activity: The agent's.
        most_uses: The decayed number of uses of the agent that is used most.
        now: In seconds since 1970 UTC.
        rules: The weights of the three, and how fast the first two fall.
    """
    uses = activity.uses_at(now, rules.half_life_s)
    frequency = math.log1p(uses) / math.log1p(most_uses) if most_uses > 0 else 0.0
    recency = decay(now - activity.last_used, rules.recency_half_life_s)
    success = activity.success_rate
    parts = (min(1.0, frequency), recency, 1.0 if success is None else success)
    score = sum(weight * part for weight, part in zip(rules.weights, parts, strict=True))
    return min(1.0, max(0.0, score))


@dataclass(frozen=True, slots=True)
class Ranked:
    """An agent, its priority, its activity, and its number of uses, decayed up to the moment of the ranking."""

    key: Key
    priority: float
    activity: Activity
    uses: float = 0.0


@dataclass
class ActivityBook:
    """The activity of the most used agents, at most `capacity`.

    Attributes:
        capacity: Most agents.
        agents: Their activity.
        rules: How uses are made into priorities and companions.
    """

    capacity: int = 512
    agents: dict[Key, Activity] = field(default_factory=dict[Key, Activity])
    rules: LearningRules = RULES
    _latest: dict[object, tuple[float, Key]] = field(default_factory=dict[object, tuple[float, Key]])

    def add(self, use: Use) -> None:
        """Add a use. Uses should be added in order of time, or companions are missed."""
        self.agents[use.key] = used(self.agents.get(use.key), use, self.rules.half_life_s)
        if use.user is not None:
            self._learn_companion(use)
        if len(self.agents) > self.capacity + self.capacity // 4:
            self.trim(use.at)

    def seen(self, use: Use) -> None:
        """Set the user's latest use without counting it, for the companions of later uses."""
        if use.user is not None:
            self._latest[use.key[0], use.user] = (use.at, use.key)

    def add_all(self, uses: Iterable[Use]) -> None:
        """Add uses, in order of time."""
        for use in sorted(uses, key=lambda use: use.at):
            self.add(use)

    def trim(self, now: float) -> None:
        """Remove agents that are hardly used any more, and the least used beyond the capacity."""
        uses = self._uses(now)
        best = sorted(uses, key=lambda key: (-uses[key], key))[: self.capacity]
        self.agents = {key: self.agents[key] for key in best if uses[key] >= _LEAST_USES}

    def forget_before(self, moment: float) -> None:
        """Remove agents without uses since `moment`."""
        self.agents = {key: activity for key, activity in self.agents.items() if activity.last_used >= moment}

    def forget(self, key: Key) -> None:
        """Remove an agent."""
        self.agents.pop(key, None)

    def ranked(self, now: float) -> Sequence[Ranked]:
        """Return the agents by priority, highest first."""
        uses = self._uses(now)
        most = max(uses.values(), default=0.0)
        found = [
            Ranked(key, priority(activity, most, now, self.rules), activity, uses[key])
            for key, activity in self.agents.items()
        ]
        return sorted(found, key=lambda ranked: (-ranked.priority, ranked.key))

    def _uses(self, now: float) -> dict[Key, float]:
        return {key: activity.uses_at(now, self.rules.half_life_s) for key, activity in self.agents.items()}

    def _learn_companion(self, use: Use) -> None:
        user = (use.key[0], use.user)
        before = self._latest.pop(user, None)
        self._latest[user] = (use.at, use.key)  # moves the user to the end
        if len(self._latest) > _MAX_USERS:
            del self._latest[next(iter(self._latest))]
        if before is None or before[1] == use.key or use.at - before[0] > self.rules.together_s:
            return
        known = self.agents.get(before[1])
        if known is not None:
            self.agents[before[1]] = followed(known, use.key[1], self.rules.companions)


def companions(agents: Mapping[Key, Activity], key: Key, least_share: float) -> Sequence[tuple[Key, float]]:
    """Return the agents used after this one in at least `least_share` of its uses, most frequent first."""
    activity = agents.get(key)
    if activity is None:
        return []
    shares = [((key[0], agent), activity.companion_share(agent)) for agent, _ in activity.companions]
    return [(other, share) for other, share in shares if share >= least_share]
