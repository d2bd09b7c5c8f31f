"""A lazy loader of agents as a library: many configurations on disk, few agents live, in one process.

async with LazyAgentLoader(cache_directory="agents", open_agent=open_agent) as loader:
    await loader.add_agent_configuration(AgentConfiguration("legal", system_prompt="You know contracts."))
    async with await loader.get_agent("legal") as agent:
        print(await agent.run("May I sublet?"))
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar
from weakref import WeakValueDictionary

from kernel.errors import Conflict, NotFound, Unavailable
from kernel.ids import agent_name
from lifecycle.loader.agent_files import AgentConfiguration, LoaderFiles, checked
from lifecycle.loader.background_tasks import Background
from lifecycle.loader.cache import AgentCache, Cause
from lifecycle.loader.cache_plan import Plan, optimized
from lifecycle.loader.live_agent_handle import ActiveAgent
from lifecycle.loader.loader_statistics import ActivityReport, LoaderMetrics, reported
from lifecycle.loader.preload_outcomes import Preloads
from lifecycle.loader.setting_limits import LoaderNumbers, check_limits, check_numbers
from lifecycle.loader.usage_statistics import ActivityBook, Key, Use, companions, ended

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.loader.eviction_policies import PolicyName

log = logging.getLogger(__name__)

A = TypeVar("A")


class LazyAgentLoader(Generic[A]):
    """Opens agents on first use, and keeps those worth keeping. Belongs to one event loop and one directory."""

    def __init__(
        self,
        max_active_agents: int = 50,
        max_total_configurations: int = 1000,
        cache_directory: str | Path = "agents",
        preload_threshold: float = 0.7,
        cleanup_interval: float = 3600,
        *,
        open_agent: Callable[[AgentConfiguration], Awaitable[A]],
        close_agent: Callable[[A], Awaitable[None]] | None = None,
        policy: PolicyName = "sieve",
        preload_share: float = 0.8,
        numbers: LoaderNumbers | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a loader; nothing is read or opened yet.

        Args:
            max_active_agents: Most agents in the cache; others are closed once they are not in use.
            max_total_configurations: Most configurations.
            cache_directory: Directory of configurations and activity; created if missing.
            preload_threshold: Least priority of an agent to be preloaded, 0-1.
            cleanup_interval: Seconds between optimisations of the cache, which also save the activity.
            open_agent: Returns a live agent for a configuration.
            close_agent: Releases a live agent; None where there is nothing to release.
            policy: Which agent goes when there is no room.
            preload_share: Share of the places that may hold preloaded agents at first, 0-1; 0 switches preloading off.
            numbers: What else there is to set; None for the defaults.
            clock: The time; None for the system's.

        Raises:
            InvalidInput: A value is out of bounds (code `invalid_setting`).
        """
        self._numbers = numbers or LoaderNumbers()
        check_limits(
            max_active_agents, max_total_configurations, preload_threshold, cleanup_interval, preload_share, policy
        )
        check_numbers(self._numbers)
        self._max_total = max_total_configurations
        self._threshold = preload_threshold
        self._interval = cleanup_interval
        self._open_agent = open_agent
        self._close_agent = close_agent
        self._clock = clock or (lambda: datetime.now(UTC))
        self._files = LoaderFiles(Path(cache_directory))
        self._cache: AgentCache[str, ActiveAgent[A]] = AgentCache(max_active_agents, policy, self._removed)
        self._background = Background(self._closing)
        self._alive: WeakValueDictionary[str, ActiveAgent[A]] = WeakValueDictionary()
        self._preloads = Preloads(max_active_agents, preload_share, self._numbers.unused_after_s)
        self._book: ActivityBook | None = None
        self._total: int | None = None
        self._opening: dict[str, asyncio.Task[ActiveAgent[A]]] = {}
        self._changing = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._loads = 0
        self._failures = 0
        self._uses: list[tuple[str, object]] = []
        self._unsaved, self._closed = 0, False

    async def add_agent_configuration(self, configuration: AgentConfiguration) -> None:
        """Add or replace a configuration. A live agent of the old configuration is not used again.

        Raises:
            InvalidInput: It is not valid; nothing is changed.
            Conflict: The maximum number is reached (code `too_many_configurations`).
            Unavailable: It cannot be written.
        """
        checked(configuration)
        configuration = replace(configuration, created_at=configuration.created_at or self._clock())
        async with self._changing:
            total = await self._count()
            stored = await asyncio.to_thread(self._files.load, configuration.agent_id)
            if stored is None and total >= self._max_total:
                msg = f"There are {total} configurations, the maximum."
                raise Conflict(msg, code="too_many_configurations")
            if await asyncio.to_thread(self._files.save, configuration):
                self._total = total + 1
            self._release(configuration.agent_id)

    async def remove_agent_configuration(self, agent_id: str) -> None:
        """Remove a configuration and its activity; its agent is closed once it is not in use.

        Raises:
            NotFound: It does not exist.
        """
        agent_name(agent_id)
        async with self._changing:
            total = await self._count()
            if not await asyncio.to_thread(self._files.delete, agent_id):
                raise _not_found(agent_id)
            self._total = total - 1
            self._release(agent_id)
            (await self._activity()).forget(_key(agent_id))

    async def get_agent(self, agent_id: str, *, user: object = None) -> ActiveAgent[A]:
        """Return the live agent, opening it if necessary.

        Args:
            agent_id: The configuration's id.
            user: The user's id; agents that one user uses in turn become companions. None for no user.

        Raises:
            NotFound: There is no configuration of this id.
            Conflict: The loader is closed.
        """
        if self._closed:
            raise Conflict("The loader is closed.", code="loader_closed")
        active = self._cache.get(agent_id)
        if active is None:
            active = await self._load(agent_id)
            if self._alive.get(agent_id) is active:  # unless its configuration was changed meanwhile
                self._cache.put(agent_id, active)
        if self._preloads.waiting:
            self._preloads.used(_key(agent_id))
        self._uses.append((agent_id, user))
        if len(self._uses) == 1:
            asyncio.get_running_loop().call_soon(self._learn)
        return active

    async def preload_agents(self, agent_ids: Iterable[str] | None = None) -> Sequence[str]:
        """Open agents without evicting any; return those that were opened.

        Args:
            agent_ids: The agents; None for those whose priority reaches the threshold, within the preloading allowance.

        Raises:
            NotFound: One of `agent_ids` has no configuration.
        """
        if agent_ids is None:
            ranked = (await self._activity()).ranked(self._now)
            wanted = [one.key[1] for one in ranked if one.priority >= self._threshold and one.key[1] not in self._cache]
            return await self._preload(wanted[: self._preloads.left], strict=False)
        return await self._preload(list(dict.fromkeys(agent_ids)), strict=True)

    async def optimize_cache(self, *, dry_run: bool = False) -> Plan:
        """Evict agents not used for long or of low priority, preload those of high priority, and return what and why.

        Args:
            dry_run: Whether only to return the plan.
        """
        book = await self._activity()
        now = self._now
        self._preloads.expire(now)
        plan = optimized(
            book.ranked(now),
            {_key(agent_id): held.opened_at for agent_id in self._cache if (held := self._cache.peek(agent_id))},
            capacity=self._cache.capacity,
            threshold=self._threshold,
            allowance=self._preloads.left,
            now=now,
            busy=[_key(agent_id) for agent_id in self._opening],
            inactive_after=self._numbers.inactive_after_s,
        )
        if dry_run:
            return plan
        for step in plan.evictions:
            self._cache.drop(step.key[1])
        await self._preload([step.key[1] for step in plan.preloads], strict=False)
        book.forget_before(now - self._numbers.retention_s)
        await self._save()
        return plan

    async def get_cache_metrics(self) -> LoaderMetrics:
        """Return the cache's statistics."""
        ranked = (await self._activity()).ranked(self._now)
        return LoaderMetrics(
            hits=self._cache.hits,
            misses=self._cache.misses,
            loads=self._loads,
            failures=self._failures,
            evictions=self._cache.evictions,
            active=len(self._cache),
            max_active=self._cache.capacity,
            configurations=await self._count(),
            preloaded=self._preloads.loaded,
            preload_failures=self._preloads.failed,
            preloads_used=self._preloads.allowance.used,
            preloads_wasted=self._preloads.allowance.wasted,
            candidates=sum(one.priority >= self._threshold and one.key[1] not in self._cache for one in ranked),
            set_aside=tuple(self._files.set_aside),
        )

    async def get_agent_activity_report(self) -> Sequence[ActivityReport]:
        """Return the agents used in the last 30 days (`retention_s`), those of the highest priority first."""
        book = await self._activity()
        book.forget_before(self._now - self._numbers.retention_s)
        return [reported(one, active=one.key[1] in self._cache) for one in book.ranked(self._now)]

    async def close(self) -> None:
        """Stop background work, save the activity, and close the agents that are not in use.

        Agents in use are closed when they no longer are. Closing twice is allowed.
        """
        if self._closed:
            return
        self._closed = True
        await self._background.stop()
        for agent_id in self._cache:
            self._cache.drop(agent_id)
        if self._uses:
            await self._activity()
        await self._save()
        await self._background.closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _now(self) -> float:
        return self._clock().timestamp()

    def _learn(self) -> None:
        """Add the latest uses to the activity, and preload likely next agents."""
        if self._closed:
            return
        self._background.every(self._interval, self.optimize_cache)
        book = self._book
        if book is None:
            return
        for agent_id, _ in self._drain(book):
            found = companions(book.agents, _key(agent_id), self._numbers.companion_share)
            likely = [other[1] for other, _ in found]
            wanted = [other for other in likely if other not in self._cache][: self._preloads.left]
            if wanted and not self._cache.full:
                self._background.start(self._preload(wanted, strict=False))
        if self._unsaved >= self._numbers.save_every:
            self._unsaved = 0
            self._background.start(self._save())

    def _note(self, agent_id: str, *, answered: bool, ms: float | None, cost_micro_usd: int) -> None:
        book = self._book
        if book is None:
            return
        self._drain(book)
        if (activity := book.agents.get(_key(agent_id))) is not None:
            book.agents[_key(agent_id)] = ended(activity, answered=answered, ms=ms, micro_usd=cost_micro_usd)

    def _drain(self, book: ActivityBook) -> Sequence[tuple[str, object]]:
        uses, self._uses = self._uses, []
        now = self._now
        for agent_id, user in uses:
            book.add(Use(now, _key(agent_id), user))
        self._unsaved += len(uses)
        return uses

    async def _load(self, agent_id: str) -> ActiveAgent[A]:
        """Open the agent once for all concurrent callers; one that was evicted but is still in use is reused."""
        if (alive := self._alive.get(agent_id)) is not None:
            return alive
        opening = self._opening.get(agent_id)
        if opening is None:
            opening = self._opening[agent_id] = asyncio.create_task(self._opened(agent_id))
            opening.add_done_callback(partial(self._opening_done, agent_id))
        return await asyncio.shield(opening)  # cancelling one caller does not affect the others

    def _opening_done(self, agent_id: str, opening: asyncio.Task[ActiveAgent[A]]) -> None:
        if self._opening.get(agent_id) is opening:
            del self._opening[agent_id]
        if not opening.cancelled():
            opening.exception()  # marked as retrieved, even if no caller is left

    async def _opened(self, agent_id: str) -> ActiveAgent[A]:
        agent_name(agent_id)
        await self._loaded()
        configuration = await asyncio.to_thread(self._files.load, agent_id)
        if configuration is None:
            raise _not_found(agent_id)
        try:
            agent = await self._open_agent(configuration)
        except Exception:
            self._failures += 1
            raise
        self._loads += 1
        active = ActiveAgent(configuration, agent, self._note, self._now)
        self._background.watch(active, agent)
        if self._opening.get(agent_id) is asyncio.current_task():  # unless its configuration was changed meanwhile
            self._alive[agent_id] = active
        return active

    async def _preload(self, agent_ids: Sequence[str], *, strict: bool) -> Sequence[str]:
        opened: list[str] = []
        for agent_id in agent_ids:
            while others := list(self._opening.values()):  # agents that callers wait for go first
                await asyncio.wait(others)
                await asyncio.sleep(0)  # lets its callback remove it
            if agent_id in self._cache or (not strict and self._preloads.hopeless(_key(agent_id))):
                continue
            if self._cache.full:
                break
            try:
                active = await self._load(agent_id)
            except Exception as error:  # the user's code may raise anything
                self._preloads.fail(_key(agent_id))
                if strict:
                    raise
                log.warning(
                    "preloading %s failed: %s", agent_id, type(error).__name__, extra={"event": "loader.preload_failed"}
                )
                continue
            if self._alive.get(agent_id) is active and self._cache.put_if_room(agent_id, active):
                self._preloads.add(_key(agent_id), self._now)
                opened.append(agent_id)
        return opened

    async def _activity(self) -> ActivityBook:
        book = await self._loaded()
        self._drain(book)
        return book

    async def _loaded(self) -> ActivityBook:
        """Return the activity, reading it from its file the first time."""
        async with self._reading:
            if self._book is None:
                agents = await asyncio.to_thread(self._files.load_activity)
                known = {_key(agent_id): found for agent_id, found in agents.items()}
                self._book = ActivityBook(self._numbers.known, known, self._numbers.learning)
        return self._book

    async def _count(self) -> int:
        if self._total is None:
            self._total = await asyncio.to_thread(self._files.count)
        return self._total

    async def _save(self) -> None:
        if self._book is not None:
            agents = {key[1]: activity for key, activity in self._book.agents.items()}
            try:
                await asyncio.to_thread(self._files.save_activity, agents)
            except Unavailable as error:
                log.warning("activity not saved: %s", error.detail, extra={"event": "loader.activity_not_saved"})

    def _release(self, agent_id: str) -> None:
        self._cache.drop(agent_id)
        self._alive.pop(agent_id, None)
        self._opening.pop(agent_id, None)

    def _removed(self, agent_id: str, _active: ActiveAgent[A], _cause: Cause) -> None:
        self._preloads.removed(_key(agent_id))

    async def _closing(self, agent: A) -> None:
        if self._close_agent is not None:
            await self._close_agent(agent)


def _key(agent_id: str) -> Key:
    return ("", agent_id)


def _not_found(agent_id: str) -> NotFound:
    return NotFound(f"There is no configuration {agent_id!r}.", code="configuration_not_found")
