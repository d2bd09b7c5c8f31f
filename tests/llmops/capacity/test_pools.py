"""What pools there can be, how they are stored, and which agents are in them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Conflict, EtagMismatch, InvalidInput, NotFound
from llmops.capacity.pool_store import PoolStore
from llmops.capacity.pools import Limits, Pool, Share, Thresholds, check, pool_of
from tests.lifecycle.doubles import ManualClock

POOL = Pool("p", agents=("a", "b"), limits=Limits(concurrent_runs=10))


@pytest.fixture
def store() -> PoolStore:
    return PoolStore(MemoryTables(), ManualClock(), timedelta(seconds=5))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "P!"}, "/name"),
        ({"agents": ()}, "/agents"),
        ({"agents": tuple(f"a{n}" for n in range(41))}, "/agents"),
        ({"limits": Limits()}, "/limits"),
        ({"limits": Limits(concurrent_runs=0)}, "/limits/concurrent_runs"),
        ({"limits": Limits(tokens_per_minute=0)}, "/limits/tokens_per_minute"),
        ({"limits": Limits(open_sessions=-1)}, "/limits/open_sessions"),
        ({"shares": {"c": Share(0.1)}}, "/shares/c"),
        ({"shares": {"a": Share(0.6, 0.5)}}, "/shares/a"),
        ({"shares": {"a": Share(1.1)}}, "/shares/a"),
        ({"shares": {"a": Share(0.6), "b": Share(0.5)}}, "/shares"),
        ({"shares": {"a": Share(0.0, 0.05)}}, "/shares/a"),
        ({"when_full": "spill"}, "/spill_to"),
        ({"spill_to": "other"}, "/spill_to"),
        ({"when_full": "spill", "spill_to": "nowhere"}, "/spill_to"),
        ({"when_full": "spill", "spill_to": "p"}, "/spill_to"),
        ({"when_full": "spill", "spill_to": "back"}, "/spill_to"),
        ({"aging_s": -1}, "/aging_s"),
        ({"thresholds": Thresholds(cpu=0)}, "/thresholds/cpu"),
    ],
)
def test_a_pool_that_makes_no_sense_is_refused(wrong: dict[str, Any], field: str) -> None:
    """With the field that is wrong."""
    others = [
        Pool("other", agents=("x",), limits=Limits(concurrent_runs=1)),
        Pool("back", agents=("y",), limits=Limits(concurrent_runs=1), when_full="spill", spill_to="p"),
    ]
    with pytest.raises(InvalidInput) as refused:
        check(replace(POOL, **wrong), others)

    assert refused.value.code == "invalid_pool"
    assert field in refused.value.fields


def test_an_agent_is_in_the_pool_that_names_it_before_one_of_its_labels() -> None:
    by_label = Pool("l", labels={"team": "x"}, limits=Limits(concurrent_runs=1))
    found = [pool_of([by_label, POOL], agent, {"team": "x"}) for agent in ("a", "c")]

    assert [pool and pool.name for pool in found] == ["p", "l"]
    assert pool_of([by_label, POOL], "c", {"team": "y"}) is None


async def test_an_agent_is_in_one_pool_only(store: PoolStore) -> None:
    """Also where two pools that name it are declared at the same time."""
    pools = [Pool(name, agents=("a", name), limits=Limits(concurrent_runs=1)) for name in ("p", "q", "r")]
    done = await asyncio.gather(*(store.put("default", pool, None) for pool in pools), return_exceptions=True)
    refused = [one for one in done if isinstance(one, Conflict)]

    assert len(refused) == 2
    assert {one.code for one in refused} == {"agent_in_two_pools"}
    assert len(await store.of("default", refresh=True)) == 1


async def test_an_agent_that_left_its_pool_can_be_in_another_one(store: PoolStore) -> None:
    await store.put("default", POOL, None)
    await store.put("default", replace(POOL, agents=("b",)), None)
    await store.put("default", Pool("q", agents=("a",), limits=Limits(concurrent_runs=1)), None)
    await store.delete("default", "q", None)
    etag, new = await store.put("default", POOL, None)

    assert (bool(etag), new) == (True, False)


async def test_two_pools_have_not_the_same_labels(store: PoolStore) -> None:
    await store.put("default", Pool("l", labels={"team": "x"}, limits=Limits(concurrent_runs=1)), None)
    with pytest.raises(Conflict) as refused:
        await store.put("default", Pool("m", labels={"team": "x"}, limits=Limits(concurrent_runs=1)), None)

    assert refused.value.code == "agent_in_two_pools"


async def test_a_pool_is_replaced_and_deleted_only_as_it_was_read(store: PoolStore) -> None:
    etag, new = await store.put("default", POOL, None)
    same, again = await store.put("default", POOL, etag)
    other = replace(POOL, limits=Limits(concurrent_runs=5))
    changed, _ = await store.put("default", other, etag)
    for call in (store.put("default", POOL, etag), store.delete("default", "p", etag)):
        with pytest.raises(EtagMismatch):
            await call
    await store.delete("default", "p", changed)
    with pytest.raises(NotFound):
        await store.get("default", "p")

    assert (new, again, same) == (True, False, etag)


async def test_a_pool_that_others_spill_over_to_is_not_deleted(store: PoolStore) -> None:
    await store.put("default", POOL, None)
    spilling = Pool("q", agents=("c",), limits=Limits(concurrent_runs=1), when_full="spill", spill_to="p")
    await store.put("default", spilling, None)
    with pytest.raises(Conflict) as refused:
        await store.delete("default", "p", None)

    assert refused.value.code == "pool_in_use"


async def test_workspaces_share_nothing(store: PoolStore) -> None:
    await store.put("one", POOL, None)
    await store.put("two", replace(POOL, limits=Limits(concurrent_runs=3)), None)

    assert [pool.limits.concurrent_runs for pool in await store.of("one")] == [10]
    assert [pool.limits.concurrent_runs for pool in await store.of("two")] == [3]
