"""Some minutes of the simulated day, seeded: who waits how long at a pool, beside first come, first served."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.capacity import (
    Simulation,
    arrivals,
    first_come,
    most_at_a_time,
    shared_pool,
    slots_for,
    used_while_full,
    waits_of,
)

RUNS_A_DAY, SEED = 300_000, 7
NOON, LASTS_S = 12 * 3600.0, 240.0
"""One agent sends three times its share then, so that there is much more than can be carried out."""


def test_reserve_and_priority_hold_while_one_agent_floods() -> None:
    """Never more runs than slots, few of them idle; who has a reserve hardly waits, and who floods waits longest."""
    ours = [run for run in arrivals(RUNS_A_DAY, SEED) if NOON <= run.at < NOON + LASTS_S]
    theirs = [replace(run) for run in ours]
    slots = slots_for(RUNS_A_DAY)
    simulation = Simulation(shared_pool(slots), ours, SEED)
    simulation.play()
    first_come(theirs, slots)

    def means(agent: str) -> tuple[float, float]:
        return tuple(waits_of([run for run in runs if run.agent == agent])[0] for runs in (ours, theirs))  # pyright: ignore[reportReturnType]

    reserved, others, flood = means("vip"), means("a"), means("flood")
    high = [waits_of([run for run in runs if run.high])[0] for runs in (ours, theirs)]
    assert most_at_a_time(ours) <= slots
    assert used_while_full(ours, slots) > 0.95
    assert reserved[0] < reserved[1] / 10
    assert high[0] < high[1] / 2
    assert flood[0] > others[0] * 1.1
    assert max(run.wait for run in ours) < 2 * max(run.wait for run in theirs)
