"""Transitions of a workflow run: pure rules from one state to the next.

Inputs arrive in any order, several times, or not at all; what was decided once is not decided again. A step has at most
one unfinished run, whose id is derived from the workflow run, the step and the number of the try. So it runs once,
however often it is submitted, and a step is asked again only after its last run is known to have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import Any

from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.specs.workflow import Node, Plan, Task, parts_of, used_by
from lifecycle.tools.argument_conditions import decided
from lifecycle.workflows.workflow_run import (
    CANCELLED,
    CONDITION_UNDECIDED,
    STEP_FAILED,
    STEP_TIMEOUT,
    ChatState,
    Effect,
    EffectKind,
    StepRun,
    StepState,
    Try,
    WorkflowRun,
    WorkflowState,
    step_run_id,
)
from llmops.spend.usage import Spend

Answers = Mapping[str, str]
"""The answers of steps, by name."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Input: a step's run has ended.

    Attributes:
        run_id: The run's id.
        state: `succeeded`, `failed` or `cancelled`.
        code: Error code; empty if it succeeded.
        spend: What it spent.
        score: Its answer's score, 0-100; None without a score.
    """

    run_id: str
    state: StepState
    code: str = ""
    spend: Spend = field(default_factory=Spend)
    score: int | None = None


@dataclass(frozen=True, slots=True)
class RunRefused:
    """Input: a step's run was refused for good, and why."""

    run_id: str
    code: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Input: cancellation was requested."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Input: only time has passed."""


@dataclass(frozen=True, slots=True)
class EffectsDone:
    """Input: effects were carried out; has their numbers."""

    numbers: frozenset[int]


@dataclass(frozen=True, slots=True)
class TurnDecided:
    """Input: who speaks next in a group chat.

    Attributes:
        step: The step's name.
        turn: How many runs the step had at this decision.
        agent: The next speaker; None if the chat has ended.
        state: State of the group chat.
        code: Code of why it ended without an answer; empty otherwise.
    """

    step: str
    turn: int
    agent: str | None
    state: ChatState
    code: str = ""


Input = RunEnded | RunRefused | CancelRequested | TimePassed | EffectsDone | TurnDecided


def begin(run: WorkflowRun, plan: Plan, now: datetime) -> WorkflowRun:
    """Return a new workflow run with its first steps started; `run` has no steps yet."""
    draft = _Draft(replace(run, steps=tuple(StepRun(name) for name in plan)), plan, {}, now)
    draft.publish(Event("workflow.started", {"version": run.version}, now))
    return draft.settled()


def advance(run: WorkflowRun, plan: Plan, received: Input, answers: Answers, now: datetime) -> WorkflowRun:
    """Return the workflow run after the input, with its effects in the outbox.

    Args:
        run: The workflow run.
        plan: Its steps.
        received: The input; one that is known already changes nothing.
        answers: The answers of the steps that `answers_needed` names.
        now: The time, aware UTC.
    """
    if isinstance(received, EffectsDone):
        remaining = tuple(effect for effect in run.outbox if effect.number not in received.numbers)
        return run if len(remaining) == len(run.outbox) else replace(run, outbox=remaining)
    if run.finished:
        return run
    draft = _Draft(run, plan, answers, now)
    match received:
        case RunEnded():
            draft.ended(received)
        case RunRefused():
            draft.ended(RunEnded(received.run_id, StepState.FAILED, received.code), refused=True)
        case TurnDecided():
            draft.turn(received)
        case CancelRequested():
            draft.cancel()
        case TimePassed():
            pass
    return draft.settled()


def answers_needed(run: WorkflowRun, plan: Plan) -> frozenset[str]:
    """Return the steps whose answers are needed by conditions of steps not started yet."""
    pending = [plan[step.name] for step in run.steps if step.state is StepState.PENDING]
    used = {name for node in pending for text in node.when for name, field in used_by(text) if field == "answer"}
    return frozenset(used)


def answering(plan: Plan, name: str) -> Sequence[str]:
    """Return the steps whose runs give a step's answer: itself, or its branches if it has no aggregator."""
    node = plan[name]
    return (name,) if node.task else node.branches


def last_answer(run: WorkflowRun, plan: Plan) -> str | None:
    """Return the step whose answer is the workflow run's: the last one outside of branches; None for none."""
    branches = {name for node in plan.values() for name in node.branches}
    found = [step.name for step in run.steps if step.name not in branches and step.state is StepState.SUCCEEDED]
    return found[-1] if found else None


def joined(plan: Plan, name: str, answers: Answers) -> str | None:
    """Return a step's answer; without an aggregator, its branches' answers under their names. None if unknown."""
    node = plan[name]
    if node.task:
        return answers.get(name)
    found = [f"## {branch}\n\n{answers[branch]}" for branch in node.branches if branch in answers]
    return "\n\n".join(found) if found else None


def prompt_of(run: WorkflowRun, plan: Plan, task: Task, answers: Answers) -> str:
    """Return an agent's query: the prompt with placeholders replaced; missing answers are empty.

    Raises:
        KeyError: An answer that was given is not in `answers`.
    """
    parts: list[str] = []
    for part in parts_of(task.prompt):
        if isinstance(part, str):
            parts.append(part)
            continue
        name, field = part
        if not name:
            parts.append(run.request.input)
        elif field == "answer":
            parts.append(_answer(run, plan, name, answers))
        else:
            step = run.step(name)
            parts.append(step.state.value if field == "state" else str(step.score if step.score is not None else ""))
    return "".join(parts)


def _answer(run: WorkflowRun, plan: Plan, name: str, answers: Answers) -> str:
    if run.step(name).state is not StepState.SUCCEEDED:
        return ""
    found = joined(plan, name, answers)
    if found is None:
        raise KeyError(name)
    return found


class _Draft:
    """A workflow run while its next state is computed."""

    def __init__(self, run: WorkflowRun, plan: Plan, answers: Answers, now: datetime) -> None:
        self._run = run
        self._plan = plan
        self._answers = answers
        self._now = now
        self._steps = {step.name: step for step in run.steps}
        self._effects: list[Effect] = []

    def publish(self, event: Event) -> None:
        """Add the effect of publishing an event."""
        about = {"workflow_run_id": self._run.id, "workflow": self._run.workflow}
        self._add_effect(EffectKind.PUBLISH, event=replace(event, data=about | event.data))

    def cancel(self) -> None:
        """Mark it as to be cancelled."""
        if not self._run.cancel_requested:
            self._run = replace(self._run, cancel_requested=True)
            self.publish(Event("workflow.cancel_requested", {}, self._now))

    def ended(self, end: RunEnded, *, refused: bool = False) -> None:
        """Process the end of a step's run, unless it is known: ask again, or end the step."""
        step = self._run.step_of(end.run_id)
        last = step.open if step else None
        if step is None or last is None or last.run_id != end.run_id:
            return None
        late = last.stopping == STEP_TIMEOUT and end.state is StepState.CANCELLED
        code = STEP_TIMEOUT if late else end.code
        over = replace(
            last, state=end.state, code=code, refused=refused, ended_at=self._now, spend=end.spend, score=end.score
        )
        step = self._steps[step.name] = replace(step, tries=(*step.tries[:-1], over))
        chat = self._plan[step.name].chat
        if end.state is StepState.SUCCEEDED:
            return self._end_step(step, StepState.SUCCEEDED) if chat is None else self._next_turn(step)
        if self._run.stopping:
            return self._end_step(step, end.state, code)
        final = end.state is StepState.CANCELLED and not late  # cancelled on request
        node = self._plan[step.name]
        tries = step.tries if chat is None else step.turn_tries
        agent = _next_agent(node.task, tries, refused=refused) if node.task and not final else None
        if agent is not None and chat is not None:
            agent = last.agent
        if agent is None:
            return self._end_step(step, StepState.FAILED, code)
        return self._start(step, agent)

    def turn(self, received: TurnDecided) -> None:
        """Process the next speaker of a group chat, unless it is known."""
        step = self._steps.get(received.step)
        decided_before = step is None or step.state is not StepState.RUNNING or step.open is not None
        if step is None or decided_before or len(step.tries) != received.turn or self._run.stopping:
            return None
        step = self._steps[step.name] = replace(step, chat=received.state)
        if received.code:
            return self._end_step(step, StepState.FAILED, received.code)
        return (
            self._end_step(step, StepState.SUCCEEDED) if received.agent is None else self._start(step, received.agent)
        )

    def settled(self) -> WorkflowRun:
        """Return the workflow run after all decisions that are possible now."""
        self._stop_late()
        for node in self._plan.values():
            if self._run.stopping:
                break
            step = self._steps[node.name]
            if step.state is StepState.PENDING and all(self._steps[name].over for name in node.after):
                self._start_if_ready(node, step)
        if self._run.stopping:
            for step in list(self._steps.values()):
                if step.open is not None and not step.open.stopping:
                    self._stop(step, step.open, self._why_stopped)
                elif step.open is None and step.state is StepState.RUNNING:  # a group chat between two runs
                    self._end_step(step, StepState.CANCELLED, self._why_stopped)
        self._finish()
        return replace(
            self._run,
            steps=tuple(self._steps.values()),
            numbers=self._run.numbers + len(self._effects),
            outbox=(*self._run.outbox, *self._effects),
        )

    def _start_if_ready(self, node: Node, step: StepRun) -> None:
        """Start a step that is ready, or end it without starting."""
        states = [self._steps[name].state for name in node.branches]
        if states and all(state is StepState.SKIPPED for state in states):
            return self._end_step(step, StepState.SKIPPED)
        try:
            holds = all(decided(condition, self._values()) for condition in node.when)
        except ValueError:
            return self._end_step(step, StepState.FAILED, CONDITION_UNDECIDED)
        if not holds:
            return self._end_step(step, StepState.SKIPPED)
        if states and StepState.SUCCEEDED not in states:
            return self._end_step(step, StepState.FAILED, STEP_FAILED)
        if node.task is None:
            return self._end_step(step, StepState.SUCCEEDED)
        return self._start(step, node.task.agent) if node.chat is None else self._next_turn(step)

    def _next_turn(self, step: StepRun) -> None:
        """Add the effect of finding the next speaker of a group chat."""
        self._steps[step.name] = replace(step, state=StepState.RUNNING, chat=step.chat or ChatState())
        self._add_effect(EffectKind.TURN, step.name)

    @property
    def _why_stopped(self) -> str:
        return CANCELLED if self._run.cancel_requested else STEP_FAILED

    def _values(self) -> Mapping[str, Any]:
        """Return the variables of conditions."""
        return {
            "input": self._run.request.input,
            "steps": {name: self._step_values(step) for name, step in self._steps.items() if step.over},
        }

    def _step_values(self, step: StepRun) -> Mapping[str, Any]:
        values: dict[str, Any] = {
            "state": step.state.value,
            "score": step.score,
            "cost_micro_usd": step.spend.cost_micro_usd,
        }
        answer = joined(self._plan, step.name, self._answers) if step.state is StepState.SUCCEEDED else ""
        return values if answer is None else values | {"answer": answer}

    def _start(self, step: StepRun, agent: str) -> None:
        number = len(step.tries) + 1
        run_id = step_run_id(self._run.workspace, self._run.id, step.name, number)
        begun = Try(agent, run_id, self._now)
        self._steps[step.name] = replace(step, state=StepState.RUNNING, tries=(*step.tries, begun))
        self._add_effect(EffectKind.START, step.name, run_id)
        data = {"step": step.name, "run_id": run_id, "agent": agent, "try": number}
        self.publish(Event("workflow.step_started", data, self._now))

    def _stop_late(self) -> None:
        for step in list(self._steps.values()):
            task, last = self._plan[step.name].task, step.open
            if task is None or last is None or last.stopping or task.timeout_s is None:
                continue
            if last.started_at + timedelta(seconds=task.timeout_s) <= self._now:
                self._stop(step, last, STEP_TIMEOUT)

    def _stop(self, step: StepRun, last: Try, why: str) -> None:
        self._steps[step.name] = replace(step, tries=(*step.tries[:-1], replace(last, stopping=why)))
        self._add_effect(EffectKind.CANCEL, step.name, last.run_id)

    def _end_step(self, step: StepRun, state: StepState, code: str = "") -> None:
        step = self._steps[step.name] = replace(step, state=state, code=code, ended_at=self._now)
        data: dict[str, Any] = {"step": step.name, "state": state.value, "cost_micro_usd": step.spend.cost_micro_usd}
        if step.tries:
            data |= {"run_id": step.tries[-1].run_id, "agent": step.tries[-1].agent}
        if step.score is not None:
            data["score"] = step.score
        self.publish(Event("workflow.step_ended", data | ({"code": code} if code else {}), self._now))
        if state is StepState.FAILED and not self._plan[step.name].tolerated and not self._run.stopping:
            self._run = replace(self._run, failed_step=step.name)

    def _finish(self) -> None:
        if any(step.open for step in self._steps.values()):
            return
        if not self._run.stopping and not all(step.over for step in self._steps.values()):
            return
        for name, step in self._steps.items():
            if not step.over:
                self._steps[name] = replace(step, state=StepState.SKIPPED, code=self._why_stopped, ended_at=self._now)
        self._run = replace(
            self._run, state=_end_of(self._run), finished_at=self._now, steps=tuple(self._steps.values())
        )
        if all(one.refused for step in self._steps.values() for one in step.tries):
            # Its input is in no session, so erasing a session could not erase it here.
            self._run = replace(self._run, request=replace(self._run.request, input="", user_id=None, metadata={}))
        run = self._run
        data: dict[str, Any] = {"state": run.state.value, "cost_micro_usd": run.spend.cost_micro_usd}
        data |= {} if run.score is None else {"score": run.score}
        data |= {"code": run.code} if run.code else {}
        data |= {"step": run.failed_step} if run.failed_step else {}
        self.publish(Event("workflow.ended", data, self._now))

    def _add_effect(self, kind: EffectKind, step: str = "", run_id: str = "", event: Event | None = None) -> None:
        self._effects.append(Effect(self._run.numbers + len(self._effects), kind, step, run_id, event))


def _next_agent(task: Task, tries: Sequence[Try], *, refused: bool) -> str | None:
    """Return the agent to ask after a failed run; None for none."""
    if tries[-1].agent == task.fallback:
        return None
    return task.fallback if refused or len(tries) > task.retries else task.agent


def _end_of(run: WorkflowRun) -> WorkflowState:
    if run.cancel_requested:
        return WorkflowState.CANCELLED
    return WorkflowState.FAILED if run.failed_step else WorkflowState.SUCCEEDED
