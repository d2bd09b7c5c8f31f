"""Opens agents before they are requested, in a worker's idle moments.

A worker's first agent takes seconds, as the SDKs of its provider are imported, and its first call gets tokens and makes
connections. So a worker reads the ranking in its first idle moment, opens the agents that are likely to be used, and
warms up their providers; it repeats this periodically, and while a run waits for its model, opens the agents that are
usually used next. Preloading never delays a run: it pauses while a run is being prepared or an agent is looked up, and
never opens more agents than fit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from lifecycle.loader.cache_plan import Plan, optimized
from lifecycle.loader.usage_statistics import Key, companions

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.loader.agent_ranking import Ranking, Rankings
    from lifecycle.loader.agent_resolver import AgentResolver, LiveAgent
    from lifecycle.loader.cache_records import CacheWatch
    from lifecycle.loader.cache_resizing import CacheSizer

log = logging.getLogger(__name__)

_WARM_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class PreloadPolicy:
    """When to preload which agents.

    Attributes:
        enabled: Whether to preload.
        threshold: Least priority of an agent, 0-1.
        every: How often a worker looks at the ranking.
        companion_share: A companion is preloaded if it is used after the agent at least so often, 0-1.
        inactive_after: An agent that was not used for so long is let go of.
        warm_within: How long a provider may take to get ready for an agent's first run.
    """

    enabled: bool
    threshold: float
    every: timedelta
    companion_share: float = 0.3
    inactive_after: timedelta = timedelta(days=1)
    warm_within: timedelta = timedelta(seconds=15)


class Preloader:
    """Preloads a worker's agents. Belongs to one event loop."""

    def __init__(
        self,
        resolver: AgentResolver,
        rankings: Rankings,
        watch: CacheWatch,
        policy: PreloadPolicy,
        clock: Clock,
        before_first: Callable[[], Awaitable[None]] | None = None,
        sizer: CacheSizer | None = None,
    ) -> None:
        """Make the preloader; it does nothing until `wake`.

        Args:
            resolver: Opens agents and has the cache.
            rankings: Reads the ranking.
            watch: Records preloads and their outcomes.
            policy: When to preload which agents.
            clock: Gives the time.
            before_first: Prepares what runs of any agent need, once, before the first preload.
            sizer: Adapts the cache's size whenever the ranking is read; None for a fixed size.
        """
        self._resolver = resolver
        self._rankings = rankings
        self._watch = watch
        self._policy = policy
        self._clock = clock
        self._next: datetime | None = None
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._companions: asyncio.Task[None] | None = None
        self._before_first = before_first
        self._sizer = sizer
        self._warming = asyncio.Semaphore(_WARM_AT_ONCE)
        watch.wanted = self._wanted

    @contextmanager
    def run(self) -> Generator[None]:
        """Pause preloading while a run is in progress; afterwards preload if due."""
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
            self.wake()

    def wake(self) -> None:
        """Start preloading if it is due; does not wait for it."""
        if self._next is not None and self._clock() < self._next:
            return
        if self._looking is None or self._looking.done():
            self._next = self._clock() + self._policy.every
            if self._sizer is not None:
                self._sizer.adapt()
            if self._policy.enabled:
                self._looking = self._start(self._when_idle())

    async def optimize(self, *, dry_run: bool = False, only: str | None = None) -> Plan:
        """Evict agents not used for long or of low priority, preload those of high priority; return what and why.

        Args:
            dry_run: Whether only to return the plan.
            only: Evict and preload only agents of this workspace; None for all.
        """
        ranking = await self._rankings.read()
        plan = self._plan(ranking, only)
        if not dry_run:
            for step in plan.evictions:
                self._resolver.forget(*step.key)
            await self.preload([step.key for step in plan.preloads])
        return plan

    async def preload(self, keys: Sequence[Key], *, wait: Callable[[], bool] | None = None) -> Sequence[Key]:
        """Open these agents where there is space; return those that are newly in the cache.

        Args:
            keys: The agents.
            wait: Returns whether to pause for something more important; None to pause while an agent is looked up.
        """
        opened: list[Key] = []
        for key in keys:
            while (wait or self._is_looked_up)():  # noqa: ASYNC110 - of runs and look-ups there is no one event
                await asyncio.sleep(0.01)
            if self._watch.preloads.hopeless(key):
                continue
            if (prepare := self._before_first) is not None:
                self._before_first = None
                await prepare()
            try:
                if live := await self._resolver.preload(*key):
                    opened.append(key)
                    self._start(self._warm(live))
            except AppError as error:
                self._watch.failed(key)
                log.warning("agent not preloaded: %s", error.code, extra={"event": "loader.preload_failed"})
        return opened

    async def finished(self) -> None:
        """Wait until preloads under way are finished."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # lets their callbacks remove them

    async def aclose(self) -> None:
        """Stop preloading."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _when_idle(self) -> None:
        try:
            ranking = await self._rankings.read()
        except AppError as error:
            log.warning("ranking not read: %s", error.code, extra={"event": "loader.ranking_not_read"})
            return
        self._watch.expire(self._clock().timestamp())
        agents = ranking.book.agents
        found = {key: [other for other, _ in companions(agents, key, self._policy.companion_share)] for key in agents}
        self._watch.following = {key: others for key, others in found.items() if others}
        plan = self._plan(ranking, None)
        for step in plan.evictions:
            self._resolver.forget(*step.key)
        for step in plan.preloads:
            await self._idle.wait()
            await self.preload([step.key], wait=self._is_busy)

    async def _warm(self, live: LiveAgent) -> None:
        """Warm up the agent's provider; errors are logged only."""
        async with self._warming:
            try:
                async with asyncio.timeout(self._policy.warm_within.total_seconds()):
                    await live.provider.warm(live.workspace, live.spec)
            except (AppError, TimeoutError) as error:
                why = error.code if isinstance(error, AppError) else "timeout"
                log.info("%s is not warm: %s", live.name, why, extra={"event": "loader.not_warm"})

    def _plan(self, ranking: Ranking, only: str | None) -> Plan:
        now = self._clock().timestamp()
        cache = self._resolver.cache
        held = {key: live.checked_at.timestamp() for key in cache if (live := cache.peek(key)) and "!" not in key[1]}
        plan = optimized(
            ranking.book.ranked(now),
            held,
            capacity=cache.capacity,
            threshold=self._policy.threshold,
            allowance=self._watch.preloads.left,
            now=now,
            requested=ranking.requested,
            inactive_after=self._policy.inactive_after.total_seconds(),
        )
        return plan if only is None else Plan([step for step in plan.steps if step.key[0] == only])

    def _wanted(self, keys: Sequence[Key]) -> None:
        """Preload agents that are usually used next, in one task at a time."""
        cache = self._resolver.cache
        if cache.full or (self._companions is not None and not self._companions.done()):
            return
        missing = [key for key in keys if key not in cache][: self._watch.preloads.left]
        if missing:
            self._companions = self._start(self._companions_of(missing))

    async def _companions_of(self, keys: Sequence[Key]) -> None:
        await self.preload(keys)

    def _is_looked_up(self) -> bool:
        return self._resolver.looking

    def _is_busy(self) -> bool:
        return self._running > 0 or self._resolver.looking

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("preloading failed: %s", type(error).__name__, extra={"event": "loader.failed"})
