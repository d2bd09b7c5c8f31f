"""Which agents were used in ten minutes, in order and by whom: what a loader learns from, as a sum of facts.

Row `access!{ten minutes}` of the partition that the facts are in. It holds at most MAX_ACCESSES attempts; of more, a
sample that is drawn evenly and the same in whatever order they are added (those with the least `mark`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from llmops.facts.model import AttemptFact, Ending

MAX_ACCESSES = 1000
SLOT = timedelta(minutes=10)
_ANSWERED = {Ending.SUCCEEDED: True, Ending.FAILED: False, Ending.RETRIED: False}


@dataclass(frozen=True, slots=True)
class Access:
    """An attempt's use of its agent.

    Attributes:
        at: When it began, in seconds since 1970 UTC.
        workspace: The agent's workspace.
        agent: The agent.
        user: Tells users apart within an hour, 0-65535; another hour has another number for the same one, so that it
            does not say who it was. Where no user is known, it stands for the session.
        answered: Whether it succeeded; None where that says nothing about the agent: cancelled, or stopped by a budget.
        ms: From the run's acceptance to the end, in milliseconds.
        micro_usd: What its calls cost; an unpriced one counts nothing.
        mark: A number drawn from the run and attempt, 0 to 2**32 - 1.
    """

    at: int
    workspace: str
    agent: str
    user: int
    answered: bool | None = True
    ms: int = 0
    micro_usd: int = 0
    mark: int = 0


def in_order(access: Access) -> tuple[object, ...]:
    """Return what accesses are ordered by: time first, then all the rest, so that any two orders come to the same."""
    rest = (access.user, access.ms, access.micro_usd, str(access.answered))
    return (access.at, access.mark, access.workspace, access.agent, *rest)


@dataclass(frozen=True, slots=True)
class AccessSum:
    """The accesses of ten minutes in order of time.

    Attributes:
        accesses: At most MAX_ACCESSES of them.
        left_out: How many there were besides.
    """

    accesses: tuple[Access, ...] = ()
    left_out: int = 0

    def __add__(self, other: AccessSum) -> AccessSum:
        together = [*self.accesses, *other.accesses]
        kept = sorted(together, key=lambda access: (access.mark, in_order(access)))[:MAX_ACCESSES]
        left_out = self.left_out + other.left_out + len(together) - len(kept)
        return AccessSum(tuple(sorted(kept, key=in_order)), left_out)


def access_key(moment: datetime) -> str:
    """Return the key of the sum that an attempt which ended then is part of."""
    utc = moment.astimezone(UTC)
    return f"access!{utc:%Y-%m-%dT%H}:{utc.minute // 10}0"


def access_of(fact: AttemptFact) -> Access | None:
    """Return how the attempt used its agent; None where it came to no use, and of an evaluation."""
    who, timing = fact.who, fact.timing
    if fact.judge or timing.claimed_at is None:
        return None
    hour = f"{timing.claimed_at.astimezone(UTC):%Y-%m-%dT%H}"
    return Access(
        at=int(timing.claimed_at.timestamp()),
        workspace=who.workspace,
        agent=who.agent,
        user=_number(f"{hour}\n{who.workspace}\n{who.user_id or who.session_id}") >> 16,
        answered=_ANSWERED.get(fact.ending),
        ms=timing.total_ms,
        micro_usd=fact.spend.cost_micro_usd,
        mark=_number(f"{who.run_id}\n{fact.attempt}"),
    )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big")
