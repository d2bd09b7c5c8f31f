"""A worker's loader, whatever is done in whatever order: bounded, current, and whatever comes and goes is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.services import Services
from kernel.errors import NotFound
from llmops.metrics.definitions import LOADS, LOOKUPS, REMOVALS
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec
from tests.lifecycle.loader.requests import SLOW

W = "default"
STEPS = (
    *("get", "get", "get", "run", "declare", "delete", "retire", "drop"),
    *("preload", "request", "optimise", "wake", "learn", "resize", "later", "crash", "restart"),
)
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from("abcd")), max_size=25)


async def counted(worker: Services) -> Mapping[str, int]:
    """Return what the worker has counted of its cache, but not stored."""
    worker.metrics.workers._collect()
    mine = worker.metrics.workers._mine.get(W)
    series = mine.counted if mine else {}
    return {
        metric.name: round(sum(numbers[0] for key, numbers in series.items() if key[0] == metric.name))
        for metric in (LOADS, LOOKUPS, REMOVALS)
    }


@settings(SLOW, max_examples=40)
@given(steps=steps, size=st.integers(1, 3), most=st.sampled_from([0, 4]))
def test_whatever_is_done_in_whatever_order(  # noqa: C901 - one branch for each step
    steps: list[tuple[str, str]], size: int, most: int
) -> None:
    """What is got is what was declared last; never too many are held; what came less what went is what is held."""

    async def play() -> None:  # noqa: C901 - one branch for each step
        app = App(AGENT_CACHE_SIZE=size, AGENT_CACHE_MAX_SIZE=most, AGENT_CACHE_MEMORY_SHARE=1, METRICS_EVERY_S=86_400)
        worker = app.services
        declared: dict[str, str] = {}
        for number, (what, name) in enumerate(steps):
            agents, cache = worker.agents, worker.agents.resolver.cache
            before = set(cache)
            try:
                match what:
                    case "get":
                        agent = await agents.catalog.get(W, name)
                        live = await agents.resolver.resolve(W, name, app.signals, agent.declaration.revision)
                        assert live.spec.instructions == declared[name]
                    case "run":
                        await app.submit(agent=name, user_id="ann")
                        await app.process(app.queue.sent[-1], worker=worker)
                    case "declare":
                        await app.declare(name, spec(instructions=f"{number}"))
                        declared[name] = f"{number}"
                    case "delete" | "retire":
                        await getattr(agents.administration, what)(W, name, app.signals)
                        if what == "delete":
                            declared.pop(name, None)
                    case "drop":
                        agents.resolver.forget(W, name)
                    case "preload":
                        await agents.preloader.preload([(W, name)])
                        assert before <= set(cache), "preloading evicts nothing"
                    case "request":
                        await agents.rankings.request([(W, name)])
                    case "optimise":
                        await agents.preloader.optimize()
                    case "learn":
                        await worker.spend.aggregation.run(app.clock())
                        await agents.learn_accesses()
                    case "resize":
                        cache.resize(size)
                    case "later":
                        app.clock.move(hours=7)
                    case "restart":
                        await worker.aclose()
                        worker = app.worker()
                    case "crash":
                        worker = app.worker()
                    case _:
                        agents.preloader.wake()
                        await agents.preloader.finished()
            except NotFound:
                assert name not in declared
            await worker.agents.preloader.finished()
            cache, counts = worker.agents.resolver.cache, await counted(worker)
            assert len(cache) <= cache.capacity <= max(size, most)
            assert counts[LOADS.name] - counts[REMOVALS.name] == len(cache)
            assert set(worker.agents.preloader._watch.preloads.waiting) <= set(cache)
        await worker.aclose()

    asyncio.run(play())
