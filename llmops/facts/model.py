"""What one attempt at a run did, as one value. Costs, performance and scores are sums over such facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from llmops.evaluation.scoring import Score
from llmops.spend.usage import Spend, Usage, spend_of

CallOutcome = Literal["answered", "refused", "unmetered", "unsettled"]
"""`refused`: the provider answered that it will not, which costs nothing. `unmetered`: answered without a usage, and
charged at an estimate. `unsettled`: it may have been made, but worker or connection died; charged at its estimate."""
Purpose = Literal["answer", "evaluation"]

MAX_CALLS = 500
"""Model calls of a fact that are kept one by one; those after them are kept as one for each model, deployment and
outcome."""
MAX_TOOLS = 500
"""Tool calls of a fact that are kept."""


class Ending(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"  # the run was answered; of an evaluation: the judge gave its verdict
    FAILED = "failed"  # the run failed for good; of an evaluation: the judge was given up
    CANCELLED = "cancelled"  # the run was cancelled
    RETRIED = "retried"  # the attempt failed and the run is tried again
    PAUSED = "paused"  # a budget stopped it, and the run waits
    HANDED_OVER = "handed_over"  # the run goes on with another member of its team


FINAL = frozenset({Ending.SUCCEEDED, Ending.FAILED, Ending.CANCELLED})
"""Endings of the run, not only of the attempt."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whom a fact concerns.

    Attributes:
        workspace: Workspace charged.
        agent: The agent asked, also where its answer is evaluated.
        session_id: The run's session.
        run_id: The run.
        user_id: Who asked; empty when nobody in particular, or when the user was forgotten.
        version: The agent's version at the provider; empty when the attempt did not come as far.
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
        at: When it began, aware UTC.
        provider: Who ran the model.
        model: The model as the provider named it in its answer; without an answer, as it was asked for.
        usage: Its tokens; of an unsettled or unmetered call, the estimate.
        cost_micro_usd: Its cost with the tools' fees; None when the model has no known price.
        rate: The rate applied, in words; empty when unknown.
        latency_ms: How long it took; 0 when nobody learnt it.
        outcome: See CallOutcome.
        tool_micro_usd: The fees of tools that the provider ran, part of the cost.
        requested: The model or deployment that was asked for, where it is not `model`; else empty.
        count: How many calls it stands for: 1, but for those beyond MAX_CALLS.
        deployment: Where it went, as `route/deployment`; empty where no route chose.
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
        """What it came to; nothing when it was refused."""
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
        name: Which tool.
        outcome: `ok`, or the code of why it brought no result.
        ms: How long it took, the wait for the gate included.
        at: When it began, aware UTC; None where nobody noted it.
        call_id: The model's id of the call; empty where nobody noted it.
        arguments: Its arguments as JSON, those hidden that the tool does not show; empty where there are too many.
        result_bytes: How many bytes of text the model was given; None when it brought no result.
        asked_by: The number of the model call that asked for it; 0 where nobody noted it.
        result: The beginning of what the model was given, where the tool shows it; else empty.
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
    """When what happened, aware UTC; of an evaluation, what is said of the attempt whose answer it evaluates.

    Attributes:
        accepted_at: When the run was accepted.
        started_at: When it was first claimed; None when it never was.
        claimed_at: When this attempt claimed it; None when none did.
        ended_at: When this attempt ended, as committed with the run: the UTC day and hour that the fact counts in.
    """

    accepted_at: datetime
    started_at: datetime | None
    claimed_at: datetime | None
    ended_at: datetime

    @property
    def total_ms(self) -> int:
        """From the run's acceptance to this end, in ms; 0 where a clock was set back."""
        return _ms(self.accepted_at, self.ended_at)

    @property
    def queue_ms(self) -> int:
        """From its acceptance to its first claim, in ms; to its end when it was never claimed."""
        return _ms(self.accepted_at, self.started_at or self.ended_at)


@dataclass(frozen=True, slots=True)
class Continuation:
    """How an attempt takes part in a run that goes on where a budget stopped it.

    Attributes:
        carried_micro_usd: What earlier attempts had spent for this one to go on from.
        went_on: Whether it went on from there; else it began again.
        continues: Whether the next attempt is to go on from where this one stopped.
    """

    carried_micro_usd: int = 0
    went_on: bool = False
    continues: bool = False


@dataclass(frozen=True, slots=True)
class AttemptFact:
    """What one attempt at a run did, or a judge of its answer. Workspace, run, attempt (judge and first call) name it.

    Attributes:
        who: Whom it concerns.
        attempt: The run's attempt, from 1; 0 for a run that ended before it was claimed.
        timing: When what happened.
        ending: How it ended.
        calls: Its model calls in order.
        tools: Its function tools' calls in order.
        code: Why it did not succeed; empty when it did.
        dead: Whether the run failed though trying again might have helped: its message is a dead letter.
        finish_reason: Why the model stopped, as the provider said; empty when unknown.
        score: The answer's score; None without one, and of an evaluation.
        judge: Of an evaluation, the judge whose calls these are; each try to hear it is a fact. Else empty.
        continuation: How it goes on from another attempt and another from it.
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
        """What its calls were for."""
        return "evaluation" if self.judge else "answer"

    @property
    def spend(self) -> Spend:
        """What its calls came to."""
        return sum((call.spend for call in self.calls), Spend())

    @property
    def model(self) -> str:
        """The model that answered last, as the provider named it; empty when none did."""
        return next((call.model for call in reversed(self.calls) if call.outcome in ("answered", "unmetered")), "")

    @property
    def model_ms(self) -> int:
        """How long its model calls took, in ms."""
        return sum(call.latency_ms for call in self.calls)

    @property
    def final(self) -> bool:
        """Whether the run ended with it."""
        return self.ending in FINAL

    @property
    def cost_micro_usd(self) -> int:
        """What the priced ones of its calls cost, in micro-USD."""
        return sum(call.cost_micro_usd or 0 for call in self.calls if call.outcome != "refused")

    @property
    def wasted_micro_usd(self) -> int:
        """What of the run's spend is known with this ending to have brought no answer, in micro-USD.

        An attempt that did not answer wastes what it spent, unless the next one goes on from it or it handed over. What
        earlier ones spent for it to go on from is lost when it does not, or when the run ends without an answer. Over
        the facts of a finished run this adds up to what the run wasted.
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
    """Return the fact within MAX_CALLS and MAX_TOOLS, with the same spend, so that it fits a row."""
    calls = fact.calls
    if len(calls) > MAX_CALLS:
        merged: dict[tuple[str, str, str, str, bool], Call] = {}
        for call in calls[MAX_CALLS:]:
            key = (call.provider, call.deployment, call.model, call.outcome, call.cost_micro_usd is None)
            merged[key] = _merged(merged[key], call) if key in merged else call
        calls = (*calls[:MAX_CALLS], *merged.values())
    return replace(fact, calls=calls, tools=fact.tools[:MAX_TOOLS])


def without_arguments(tools: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Return the calls without what their tools were given and have returned."""
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
