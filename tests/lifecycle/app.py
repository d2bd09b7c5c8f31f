"""The whole app in memory, for tests of runs: workers, a queue, a clock, and model calls that can be struck."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.errors import AppError
from kernel.ids import new_id
from kernel.tables import Tables
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_request import RunRequest, Submission
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_store import Turn
from lifecycle.registry.actor_signals import LocalSignals
from lifecycle.registry.providers import ProviderVersion
from lifecycle.runs.run_submission import Accepted
from lifecycle.specs.spec import AgentSpec
from llmops.facts.attempt_fact import AttemptFact, Call
from llmops.facts.fact_store import StoredFact
from llmops.spend.usage import Spend
from tests.lifecycle.doubles import (
    Crash,
    Fate,
    FatefulProvider,
    FatefulTables,
    ManualClock,
    MemoryQueue,
    make_services,
    spec,
)
from tests.waiting import eventually

TOOLED = spec(tools=("calculator",), simulate={"call_tool": "calculator"})
"""An agent whose runs take two model calls."""


@dataclass(frozen=True)
class Line:
    """A model call in the facts of a run, with its attempt."""

    fact: AttemptFact
    one: Call

    @property
    def attempt(self) -> int:
        return 0 if self.fact.judge else self.fact.attempt

    @property
    def purpose(self) -> str:
        return self.fact.purpose

    @property
    def agent(self) -> str:
        return self.fact.who.agent

    @property
    def call(self) -> int:
        return self.one.number

    def __getattr__(self, name: str) -> Any:
        return getattr(self.one, name)


@dataclass
class Gate:
    """Holds model calls until it is opened, and tells when one has come."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def passed(self) -> None:
        self.entered.set()
        await self.open.wait()


class StruckStream:
    """A streamed answer whose beginning and end are effects."""

    def __init__(self, begin: Callable[[], Any], fate: Fate) -> None:
        self._begin = begin
        self._inner: Any = None
        self._fate = fate

    async def __aiter__(self) -> AsyncIterator[Any]:
        await self._fate.effect(_nothing)
        self._inner = self._begin()
        async for update in self._inner:
            self._fate.alive()
            yield update

    async def get_final_response(self) -> Any:
        return await self._fate.effect(self._inner.get_final_response)


class StruckAgent:
    """An opened agent whose runs are effects, behind a gate if there is one."""

    def __init__(self, inner: Any, fate: Fate, gate: Gate | None) -> None:
        self._inner = inner
        self._fate = fate
        self._gate = gate

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return self._streamed(*args, **kwargs) if kwargs.get("stream") else self._whole(*args, **kwargs)

    async def _whole(self, *args: Any, **kwargs: Any) -> Any:
        if self._gate is not None:
            await self._gate.passed()
        return await self._fate.effect(lambda: self._inner.run(*args, **kwargs))

    def _streamed(self, *args: Any, **kwargs: Any) -> StruckStream:
        return StruckStream(lambda: self._inner.run(*args, **kwargs), self._fate)


class StruckProvider(FatefulProvider):
    """A provider whose agents' runs are effects too."""

    def __init__(self, inner: Any, fate: Fate, gate: Gate | None) -> None:
        super().__init__(inner, Fate())
        self._model = fate
        self._gate = gate

    def open(self, version: ProviderVersion, spec: AgentSpec) -> Any:
        return StruckAgent(self.inner.open(version, spec), self._model, self._gate)


class App:
    """Workers over one storage, with one actor per agent; `worker()` starts another one."""

    def __init__(self, tables: Tables | None = None, clock: ManualClock | None = None, **settings: Any) -> None:
        self.clock = clock or ManualClock()
        self.tables = MemoryTables() if tables is None else tables
        self.settings = settings
        self.queue = MemoryQueue()
        self.services = self.worker()
        self.signals: LocalSignals = self.services.agents.local_signals()

    def worker(self, fate: Fate | None = None, model: Fate | None = None, gate: Gate | None = None) -> Services:
        """Return another worker, whose writes and model calls can be struck, and its model calls held."""
        tables = self.tables if fate is None else FatefulTables(self.tables, fate)
        services = make_services(tables, self.clock, **self.settings)
        if fate or model or gate:
            struck = StruckProvider(services.agents.providers["offline"], model or fate or Fate(), gate)
            cast("dict[str, Any]", services.agents.providers)["offline"] = struck
        return services

    async def declare(self, name: str = "bot", declared: AgentSpec | None = None, workspace: str = "default") -> None:
        await self.services.agents.administration.declare(workspace, name, declared or spec(), self.signals)

    async def submit(
        self,
        query: str = "2 + 3",
        *,
        run_id: str | None = None,
        agent: str = "bot",
        workspace: str = "default",
        **more: Any,
    ) -> Accepted:
        request = RunRequest(query=query, **more)
        return await self.services.runs.submission.submit(
            workspace, agent, request, run_id or new_id(), self.signals, self.queue.send
        )

    async def deliver(
        self, submission: Submission, *, worker: Services | None = None, last: bool = False
    ) -> Run | None:
        """Deliver a message and return what its run came to; None for one that was erased."""
        return await (worker or self.services).runs.worker.process(submission, self.signals, last_delivery=last)

    async def requeued(self, submission: Submission, *, worker: Services | None = None) -> Run | None:
        """Deliver a message as the trigger does: a run that is to be attempted again goes back to the queue."""
        services = worker or self.services
        return await services.runs.worker.process(
            submission, self.signals, requeue=services.runs.requeue(self.queue.send)
        )

    async def process(self, submission: Submission, *, worker: Services | None = None, last: bool = False) -> Run:
        run = await self.deliver(submission, worker=worker, last=last)
        assert run is not None
        return run

    async def ask(self, query: str = "2 + 3", **more: Any) -> Run:
        """Submit, and deliver what was queued until the run has ended."""
        accepted = await self.submit(query, **more)
        submission = self.queue.sent[-1]
        for _ in range(20):
            try:
                return await self.process(submission)
            except AppError as error:
                if not error.retriable:
                    raise
                run, _ = await self.stored(accepted.run)
                if run.finished:
                    return run
        raise AssertionError

    async def stored(self, run: Run) -> tuple[Run, Session]:
        stored = await self.services.conversations.store.load(run.workspace, run.session_id, run.id)
        assert stored.run is not None
        assert stored.session is not None
        return stored.run, stored.session

    async def turns(self, run: Run) -> list[Turn]:
        return list(await self.services.conversations.store.turns(run.workspace, run.session_id, 0, 1000))

    async def attempts(self, run: Run) -> list[AttemptFact]:
        """Return the facts of the run's attempts, in order."""
        return [each.fact for each in await self.facts(run) if not each.fact.judge]

    async def lines(self, run: Run) -> list[Line]:
        """Return the model calls of the run's attempts, in order, and of its answer's judges."""
        return [Line(kept.fact, call) for kept in await self.facts(run) for call in kept.fact.calls]

    async def facts(self, run: Run) -> list[StoredFact]:
        """Return the facts of the run's attempts, and of the judges of its answer."""
        facts = self.services.spend.facts
        return list(await facts.of_run(run.workspace, run.agent, run.id, run.created_at, self.clock()))

    async def event_names(self, run: Run) -> list[str]:
        events = await self.services.conversations.store.events(run.workspace, run.session_id, 0, 1000)
        return [f"{event.name} {event.data.get('stage', event.data.get('state', ''))}".strip() for _, event in events]

    async def check_answered_once(self, run: Run) -> None:
        """Check what must hold of any run that was answered, whatever happened on the way."""
        run, session = await self.stored(run)
        turns, lines = await self.turns(run), await self.lines(run)
        spent = sum((line.spend for line in lines), Spend())
        last = sum((line.spend for line in lines if line.attempt == run.attempt), Spend())
        assert run.state == "succeeded"
        assert run.answer
        assert [(turn.role, turn.text) for turn in turns] == [("user", run.query), ("assistant", run.answer)]
        assert (session.runs, session.pending, session.turns, session.state) == (1, 0, 2, "active")
        assert run.spend == session.spend == spent
        assert run.wasted == spent - last
        assert (run.lease, run.error) == (None, None)

    async def held(self) -> tuple[Accepted, asyncio.Task[Run], Gate]:
        """Submit a run and return it, a worker at it whose model call is held, and the gate that holds it."""
        accepted, gate = await self.submit(), Gate()
        working = asyncio.create_task(self.process(self.queue.sent[-1], worker=self.worker(gate=gate)))
        await gate.entered.wait()
        return accepted, working, gate

    async def renewed(self, run: Run) -> None:
        """Return once the run's lease lasts as long from now as a lease can."""

        async def look() -> bool:
            lease = (await self.stored(run))[0].lease
            return lease is not None and lease.until == self.clock.now + timedelta(seconds=60)

        await eventually(look)

    async def aclose(self) -> None:
        await self.services.agents.use_recorder.aclose(self.signals)


async def _nothing() -> None:
    return


async def abandon(services: Services) -> None:
    """End the background tasks of a worker that died."""
    await services.agents.use_recorder.aclose()
    with contextlib.suppress(Crash):
        await services.conversations.publisher.aclose()
    await asyncio.sleep(0)
