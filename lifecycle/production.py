"""The registry as a library: agents that are made once and reused, in a script or notebook, without a Functions host.

async with Services.in_memory().manager() as manager:
    agent = await manager.get_or_create("helper", AgentSpec(model="gpt-5-mini", instructions="Be brief."))
    run = await agent.run("What is a durable entity?")
    print(run.answer, run.spend.cost_micro_usd)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from kernel.errors import AppError, NotFound, RunFailed
from kernel.ids import agent_name, new_id
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import Session
from lifecycle.conversations.store import ConversationStore, Turn
from lifecycle.conversations.submission import RunRequest, Submission, check, submission_of
from lifecycle.loader.resolver import AgentResolver
from lifecycle.loader.uses import UseRecorder
from lifecycle.registry.administration import Administration
from lifecycle.registry.catalog import Agent, Catalog
from lifecycle.registry.record import AgentState
from lifecycle.registry.signals import AgentSignals
from lifecycle.runs.deltas import Delta, deltas
from lifecycle.runs.queries import RunQueries
from lifecycle.runs.submit import RunSubmission
from lifecycle.runs.worker import RunWorker
from lifecycle.specs.spec import AgentSpec


@dataclass(frozen=True, slots=True)
class ManagerStats:
    """How the agents of a workspace are used.

    Attributes:
        agents: Agents declared.
        active: Of these, at their provider now.
        created: Versions created at providers.
        runs: Runs counted.
        reused: Runs that found their agent already there.
        cache_hits: Look-ups this process answered without any I/O.
        cache_misses: Look-ups that had to read.
    """

    agents: int
    active: int
    created: int
    runs: int
    reused: int
    cache_hits: int
    cache_misses: int


class ProductionAgent:
    """An agent to ask. One object holds one conversation at a time; `run` goes on with it."""

    def __init__(self, manager: ProductionAgentManager, name: str) -> None:
        self._manager = manager
        self.name = name
        self.session_id = new_id()

    def new_conversation(self) -> None:
        """Start afresh: the next run does not know what was said before."""
        self.session_id = new_id()

    async def run(self, query: str, *, user_id: str | None = None, expected_topics: Iterable[str] = ()) -> Run:
        """Ask, and return the run with its answer.

        Raises:
            AppError: The run failed; the code says why.
        """
        request = RunRequest(
            query=query, session_id=self.session_id, user_id=user_id, expected_topics=tuple(expected_topics)
        )
        return await self._manager.run(self.name, request)

    def stream(self, query: str, *, user_id: str | None = None) -> AsyncGenerator[Delta]:
        """Ask, and yield the answer as it is written; closing the iterator early cancels the run.

        Raises:
            AppError: The run failed; the code says why.
        """
        request = RunRequest(query=query, session_id=self.session_id, user_id=user_id, stream=True)
        return self._manager.stream(self.name, request)

    async def session(self) -> Session | None:
        """Return the conversation's state, limits and costs; None before its first run."""
        return await self._manager.session(self.session_id)

    async def history(self, limit: int = 1000) -> Sequence[Turn]:
        """Return the conversation's first messages, up to `limit` (1-1000)."""
        return await self._manager.history(self.session_id, limit=limit)


class ProductionAgentManager:
    """Gets or creates agents, runs them, and cleans them up; everything through the same services as the app."""

    def __init__(
        self,
        catalog: Catalog,
        administration: Administration,
        resolver: AgentResolver,
        intake: RunSubmission,
        runner: RunWorker,
        run_queries: RunQueries,
        conversations: ConversationStore,
        *,
        uses: UseRecorder,
        signals: AgentSignals,
        max_query_bytes: int,
        workspace: str = "default",
    ) -> None:
        self._catalog = catalog
        self._administration = administration
        self._resolver = resolver
        self._intake = intake
        self._runner = runner
        self._run_queries = run_queries
        self._conversations = conversations
        self._uses = uses
        self._signals = signals
        self._max_query_bytes = max_query_bytes
        self._workspace = workspace
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._throwaway: list[str] = []

    async def get_or_create(self, name: str, spec: AgentSpec, *, reuse: bool = True) -> ProductionAgent:
        """Return the agent, made at its provider unless it is there already.

        Args:
            name: Its name, valid by `kernel.ids.agent_name`.
            spec: What it is to be; another spec than before makes a new version.
            reuse: False makes an agent of its own, with a suffix to the name, which `cleanup_all` or leaving the
                manager's context deletes.

        Raises:
            InvalidInput: The name or a tool of the spec is not valid.
            ProviderRejected: The provider refuses to make it.
            Unavailable: The provider cannot be reached.
        """
        if not reuse:
            name = f"{name[:50]}-{new_id()[-12:]}"
            self._throwaway.append(name)
        agent_name(name)
        await self._administration.declare(self._workspace, name, spec, self._signals)
        await self._resolver.resolve(self._workspace, name, self._signals)
        return ProductionAgent(self, name)

    async def prewarm(self, names: Iterable[str]) -> None:
        """Make declared agents ready before their first run.

        Raises:
            NotFound: One was never declared.
        """
        await asyncio.gather(*(self._resolver.resolve(self._workspace, name, self._signals) for name in names))

    async def run(self, name: str, request: RunRequest) -> Run:
        """Run the request to its end, trying again what can pass; one run at a time per session.

        Raises:
            AppError: The run failed; the code says why.
        """
        session_id = request.session_id or new_id()
        return await self._run(name, request.model_copy(update={"session_id": session_id}), new_id())

    async def stream(self, name: str, request: RunRequest) -> AsyncGenerator[Delta]:
        """Run the request, and yield its text as it is written; closing the iterator early cancels the run.

        Raises:
            AppError: The run failed; the code says why.
        """
        session_id, run_id = request.session_id or new_id(), new_id()
        request = request.model_copy(update={"session_id": session_id, "stream": True})
        session = await self.session(session_id)
        first = session.events if session else 0
        work = asyncio.create_task(self._run(name, request, run_id))
        try:
            async for piece in deltas(self._conversations, self._workspace, session_id, run_id, first, work):
                yield piece
            await work
        finally:
            if not work.done():
                await self._stop(work, run_id)

    async def _stop(self, work: asyncio.Task[Run], run_id: str) -> None:
        """Cancel the run, also one whose turn has not come, and return when nothing is at it any more."""
        try:
            await self._run_queries.cancel(self._workspace, run_id)
        except NotFound:
            work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        with suppress(NotFound):  # it may have been stored at that moment
            await self._run_queries.cancel(self._workspace, run_id)

    async def session(self, session_id: str) -> Session | None:
        """Return a conversation's state, limits and costs; None where there is none."""
        return (await self._conversations.load(self._workspace, session_id)).session

    async def history(self, session_id: str, first: int = 0, limit: int = 1000) -> Sequence[Turn]:
        """Return up to `limit` (1-1000) messages of a conversation in order, from number `first` on."""
        return await self._conversations.turns(self._workspace, session_id, first, limit)

    async def _run(self, name: str, request: RunRequest, run_id: str) -> Run:
        check(request, self._max_query_bytes)
        session = request.session_id or ""
        turn = self._turns.setdefault(session, asyncio.Lock())  # forgotten once nobody holds or awaits it
        async with turn:
            accepted = await self._intake.submit(self._workspace, name, request, run_id, self._signals, _keep)
            run = accepted.run
            while not run.finished:
                try:
                    await self._runner.process(submission_of(run), self._signals)
                except AppError as error:
                    if not error.retriable:
                        raise
                run = await self._run_queries.get(self._workspace, run.id)
                if run.state is RunState.WAITING:
                    msg = "The run waits until its session goes on."
                    raise RunFailed(run.error.detail if run.error else msg, code="run_waiting")
        if run.error is not None:
            raise RunFailed(run.error.detail, code=run.error.code)
        return run

    async def stats(self) -> ManagerStats:
        """Return how the workspace's agents are used, uses not told to their actors yet included."""
        await self._uses.aclose(self._signals)
        agents = [agent async for agent in self._agents()]
        records = [agent.record for agent in agents if agent.record is not None]
        created = sum(record.created for record in records)
        runs = sum(record.uses for record in records)
        return ManagerStats(
            agents=len(agents),
            active=sum(record.state is AgentState.ACTIVE for record in records),
            created=created,
            runs=runs,
            reused=sum(record.reused for record in records),
            cache_hits=self._resolver.cache.hits,
            cache_misses=self._resolver.cache.misses,
        )

    async def cleanup(self, name: str) -> None:
        """Delete the agent, at its provider and in the registry.

        Raises:
            NotFound: There is no such agent.
        """
        if name in self._throwaway:
            self._throwaway.remove(name)
        await self._administration.delete(self._workspace, name, self._signals)

    async def cleanup_all(self) -> int:
        """Delete all the workspace's agents, and return how many there were."""
        names = [agent.name async for agent in self._agents()]
        for name in names:
            await self.cleanup(name)
        return len(names)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._throwaway:
            await self.cleanup(self._throwaway[-1])
        await self._uses.aclose(self._signals)

    async def _agents(self) -> AsyncIterator[Agent]:
        after: str | None = None
        while True:
            page, after = await self._catalog.list(self._workspace, 200, after)
            for agent in page:
                yield agent
            if after is None:
                return


async def _keep(_submission: Submission) -> None:
    """Leave the run where it is stored: this process runs it itself, at once."""
