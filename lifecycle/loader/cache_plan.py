"""Plans which agents to load into a cache and which to evict. Pure rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from kernel.lazy_dataclass import dataclass
from lifecycle.loader.usage_statistics import Key, Ranked

Reason = Literal["unused_for_long", "low_priority", "high_priority", "requested", "used_together"]

INACTIVE_AFTER_S = 86_400.0
"""Default seconds without a use after which an agent is evicted."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the cache.

    Attributes:
        action: Whether the agent is evicted or loaded.
        key: The agent.
        reason: Why. `unused_for_long` and `low_priority` are of evictions, the others of preloads.
        score: Its priority, 0-1; of `used_together` how often it is used after the other agent, 0-1.
    """

    action: Literal["evict", "preload"]
    key: Key
    reason: Reason
    score: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes of a cache, in the order to make them."""

    steps: Sequence[Step] = ()

    @property
    def evictions(self) -> Sequence[Step]:
        """The agents to evict."""
        return [step for step in self.steps if step.action == "evict"]

    @property
    def preloads(self) -> Sequence[Step]:
        """The agents to load, least important first, so that they are evicted first."""
        return [step for step in self.steps if step.action == "preload"]


def optimized(
    ranked: Sequence[Ranked],
    held: Mapping[Key, float],
    *,
    capacity: int,
    threshold: float,
    allowance: int,
    now: float,
    requested: Collection[Key] = (),
    busy: Collection[Key] = (),
    inactive_after: float = INACTIVE_AFTER_S,
) -> Plan:
    """Return the changes of a cache.

    An agent is evicted if it was unused for long, or if there is no space for a preload of higher priority. A preload
    never replaces an agent of equal priority.

    Args:
        ranked: Agents by priority, highest first.
        held: Agents in the cache, with the time of their last use or load, in seconds since 1970 UTC.
        capacity: Most agents in the cache.
        threshold: Least priority of an agent to be preloaded, 0-1.
        allowance: Most agents to preload by priority; requested ones are not counted.
        now: Time in seconds since 1970 UTC.
        requested: Agents to be preloaded whatever their priority.
        busy: Agents that runs use or wait for; not evicted.
        inactive_after: Seconds without a use after which an agent is evicted.
    """
    scores = {one.key: one.priority for one in ranked}
    last_used = {one.key: one.activity.last_used for one in ranked}
    idle = [
        key
        for key, since in held.items()
        if key not in busy and key not in requested and max(since, last_used.get(key, 0.0)) < now - inactive_after
    ]
    steps = [Step("evict", key, "unused_for_long", scores.get(key, 0.0)) for key in sorted(idle)]
    kept = [key for key in held if key not in idle]
    wanted = [Step("preload", key, "requested", scores.get(key, 0.0)) for key in requested if key not in kept]
    wanted += [
        Step("preload", one.key, "high_priority", one.priority)
        for one in ranked
        if one.priority >= threshold and one.key not in kept and one.key not in requested
    ][: max(0, allowance)]
    wanted = wanted[:capacity]
    weakest = sorted(
        (key for key in kept if key not in busy and key not in requested), key=lambda key: scores.get(key, 0.0)
    )
    room = capacity - len(kept)
    taken: list[Step] = []
    for step in wanted:
        if room > 0:
            room -= 1
        elif weakest and (step.reason == "requested" or scores.get(weakest[0], 0.0) < step.score):
            key = weakest.pop(0)
            steps.append(Step("evict", key, "low_priority", scores.get(key, 0.0)))
        else:
            continue
        taken.append(step)
    return Plan([*steps, *reversed(taken)])


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many unused preloaded agents a worker may hold; grows when preloads are used, shrinks when not.

    Attributes:
        most: Upper bound: the cache's capacity.
        now: Present value, 1 to `most`; at least one, so that it can be learnt that preloading pays again.
        used: Preloaded agents that were used.
        wasted: Preloaded agents that were removed without a use.
    """

    most: int
    now: float
    used: int = 0
    wasted: int = 0

    @staticmethod
    def of(capacity: int, share: float) -> Allowance:
        """Return the initial allowance: a share (0-1) of the capacity. A share of 0 never allows any."""
        return Allowance(capacity if share > 0 else 0, max(1.0, capacity * share) if share > 0 else 0.0)

    def after_use(self) -> Allowance:
        """Return the allowance after a preloaded agent was used: one more."""
        return Allowance(self.most, min(float(self.most), self.now + 1), self.used + 1, self.wasted)

    def after_waste(self) -> Allowance:
        """Return the allowance after a preloaded agent was removed unused: a quarter less."""
        least = min(1.0, float(self.most))
        return Allowance(self.most, max(least, self.now * 0.75), self.used, self.wasted + 1)

    def left(self, unproven: int) -> int:
        """Return how many more may be preloaded while `unproven` preloaded agents are unused."""
        return max(0, int(self.now) - unproven)

    @property
    def usefulness(self) -> float | None:
        """Share of preloaded agents that were used, 0-1; None if unknown."""
        judged = self.used + self.wasted
        return self.used / judged if judged else None
