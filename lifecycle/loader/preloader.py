"""Opening agents before they are asked for, in a worker's idle moments.

A worker that starts imports the SDKs of its providers, which takes seconds, with the first agent that it opens, and
gets tokens and makes connections with its first call. So in its first idle moment it reads the ranking, opens the
agents that are likely to be used, and has their providers warm up; from then on it does so now and then, and opens what
is usually used next while a run waits for its model. Nothing of it is on the way of a run: while one is being prepared,
or an agent looked up, it waits; it never opens more than there is room for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from kernel.clock import Clock
from kernel.errors import AppError
from lifecycle.loader.activity import Key, companions
from lifecycle.loader.plan import Plan, optimized
from lifecycle.loader.ranking import Ranking, Rankings
from lifecycle.loader.resolver import AgentResolver, LiveAgent
from lifecycle.loader.sizer import CacheSizer
from lifecycle.loader.watch import CacheWatch

log = logging.getLogger(__name__)

_WARM_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class PreloadPolicy:
    """What is preloaded and when.

    Attributes:
        enabled: Whether anything is.
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
        """Make the preloader; it does nothing before it is woken.

        Args:
            resolver: Opens and holds the agents.
            rankings: Says which are worth it.
            watch: Says what became of those before, and is told.
            policy: What is preloaded and when.
            clock: The time.
            before_first: Gets ready what runs of any agent need, once, before the first is preloaded.
            sizer: Has the cache's size follow its load, as often as the ranking is looked at; None where it is fixed.
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
        """Have preloading wait while a run is in progress, and look whether it is due once that is over."""
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
        """Begin to preload if that is due; returns at once."""
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
            dry_run: Whether only to say it.
            only: Only agents of this workspace are evicted or preloaded; None for all.
        """
        ranking = await self._rankings.read()
        plan = self._plan(ranking, only)
        if not dry_run:
            for step in plan.evictions:
                self._resolver.forget(*step.key)
            await self.preload([step.key for step in plan.preloads])
        return plan

    async def preload(self, keys: Sequence[Key], *, wait: Callable[[], bool] | None = None) -> Sequence[Key]:
        """Open these agents where there is room; return those that are held now and were not before.

        Args:
            keys: The agents.
            wait: Returns whether something more important is under way; None for when an agent is looked up.
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
        """Wait until what is being preloaded is."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)  # for them to be taken off

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
        """Have the agent's provider ready for its first run, which does without if it cannot."""
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
        """Preload what is usually used next, one such task at a time."""
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
