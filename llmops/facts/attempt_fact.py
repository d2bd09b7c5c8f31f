"""The fact of one attempt at a run, as a value. Costs, performance and scores are sums over facts."""

from __future__ import annotations

from dataclasses import field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from kernel.lazy_dataclass import dataclass
from llmops.evaluation.combined_score import Score
from llmops.spend.usage import Spend, Usage, spend_of

CallOutcome = Literal["answered", "refused", "unmetered", "unsettled"]
"""`refused`: the provider refused, which costs nothing. `unmetered`: answered without usage, and
charged at an estimate. `unsettled`: it may have been made, but worker or connection died; charged at its estimate.
"""
Purpose = Literal["answer", "evaluation"]

MAX_CALLS = 500
"""Model calls of a fact that are kept one by one; further ones are merged by model, deployment and outcome."""
MAX_TOOLS = 500
"""Most tool calls kept in a fact."""


class Ending(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"  # the run was answered; of an evaluation: the judge gave its result
    FAILED = "failed"  # the run failed permanently; of an evaluation: the judge was given up
    CANCELLED = "cancelled"  # the run was cancelled
    RETRIED = "retried"  # the attempt failed, and the run is retried
    PAUSED = "paused"  # a budget stopped it, and the run waits
    HANDED_OVER = "handed_over"  # the run was handed off to another member of its team


FINAL = frozenset({Ending.SUCCEEDED, Ending.FAILED, Ending.CANCELLED})
"""Endings that end the run, not only the attempt."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a fact is attributed to.

    Attributes:
        workspace: The workspace charged.
        agent: The agent asked, also where the fact is that of an evaluation of its answer.
        session_id: The run's session.
        run_id: The run.
        user_id: The user; empty where the run has none, or the user was erased.
        version: The agent's version at the provider; empty when the attempt ended before it had one.
    """

    workspace: str
    agent: str
    session_id: str
    run_id: str
    user_id: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A priced model call.

    Attributes:
        number: The model round trip in the attempt, from 1.
        at: Start of the call, aware UTC.
        provider: The provider.
        model: The model as the provider named it in its answer; without an answer, as it was asked for.
        usage: Its tokens; of an unsettled or unmetered call, the estimate.
        cost_micro_usd: Its cost with the tools' fees; None when the model has no known price.
        rate: Description of the rate applied; empty when unknown.
        latency_ms: Duration in milliseconds; 0 when unknown.
        outcome: See CallOutcome.
        tool_micro_usd: The fees of tools that the provider ran, part of the cost.
        requested: The model or deployment that was asked for, where it is not `model`; else empty.
        count: How many calls it stands for: 1, but for those beyond MAX_CALLS.
        deployment: The deployment called, as `route/deployment`; empty without a route.
    """

    number: int
    at: datetime
    provider: str
    model: str
    usage: Usage
    cost_micro_usd: int | None
    rate: str = ""
    latency_ms: int = 0
    outcome: CallOutcome = "answered"
    tool_micro_usd: int = 0
    requested: str = ""
    count: int = 1
    deployment: str = ""

    @property
    def spend(self) -> Spend:
        """The spend of the call; nothing when it was refused."""
        if self.outcome == "refused":
            return Spend()
        unsettled, unmetered = self.outcome == "unsettled", self.outcome == "unmetered"
        spend = spend_of(self.usage, self.cost_micro_usd, unsettled=unsettled, unmetered=unmetered)
        if self.count == 1:
            return spend
        return replace(
            spend,
            calls=self.count,
            unpriced_calls=spend.unpriced_calls * self.count,
            unsettled_calls=spend.unsettled_calls * self.count,
            unmetered_calls=spend.unmetered_calls * self.count,
        )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function tool.

    Attributes:
        name: The tool.
        outcome: `ok`, or the error code.
        ms: Duration in milliseconds, including the wait for an approval.
        at: Start of the call, aware UTC; None when unknown.
        call_id: The model's id of the call; empty when unknown.
        arguments: The arguments as JSON, except those the tool hides; empty where too large.
        result_bytes: Size of the text returned to the model, in bytes; None without a result.
        asked_by: Number of the model call that requested it; 0 when unknown.
        result: Beginning of the text returned to the model, where the tool exposes it; else empty.
    """

    name: str
    outcome: str
    ms: int
    at: datetime | None = None
    call_id: str = ""
    arguments: str = ""
    result_bytes: int | None = None
    asked_by: int = 0
    result: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of an attempt, aware UTC; for an evaluation, those of the attempt whose answer is evaluated.

    Attributes:
        accepted_at: When the run was accepted.
        started_at: When the run was first claimed; None when it never was.
        claimed_at: When this attempt claimed the run; None when none did.
        ended_at: When this attempt ended, as committed with the run; determines the UTC day and hour of the fact.
    """

    accepted_at: datetime
    started_at: datetime | None
    claimed_at: datetime | None
    ended_at: datetime

    @property
    def total_ms(self) -> int:
        """Time from the run's acceptance to the end of the attempt, in ms; 0 where a clock was set back."""
        return _ms(self.accepted_at, self.ended_at)

    @property
    def queue_ms(self) -> int:
        """Time from the run's acceptance to its first claim, in ms; to its end if it was never claimed."""
        return _ms(self.accepted_at, self.started_at or self.ended_at)


@dataclass(frozen=True, slots=True)
class Continuation:
    """How an attempt continues the work of another one that a budget stopped.

    Attributes:
        carried_micro_usd: What earlier attempts spent on the progress that this one continues, in micro-USD.
        went_on: Whether it continued from there; else it started again.
        continues: Whether the next attempt is to continue from where this one stopped.
    """

    carried_micro_usd: int = 0
    went_on: bool = False
    continues: bool = False


@dataclass(frozen=True, slots=True)
class AttemptFact:
    """The fact of one attempt at a run, or of a judge of its answer.

    It is identified by workspace, run and attempt, for an evaluation also by judge and first call.

    Attributes:
        who: What it is attributed to.
        attempt: Number of the attempt, from 1; 0 for a run that ended before it was claimed.
        timing: The times of the attempt.
        ending: How it ended.
        calls: Its model calls in order.
        tools: Its function tool calls in order.
        code: Error code; empty for a success.
        dead: Whether the run failed although a retry might have helped: it is a dead letter.
        finish_reason: Why the model stopped, as reported by the provider; empty when unknown.
        score: The answer's score; None without one, and for an evaluation.
        judge: For an evaluation, the judge that made these calls; each try is a fact of its own. Else empty.
        continuation: How it continues another attempt, and whether another continues it.
    """

    who: Attribution
    attempt: int
    timing: Timing
    ending: Ending
    calls: tuple[Call, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    code: str = ""
    dead: bool = False
    finish_reason: str = ""
    score: Score | None = None
    judge: str = ""
    continuation: Continuation = field(default_factory=Continuation)

    @property
    def purpose(self) -> Purpose:
        """What the calls were for."""
        return "evaluation" if self.judge else "answer"

    @property
    def spend(self) -> Spend:
        """The sum of its calls."""
        return sum((call.spend for call in self.calls), Spend())

    @property
    def model(self) -> str:
        """The model that answered last, as named by the provider; empty when none did."""
        return next((call.model for call in reversed(self.calls) if call.outcome in ("answered", "unmetered")), "")

    @property
    def model_ms(self) -> int:
        """Total time of its model calls, in ms."""
        return sum(call.latency_ms for call in self.calls)

    @property
    def final(self) -> bool:
        """Whether the run ended with this attempt."""
        return self.ending in FINAL

    @property
    def cost_micro_usd(self) -> int:
        """Cost of the priced calls, in micro-USD."""
        return sum(call.cost_micro_usd or 0 for call in self.calls if call.outcome != "refused")

    @property
    def wasted_micro_usd(self) -> int:
        """The part of the run's spend that this ending shows to have produced no answer, in micro-USD.

        An attempt without an answer wastes what it spent, unless the next one continues from it or it was handed off.
        What earlier attempts spent for it to continue from is wasted if it does not, or if the run ends without an
        answer. Summed over the facts of a finished run, this is what the run wasted.
        """
        how, own = self.continuation, self.cost_micro_usd
        match self.ending:
            case Ending.SUCCEEDED | Ending.HANDED_OVER:
                return 0 if how.went_on else how.carried_micro_usd
            case Ending.FAILED | Ending.CANCELLED:
                return own + how.carried_micro_usd
            case Ending.RETRIED:
                return own
            case Ending.PAUSED:
                kept_before = how.continues and how.went_on
                return (0 if how.continues else own) + (0 if kept_before else how.carried_micro_usd)


def bounded(fact: AttemptFact) -> AttemptFact:
    """Return the fact with at most MAX_CALLS and MAX_TOOLS entries and the same spend, so that it fits a row."""
    calls = fact.calls
    if len(calls) > MAX_CALLS:
        merged: dict[tuple[str, str, str, str, bool], Call] = {}
        for call in calls[MAX_CALLS:]:
            key = (call.provider, call.deployment, call.model, call.outcome, call.cost_micro_usd is None)
            merged[key] = _merged(merged[key], call) if key in merged else call
        calls = (*calls[:MAX_CALLS], *merged.values())
    return replace(fact, calls=calls, tools=fact.tools[:MAX_TOOLS])


def without_arguments(tools: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Return the calls without their arguments and results."""
    return tuple(replace(tool, arguments="", result="") for tool in tools)


def _merged(one: Call, other: Call) -> Call:
    usage = Usage(
        one.usage.input_tokens + other.usage.input_tokens,
        one.usage.cached_tokens + other.usage.cached_tokens,
        one.usage.cache_write_tokens + other.usage.cache_write_tokens,
        one.usage.output_tokens + other.usage.output_tokens,
        one.usage.reasoning_tokens + other.usage.reasoning_tokens,
    )
    cost = None if one.cost_micro_usd is None else one.cost_micro_usd + (other.cost_micro_usd or 0)
    return replace(
        one,
        usage=usage,
        cost_micro_usd=cost,
        latency_ms=one.latency_ms + other.latency_ms,
        tool_micro_usd=one.tool_micro_usd + other.tool_micro_usd,
        count=one.count + other.count,
    )


def _ms(since: datetime, until: datetime) -> int:
    return max(0, round((until - since).total_seconds() * 1000))
