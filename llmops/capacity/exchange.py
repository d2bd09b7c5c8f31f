"""What a worker tells its pool, what it is answered, and what the pool keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llmops.capacity.pools import Amounts


@dataclass(frozen=True, slots=True)
class Want:
    """Something that waits for room.

    Attributes:
        key: When it came, less its head start: the least is first.
        share: Under which name it is counted (`Pool.share_of`).
        need: What it takes.
    """

    key: float
    share: str
    need: Amounts


@dataclass(frozen=True, slots=True)
class Slice:
    """What a worker holds until it ends: by share, with what it still wants, and the number of its latest request."""

    held: Mapping[str, Amounts]
    until: float
    number: int
    wants: tuple[Want, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What is taken of a pool.

    Attributes:
        spent: Tokens and requests that were used, by share, by the second in which they were.
        slices: What workers hold, by worker.
        run_s: How long a run takes, smoothed; 0 while that is not known.
    """

    spent: Mapping[int, Mapping[str, Amounts]] = field(default_factory=dict[int, Mapping[str, Amounts]])
    slices: Mapping[str, Slice] = field(default_factory=dict[str, Slice])
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker says and wants.

    Attributes:
        worker: Who.
        number: Which of its requests, from 1; a request that may have taken effect is made again with its number.
        kept: What it still holds and keeps, by share: the runs that it carries out, tokens and requests not used yet.
        spent: What it has used since its latest request, by second; below zero where a call took less than was counted.
        wants: What waits at it, in order.
        spare: What it would like to have besides, for what comes before its next request.
        run_s: How long runs took that ended since, on average; 0 where none did.
    """

    worker: str
    number: int
    kept: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
    spent: Mapping[int, Mapping[str, Amounts]] = field(default_factory=dict[int, Mapping[str, Amounts]])
    wants: Sequence[Want] = ()
    spare: Mapping[str, Amounts] = field(default_factory=dict[str, Amounts])
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """A worker's slice after its request.

    Attributes:
        held: All that it holds now, by share.
        until: Until when it may use tokens and requests of it; its runs count as its own so long.
        first_other: The first key of what waits at other workers and found no room; infinity for none.
        again_s: After how many seconds it may ask again.
        owed: How many of its runs, by share, have slots that are lent and are due to who has a reserve: as these runs
            end, it gives them back.
        recalled: How many of these it gives back before the runs' next calls, for their owner has waited long enough.
    """

    held: Mapping[str, Amounts]
    until: float
    first_other: float
    again_s: float
    owed: Mapping[str, int] = field(default_factory=dict[str, int])
    recalled: Mapping[str, int] = field(default_factory=dict[str, int])


def gather(total: dict[str, Amounts], more: Mapping[str, Amounts]) -> None:
    """Add amounts by share to a total."""
    for share, amounts in more.items():
        total[share] = total[share] + amounts if share in total else amounts
