"""The steps of a run over all its attempts and waits, for people who look into what happened.

They are derived from the facts of its attempts, and for a running attempt from the run, so nothing is stored for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import APPROVAL_NEEDED, Run
from lifecycle.conversations.run_transitions import agents_of
from lifecycle.runs.fact_writer import ended_attempts, fact_of
from llmops.budgets.waiting_run_index import APPROVAL as BUDGET_APPROVAL
from llmops.facts.attempt_fact import AttemptFact, Call, Ending, ToolCall

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.runs.run_queries import RunQueries
    from llmops.facts.fact_store import Facts

_APPROVALS = (APPROVAL_NEEDED, BUDGET_APPROVAL)
_WAITS = {Ending.PAUSED: "budget", Ending.RETRIED: "retry"}


class StepKind(StrEnum):
    """Kind of a step."""

    MODEL_CALL = "model_call"
    TOOL_CALL = "tool_call"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run.

    Attributes:
        kind: Its kind.
        attempt: Number of its attempt; for a wait, of the one before it.
        at: When it began, aware UTC; None if unknown.
        ms: How long it took, in ms; None while it has not ended.
        name: The model, the tool, or what the run waited for: `queue`, `budget`, `approval` or `retry`.
        outcome: `ok`, `answered`, or the reason of a failure; for a wait, the code with which the attempt before it
            ended.
        call_id: The model's id of a tool call; None for other steps.
        arguments: A tool's arguments, with hidden ones masked; None for other steps, and once deleted.
        result_bytes: Size of a tool's result; None if there is none.
        result: Beginning of the result, if the tool shows it; None otherwise, and once deleted.
        input_tokens: Input tokens of a model call; None for other steps.
        output_tokens: Output tokens of a model call; None for other steps.
        cost_micro_usd: Cost in millionths of a USD; None for other steps, and without a known price.
        deployment: The deployment of a routed model call, as `route/deployment`; None for others.
    """

    kind: StepKind
    attempt: int
    at: datetime | None
    ms: int | None
    name: str
    outcome: str = ""
    call_id: str | None = None
    arguments: Mapping[str, Any] | None = None
    result_bytes: int | None = None
    result: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_micro_usd: int | None = None
    deployment: str | None = None


class RunSteps:
    """Reads the steps of runs."""

    def __init__(self, run_queries: RunQueries, facts: Facts, clock: Clock) -> None:
        self._run_queries = run_queries
        self._facts = facts
        self._clock = clock

    async def of(self, workspace: str, run_id: str) -> Sequence[Step]:
        """Return the steps of a run so far, in order.

        Raises:
            NotFound: The run does not exist.
        """
        run = await self._run_queries.get(workspace, run_id)
        last = run.finished_at or self._clock()
        kept = [
            each.fact
            for agent in agents_of(run)
            for each in await self._facts.of_run(workspace, agent, run.id, run.created_at, last)
        ]
        return steps(run, [fact for fact in kept if not fact.judge])


def steps(run: Run, facts: Iterable[AttemptFact]) -> Sequence[Step]:
    """Return the steps of a run, from its facts and its stored attempts."""
    by_attempt = {fact.attempt: fact for fact in facts}
    for attempt in ended_attempts(run):
        by_attempt.setdefault(attempt.number, fact_of(run, attempt))
    found: list[Step] = []
    waited_since, why, code, before = run.created_at, "queue", "", 0
    for number, fact in sorted(by_attempt.items()):
        begun = fact.timing.claimed_at
        if begun is not None:
            found.append(_wait(before, waited_since, begun, why, code))
        found += _of_attempt(number, fact.calls, fact.tools)
        waited_since, why, code, before = fact.timing.ended_at, _wait_of(fact), fact.code, number
    current = run.last
    if current.ending is None and current.number and current.number not in by_attempt:
        if current.claimed_at is not None:
            found.append(_wait(before, waited_since, current.claimed_at, why or "retry", code))
        found += _of_attempt(current.number, current.noted.calls, current.noted.tools)
    elif not run.finished and why:
        found.append(Step(StepKind.WAIT, before, waited_since, None, why, code))
    return found


def _of_attempt(attempt: int, calls: Sequence[Call], tools: Sequence[ToolCall]) -> Iterator[Step]:
    """Yield model calls, each followed by its tool calls; tool calls of unknown model calls come first."""
    yield from (_tool_step(attempt, tool) for tool in tools if not tool.asked_by)
    numbers = [call.number for call in calls]
    for call in calls:
        yield _model_step(attempt, call)
        yield from (_tool_step(attempt, tool) for tool in tools if tool.asked_by == call.number)
    yield from (_tool_step(attempt, tool) for tool in tools if tool.asked_by and tool.asked_by not in numbers)


def _model_step(attempt: int, call: Call) -> Step:
    return Step(
        StepKind.MODEL_CALL,
        attempt,
        call.at,
        call.latency_ms,
        call.model,
        call.outcome,
        input_tokens=call.usage.input_tokens,
        output_tokens=call.usage.output_tokens,
        cost_micro_usd=call.cost_micro_usd,
        deployment=call.deployment or None,
    )


def _tool_step(attempt: int, tool: ToolCall) -> Step:
    arguments = json.loads(tool.arguments) if tool.arguments else None
    return Step(
        StepKind.TOOL_CALL,
        attempt,
        tool.at,
        tool.ms,
        tool.name,
        tool.outcome,
        tool.call_id or None,
        arguments,
        tool.result_bytes,
        tool.result or None,
    )


def _wait_of(fact: AttemptFact) -> str:
    """Return what a run waits for after an attempt; empty for nothing."""
    return "approval" if fact.code in _APPROVALS else _WAITS.get(fact.ending, "")


def _wait(attempt: int, since: datetime, until: datetime, why: str, code: str) -> Step:
    took = max(0, round((until - since).total_seconds() * 1000))
    return Step(StepKind.WAIT, attempt, since, took, why or "retry", code)
