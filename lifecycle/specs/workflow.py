"""What a user declares about a workflow: agents asked one after another, side by side, or only under a condition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from lifecycle.tools.conditions import MAX_LENGTH, check_condition, without_texts

MAX_STEPS = 32
"""Most agents that a workflow asks, aggregators included."""
MAX_PROMPT = 8_000
"""Most characters of a prompt, before answers are put into it."""
FIELDS = ("answer", "state", "score")
"""What a prompt can say of a step."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_STEP_FIELD = re.compile(r"steps\.([a-z][a-z0-9_]*)\.([a-z]+)")
_STEPS = re.compile(r"(?<![\w.])steps\b(?:\s*\.\s*([a-z][a-z0-9_]*)(?:\s*\.\s*([a-z_]+))?)?")

StepName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]


def parts_of(prompt: str) -> Iterator[str | tuple[str, str]]:
    """Yield a prompt's parts: text as it stands, and `(step, field)` for placeholders; the input's step is empty.

    A placeholder is `{input}` or `{steps.NAME.FIELD}`; `{{` and `}}` stand for braces. Nothing is looked up or called.

    Raises:
        ValueError: A brace is neither.
    """
    at = 0
    for found in _PLACEHOLDER.finditer(prompt):
        if found.start() > at:
            yield prompt[at : found.start()]
        at = found.end()
        if found[0] in ("{{", "}}"):
            yield found[0][0]
        elif found[1] == "input":
            yield "", "input"
        elif (named := _STEP_FIELD.fullmatch(found[1] or "")) and named[2] in FIELDS:
            yield named[1], named[2]
        else:
            msg = "a prompt takes {input} and {steps.NAME.answer}, .state or .score; write {{ and }} for braces"
            raise ValueError(msg)
    if at < len(prompt):
        yield prompt[at:]


def _check_prompt(prompt: str) -> str:
    for _ in parts_of(prompt):
        pass
    return prompt


Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT), AfterValidator(_check_prompt)]


def _check_condition(text: str) -> str:
    if any(not found[1] for found in _STEPS.finditer(without_texts(check_condition(text)))):
        msg = "a condition names steps as steps.NAME"
        raise ValueError(msg)
    return text


Condition = Annotated[str, Field(max_length=MAX_LENGTH), AfterValidator(_check_condition)]


class Task(BaseModel):
    """An agent that is asked, and what happens if it does not answer.

    Attributes:
        agent: The agent.
        prompt: What it is asked: text with `{input}` and `{steps.NAME.answer}` of steps before it.
        timeout_s: Seconds that an answer may take, the wait for a worker included; None for as long as a run may take.
        retries: How often it is asked again, after a run that failed for good or took too long.
        fallback: The agent that is asked once after all that; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    agent: AgentName
    prompt: Prompt = "{input}"
    timeout_s: int | None = Field(default=None, ge=1, le=2_592_000)
    retries: int = Field(default=0, ge=0, le=5)
    fallback: AgentName | None = None

    @model_validator(mode="after")
    def _other_fallback(self) -> Self:
        if self.fallback == self.agent:
            msg = "the fallback is the agent itself; say `retries` to ask it again"
            raise ValueError(msg)
        return self

    @property
    def used(self) -> frozenset[str]:
        """The steps that its prompt names."""
        return frozenset(part[0] for part in parts_of(self.prompt) if isinstance(part, tuple) and part[0])


class Step(Task):
    """A step that asks an agent.

    Attributes:
        name: Its name in the workflow.
        when: A condition in CEL over `input` and `steps`, without which the step is skipped; None for always.
        on_failure: Whether the workflow then fails, or goes on without its answer.
    """

    name: StepName
    when: Condition | None = None
    on_failure: Literal["fail", "continue"] = "fail"


class Parallel(BaseModel):
    """A step that asks several agents side by side.

    Attributes:
        name: Its name in the workflow; its answer is the aggregator's, or all of its branches' one under the other.
        parallel: Its branches.
        aggregator: The agent that makes one answer of the branches' answers, named in its prompt; None for none.
        when: A condition without which all of it is skipped; None for always.
        on_failure: Whether the workflow fails with the aggregator, or goes on without its answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: StepName
    parallel: Annotated[tuple[Step, ...], Field(min_length=1, max_length=16)]
    aggregator: Task | None = None
    when: Condition | None = None
    on_failure: Literal["fail", "continue"] = "fail"


class GroupChat(BaseModel):
    """A step in which several agents talk to one another.

    Without a manager they speak in turns, as Agent Framework's group chat has it; a manager plans, says who speaks
    about what, and writes the answer, as its Magentic orchestration has it. Each time one speaks is a run.

    Attributes:
        name: Its name in the workflow; its answer is what was said last.
        group_chat: The agents that talk.
        manager: The agent that leads them; None for taking turns.
        max_rounds: How often one of them speaks, the manager not counted.
        prompt: What they talk about: text with `{input}` and `{steps.NAME.answer}` of steps before it.
        timeout_s: Seconds that one time of speaking may take; None for as long as a run may take.
        retries: How often each is asked again whose run fails or takes too long.
        when: A condition without which it is skipped; None for always.
        on_failure: Whether the workflow then fails, or goes on without its answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: StepName
    group_chat: Annotated[tuple[AgentName, ...], Field(min_length=2, max_length=8)]
    manager: AgentName | None = None
    max_rounds: int = Field(default=6, ge=1, le=20)
    prompt: Prompt = "{input}"
    timeout_s: int | None = Field(default=None, ge=1, le=2_592_000)
    retries: int = Field(default=0, ge=0, le=5)
    when: Condition | None = None
    on_failure: Literal["fail", "continue"] = "fail"

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({*self.group_chat, self.manager}) != len(self.group_chat) + 1:
            msg = "each agent is in a group chat once, and the manager is none of those it leads"
            raise ValueError(msg)
        return self

    @property
    def task(self) -> Task:
        """What is asked of the first who speaks."""
        return Task(
            agent=self.manager or self.group_chat[0],
            prompt=self.prompt,
            timeout_s=self.timeout_s,
            retries=self.retries,
        )


_SHAPES: Mapping[str, type[BaseModel]] = {"parallel": Parallel, "group_chat": GroupChat}
"""The field that tells a kind of step."""


def _shape(value: Any) -> str:
    """Return which kind of step it is, so that an error is told of that one alone."""
    given: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    found = (field for field, kind in _SHAPES.items() if field in given or isinstance(value, kind))
    return f"({next(found, 'step')})"


AnyStep = Annotated[
    Annotated[Step, Tag("(step)")] | Annotated[Parallel, Tag("(parallel)")] | Annotated[GroupChat, Tag("(group_chat)")],
    Discriminator(_shape),
]


class WorkflowSpec(BaseModel):
    """A workflow as its owner declares it.

    Attributes:
        description: What it is for.
        steps: What it does, in order; its answer is that of the last step that gave one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    description: str = Field(default="", max_length=512)
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=1, max_length=MAX_STEPS)]

    @model_validator(mode="after")
    def _consistent(self) -> WorkflowSpec:
        plan = plan_of(self)
        if len(asked := [node for node in plan.values() if node.task]) > MAX_STEPS:
            msg = f"a workflow asks at most {MAX_STEPS} agents, not {len(asked)}"
            raise ValueError(msg)
        return self

    @property
    def agents(self) -> Mapping[str, str]:
        """The agents that it names, each with the JSON pointer of a place that does."""
        found: dict[str, str] = {}
        for index, step in enumerate(self.steps):
            tasks: list[tuple[str, Task]] = []
            if isinstance(step, GroupChat):
                found |= {name: f"/steps/{index}/group_chat/{at}" for at, name in enumerate(step.group_chat)} | found
                found |= {step.manager: f"/steps/{index}/manager"} | found if step.manager else {}
            elif isinstance(step, Step):
                tasks.append((f"/steps/{index}", step))
            else:
                tasks += [(f"/steps/{index}/parallel/{n}", branch) for n, branch in enumerate(step.parallel)]
                tasks += [(f"/steps/{index}/aggregator", step.aggregator)] if step.aggregator else []
            for pointer, task in tasks:
                found.setdefault(task.agent, f"{pointer}/agent")
                if task.fallback:
                    found.setdefault(task.fallback, f"{pointer}/fallback")
        return found


@dataclass(frozen=True, slots=True)
class Node:
    """A step as it is carried out: a branch and what closes a parallel step are steps of their own.

    Attributes:
        name: Its name.
        task: What it asks whom; None where it only waits for its branches.
        after: The steps that must be over before it.
        when: The conditions that must all hold.
        tolerated: Whether the workflow goes on when it fails.
        branches: The branches it closes; none for any other step.
        chat: The group chat that it is; None for any other step.
    """

    name: str
    task: Task | None
    after: tuple[str, ...]
    when: tuple[str, ...]
    tolerated: bool
    branches: tuple[str, ...] = ()
    chat: GroupChat | None = None


Plan = Mapping[str, Node]
"""The steps of a workflow by name, each after those that it can use."""


def plan_of(spec: WorkflowSpec) -> Plan:
    """Return the workflow's steps, each after those that it waits for.

    Raises:
        ValueError: Two steps have one name, or one uses a step that is not there or does not come before it.
    """
    plan: dict[str, Node] = {}
    before: tuple[str, ...] = ()
    for step in spec.steps:
        tolerated = step.on_failure == "continue"
        if isinstance(step, Step):
            _add(plan, Node(step.name, step, before, _all(step.when), tolerated))
        elif isinstance(step, GroupChat):
            _add(plan, Node(step.name, step.task, before, _all(step.when), tolerated, chat=step))
        else:
            names = tuple(branch.name for branch in step.parallel)
            for branch in step.parallel:
                goes_on = branch.on_failure == "continue"
                _add(plan, Node(branch.name, branch, before, _all(step.when, branch.when), goes_on))
            _add(plan, Node(step.name, step.aggregator, names, _all(step.when), tolerated, names))
        before = (step.name,)
    _check_uses(plan)
    return plan


def _all(*conditions: str | None) -> tuple[str, ...]:
    return tuple(condition for condition in conditions if condition is not None)


def _add(plan: dict[str, Node], node: Node) -> None:
    if node.name in plan:
        msg = f"two steps are called {node.name!r}"
        raise ValueError(msg)
    plan[node.name] = node


def _check_uses(plan: Plan) -> None:
    for node in plan.values():
        earlier = _before(plan, node)
        for used in _uses(node):
            if used not in plan:
                msg = f"step {node.name!r} uses {used!r}, and there is no such step"
                raise ValueError(msg)
            if used not in earlier:
                msg = f"step {node.name!r} uses {used!r}, which is not over before it: steps would wait in a circle"
                raise ValueError(msg)


def _uses(node: Node) -> Sequence[str]:
    """Return the steps that a step names, in order."""
    of_prompt = sorted(node.task.used) if node.task else []
    return [*of_prompt, *(name for condition in node.when for name, _ in used_by(condition))]


def used_by(condition: str) -> Sequence[tuple[str, str]]:
    """Return the steps that a condition names, each with the field of it."""
    return [(found[1], found[2] or "") for found in _STEPS.finditer(without_texts(condition))]


def _before(plan: Plan, node: Node) -> frozenset[str]:
    """Return the steps that are over before a step begins."""
    found: set[str] = set()
    waiting = list(node.after)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += plan[name].after
    return frozenset(found)
