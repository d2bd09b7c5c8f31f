"""The spec of a workflow: agents that are asked in sequence, in parallel, or under a condition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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

from kernel.lazy_dataclass import dataclass
from lifecycle.tools.argument_conditions import MAX_LENGTH, check_condition, variables, without_texts

MAX_STEPS = 32
"""Most agents of a workflow, including aggregators."""
MAX_PROMPT = 8_000
"""Most characters of a prompt, before placeholders are replaced."""
FIELDS = ("answer", "state", "score")
"""Fields of a step that prompts can use."""
CONDITION_FIELDS = (*FIELDS, "cost_micro_usd")
"""Fields of a step that conditions can use."""
_CONDITION_VALUES = "input and steps.NAME." + ", .".join(CONDITION_FIELDS)

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_STEP_FIELD = re.compile(r"steps\.([a-z][a-z0-9_]*)\.([a-z]+)")
_STEPS = re.compile(r"(?<![\w.])steps\b(?:\s*\.\s*([a-z][a-z0-9_]*)(?:\s*\.\s*([a-z_]+))?)?")

StepName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]

Asked = Annotated[str, StringConstraints(pattern=r"^(?:team:)?[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
"""An agent, or `team:NAME`."""


def team_of(asked: str) -> str | None:
    """Return the team's name in `team:NAME`; None for an agent."""
    return asked.removeprefix("team:") if asked.startswith("team:") else None


def parts_of(prompt: str) -> Iterator[str | tuple[str, str]]:
    """Yield a prompt's parts: literal text, and `(step, field)` for placeholders; the step of `{input}` is empty.

    Placeholders are `{input}` and `{steps.NAME.FIELD}`; `{{` and `}}` are literal braces.

    Raises:
        ValueError: Another brace occurs.
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
            msg = "a prompt can have {input} and {steps.NAME.answer}, .state or .score; write {{ and }} for braces"
            raise ValueError(msg)
    if at < len(prompt):
        yield prompt[at:]


def _check_prompt(prompt: str) -> str:
    for _ in parts_of(prompt):
        pass
    return prompt


Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT), AfterValidator(_check_prompt)]


def _check_condition(text: str) -> str:
    check_condition(text, f"{_CONDITION_VALUES}; for example, steps.draft.score < 70")
    if any(not found[1] for found in _STEPS.finditer(without_texts(text))):
        msg = "a condition names steps as steps.NAME"
        raise ValueError(msg)
    return text


Condition = Annotated[str, Field(max_length=MAX_LENGTH), AfterValidator(_check_condition)]


class Task(BaseModel):
    """A request to an agent, and what to do if it fails.

    Attributes:
        agent: The agent; `team:NAME` for the member of a team that the query is routed to, which can be a person.
        prompt: The query: text with `{input}` and `{steps.NAME.answer}` of earlier steps.
        timeout_s: Seconds until the answer, including the wait for a worker; None for the limit of runs.
        retries: How often to ask again after a run that failed or timed out.
        fallback: The agent, or `team:NAME`, to ask once after that; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    agent: Asked
    prompt: Prompt = "{input}"
    timeout_s: int | None = Field(default=None, ge=1, le=2_592_000)
    retries: int = Field(default=0, ge=0, le=5)
    fallback: Asked | None = None

    @model_validator(mode="after")
    def _other_fallback(self) -> Self:
        if self.fallback == self.agent:
            msg = "the fallback is the agent itself; use `retries` to ask it again"
            raise ValueError(msg)
        return self

    @property
    def used(self) -> frozenset[str]:
        """The steps that its prompt uses."""
        return frozenset(part[0] for part in parts_of(self.prompt) if isinstance(part, tuple) and part[0])


class Step(Task):
    """A step that asks an agent.

    Attributes:
        name: Its name in the workflow.
        when: A CEL condition over `input` and `steps`; the step is skipped if it is false. None for always.
        on_failure: Whether the workflow then fails, or continues without the answer.
    """

    name: StepName
    when: Condition | None = None
    on_failure: Literal["fail", "continue"] = "fail"


class Parallel(BaseModel):
    """A step that asks several agents in parallel.

    Attributes:
        name: Its name in the workflow; its answer is the aggregator's, or all branches' answers one after the other.
        parallel: Its branches.
        aggregator: The agent that makes one answer from the branches' answers, which its prompt uses; None for none.
        when: A condition; the step is skipped if it is false. None for always.
        on_failure: Whether the workflow fails if the aggregator fails, or continues without the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: StepName
    parallel: Annotated[tuple[Step, ...], Field(min_length=1, max_length=16)]
    aggregator: Task | None = None
    when: Condition | None = None
    on_failure: Literal["fail", "continue"] = "fail"


class GroupChat(BaseModel):
    """A step in which several agents talk with one another.

    Without a manager they speak in turns, as in Agent Framework's group chat; a manager plans, chooses who speaks about
    what, and writes the answer, as in its Magentic orchestration. Each contribution is a run.

    Attributes:
        name: Its name in the workflow; its answer is the last contribution.
        group_chat: The agents.
        manager: The agent that leads them; None to speak in turns.
        max_rounds: Most contributions, without the manager's.
        prompt: The subject: text with `{input}` and `{steps.NAME.answer}` of earlier steps.
        timeout_s: Seconds for one contribution; None for the limit of runs.
        retries: How often an agent is asked again after a run that failed or timed out.
        when: A condition; the step is skipped if it is false. None for always.
        on_failure: Whether the workflow then fails, or continues without the answer.
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
        """The request to the first speaker."""
        return Task(
            agent=self.manager or self.group_chat[0],
            prompt=self.prompt,
            timeout_s=self.timeout_s,
            retries=self.retries,
        )


_SHAPES: Mapping[str, type[BaseModel]] = {"parallel": Parallel, "group_chat": GroupChat}
"""The field that identifies a kind of step."""


def _shape(value: Any) -> str:
    """Return the kind of a step, so that errors are reported for that kind only."""
    given: Mapping[str, Any] = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    found = (field for field, kind in _SHAPES.items() if field in given or isinstance(value, kind))
    return f"({next(found, 'step')})"


AnyStep = Annotated[
    Annotated[Step, Tag("(step)")] | Annotated[Parallel, Tag("(parallel)")] | Annotated[GroupChat, Tag("(group_chat)")],
    Discriminator(_shape),
]


class WorkflowSpec(BaseModel):
    """The spec of a workflow.

    Attributes:
        description: Its purpose.
        steps: Its steps, in order; its answer is that of the last step with an answer.
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
    def unknown_names(self) -> Mapping[str, str]:
        """What its conditions name that no condition has, in words, by JSON pointer of the condition."""
        found = {f"/steps/{index}/when": step.when for index, step in enumerate(self.steps)}
        for index, step in enumerate(self.steps):
            if isinstance(step, Parallel):
                found |= {f"/steps/{index}/parallel/{n}/when": branch.when for n, branch in enumerate(step.parallel)}
        wrong = {pointer: _unknown_in(condition) for pointer, condition in found.items() if condition is not None}
        return {
            pointer: f"There is no {', '.join(names)}; a condition has {_CONDITION_VALUES}."
            for pointer, names in wrong.items()
            if names
        }

    @property
    def agents(self) -> Mapping[str, str]:
        """The agents that it uses, each with the JSON pointer of one use; without those of teams."""
        return {name: pointer for name, pointer in self.asked.items() if team_of(name) is None}

    @property
    def teams(self) -> Mapping[str, str]:
        """The teams that it uses, each with the JSON pointer of one use."""
        named = ((team_of(name), pointer) for name, pointer in self.asked.items())
        return {name: pointer for name, pointer in named if name is not None}

    @property
    def asked(self) -> Mapping[str, str]:
        """Whom its steps ask, agents and `team:NAME`, each with the JSON pointer of one use."""
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
    """A step of the plan; branches and the end of a parallel step are steps of their own.

    Attributes:
        name: Its name.
        task: The request; None for a step that only waits for its branches.
        after: Steps that must have ended before it.
        when: Conditions that must all be true.
        tolerated: Whether the workflow continues if it fails.
        branches: The branches that it waits for; empty for other steps.
        chat: Its group chat; None for other steps.
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
        ValueError: Two steps have the same name, or a step uses one that does not exist or does not come before it.
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
                msg = f"step {node.name!r} uses {used!r}, which does not exist"
                raise ValueError(msg)
            if used not in earlier:
                msg = f"step {node.name!r} uses {used!r}, which does not end before it: they would wait for one another"
                raise ValueError(msg)


def _uses(node: Node) -> Sequence[str]:
    """Return the steps that a step uses, in order."""
    of_prompt = sorted(node.task.used) if node.task else []
    return [*of_prompt, *(name for condition in node.when for name, _ in used_by(condition))]


def used_by(condition: str) -> Sequence[tuple[str, str]]:
    """Return the steps that a condition uses, each with the field."""
    return [(found[1], found[2] or "") for found in _STEPS.finditer(without_texts(condition))]


def _unknown_in(condition: str) -> Sequence[str]:
    """Return the variables and the fields of steps in a condition that no condition has."""
    fields = [(step, field) for step, field in used_by(condition) if field and field not in CONDITION_FIELDS]
    return [*sorted(variables(condition) - {"input", "steps"}), *(f"steps.{step}.{field}" for step, field in fields)]


def _before(plan: Plan, node: Node) -> frozenset[str]:
    """Return the steps that end before a step begins."""
    found: set[str] = set()
    waiting = list(node.after)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += plan[name].after
    return frozenset(found)
