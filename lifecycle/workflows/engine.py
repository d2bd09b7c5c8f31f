"""Carrying out workflow runs: what is decided is committed with its effects, and the effects are done after it.

A worker that dies in between leaves them in the outbox, and an entry in the index `due`, by which `sweep` finds the
workflow run. An effect may be done twice: a step's run is submitted under the same id, and events have their numbers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kernel.clock import Clock, hour_bucket
from kernel.due_index import DueIndex, Entry, outlasted
from kernel.errors import AppError, Conflict, NotFound, Unavailable
from kernel.journal import Entry as Append
from kernel.journal import Journal
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.submission import Send
from lifecycle.registry.signals import AgentSignals
from lifecycle.workflows import rules
from lifecycle.workflows.definitions import Workflows
from lifecycle.workflows.request import WorkflowRequest
from lifecycle.workflows.rules import CancelRequested, EffectsDone, News, RunEnded, TimePassed
from lifecycle.workflows.run import (
    RUN_ERASED,
    Asked,
    Do,
    StepState,
    Try,
    WorkflowRun,
)
from lifecycle.workflows.steps import StepRuns, end_of, is_over
from lifecycle.workflows.store import StoredRun, WorkflowRuns

log = logging.getLogger(__name__)

_AT_ONCE = 8
_CHANGES_BEFORE_GIVING_UP = 60
_LONGEST_PAUSE_S = 0.2
_MOST_NOTED = 10_000
_ERASE = "~"
"""Begins the names of entries of what is to be erased once it may be; no id begins with it."""


def asked_of(workflow: str, request: WorkflowRequest) -> Asked:
    """Return what a request asks of a workflow, with the digest by which it is recognised."""
    said = request.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps([workflow, said], sort_keys=True).encode()).hexdigest()
    return Asked(request.input, request.user_id, request.metadata, request.priority, digest)


@dataclass(frozen=True, slots=True)
class Overview:
    """A workflow run as it is shown.

    Attributes:
        run: The workflow run, with what its steps' runs have spent by now and how good their answers look by now.
        answer: Its answer; None where it has none (yet), or where that was erased.
        states: The states of its steps' runs, by their ids; without those that were erased.
    """

    run: WorkflowRun
    answer: str | None
    states: Mapping[str, RunState]


class WorkflowEngine:
    """Begins workflow runs, and takes them on when something happens."""

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
        """Store a run of the workflow and begin it; return it, and whether this call created it.

        The same id again is the same run. One that is stored is begun by the timer where that does not succeed here.

        Args:
            workspace: Whose.
            name: The workflow.
            ident: The workflow run's id.
            request: What is asked.
            signals: The way to agents' actors.
            send: The way to the queue.

        Raises:
            NotFound: There is no such workflow.
            Conflict: The id was used for another request (code `idempotency_conflict`).
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
                created = found.run.created_at == now  # it was this very write, answered too late
        if found is None:
            msg = "a workflow run that is there is not"
            raise RuntimeError(msg)
        if found.run.asked.digest != asked.digest:
            msg = "This idempotency key was used before, for a different request."
            raise Conflict(msg, code="idempotency_conflict")
        return (await self._delivered(found, signals, send)).run, created

    async def get(self, workspace: str, ident: str) -> WorkflowRun:
        """Return the workflow run.

        Raises:
            NotFound: There is none.
        """
        return (await self._found(workspace, ident)).run

    async def cancel(self, workspace: str, ident: str, signals: AgentSignals, send: Send) -> WorkflowRun:
        """Cancel the workflow run and what is under way of it; one that is finished stays.

        Raises:
            NotFound: There is none.
        """
        found = await self._advanced(await self._found(workspace, ident), CancelRequested())
        return (await self._delivered(found, signals, send)).run

    async def run_ended(self, run: Run) -> None:
        """Take in the end of a step's run; what is to be done about it is done by `deliver`, or by the timer.

        Raises:
            Unavailable: It could not be noted; call it again.
        """
        workflow_run_id = run.workflow_run_id
        if workflow_run_id is None or not is_over(run):
            return
        found = await self._store.find(run.workspace, workflow_run_id)
        if found is not None and (found := await self._advanced(found, end_of(run))).run.outbox:
            self._noted[run.workspace, workflow_run_id] = found
            while len(self._noted) > _MOST_NOTED:
                self._noted.pop(next(iter(self._noted)))  # which the timer finds

    async def deliver(self, signals: AgentSignals, send: Send) -> None:
        """Do what is to be done about the ends that this process took in; what cannot be done now the timer does."""
        while self._noted:
            _, found = self._noted.popitem()
            await self._delivered(found, signals, send)

    async def sweep(self, signals: AgentSignals, send: Send) -> int:
        """Take on every workflow run that is not finished, and return how many were looked at.

        It finds ends of steps' runs that nobody told of, steps that take too long, and effects that were not done.
        """
        count, under_way = 0, set[asyncio.Task[None]]()
        async for entry in self._due.until(self._clock()):
            if len(under_way) == _AT_ONCE:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            under_way.add(asyncio.create_task(self._swept(entry, signals, send)))
            count += 1
        await asyncio.gather(*under_way)
        return count

    async def erase(self, workspace: str, ident: str) -> None:
        """Take out what was asked and by whom, and cancel what is under way; a session of its steps is erased.

        While a legal hold keeps the session of another step, nothing of it changes; the timer erases it afterwards.
        """
        if not await self._erased(workspace, ident):
            await self._due.add(workspace, f"{_ERASE}{ident}", self._clock())

    async def _erased(self, workspace: str, ident: str) -> bool:
        """Erase the workflow run and return True, or False where a legal hold keeps a session of its steps."""
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            found = await self._store.find(workspace, ident)
            if found is None:
                return True
            if await self._steps.held(found.run):
                return False
            run = await self._decided(found.run, CancelRequested())
            nothing = replace(run.asked, input="", user_id=None, metadata={}, digest="")
            if await self._store.save(found, replace(run, asked=nothing)):
                await self._store.erase_texts(workspace, ident)
                await self._steps.forget(run)
                return True
        raise _busy()

    async def overview(self, workspace: str, ident: str) -> Overview:
        """Return a workflow run with its answer, and with its steps' runs as they are now.

        Raises:
            NotFound: There is none.
        """
        run = await self.get(workspace, ident)
        runs, answer = await asyncio.gather(self._steps.all(run), self._answer_of(run))
        steps = tuple(replace(step, tries=tuple(_now(one, runs) for one in step.tries)) for step in run.steps)
        return Overview(replace(run, steps=steps), answer, {ident: one.state for ident, one in runs.items()})

    async def _answer_of(self, run: WorkflowRun) -> str | None:
        """Return the answer of a workflow run that has ended; None where there is none, or where it was erased."""
        if not run.finished:
            return None
        plan = await self._workflows.plan(run.workspace, run.workflow, run.version)
        name = rules.last_answer(run, plan)
        return None if name is None else rules.joined(plan, name, await self._steps.answers(run, plan, [name]))

    async def _swept(self, entry: Entry, signals: AgentSignals, send: Send) -> None:
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
            if news := await self._missed(found.run):
                found = await self._delivered(await self._advanced(found, *news), signals, send)
            if found.run.finished and not found.run.outbox:
                await self._due.drop(entry.workspace, entry.name, entry.hour)
        except AppError as error:
            _log(error)

    async def _missed(self, run: WorkflowRun) -> Sequence[News]:
        """Return what has happened that the workflow run does not know: the time, and ends of its steps' runs."""
        if run.finished:
            return ()
        begun = {effect.run_id for effect in run.outbox if effect.do is Do.START}
        open_ids = [step.open.run_id for step in run.steps if step.open and step.open.run_id not in begun]
        found = await asyncio.gather(*(self._steps.get(run.workspace, ident) for ident in open_ids))
        news: list[News] = [TimePassed()]
        for ident, one in zip(open_ids, found, strict=True):
            if one is None:
                news.append(RunEnded(ident, StepState.FAILED, RUN_ERASED))
            elif is_over(one):
                news.append(end_of(one))
        return news

    async def _found(self, workspace: str, ident: str) -> StoredRun:
        found = await self._store.find(workspace, ident)
        if found is None:
            raise NotFound(f"There is no workflow run {ident!r}.", code="workflow_run_not_found")
        return found

    async def _advanced(self, found: StoredRun, *news: News) -> StoredRun:
        """Commit what the news make of a workflow run as it was read, or is by now, and return it."""
        for number in range(_CHANGES_BEFORE_GIVING_UP):
            run = found.run
            for one in news:
                run = await self._decided(run, one)
            saved = found if run == found.run else await self._store.save(found, run)
            if saved is not None:
                return saved
            pause = min(0.005 * 2**number, _LONGEST_PAUSE_S)
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads writers, guards nothing
            found = await self._found(run.workspace, run.id)
        raise _busy()

    async def _decided(self, run: WorkflowRun, news: News) -> WorkflowRun:
        """Return what one of the news makes of a workflow run; reads the answers that conditions ask for."""
        if isinstance(news, EffectsDone):
            return rules.advance(run, {}, news, {}, self._clock())
        plan = await self._workflows.plan(run.workspace, run.workflow, run.version)
        known: dict[str, str] = {}
        if wanted := rules.answers_needed(run, plan):
            known |= await self._steps.answers(run, plan, sorted(wanted))
            if isinstance(news, RunEnded) and news.state is StepState.SUCCEEDED:
                ended, step = await self._steps.get(run.workspace, news.run_id, texts=True), run.step_of(news.run_id)
                known |= {step.name: ended.answer} if step and ended and ended.answer is not None else {}
        return rules.advance(run, plan, news, known, self._clock())

    async def _delivered(self, found: StoredRun, signals: AgentSignals, send: Send) -> StoredRun:
        """Do what is in the outbox, and what follows from it; return the workflow run as it is then.

        What cannot be done now stays there for the timer.
        """
        try:
            while found.run.outbox:
                done, news = await self._carried_out(found.run, signals, send)
                whole = len(done) == len(found.run.outbox)
                if done:
                    found = await self._advanced(found, *news, EffectsDone(frozenset(done)))
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
    ) -> tuple[Sequence[int], Sequence[News]]:
        """Do what is in the outbox, in order; return the numbers of what is done, and what is known by that."""
        done: list[int] = []
        news: list[News] = []
        try:
            for effect in run.outbox:
                if effect.do is not Do.PUBLISH:
                    plan = await self._workflows.plan(run.workspace, run.workflow, run.version)
                    news += await self._steps.carry_out(run, plan, effect, signals, send)
                    done.append(effect.number)
            await self._publish(run)
            done += [effect.number for effect in run.outbox if effect.do is Do.PUBLISH]
        except Unavailable as error:
            _log(error)
        return done, news

    async def _publish(self, run: WorkflowRun) -> None:
        """Append the events to the workspace's stream, which knows their numbers and has each once."""
        events = [(effect.number, effect.event) for effect in run.outbox if effect.event is not None]
        if events:
            last = events[-1][0] + 1
            await self._journal.append(
                run.workspace, Append(f"workflow:{run.id}/", 0, events, last, again=events[0][0] > 0)
            )


def _now(one: Try, runs: Mapping[str, Run]) -> Try:
    """Return a run of a step with what is known of it now: it may be under way, be scored later, or be redriven."""
    run = runs.get(one.run_id)
    if run is None:
        return one
    return replace(one, spend=run.spend, score=run.score.overall if run.score else one.score)


def _log(error: AppError) -> None:
    log.warning("workflow run not taken on: %s", error.code, extra={"event": "workflow.not_advanced"})


def _busy() -> Unavailable:
    msg = "The workflow run is being changed by too many at once; try again."
    return Unavailable(msg, code="workflow_run_busy", retry_after_s=1)
