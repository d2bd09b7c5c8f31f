"""What a worker tells its pool, what it is answered, and what the pool keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from kernel.lazy_dataclass import dataclass
from llmops.capacity.pools import Amounts


@dataclass(frozen=True, slots=True)
class Want:
    """A request that waits for capacity.

    Attributes:
        key: When it came, less its head start, in seconds since the epoch; the smallest comes first.
        share: Share name it is counted under (`Pool.share_of`).
        need: What it needs.
    """

    key: float
    share: str
    need: Amounts


@dataclass(frozen=True, slots=True)
class Slice:
    """What a worker holds until it expires: by share, with what it still wants, and the number of its last request."""

    held: Mapping[str, Amounts]
    until: float
    number: int
    wants: tuple[Want, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """The use of a pool.

    Attributes:
        spent: Used tokens and requests, by share, by the second of their use.
        slices: Slices by worker.
        run_s: Mean time of a run in seconds (exponentially smoothed); 0 while not known.
    """

    spent: Mapping[int, Mapping[str, Amounts]] = field(default_factory=dict[int, Mapping[str, Amounts]])
    slices: Mapping[str, Slice] = field(default_factory=dict[str, Slice])
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """A worker's report and request.

    Attributes:
        worker: The worker's id.
        number: Number of the request, from 1; a request that may have taken effect is repeated with its number.
        kept: What the worker keeps, by share: runs under way, and tokens and requests not used yet.
        spent: What it used since its last request, by second; negative where a call used less than was counted.
        wants: What waits in the worker, in order.
        spare: What it would like in addition, for calls before its next request.
        run_s: Mean time in seconds of the runs that ended since; 0 where none did.
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
        held: Everything it holds now, by share.
        until: When its tokens and requests expire, and its runs cease to count as its own.
        first_other: The smallest key of what waits at other workers and did not fit; infinity for none.
        again_s: Seconds until it may ask again.
        owed: How many of its runs, by share, have slots that are lent and are due to a reserve: it gives them back as
            these runs end.
        recalled: How many of these it gives back before the runs' next calls, for the reserve's agent has waited.
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
