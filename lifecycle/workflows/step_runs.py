"""Runs of workflows' steps: submitted, cancelled and read like other runs, by ids derived from the workflow run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kernel.errors import AppError, Conflict, NotFound, Unavailable
from kernel.ids import session_of_run
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import RunRequest, Send, check
from lifecycle.conversations.session import SessionState
from lifecycle.sessions.erase import MayErase, OnHold
from lifecycle.specs.workflow import Plan, Task, team_of
from lifecycle.workflows import workflow_rules as rules
from lifecycle.workflows.workflow_rules import Input, RunEnded, RunRefused, TurnDecided
from lifecycle.workflows.workflow_run import (
    CANCELLED,
    RUN_ERASED,
    ChatState,
    Effect,
    EffectKind,
    StepState,
    WorkflowRun,
)

if TYPE_CHECKING:
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.cancel import RunCancel
    from lifecycle.runs.run_submission import RunSubmission
    from lifecycle.workflows.group_chat import GroupChats

MAX_PROMPT_BYTES = 1 << 20
"""Longest prompt with answers inserted, in UTF-8 bytes."""

_ENDS = {
    RunState.SUCCEEDED: StepState.SUCCEEDED,
    RunState.FAILED: StepState.FAILED,
    RunState.CANCELLED: StepState.CANCELLED,
}


class StepRuns:
    """Submits, cancels and reads the runs of steps."""

    def __init__(
        self,
        submission: RunSubmission,
        cancel: RunCancel,
        conversations: ConversationStore,
        chats: GroupChats,
        *,
        may_erase: MayErase,
    ) -> None:
        self._submission = submission
        self._cancel = cancel
        self._conversations = conversations
        self._chats = chats
        self._may_erase = may_erase

    async def get(self, workspace: str, run_id: str, *, texts: bool = False) -> Run | None:
        """Return a step's run, whose session it has started; None if it was erased."""
        return await self._conversations.run(workspace, session_of_run(workspace, run_id), run_id, texts=texts)

    async def all(self, run: WorkflowRun) -> Mapping[str, Run]:
        """Return the present runs of all steps by id, with only the beginnings of long texts."""
        ids = [one.run_id for step in run.steps for one in step.tries]
        found = await asyncio.gather(*(self.get(run.workspace, ident) for ident in ids))
        return {one.id: one for one in found if one is not None}

    async def held(self, run: WorkflowRun) -> bool:
        """Return whether a legal hold keeps the session of a step's run."""
        for ident in (one.run_id for step in run.steps for one in step.tries):
            session_id = session_of_run(run.workspace, ident)
            session = (await self._conversations.load(run.workspace, session_id)).session
            if session is None or session.state is SessionState.ERASED:
                continue
            try:
                await self._may_erase(session)
            except OnHold:
                return True
        return False

    async def answers(self, run: WorkflowRun, plan: Plan, names: Sequence[str]) -> Mapping[str, str]:
        """Return the answers of steps, or of their branches if there is no aggregator; without erased ones."""
        giving = sorted({giver for name in names for giver in rules.answering(plan, name)})
        by = {name: answered for name in giving if (answered := run.step(name).answered_by) is not None}
        found = await asyncio.gather(*(self.get(run.workspace, one.run_id, texts=True) for one in by.values()))
        return {name: one.answer for name, one in zip(by, found, strict=True) if one and one.answer is not None}

    async def carry_out(
        self, run: WorkflowRun, plan: Plan, effect: Effect, signals: AgentSignals, send: Send
    ) -> Sequence[Input]:
        """Submit or cancel a step's run, and return the inputs that result. Idempotent.

        Raises:
            Unavailable: It failed; call it again.
        """
        try:
            if effect.kind is EffectKind.TURN:
                return await self._turn(run, plan, effect.step)
            if effect.kind is EffectKind.START:
                await self._submit(run, plan, effect, signals, send)
                return ()
            ended = await self._cancel.cancel(run.workspace, effect.run_id, send)
        except Unavailable:
            raise
        except NotFound as error:
            return () if effect.kind is EffectKind.CANCEL else (RunRefused(effect.run_id, error.code),)
        except AppError as error:
            return (RunRefused(effect.run_id, error.code),)
        return (end_of(ended),) if is_over(ended) else ()

    async def _submit(self, run: WorkflowRun, plan: Plan, effect: Effect, signals: AgentSignals, send: Send) -> None:
        task = plan[effect.step].task
        begun = next((one for one in run.step(effect.step).tries if one.run_id == effect.run_id), None)
        if task is None or begun is None:
            msg = "a run of a step that asks nobody"
            raise RuntimeError(msg)
        prompt = await self._prompt(run, plan, task)
        if (chat := plan[effect.step].chat) is not None:
            contributions = await self._contributions(run, effect.step)
            prompt = (await self._chats.next(run, chat, prompt, contributions, keep=False)).prompt
        given = run.request
        request = RunRequest(query=prompt, user_id=given.user_id, metadata=given.metadata, priority=given.priority)
        check(request, MAX_PROMPT_BYTES)
        team = team_of(begun.agent)
        submit = self._submission.submit if team is None else self._submission.submit_to_team
        asked = begun.agent if team is None else team
        await submit(run.workspace, asked, request, effect.run_id, signals, send, workflow_run_id=run.id)

    async def forget(self, run: WorkflowRun) -> None:
        """Delete the checkpoints of a workflow run's group chats."""
        await self._chats.clear(run)

    async def _turn(self, run: WorkflowRun, plan: Plan, name: str) -> Sequence[Input]:
        """Return who speaks next in a group chat; empty if that was decided meanwhile."""
        step, chat, task = run.step(name), plan[name].chat, plan[name].task
        if chat is None or task is None or step.open is not None or step.state is not StepState.RUNNING:
            return ()
        turns = len(step.tries)
        try:
            contributions = await self._contributions(run, name)
            turn = await self._chats.next(run, chat, await self._prompt(run, plan, task), contributions, keep=True)
        except Conflict as error:
            return (TurnDecided(name, turns, None, step.chat or ChatState(), error.code),)
        return (TurnDecided(name, turns, turn.agent, turn.state, turn.code),)

    async def _prompt(self, run: WorkflowRun, plan: Plan, task: Task) -> str:
        try:
            return rules.prompt_of(run, plan, task, await self.answers(run, plan, sorted(task.used)))
        except KeyError:
            raise _erased() from None

    async def _contributions(self, run: WorkflowRun, name: str) -> Sequence[str]:
        """Return the contributions to a group chat so far, in order."""
        ids = [one.run_id for one in run.step(name).answers]
        found = await asyncio.gather(*(self.get(run.workspace, ident, texts=True) for ident in ids))
        answers = [one.answer for one in found if one is not None and one.answer is not None]
        if len(answers) < len(ids):
            raise _erased()
        return answers


def _erased() -> Conflict:
    return Conflict("An answer that the step needs was erased.", code=RUN_ERASED)


def is_over(run: Run) -> bool:
    """Return whether the run has ended; one whose message was not accepted has not, as it will be submitted again."""
    return run.finished and not run.never_queued


def end_of(run: Run) -> RunEnded:
    """Return the input for a run's end."""
    code = run.error.code if run.error else CANCELLED if run.state is RunState.CANCELLED else ""
    return RunEnded(run.id, _ENDS[run.state], code, run.spend, run.score.overall if run.score else None)
