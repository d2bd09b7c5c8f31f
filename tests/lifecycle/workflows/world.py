"""Workflows over the whole app in memory: workers that take messages as the trigger does, and can die at any write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bootstrap.services import Services
from kernel.errors import AppError
from kernel.ids import new_id
from kernel.journal import SHARDS, Event
from kernel.tables import Row, Span, Tables, every
from lifecycle.conversations import run_transitions as run_rules
from lifecycle.conversations.run import Effort, Run
from lifecycle.conversations.run_request import Submission
from lifecycle.conversations.run_transitions import Answer
from lifecycle.conversations.session_store import ConversationChange, StoredConversation
from lifecycle.conversations.session_updates import outcome
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.workflow import WorkflowSpec
from lifecycle.workflows.engine import WorkflowEngine
from lifecycle.workflows.request import WorkflowRequest
from lifecycle.workflows.store import WorkflowRuns
from lifecycle.workflows.workflow_run import WorkflowRun
from llmops.facts.attempt_fact import Call
from llmops.spend.usage import Usage
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import Crash, spec

WS = "default"
PAIR: Sequence[Mapping[str, Any]] = (
    {"name": "first", "agent": "bot", "prompt": "about {input}"},
    {"name": "second", "agent": "bot", "prompt": "more of {steps.first.answer}"},
)
FAN: Sequence[Mapping[str, Any]] = (
    {"name": "first", "agent": "bot", "prompt": "about {input}"},
    {
        "name": "both",
        "parallel": [
            {"name": "left", "agent": "bot", "prompt": "left of {steps.first.answer}"},
            {"name": "right", "agent": "bot", "prompt": "right of {steps.first.answer}"},
        ],
        "aggregator": {"agent": "bot", "prompt": "{steps.left.answer} and {steps.right.answer}"},
    },
    {"name": "last", "agent": "bot", "prompt": "{steps.both.answer}", "when": "size(steps.both.answer) > 0"},
)


@dataclass
class World:
    """One workspace, its queue, and whoever works on it.

    Attributes:
        app: The app.
        quick: Whether workers answer at once, without agent and model: the rest of what they do is the app's own.
        deliveries: How often messages had to be delivered again, by their runs.
        since: From where on `events` reads each shard of the stream.
        says: What quick workers answer a run.
    """

    app: App
    quick: bool = False
    deliveries: Counter[str] = field(default_factory=Counter[str])
    since: Sequence[int] = (0,) * SHARDS
    says: Callable[[Run], str] = lambda run: f"about {run.query[:20]}"

    @classmethod
    async def begun(
        cls, steps: Sequence[Mapping[str, Any]], tables: Tables | None = None, *, quick: bool = False
    ) -> World:
        """Return a world with the agent `bot` and the workflow `flow`."""
        world = cls(App(tables, RECORD_USE_EVERY_S=1000, AGENT_CACHE_TRUST_S=1000), quick)
        await world.app.declare()
        await world.put(steps)
        return world

    async def agent(self, name: str, **more: Any) -> None:
        declared: AgentSpec = spec(**more)
        await self.app.declare(name, declared)

    async def put(self, steps: Sequence[Mapping[str, Any]], name: str = "flow") -> None:
        await self.app.services.workflows.definitions.put(WS, name, WorkflowSpec.model_validate({"steps": steps}))

    def runs(self) -> WorkflowRuns:
        return self.app.services.workflows.store

    async def rows(self, table: str) -> list[Row]:
        return [row async for row in every(self.app.tables, table, Span(" ", partition_before="~"))]

    def engine(self, worker: Services | None = None) -> WorkflowEngine:
        return (worker or self.app.services).workflows.engine

    async def start(
        self, text: str = "tea", ident: str | None = None, *, worker: Services | None = None, **more: Any
    ) -> WorkflowRun:
        request = WorkflowRequest(input=text, **more)
        engine, send = self.engine(worker), self.app.queue.send
        run, _ = await engine.start(WS, "flow", ident or new_id(), request, self.app.signals, send)
        return run

    async def deliver(self, message: Submission, worker: Services | None = None) -> None:
        """Take a message as the trigger does."""
        services, queue = worker or self.app.services, self.app.queue
        try:
            if self.quick:
                await answer_at_once(services, message, self.says)
            else:
                await services.runs.worker.process(message, self.app.signals, requeue=services.runs.requeue(queue.send))
        finally:
            await self.engine(services).deliver(self.app.signals, queue.send)

    async def pump(self, worker: Callable[[], Services] | None = None, *, most: int = 100_000) -> None:
        """Take messages until there are none; one whose worker fails or dies is delivered again, three times at most.

        Args:
            worker: Returns who takes the next message; the same one always unless given.
            most: Messages after which something goes round in circles.
        """
        queue = self.app.queue
        while queue.sent or queue.scheduled:
            most -= 1
            assert most, "messages without end"
            if not queue.sent:
                queue.scheduled.sort(key=lambda each: each[0])
                at, message = queue.scheduled.pop(0)
                self.app.clock.now = max(self.app.clock.now, at)
                queue.sent.append(message)
            message = queue.sent.pop(0)
            services = worker() if worker else self.app.services
            try:
                await self.deliver(message, services)
            except Crash:
                await abandon(services)
                self.app.clock.move(seconds=61)
                queue.sent.append(message)
            except AppError:
                self.deliveries[message.run_id] += 1
                if self.deliveries[message.run_id] < 5:
                    queue.sent.append(message)

    async def sweep(self, worker: Services | None = None) -> None:
        await self.engine(worker).sweep(self.app.signals, self.app.queue.send)

    async def finish(self, ident: str) -> WorkflowRun:
        """Bring a workflow run to its end by good workers and the timer."""
        for _ in range(30):
            run = await self.get(ident)
            if run.finished and not run.outbox:
                return run
            await self.sweep()
            await self.pump()
            self.app.clock.move(seconds=60)
        raise AssertionError([(step.name, step.state) for step in (await self.get(ident)).steps])

    async def get(self, ident: str) -> WorkflowRun:
        return await self.engine().get(WS, ident)

    async def answer(self, run: WorkflowRun) -> str | None:
        return (await self.engine().overview(WS, run.id)).answer

    async def events(self, ident: str, name: str = "") -> list[Event]:
        """Return events in the workspace's stream: a workflow run's, or all of that name."""
        found: list[Event] = []
        for shard in range(SHARDS):
            first = self.since[shard]
            while page := await self.app.services.events.journal.read(WS, shard, first, 1000):
                found += [event for _, event in page]
                first = page[-1][0] + 1
        return [event for event in found if event.name == name or event.data.get("workflow_run_id") == ident]

    async def forget_events(self) -> None:
        """Leave out of `events` what has happened so far."""
        self.since = await self.app.services.events.journal.ends(WS)

    async def child_runs(self, ident: str) -> list[Run]:
        """Return the runs that are steps of the workflow run, found by the list of all runs."""
        entries, _ = await self.app.services.conversations.directory.runs(
            WS, agent=None, user_id=None, limit=900, after=None
        )
        found = [await self.app.services.conversations.store.run(WS, each.session_id, each.run_id) for each in entries]
        return [run for run in found if run is not None and run.workflow_run_id == ident]

    async def check_ended_once(self, ident: str) -> WorkflowRun:
        """Check what must hold of any workflow run whose agents answer, whatever happened on the way."""
        run = await self.get(ident)
        runs = {one.id: one for one in await self.child_runs(ident)}
        tries = [one for step in run.steps for one in step.tries]
        assert (run.state, run.outbox) == ("succeeded", ())
        assert all(len(step.tries) <= 1 for step in run.steps)
        assert sorted(one.run_id for one in tries) == sorted(runs), "each step is one run"
        assert {one.state.value for one in runs.values()} == {"succeeded"}
        assert len({one.session_id for one in runs.values()}) == len(runs)
        assert run.spend.cost_micro_usd == sum(one.spend.cost_micro_usd for one in runs.values())
        names = [event.name for event in await self.events(ident)]
        assert (names[0], names[-1]) == ("workflow.started", "workflow.ended")
        assert Counter(names[1:-1]) == {"workflow.step_started": len(tries), "workflow.step_ended": len(run.steps)}
        return run


async def answer_at_once(services: Services, message: Submission, says: Callable[[Run], str]) -> None:
    """Answer the message's run unless it has ended, and record it, as a worker does."""
    run = await answered(services, message, says)
    if run is not None:
        await services.conversations.recorder.record(run)


async def answered(
    services: Services, message: Submission, says: Callable[[Run], str] = lambda run: f"about {run.query[:20]}"
) -> Run | None:
    """Claim the message's run and answer it, unless it has ended or was erased; and do nothing else."""

    def decide(stored: StoredConversation) -> ConversationChange | None:
        run, session = stored.run, stored.session
        if run is None or session is None or run.finished:
            return None
        now = services.core.clock()
        claimed = run_rules.claimed(run, "quick", now, timedelta(seconds=60))
        call = Call(1, now, "offline", "model", Usage(10, output_tokens=5), 7)
        answer = Answer(says(run), None, "model", "1")
        done = run_rules.answered(claimed, Effort((call,)), answer, now)
        return outcome(session, claimed, done, (), (), now)

    stored = await services.conversations.store.update(message.workspace, message.session_id, message.run_id, decide)
    return stored.run
