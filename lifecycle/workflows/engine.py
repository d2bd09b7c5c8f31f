"""Executes workflow runs: a decision is committed together with its effects, and the effects are carried out after it.

A crash in between leaves the effects in the outbox, and an entry in the index `due`, by which `sweep` finds the
workflow run. Effects are idempotent: a step's run is submitted under the same id, and events have numbers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.clock import Clock, hour_bucket
from kernel.due_index import DueIndex, Entry, outlasted
from kernel.errors import AppError, Conflict, NotFound, Unavailable
from kernel.journal import Entry as Append
from kernel.journal import Journal
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import Run, RunState
from lifecycle.workflows import workflow_rules as rules
from lifecycle.workflows.step_runs import StepRuns, end_of, is_over
from lifecycle.workflows.workflow_rules import CancelRequested, EffectsDone, Input, RunEnded, TimePassed
from lifecycle.workflows.workflow_run import (
    RUN_ERASED,
    EffectKind,
    StepState,
    StoredRequest,
    Try,
    WorkflowRun,
)

if TYPE_CHECKING:
    from lifecycle.conversations.run_request import Send
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.workflows.definitions import Workflows
    from lifecycle.workflows.request import WorkflowRequest
    from lifecycle.workflows.store import StoredRun, WorkflowRuns

log = logging.getLogger(__name__)

_AT_ONCE = 8
_CHANGES_BEFORE_GIVING_UP = 60
_LONGEST_PAUSE_S = 0.2
_MOST_NOTED = 10_000
_ERASE = "~"
"""Prefix of entries of workflow runs to be erased later; no id begins with it."""


def asked_of(workflow: str, request: WorkflowRequest) -> StoredRequest:
    """Return a workflow's request with its digest, which recognizes repeated requests."""
    content = request.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps([workflow, content], sort_keys=True).encode()).hexdigest()
    return StoredRequest(request.input, request.user_id, request.metadata, request.priority, digest)


@dataclass(frozen=True, slots=True)
class Overview:
    """A workflow run as shown by the API.

    Attributes:
        run: The workflow run, with the present cost and scores of its steps' runs.
        answer: Its answer; None before it has one, and once erased.
        states: The states of its steps' runs, by id; without erased ones.
    """

    run: WorkflowRun
    answer: str | None
    states: Mapping[str, RunState]


class WorkflowEngine:
    """Starts workflow runs, and advances them."""

    def __init__(
        self,
        workflows: Workflows,
        store: WorkflowRuns,
        steps: StepRuns,
        due: DueIndex,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._workflows = workflows
        self._store = store
        self._steps = steps
        self._due = due
        self._journal = journal
        self._clock = clock
        self._noted: dict[tuple[str, str], StoredRun] = {}

    async def start(
        self, workspace: str, name: str, ident: str, request: WorkflowRequest, signals: AgentSignals, send: Send
    ) -> tuple[WorkflowRun, bool]:
        """Store a workflow run and start it; return it, and whether this call created it.

        The same id again returns the same workflow run. If starting fails here, a timer starts the stored one.

        Args:
            workspace: The workspace.
            name: The workflow's name.
            ident: The workflow run's id.
            request: The request.
            signals: Sends signals to agents' actors.
            send: Puts messages on the queue.

        Raises:
            NotFound: The workflow does not exist.
            Conflict: The id was used for a different request (code `idempotency_conflict`).
            Unavailable: It could not be stored.
        """
        asked = asked_of(name, request)
        found = await self._store.find(workspace, ident)
        created = found is None
        if found is None:
            version, plan = await self._workflows.current(workspace, name)
            now = self._clock()
            run = rules.begin(WorkflowRun(workspace, ident, name, version, asked, (), now), plan, now)
            await self._due.add(workspace, ident, now)
            found = await self._store.add(run)
            created = found is not None
            if found is None and (found := await self._store.find(workspace, ident)) is not None:
                created = found.run.created_at == now  # stored by this write, with its response lost
        if found is None:
            msg = "a workflow run that is there is not"
            raise RuntimeError(msg)
        if found.run.request.digest != asked.digest:
            msg = "This idempotency key was used before, for a different request."
            raise Conflict(msg, code="idempotency_conflict")
        return (await self._delivered(found, signals, send)).run, created

    async def get(self, workspace: str, ident: str) -> WorkflowRun:
        """Return the workflow run.

        Raises:
            NotFound: It does not exist.
        """
        return (await self._found(workspace, ident)).run

    async def cancel(self, workspace: str, ident: str, signals: AgentSignals, send: Send) -> WorkflowRun:
        """Cancel the workflow run and its steps' unfinished runs; does nothing if it is finished.

        Raises:
            NotFound: It does not exist.
        """
        found = await self._advanced(await self._found(workspace, ident), CancelRequested())
        return (await self._delivered(found, signals, send)).run

    async def run_ended(self, run: Run) -> None:
        """Record the end of a step's run; `deliver` or a timer does what follows.

        Raises:
            Unavailable: It could not be recorded; call it again.
        """
        workflow_run_id = run.workflow_run_id
        if workflow_run_id is None or not is_over(run):
            return
        found = await self._store.find(run.workspace, workflow_run_id)
        if found is not None and (found := await self._advanced(found, end_of(run))).run.outbox:
            self._noted[run.workspace, workflow_run_id] = found
            while len(self._noted) > _MOST_NOTED:
                self._noted.pop(next(iter(self._noted)))  # the timer finds it

    async def deliver(self, signals: AgentSignals, send: Send) -> None:
        """Carry out what follows from the ends recorded by this process; a timer does what fails now."""
        while self._noted:
            _, found = self._noted.popitem()
            await self._delivered(found, signals, send)

    async def sweep(self, signals: AgentSignals, send: Send) -> int:
        """Advance every unfinished workflow run, and return how many were checked.

        It finds ends of steps' runs that were not reported, steps that time out, and effects that were not carried out.
        """
        count, under_way = 0, set[asyncio.Task[None]]()
        async for entry in self._due.until(self._clock()):
            if len(under_way) == _AT_ONCE:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            under_way.add(asyncio.create_task(self._process_due(entry, signals, send)))
            count += 1
        await asyncio.gather(*under_way)
        return count

    async def erase(self, workspace: str, ident: str) -> None:
        """Erase the input and the user, cancel unfinished runs, and erase the sessions of its steps.

        While a legal hold keeps a session of a step, nothing is erased; the timer does it later.
        """
        if not await self._erased(workspace, ident):
            await self._due.add(workspace, f"{_ERASE}{ident}", self._clock())

    async def _erased(self, workspace: str, ident: str) -> bool:
        """Erase the workflow run and return True; False if a legal hold keeps a session of its steps."""
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            found = await self._store.find(workspace, ident)
            if found is None:
                return True
            if await self._steps.held(found.run):
                return False
            run = await self._decided(found.run, CancelRequested())
            nothing = replace(run.request, input="", user_id=None, metadata={}, digest="")
            if await self._store.save(found, replace(run, request=nothing)):
                await self._store.erase_texts(workspace, ident)
                await self._steps.forget(run)
                return True
        raise _busy()

    async def overview(self, workspace: str, ident: str) -> Overview:
        """Return a workflow run with its answer and the present state of its steps' runs.

        Raises:
            NotFound: It does not exist.
        """
        run = await self.get(workspace, ident)
        runs, answer = await asyncio.gather(self._steps.all(run), self._answer_of(run))
        steps = tuple(replace(step, tries=tuple(_now(one, runs) for one in step.tries)) for step in run.steps)
        return Overview(replace(run, steps=steps), answer, {ident: one.state for ident, one in runs.items()})

    async def _answer_of(self, run: WorkflowRun) -> str | None:
        """Return the answer of an ended workflow run; None if there is none, or it was erased."""
        if not run.finished:
            return None
        plan = await self._workflows.plan(run.workspace, run.workflow, run.version)
        name = rules.last_answer(run, plan)
        return None if name is None else rules.joined(plan, name, await self._steps.answers(run, plan, [name]))

    async def _process_due(self, entry: Entry, signals: AgentSignals, send: Send) -> None:
        try:
            if entry.name.startswith(_ERASE):
                if await self._erased(entry.workspace, entry.name.removeprefix(_ERASE)):
                    await self._due.drop(entry.workspace, entry.name, entry.hour)
                return
            found = await self._store.find(entry.workspace, entry.name)
            if found is None:
                if outlasted(entry, self._clock()):
                    await self._due.drop(entry.workspace, entry.name, entry.hour)
                return
            found = await self._delivered(found, signals, send)
            if received := await self._missed_inputs(found.run):
                found = await self._delivered(await self._advanced(found, *received), signals, send)
            if found.run.finished and not found.run.outbox:
                await self._due.drop(entry.workspace, entry.name, entry.hour)
        except AppError as error:
            _log(error)

    async def _missed_inputs(self, run: WorkflowRun) -> Sequence[Input]:
        """Return the inputs that the workflow run has missed: the time, and ends of its steps' runs."""
        if run.finished:
            return ()
        begun = {effect.run_id for effect in run.outbox if effect.kind is EffectKind.START}
        open_ids = [step.open.run_id for step in run.steps if step.open and step.open.run_id not in begun]
        found = await asyncio.gather(*(self._steps.get(run.workspace, ident) for ident in open_ids))
        received: list[Input] = [TimePassed()]
        for ident, one in zip(open_ids, found, strict=True):
            if one is None:
                received.append(RunEnded(ident, StepState.FAILED, RUN_ERASED))
            elif is_over(one):
                received.append(end_of(one))
        return received

    async def _found(self, workspace: str, ident: str) -> StoredRun:
        found = await self._store.find(workspace, ident)
        if found is None:
            raise NotFound(f"There is no workflow run {ident!r}.", code="workflow_run_not_found")
        return found

    async def _advanced(self, found: StoredRun, *received: Input) -> StoredRun:
        """Commit the changes that the recorded inputs make in a workflow run, and return it."""
        for number in range(_CHANGES_BEFORE_GIVING_UP):
            run = found.run
            for one in received:
                run = await self._decided(run, one)
            saved = found if run == found.run else await self._store.save(found, run)
            if saved is not None:
                return saved
            pause = min(0.005 * 2**number, _LONGEST_PAUSE_S)
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads writers, guards nothing
            found = await self._found(run.workspace, run.id)
        raise _busy()

    async def _decided(self, run: WorkflowRun, received: Input) -> WorkflowRun:
        """Return the workflow run after one input; reads the answers that conditions need."""
        if isinstance(received, EffectsDone):
            return rules.advance(run, {}, received, {}, self._clock())
        plan = await self._workflows.plan(run.workspace, run.workflow, run.version)
        answers: dict[str, str] = {}
        if wanted := rules.answers_needed(run, plan):
            answers |= await self._steps.answers(run, plan, sorted(wanted))
            if isinstance(received, RunEnded) and received.state is StepState.SUCCEEDED:
                ended, step = (
                    await self._steps.get(run.workspace, received.run_id, texts=True),
                    run.step_of(received.run_id),
                )
                answers |= {step.name: ended.answer} if step and ended and ended.answer is not None else {}
        return rules.advance(run, plan, received, answers, self._clock())

    async def _delivered(self, found: StoredRun, signals: AgentSignals, send: Send) -> StoredRun:
        """Carry out the outbox, and what follows from that; return the workflow run afterwards.

        What fails now stays in the outbox for the timer.
        """
        try:
            while found.run.outbox:
                done, received = await self._carried_out(found.run, signals, send)
                whole = len(done) == len(found.run.outbox)
                if done:
                    found = await self._advanced(found, *received, EffectsDone(frozenset(done)))
                if not whole:
                    return found
            if found.run.finished:
                await self._steps.forget(found.run)
                await self._due.drop(found.run.workspace, found.run.id, hour_bucket(found.run.created_at))
        except Unavailable as error:
            _log(error)
        return found

    async def _carried_out(
        self, run: WorkflowRun, signals: AgentSignals, send: Send
    ) -> tuple[Sequence[int], Sequence[Input]]:
        """Carry out the outbox in order; return the numbers of completed effects, and the inputs that result."""
        done: list[int] = []
        received: list[Input] = []
        try:
            for effect in run.outbox:
                if effect.kind is not EffectKind.PUBLISH:
                    plan = await self._workflows.plan(run.workspace, run.workflow, run.version)
                    received += await self._steps.carry_out(run, plan, effect, signals, send)
                    done.append(effect.number)
            await self._publish(run)
            done += [effect.number for effect in run.outbox if effect.kind is EffectKind.PUBLISH]
        except Unavailable as error:
            _log(error)
        return done, received

    async def _publish(self, run: WorkflowRun) -> None:
        """Append the events to the workspace's stream, which stores each number once."""
        events = [(effect.number, effect.event) for effect in run.outbox if effect.event is not None]
        if events:
            last = events[-1][0] + 1
            await self._journal.append(
                run.workspace, Append(f"workflow:{run.id}/", 0, events, last, again=events[0][0] > 0)
            )


def _now(one: Try, runs: Mapping[str, Run]) -> Try:
    """Return a step's run with its present state: it may be running, scored later, or redriven."""
    run = runs.get(one.run_id)
    if run is None:
        return one
    return replace(one, spend=run.spend, score=run.score.overall if run.score else one.score)


def _log(error: AppError) -> None:
    log.warning("workflow run not advanced: %s", error.code, extra={"event": "workflow.not_advanced"})


def _busy() -> Unavailable:
    msg = "The workflow run is being changed by too many callers at once; try again."
    return Unavailable(msg, code="workflow_run_busy", retry_after_s=1)
