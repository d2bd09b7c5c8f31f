"""Which agents were used within ten minutes, in order and by whom: sums of facts from which a loader learns.

Row `access!{ten minutes}` in the partition of the facts. It holds at most MAX_ACCESSES attempts; of more, an even
sample that does not depend on the order of addition (those with the smallest `mark`).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from kernel.lazy_dataclass import dataclass
from llmops.facts.attempt_fact import AttemptFact, Ending

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
        user: Pseudonym of the user, 0-65535; it changes every hour, so that it does not identify the user. Where no
            user is known, it stands for the session.
        answered: Whether it succeeded; None where it was cancelled or stopped by a budget, which says nothing about the
            agent.
        ms: From the run's acceptance to the end, in milliseconds.
        micro_usd: What its calls cost; an unpriced one counts nothing.
        mark: Hash of the run and attempt, 0 to 2**32 - 1, by which the sample is taken.
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
    """Return the sort key of accesses: time first, then all other fields, so that the order is unique."""
    rest = (access.user, access.ms, access.micro_usd, str(access.answered))
    return (access.at, access.mark, access.workspace, access.agent, *rest)


@dataclass(frozen=True, slots=True)
class AccessSum:
    """The accesses of ten minutes, in order of time.

    Attributes:
        accesses: At most MAX_ACCESSES of them.
        left_out: Number of further ones not in the sample.
    """

    accesses: tuple[Access, ...] = ()
    left_out: int = 0

    def __add__(self, other: AccessSum) -> AccessSum:
        together = [*self.accesses, *other.accesses]
        kept = sorted(together, key=lambda access: (access.mark, in_order(access)))[:MAX_ACCESSES]
        left_out = self.left_out + other.left_out + len(together) - len(kept)
        return AccessSum(tuple(sorted(kept, key=in_order)), left_out)


def access_key(moment: datetime) -> str:
    """Return the key of the sum that an attempt ending at that moment belongs to."""
    utc = moment.astimezone(UTC)
    return f"access!{utc:%Y-%m-%dT%H}:{utc.minute // 10}0"


def access_of(fact: AttemptFact) -> Access | None:
    """Return the attempt's use of its agent; None where it did not use it, and for an evaluation."""
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
