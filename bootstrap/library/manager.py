"""The manager of a program's agents."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from bootstrap.library.agent import ProductionAgent
from bootstrap.library.progress import OnProgress, progress_of
from bootstrap.services import Services
from kernel.errors import AppError, Conflict, InvalidInput, NotFound, RunFailed
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from kernel.settings import Settings
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import RunRequest, Submission, check, submission_of
from lifecycle.registry.record import AgentState
from lifecycle.runs.run_following import Delta, deltas, events_of
from lifecycle.sessions.transcript import exported, transcript_of
from lifecycle.tools.definition import Tool, tool

if TYPE_CHECKING:
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.session_store import Turn
    from lifecycle.registry.catalog import Agent
    from lifecycle.specs.spec import AgentSpec


@dataclass(frozen=True, slots=True)
class ManagerStats:
    """Usage statistics of a workspace's agents.

    Attributes:
        agents: Agents declared.
        active: Agents that exist at their provider now.
        created: Versions created at providers.
        runs: Runs counted.
        reused: Runs that found their agent already created.
        cache_hits: Look-ups in this process's cache that took no I/O.
        cache_misses: Look-ups that had to read.
    """

    agents: int
    active: int
    created: int
    runs: int
    reused: int
    cache_hits: int
    cache_misses: int


class ProductionAgentManager:
    """Gets or creates agents, runs them, and cleans them up. Bound to one event loop.

    Use it as a context manager, or call `aclose` at the end.
    """

    def __init__(
        self,
        storage: str | Path | None = None,
        *,
        workspace: str = "default",
        on_progress: OnProgress | None = None,
        services: Services | None = None,
        **settings: Any,
    ) -> None:
        """Set the storage; nothing is connected before it is used.

        Args:
            storage: None for this process's memory; the path of a file, which processes of one machine can share; or
                a storage account, by its connection string or its table endpoint (`https://…`), which is reached with
                the identity of the environment.
            workspace: The workspace of the agents.
            on_progress: Called for each stage of every run.
            services: The services to use, instead of a storage; the caller closes them.
            settings: Settings by their Python names, such as `openai_api_key="…"`; others are read from the
                environment.

        Raises:
            InvalidSettings: A setting is not valid, or does not exist.
        """
        if services is not None and (storage is not None or settings):
            msg = "Give services, or a storage and settings, not both."
            raise InvalidInput(msg, code="services_and_storage")
        self._owns = services is None
        self._services = services or Services.on(storage, _settings(settings))
        self._closed = False
        self.workspace = workspace
        self.on_progress = on_progress
        self._signals = self._services.agents.local_signals()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._throwaway: dict[str, bool] = {}

    @property
    def services(self) -> Services:
        """All use cases of the app.

        Raises:
            Conflict: The manager is closed (code `manager_closed`): what it had open would be opened again for good.
        """
        if self._closed:
            raise Conflict("The manager is closed; make another one.", code="manager_closed")
        return self._services

    async def get_or_create(
        self, name: str, spec: AgentSpec | None = None, *, reuse_agent: bool = True, **fields: Any
    ) -> ProductionAgent:
        """Return the agent, after creating it at its provider unless it exists.

        Args:
            name: Its name, valid by `kernel.ids.agent_name`.
            spec: Its spec; a changed spec creates a new version. Or give the spec's fields by name; with neither, the
                agent as declared before.
            reuse_agent: False creates an agent under the name with a random suffix, which `cleanup_all` or closing the
                manager deletes.
            fields: The spec's fields, like `model` and `instructions`.

        Raises:
            InvalidInput: The name, the spec or one of its tools is not valid.
            NotFound: It has no spec, and was never declared.
            ProviderRejected: The provider refuses to create it.
            Unavailable: The provider cannot be reached.
        """
        agent = ProductionAgent(name, spec, manager=self, reuse_agent=reuse_agent, **fields)
        await agent.prewarm()
        return agent

    async def make(self, name: str, spec: AgentSpec | None) -> None:
        """Declare the agent, if a spec is given, and create it at its provider."""
        if spec is not None:
            await self.services.agents.administration.declare(self.workspace, name, spec, self._signals)
        if name in self._throwaway:
            self._throwaway[name] = True
        await self.services.agents.resolver.resolve(self.workspace, name, self._signals)

    def throwaway_name(self, name: str) -> str:
        """Return the name of an agent that is not reused; the agent is deleted when the manager is closed."""
        unique = f"{name[:50]}-{new_id()[-12:]}"
        self._throwaway[unique] = False
        return unique

    def named(self, tools: Iterable[Any]) -> Sequence[Any]:
        """Return the tools as a spec has them: functions are registered in this process and replaced by their names.

        Args:
            tools: Names, hosted tools and MCP servers as in a spec; and functions with type hints and a docstring,
                plain or
                decorated with `lifecycle.extensions.tool`.

        Raises:
            InvalidInput: A function cannot be a tool, or another tool has its name.
        """
        return [self._named(each) if callable(each) or isinstance(each, Tool) else each for each in tools]

    def _named(self, given: Any) -> str:
        try:
            made = given if isinstance(given, Tool) else tool(given)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"Not a tool: {error}.", code="invalid_tool") from None
        self.services.extensions.add_tool(made)
        return made.name

    async def prewarm(self, names: Iterable[str]) -> None:
        """Create declared agents at their providers before their first run.

        Raises:
            NotFound: One was never declared.
        """
        await asyncio.gather(*(self.make(name, None) for name in names))

    async def run(self, name: str, request: RunRequest, *, on_progress: OnProgress | None = None) -> Run:
        """Run the request to its end, retrying transient failures; one run at a time per session.

        Args:
            name: The agent.
            request: The run request.
            on_progress: Called for each stage of the run, instead of the manager's.

        Raises:
            AppError: The run failed; the code is the reason.
        """
        request = request.model_copy(update={"session_id": request.session_id or new_id()})
        tell, run_id = on_progress or self.on_progress, new_id()
        if tell is None:
            return await self._run(name, request, run_id)
        return await self._with_progress(name, request, run_id, tell)

    async def stream(self, name: str, request: RunRequest) -> AsyncGenerator[Delta]:
        """Run the request, and yield its text as it is written; closing the iterator early cancels the run.

        Raises:
            AppError: The run failed; the code is the reason.
        """
        session_id, run_id = request.session_id or new_id(), new_id()
        request = request.model_copy(update={"session_id": session_id, "stream": True})
        first = await self._next_event(session_id)
        work = asyncio.create_task(self._run(name, request, run_id))
        conversations = self.services.conversations.store
        try:
            async for piece in deltas(conversations, self.workspace, session_id, run_id, first, work):
                yield piece
            await work
        finally:
            if not work.done():
                await self._stop(work, run_id)

    async def session(self, session_id: str) -> Session | None:
        """Return a session's state, limits and costs; None where there is none."""
        return (await self.services.conversations.store.load(self.workspace, session_id)).session

    async def history(self, session_id: str, first: int = 0, limit: int = 1000) -> Sequence[Turn]:
        """Return up to `limit` (1-1000) messages of a session in order, from number `first` on."""
        return await self.services.conversations.store.turns(self.workspace, session_id, first, limit)

    async def export_session_data(self, session_id: str) -> Mapping[str, Any]:
        """Return a session as JSON: `session`, `messages`, `runs` and `events`, named as in the API's export.

        Raises:
            NotFound: There is no such session.
            TooLarge: It is too large for one response; read its `history` in pages instead.
        """
        session = await self.session(session_id)
        if session is None:
            msg = f"There is no session {session_id!r}."
            raise NotFound(msg, code="session_not_found")
        return exported(await transcript_of(self.services.conversations.store, session))

    async def stats(self) -> ManagerStats:
        """Return the usage statistics of the workspace's agents, up to now."""
        await self.services.agents.use_recorder.aclose(self._signals)
        agents = [agent async for agent in self._agents()]
        records = [agent.record for agent in agents if agent.record is not None]
        cache = self.services.agents.resolver.cache
        return ManagerStats(
            agents=len(agents),
            active=sum(record.state is AgentState.ACTIVE for record in records),
            created=sum(record.created for record in records),
            runs=sum(record.uses for record in records),
            reused=sum(record.reused for record in records),
            cache_hits=cache.hits,
            cache_misses=cache.misses,
        )

    async def cleanup(self, name: str) -> None:
        """Delete the agent, at its provider and in the registry.

        Raises:
            NotFound: There is no such agent.
        """
        self._throwaway.pop(name, None)
        await self.services.agents.administration.delete(self.workspace, name, self._signals)

    async def cleanup_all(self) -> int:
        """Delete all agents of the workspace, and return their number."""
        names = [agent.name async for agent in self._agents()]
        for name in names:
            await self.cleanup(name)
        return len(names)

    async def aclose(self) -> None:
        """Delete the agents created with `reuse_agent=False`, store pending counts, and release every connection.

        After that, the manager and its agents refuse (code `manager_closed`). Closing twice is allowed.
        """
        if self._closed:
            return
        self._closed = True
        agents = self._services.agents
        try:
            for name in [name for name, made in self._throwaway.items() if made]:
                with suppress(NotFound):  # another task was faster
                    await agents.administration.delete(self.workspace, name, self._signals)
            await agents.use_recorder.aclose(self._signals)
        finally:
            if self._owns:
                await self._services.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _with_progress(self, name: str, request: RunRequest, run_id: str, tell: OnProgress) -> Run:
        """Run the request, and report its stages meanwhile; no task is left running when this returns."""
        session_id = request.session_id or ""
        first = await self._next_event(session_id)
        work = asyncio.create_task(self._run(name, request, run_id))
        conversations = self.services.conversations.store
        try:
            async for event in events_of(conversations, self.workspace, session_id, run_id, first, work):
                progress = progress_of(event)
                reported = tell(progress) if progress is not None else None
                if reported is not None:
                    await reported
            return await work
        finally:
            if not work.done():
                await self._stop(work, run_id)

    async def _run(self, name: str, request: RunRequest, run_id: str) -> Run:
        services = self.services
        check(request, services.core.settings.max_query_bytes)
        session = request.session_id or ""
        turn = self._turns.setdefault(session, asyncio.Lock())  # dropped once nobody holds or awaits it
        async with turn:
            accepted = await services.runs.submission.submit(
                self.workspace, name, request, run_id, self._signals, _keep
            )
            run = accepted.run
            while not run.finished:
                try:
                    await services.runs.worker.process(submission_of(run), self._signals)
                except AppError as error:
                    if not error.retriable:
                        raise
                run = await services.runs.queries.get(self.workspace, run.id)
                if run.state is RunState.WAITING:
                    msg = "The run waits until its session is resumed."
                    raise RunFailed(run.error.detail if run.error else msg, code="run_waiting")
        if run.error is not None:
            raise RunFailed(run.error.detail, code=run.error.code)
        return run

    async def _stop(self, work: asyncio.Task[Run], run_id: str) -> None:
        """Cancel the run, also one that has not started, and return when nothing works on it any more."""
        queries = self._services.runs.queries
        try:
            await queries.cancel(self.workspace, run_id)
        except NotFound:
            work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        with suppress(NotFound):  # it may have been stored at that moment
            await queries.cancel(self.workspace, run_id)

    async def _next_event(self, session_id: str) -> int:
        session = await self.session(session_id)
        return session.events if session else 0

    async def _agents(self) -> AsyncIterator[Agent]:
        after: str | None = None
        while True:
            page, after = await self.services.agents.catalog.list(self.workspace, 200, after)
            for agent in page:
                yield agent
            if after is None:
                return


async def _keep(_submission: Submission) -> None:
    """Do nothing: the run stays stored, and this process runs it at once without a queue."""


def _settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings given, and others from the environment.

    Raises:
        InvalidSettings: A setting is not valid, or does not exist.
    """
    environment = {name: os.environ[name] for name in Settings.names() if os.environ.get(name)}
    return Settings.of({**environment, **given})
