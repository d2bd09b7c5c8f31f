"""What a chaos run does, made from a seed alone: who asks what, and what goes wrong after how many accepted runs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Way = Literal["http", "queue"]
Priority = Literal["normal", "high"]

FAULTS = (
    "kill_worker",
    "kill_host",
    "freeze_worker",
    "kill_broker",
    "kill_worker",
    "freeze_host",
    "kill_host",
)
"""One round of faults; every round is shuffled."""
RUNS_PER_TALK = 10
CAP = 1500
"""Tokens that the agent `capped` may spend; its runs want several times as many."""
AGENTS: dict[str, dict[str, object]] = {
    "quick": {"simulate": {"latency_ms": 20}},
    "slow": {"simulate": {"latency_ms": 500}},
    "flaky": {"simulate": {"fail_first": 1}},
    "doomed": {"simulate": {"fail_first": 100, "latency_ms": 50}},
    "capped": {"max_output_tokens": 60, "simulate": {"latency_ms": 50}},
    "pinned": {"instructions": "As it was.", "simulate": {"latency_ms": 20}},
    "idle": {"idle_after_s": 1},
    "erased": {},
    "fresh": {},
    "cancelled": {"simulate": {"latency_ms": 300}},
}


@dataclass(frozen=True)
class Talk:
    """What one client does: it asks an agent one thing after the other, in one session unless it says otherwise.

    Attributes:
        name: Its session's id, and the beginning of its runs' keys.
        agent: Whom it asks.
        way: Over HTTP, or as a producer on a queue.
        priority: Its session's.
        cancels: Numbers of the runs that it cancels as soon as they are accepted.
    """

    name: str
    agent: str
    way: Way = "http"
    priority: Priority = "normal"
    cancels: frozenset[int] = frozenset()

    @property
    def pins(self) -> bool:
        """Whether its session stays with the agent as it was declared at the start."""
        return self.agent == "pinned"

    @property
    def erases(self) -> bool:
        """Whether it erases its session in the end."""
        return self.agent == "erased"

    def session_id(self, number: int) -> str | None:
        """Return the session of its run of this number; None to have one made for it."""
        if self.agent == "fresh":
            return None
        return f"{self.name}-{number}" if self.agent == "idle" else self.name


@dataclass(frozen=True)
class Fault:
    """What goes wrong as soon as so many runs have been accepted."""

    after: int
    name: str


@dataclass(frozen=True)
class Plan:
    """A chaos run."""

    seed: int
    talks: tuple[Talk, ...]
    faults: tuple[Fault, ...]

    @property
    def runs(self) -> int:
        """How many runs are submitted."""
        return len(self.talks) * RUNS_PER_TALK


KINDS: tuple[tuple[str, Way, Priority], ...] = (
    ("quick", "http", "normal"),
    ("capped", "http", "normal"),
    ("slow", "http", "normal"),
    ("quick", "queue", "normal"),
    ("flaky", "queue", "high"),
    ("pinned", "http", "normal"),
    ("doomed", "http", "high"),
    ("capped", "queue", "normal"),
    ("fresh", "http", "normal"),
    ("erased", "http", "normal"),
    ("cancelled", "http", "normal"),
    ("idle", "http", "normal"),
)


def plan(seed: int, runs: int, rounds: int = 1) -> Plan:
    """Make the plan of a seed: at least so many runs, and so many rounds of faults spread over them."""
    rng = random.Random(seed)
    count = max(len(KINDS), -(-runs // RUNS_PER_TALK))
    talks: list[Talk] = []
    for number in range(count):
        agent, way, priority = KINDS[number % len(KINDS)]
        cancels = frozenset(n for n in range(RUNS_PER_TALK) if rng.random() < 0.4) if agent == "cancelled" else ()
        talks.append(Talk(f"{agent}-{way}-{number}", agent, way, priority, frozenset(cancels)))
    names = [name for _ in range(rounds) for name in rng.sample(FAULTS, len(FAULTS))]
    names.insert(rng.randrange(1, len(names)), "redeclare")
    step = count * RUNS_PER_TALK * 0.8 / len(names)
    faults = tuple(Fault(int(step * (n + rng.uniform(0.3, 1))), name) for n, name in enumerate(names))
    return Plan(seed, tuple(talks), faults)
