"""Meters the model calls of an attempt: stores and reserves each before it is made, then prices and settles it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Protocol

from kernel.errors import Unavailable
from kernel.lazy_dataclass import dataclass
from lifecycle.runs.call_costs import PendingCall, metered, refused
from lifecycle.runs.call_estimates import sent
from lifecycle.runs.runaway_guard import Guard, GuardPolicy
from lifecycle.specs.spending import reached
from llmops.budgets.budget_rules import BudgetBlocked, CostAttribution
from llmops.budgets.waiting_run_index import APPROVAL
from llmops.facts.attempt_fact import Call
from llmops.routing.route import ROUTED, CallTarget
from llmops.spend.usage import Spend, Usage

if TYPE_CHECKING:
    from datetime import datetime

    from agent_framework import ChatContext, ChatResponse, ChatResponseUpdate, Content, Message, ResponseStream

    from kernel.clock import Clock
    from lifecycle.conversations.run import Run
    from lifecycle.loader.agent_resolver import LiveAgent
    from lifecycle.specs.spec import AgentSpec
    from lifecycle.specs.spending import DegradationStep
    from llmops.budgets.call_budget import CallBudget
    from llmops.routing.router import Try
    from llmops.spend.pricing import Rates
    from llmops.spend.rate_store import RateStore

CallNext = Callable[[], Awaitable[None]]
log = logging.getLogger(__name__)


class CallNotes(Protocol):
    """Stores model calls so that they are known if the worker dies."""

    async def calling(self, calls: Sequence[Call], following: Call) -> None:
        """Store the settled calls, and the one that is about to be made, at its estimate.

        Raises:
            Unavailable: It cannot be stored; the call must not be made.
        """
        ...


@dataclass(frozen=True, slots=True)
class MeterPolicy:
    """Settings of metering.

    Attributes:
        guard: When the attempt counts as runaway.
        usual_output: Most output tokens of a call within budgets, if the agent sets none.
        held_tokens: Upper bound of the tokens of the provider's conversation.
        approved: Whether degradation steps that ask for approval are approved.
        first: Number of the first call.
    """

    guard: GuardPolicy
    usual_output: int
    held_tokens: int = 0
    approved: bool = False
    first: int = 1


@dataclass(slots=True)
class CallTotals:
    """Model calls of an attempt so far.

    Attributes:
        calls: Settled calls, in order.
        open: The call under way, at its estimate; None between calls.
        wanted: The last call requested, at its estimate; None before the first.
        stopped_at_percent: The degradation step that stopped the run, in percent of a budget; None for none.
        finish_reason: Why the model last stopped; empty when unknown.
        messages: The messages of the last call.
        given: How many of these the attempt began with; None before its first call.
    """

    calls: list[Call] = field(default_factory=list[Call])
    open: Call | None = None
    wanted: Call | None = None
    stopped_at_percent: int | None = None
    finish_reason: str = ""
    messages: list[Message] = field(default_factory=list["Message"])
    given: int | None = None

    @property
    def begun(self) -> Sequence[Call]:
        """The settled calls, and the one under way."""
        return self.calls if self.open is None else [*self.calls, self.open]

    @property
    def model(self) -> str | None:
        """The model that answered last, as the provider names it; None before the first answer."""
        return next((call.model for call in reversed(self.calls) if call.outcome in ("answered", "unmetered")), None)

    @property
    def spend(self) -> Spend:
        """The sum of the settled calls."""
        return sum((call.spend for call in self.calls), Spend())


class CallMeter:
    """Stores, reserves, prices and settles the model calls of one attempt.

    Attributes:
        metered: The calls so far.
        guard: Stops a runaway run.
    """

    def __init__(
        self,
        workspace: str,
        live: LiveAgent,
        budget: CallBudget,
        rates: RateStore,
        notes: CallNotes,
        clock: Clock,
        policy: MeterPolicy,
    ) -> None:
        self._workspace = workspace
        self._live = live
        self._budget = budget
        self._rates = rates
        self._notes = notes
        self._clock = clock
        self._policy = policy
        self.guard = Guard(policy.guard)
        self._limit: asyncio.Timeout | None = None
        self._latest = 0.0
        self.totals = CallTotals()

    @property
    def latest(self) -> int:
        """Number of the last settled call; 0 before the first."""
        return self.totals.calls[-1].number if self.totals.calls else 0

    def middleware(self) -> list[Any]:
        """Return middleware for Agent Framework, which makes model calls one after the other."""
        from lifecycle.tools.middleware import chat_middleware  # noqa: PLC0415 - cold start

        @chat_middleware
        async def meter(context: ChatContext, call_next: CallNext) -> None:
            await self._call(context, call_next)

        return [meter]

    @asynccontextmanager
    async def within(self, timeout_s: float) -> AsyncGenerator[None]:
        """Limit the time inside the context to so many seconds, or to what a budget of wall time has left.

        Raises:
            BudgetBlocked: The budget's wall time is used up.
            Unavailable: The time limit is reached.
        """
        try:
            async with asyncio.timeout(timeout_s) as self._limit:
                self._latest = asyncio.get_running_loop().time() + timeout_s
                yield
        except TimeoutError:
            if self._budget.out_of_time:
                raise BudgetBlocked("The wall time that a budget allows is over.") from None
            msg = f"The attempt took longer than {timeout_s:g} s."
            raise Unavailable(msg, code="run_timeout") from None

    def leave(self) -> None:
        """Release the slot in the agent's pool, after the attempt's last model call."""
        self._budget.leave()

    async def close(self) -> None:
        """Release the rest of the last reservation, after its cost is committed with the run."""
        await self._budget.close()

    async def _call(self, context: ChatContext, call_next: CallNext) -> None:
        call = await self._begin(context)
        started = time.perf_counter()
        try:
            await call_next()
        except BaseException as error:
            await self._end_without(call, error, None, started)
            raise
        result = context.result
        if context.stream:
            # The stream is created but not sent yet: its usage is known when it ends.
            context.result = self._metered(result, call)  # pyright: ignore[reportArgumentType] - of a streamed call
        else:
            await self._end(call, result, started)  # pyright: ignore[reportArgumentType] - of one that is not

    def _metered(
        self, stream: ResponseStream[ChatResponseUpdate, ChatResponse[Any]], call: PendingCall
    ) -> ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        from agent_framework import ChatResponse, ResponseStream  # noqa: PLC0415 - cold start

        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            started = time.perf_counter()
            came: list[Content] = []
            try:
                async with stream:
                    async for update in stream:
                        came += update.contents
                        yield update
                    response = await stream.get_final_response()
            except BaseException as error:  # including the reader's leaving
                await self._end_without(call, error, came, started)
                raise
            await self._end(call, response, started)

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates)

    async def _begin(self, context: ChatContext) -> PendingCall:
        """Store and reserve the call at its upper bound, and return it.

        Raises:
            BudgetBlocked: A budget, or a degradation step of the agent, does not allow it.
            RunFailed: The run is a runaway.
            Unavailable: It cannot be stored.
        """
        self.guard.check(time.monotonic())
        state, spec = self.totals, self._live.spec
        state.messages = list(context.messages)
        if state.given is None:
            state.given = len(state.messages)
        options: dict[str, Any] = context.options if isinstance(context.options, dict) else {}
        limited = bool(await self._budget.limits())
        if limited:
            await self._degrade(options)
            if spec.max_output_tokens is None and spec.provider != "foundry":
                # The dict is shared by all calls of the loop, so this applies to all.
                options.setdefault("max_tokens", None)
                options["max_tokens"] = options["max_tokens"] or self._policy.usual_output
        target = _target(context)
        model = str(options.get("model") or spec.model)
        most_output = int(options.get("max_tokens") or spec.max_output_tokens or self._policy.usual_output)
        sends = sent(context.messages, options, spec.instructions, held=self._policy.held_tokens)
        usage = Usage(input_tokens=sends.at_most(), output_tokens=most_output)
        rates = await self._rates.of(self._workspace)
        if target is not None and target.rate is not None:
            rates = rates.having(model, target.rate)
        call = replace(
            estimated(rates, spec, model, usage, self._clock()), number=self._policy.first + len(state.calls)
        )
        if target is not None:
            call = replace(call, provider=target.provider, deployment=target.deployment)
        state.wanted = call
        await self._budget.begin(call)
        try:
            await self._notes.calling(state.calls, call)
        except BaseException:
            self._budget.record(replace(call, usage=Usage(), cost_micro_usd=0, outcome="refused"))  # it is not made
            raise
        state.open = call
        if self._limit is not None and self._budget.until is not None:
            self._limit.reschedule(min(self._latest, self._budget.until))
        return PendingCall(call, sends, rates)

    async def _end(self, call: PendingCall, response: ChatResponse[Any], started: float) -> None:
        """Settle the call at its actual cost."""
        self.totals.finish_reason = str(response.finish_reason or "")
        if metered(response):
            settled, unmetered = call.answered(response)
        else:  # in a thread, as a tokenizer's first use takes a second
            settled, unmetered = await asyncio.to_thread(call.answered, response)
        if unmetered:
            msg = "the usage of an answer of %s cannot be booked, which is charged at an estimate: %s"
            log.warning(msg, settled.model, unmetered, extra={"event": "usage.unmetered"})
        self._settle(settled, started)
        if settled.cost_micro_usd is None:
            await self._rates.note_unpriced(self._workspace, call.intent.model, settled.model)

    async def _end_without(
        self, call: PendingCall, error: BaseException, came: Sequence[Content] | None, started: float
    ) -> None:
        """Settle a call without a whole response; `came` are the streamed pieces, None if not streamed."""
        counted = came is not None and not refused(error)
        settled = await asyncio.to_thread(call.unfinished, error, came) if counted else call.unfinished(error, came)
        self._settle(settled, started)

    def _settle(self, call: Call, started: float) -> None:
        call = replace(call, latency_ms=round((time.perf_counter() - started) * 1000))
        self.totals.calls.append(call)
        self.totals.open = None
        self._budget.record(call)
        self.guard.spent(call.spend.cost_micro_usd, time.monotonic())

    async def _degrade(self, options: dict[str, Any]) -> None:
        """Apply the agent's degradation steps for the used share of its budgets.

        Raises:
            BudgetBlocked: A reached step stops the run, or needs an approval that it does not have.
        """
        steps = self._live.spec.ladder
        if not steps:
            return
        percent = await self._budget.percent()
        for step in reached(steps, percent):
            await self._budget.degraded(step.do, percent, step.model)
            if step.do == "cheaper_model":
                options["model"] = step.model
            elif step.do == "stop" or (step.do == "ask" and not self._policy.approved):
                self.totals.stopped_at_percent = step.at
                raise _stopped(step, percent)


def estimated(rates: Rates, spec: AgentSpec, model: str, usage: Usage, now: datetime) -> Call:
    """Return the first call of an attempt, unsettled, at its upper bound."""
    fees = rates.fees({tool.type: 1 for tool in spec.hosted_tools})
    priced = rates.at_most(model, usage, now)
    return Call(
        number=1,
        at=now,
        provider=spec.provider,
        model=model,
        usage=usage,
        cost_micro_usd=None if priced.cost_micro_usd is None else priced.cost_micro_usd + fees,
        rate=priced.rate,
        outcome="unsettled",
    )


def _target(context: ChatContext) -> CallTarget | None:
    """Return the deployment to which a route sends the call; None without a route."""
    chosen: Try | None = context.kwargs.get(ROUTED)
    return None if chosen is None else chosen.target


def charged(run: Run) -> CostAttribution:
    """Return who is charged for a run."""
    return CostAttribution(run.workspace, run.agent, run.session_id, run.id, run.user_id or "")


def _stopped(rung: DegradationStep, percent: int) -> BudgetBlocked:
    if rung.do == "ask":
        msg = f"{percent} % of a budget are spent; from {rung.at} % on the agent needs an operator's approval."
        return BudgetBlocked(msg, code=APPROVAL)
    msg = f"{percent} % of a budget are spent; the agent stops at {rung.at} %."
    return BudgetBlocked(msg)
