"""A day at a pool, simulated event by event: waits, fairness and utilisation, compared with first come, first served.

python -m benchmarks.capacity [RUNS] [SEED]

Workers ask for slots by the rule that ships (`llmops.capacity.slice_division.divided`), about once a second each; first
come, first served is one queue in front of all slots, which no system of several workers has without a request for each
run.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import attrgetter

from benchmarks.measure import Result
from llmops.capacity.pools import NOTHING, Amounts, Limits, Pool, Share
from llmops.capacity.slice_division import LASTS_S, divided
from llmops.capacity.slice_messages import Request, State, Want

DAY_S = 86_400.0
WORKERS = 5
"""Number of workers: with 32 concurrent runs each, as in host.json, about enough for the slots of a million runs."""
MEAN_S = 10.0
"""Mean time of a run in seconds; exponentially distributed, as for answers of very different lengths."""
LOAD = 0.8
"""Utilisation of the slots by the day's runs, if they came evenly."""
HIGH, AGING_S = 0.05, 60.0
_WANTS = 8
"""Runs of a share that a worker asks for at a time. Later ones are back on the queue, and keep their age."""
_ONE = Amounts(1)
_key = attrgetter("key")


@dataclass(slots=True)
class Run:
    """A run: when it came, whose it is, how long it takes, when it began, and what it wants of the pool."""

    at: float
    agent: str
    high: bool
    takes: float
    began: float = math.nan
    want: Want | None = None

    @property
    def wait(self) -> float:
        """How long it waited, in seconds."""
        return self.began - self.at


def arrivals(count: int, seed: int) -> list[Run]:
    """Return the runs of a day: busy in the daytime, and for an hour at noon one agent sends three times its share."""
    chance = random.Random(seed)
    weights = [1 + 0.6 * math.sin((hour - 8) / 24 * 2 * math.pi) for hour in range(24)]
    agents = {"flood": 0.3, "vip": 0.1, "a": 0.2, "b": 0.2, "c": 0.2}
    runs: list[Run] = []
    hours = chance.choices(range(24), weights, k=count)
    for hour, agent in zip(hours, chance.choices([*agents], [*agents.values()], k=count), strict=True):
        at = (
            (12 + chance.random()) * 3600
            if agent == "flood" and chance.random() < 0.1
            else (hour + chance.random()) * 3600
        )
        runs.append(Run(at, agent, chance.random() < HIGH, chance.expovariate(1 / MEAN_S)))
    return sorted(runs, key=lambda run: run.at)


def slots_for(count: int) -> int:
    """Return the number of slots for so many runs per day."""
    return max(2, round(count / DAY_S * MEAN_S / LOAD))


def shared_pool(slots: int) -> Pool:
    """Return the pool: one agent has a reserve of a fifth, and the flooding one at most half."""
    return Pool(
        "p",
        agents=("flood", "vip", "a", "b", "c"),
        limits=Limits(concurrent_runs=slots),
        shares={"vip": Share(0.2, 1.0), "flood": Share(0.0, 0.5)},
        strategy="aggressive",
        aging_s=AGING_S,
    )


def first_come(runs: Sequence[Run], slots: int) -> None:
    """Start the runs in order of arrival, as slots become free."""
    ends: list[float] = []
    for run in runs:
        at = run.at if len(ends) < slots else max(run.at, heapq.heappop(ends))
        run.began = at
        heapq.heappush(ends, at + run.takes)


class Queue:
    """Runs of a share that wait at a worker: those of high priority and the others, each in the order they came."""

    def __init__(self) -> None:
        self._high: deque[Run] = deque()
        self._normal: deque[Run] = deque()

    def __len__(self) -> int:
        return len(self._high) + len(self._normal)

    def add(self, run: Run) -> None:
        """Have a run wait."""
        (self._high if run.high else self._normal).append(run)

    def pop(self) -> Run:
        """Return the first, which waits no more."""
        first = not self._normal or (self._high and self._high[0].at - AGING_S <= self._normal[0].at)
        return (self._high if first else self._normal).popleft()

    def wants(self, count: int) -> Sequence[Want]:
        """Return what the first so many want, in order."""
        found = [run.want for queue in (self._high, self._normal) for run in islice(queue, count) if run.want]
        found.sort(key=_key)
        return found[:count]


@dataclass(slots=True)
class Worker:
    """A worker's slice, and the runs waiting and running there."""

    name: str
    free: dict[str, int] = field(default_factory=dict[str, int])
    running: dict[str, int] = field(default_factory=dict[str, int])
    waiting: dict[str, Queue] = field(default_factory=dict[str, Queue])
    came: dict[str, int] = field(default_factory=dict[str, int])
    owed: dict[str, int] = field(default_factory=dict[str, int])
    ended: list[float] = field(default_factory=list[float])
    number: int = 0
    gives_back: bool = False
    first_other: float = math.inf
    again_s: float = 1.0
    asked: float = -math.inf
    due: float = math.inf


class Simulation:
    """The simulation of a day."""

    def __init__(self, pool: Pool, runs: Sequence[Run], seed: int) -> None:
        self._pool = pool
        self._runs = runs
        self._chance = random.Random(seed + 1)
        self._state = State()
        self._events: list[tuple[float, int, Worker, Run | None]] = []
        self._count = 0
        self.requests = 0

    def play(self) -> None:
        """Simulate until every run has begun."""
        workers = [Worker(f"w{number}") for number in range(WORKERS)]
        events, runs, at = self._events, self._runs, 0
        while at < len(runs) or events:
            if at < len(runs) and (not events or runs[at].at <= events[0][0]):
                self._arrived(self._chance.choice(workers), runs[at])
                at += 1
                continue
            now, _, worker, run = heapq.heappop(events)
            if run is not None:
                self._ended(worker, run, now)
            elif worker.due <= now:
                self._ask(worker, now)

    def _arrived(self, worker: Worker, run: Run) -> None:
        share = self._pool.share_of(run.agent)
        worker.came[share] = worker.came.get(share, 0) + 1
        run.want = Want(run.at - (AGING_S if run.high else 0), share, _ONE)
        worker.waiting.setdefault(share, Queue()).add(run)
        self._serve(worker, share, run.at)
        self._look(worker, run.at)

    def _serve(self, worker: Worker, share: str, now: float) -> None:
        """Begin what waits and has a slot."""
        queue, free = worker.waiting.get(share), worker.free.get(share, 0)
        while queue and free > 0:
            run = queue.pop()
            free -= 1
            worker.free[share] = free
            worker.running[share] = worker.running.get(share, 0) + 1
            run.began = now
            self._push(now + run.takes, worker, run)

    def _ended(self, worker: Worker, run: Run, now: float) -> None:
        share = self._pool.share_of(run.agent)
        worker.running[share] -= 1
        worker.ended.append(run.takes)
        queue = worker.waiting.get(share)
        late = worker.first_other + max(5.0, (now - worker.first_other) * 2 / 3)
        if worker.owed.get(share, 0) > 0:
            worker.owed[share] -= 1
            worker.gives_back = True
        elif worker.first_other == math.inf or (queue and queue.wants(1)[0].key <= late):
            worker.free[share] = worker.free.get(share, 0) + 1
            self._serve(worker, share, now)
        else:
            worker.gives_back = True
        self._look(worker, now)

    def _look(self, worker: Worker, now: float) -> None:
        """Let the worker ask the pool when due: soon where something waits, else to keep its slots."""
        pause = worker.again_s
        if worker.gives_back:
            pause /= 2
        elif not any(worker.waiting.values()):
            if any(worker.running.values()):
                pause = LASTS_S / 3
            elif not any(worker.free.values()):
                return
        due = max(now, worker.asked + pause)
        if due < worker.due:
            worker.due = due
            self._push(due, worker, None)

    def _ask(self, worker: Worker, now: float) -> None:
        passed = max(0.2, now - worker.asked)
        likely = {share: math.ceil(count / passed * worker.again_s * 1.25) for share, count in worker.came.items()}
        keeps: dict[str, int] = {}
        if worker.first_other == math.inf and not worker.owed:
            keeps = {share: min(free, likely.get(share, 0)) for share, free in worker.free.items()}
        kept = {one: Amounts(keeps.get(one, 0) + worker.running.get(one, 0)) for one in keeps | worker.running}
        wants = [want for queue in worker.waiting.values() if queue for want in queue.wants(_WANTS)]
        spare = {share: Amounts(max(0, count - keeps.get(share, 0))) for share, count in likely.items()}
        worker.number += 1
        self.requests += 1
        run_s = sum(worker.ended) / len(worker.ended) if worker.ended else 0.0
        request = Request(worker.name, worker.number, kept, {}, wants, spare, run_s)
        self._state, grant = divided(self._pool, self._state, request, now)
        worker.free = {
            share: grant.held.get(share, NOTHING).runs - worker.running.get(share, 0)
            for share in {**grant.held, **worker.running}
        }
        worker.first_other, worker.owed = grant.first_other, dict(grant.owed)
        worker.again_s = grant.again_s * self._chance.uniform(1, 1.2)
        worker.came, worker.ended, worker.asked, worker.due, worker.gives_back = {}, [], now, math.inf, False
        for share in worker.waiting:
            self._serve(worker, share, now)
        self._look(worker, now)

    def _push(self, at: float, worker: Worker, run: Run | None) -> None:
        self._count += 1
        heapq.heappush(self._events, (at, self._count, worker, run))


def most_at_a_time(runs: Sequence[Run]) -> int:
    """Return the largest number of concurrent runs."""
    changes = sorted([(run.began, 1) for run in runs] + [(run.began + run.takes, -1) for run in runs])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def used_while_full(runs: Sequence[Run], slots: int) -> float:
    """Return the used share of the slots in those minutes in which runs waited that may have any slot.

    Those of the agent that floods may have half of them only: where no others wait, the other half is rightly idle.
    """
    minutes = int(max(run.began + run.takes for run in runs) // 60) + 2
    busy, waiting = [0.0] * minutes, [0.0] * minutes
    for run in runs:
        _spread(busy, run.began, run.began + run.takes)
        if run.agent != "flood":
            _spread(waiting, run.at, run.began)
    full = [minute for minute in range(minutes) if waiting[minute] > 60 * slots / 10]
    return sum(busy[minute] for minute in full) / (60 * slots * len(full)) if full else math.nan


def _spread(minutes: list[float], start: float, end: float) -> None:
    for minute in range(int(start // 60), int(end // 60) + 1):
        minutes[minute] += max(0.0, min(end, (minute + 1) * 60) - max(start, minute * 60))


def waits_of(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Return the mean, the 95th percentile and the maximum of the waits, in seconds."""
    waits = sorted(run.wait for run in runs)
    return statistics.fmean(waits), waits[int(len(waits) * 0.95)], waits[-1]


def measure_capacity(count: int = 100_000, seed: int = 7) -> Sequence[Result]:
    """Return the figures of a day of so many runs."""
    slots = slots_for(count)
    pool = shared_pool(slots)
    ours = arrivals(count, seed)
    theirs = [replace(run) for run in ours]
    began = time.perf_counter()
    simulation = Simulation(pool, ours, seed)
    simulation.play()
    took = time.perf_counter() - began
    first_come(theirs, slots)

    def row(what: str, chosen: str, *, high: bool | None = None) -> Result:
        waits = [
            waits_of(
                [run for run in runs if (not chosen or run.agent == chosen) and (high is None or run.high == high)]
            )
            for runs in (ours, theirs)
        ]
        figures = [f"{mean:.1f} / {p95:.0f} / {most:.0f} s" for mean, p95, most in waits]
        return Result(f"pool, a day of {count:,} runs, {slots} slots: {what}", figures[0], figures[1], "")

    return [
        row("wait of all (mean / p95 / most)", ""),
        row("… of high priority", "", high=True),
        row("… of the agent with a reserve of 20 %", "vip"),
        row("… of other agents", "a"),
        row("… of the agent that floods, at most 50 %", "flood"),
        Result(
            "… slots in use while runs wait",
            f"{used_while_full(ours, slots):.1%}",
            f"{used_while_full(theirs, slots):.1%}",
            "",
        ),
        Result("… most runs at a time", str(most_at_a_time(ours)), str(most_at_a_time(theirs)), ""),
        Result(
            "… requests to the pool",
            f"{simulation.requests / DAY_S / WORKERS:.2f} /s a worker",
            f"{count / DAY_S / WORKERS:.2f}",
            "",
        ),
        Result("… simulated in", f"{took:.0f} s", "", f"{simulation.requests / took:,.0f} requests/s"),
    ]


if __name__ == "__main__":
    for result in measure_capacity(*(int(text) for text in sys.argv[1:3])):
        print(f"{result.what:75} {result.figure:28} {result.beside:28} {result.ratio}")
