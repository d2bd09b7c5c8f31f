"""A short storm in every test run; `make chaos` makes long ones."""

from __future__ import annotations

import pytest

from tests.chaos.plan import FAULTS, KINDS, plan
from tests.chaos.storm import storm

SEED = 7


@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # see close_forgotten_streams
async def test_nothing_accepted_is_lost_doubled_or_overspent(emulators: None) -> None:
    """Hosts, workers and the broker die and freeze and answers are lost, under 120 runs of twelve kinds; all holds."""
    await storm(plan(SEED, 120))


def test_a_seed_is_a_plan() -> None:
    """The same seed is the same storm; every kind of client and fault is in the shortest one."""
    short = plan(SEED, 1)

    assert short == plan(SEED, 1) != plan(SEED + 1, 1)
    assert {(talk.agent, talk.way, talk.priority) for talk in short.talks} == set(KINDS)
    assert {fault.name for fault in short.faults} == {*FAULTS, "redeclare"}
    assert all(one.after <= two.after <= short.runs for one, two in zip(short.faults, short.faults[1:], strict=False))
