"""Paying for every model call of a run: reserved before it is made, and in the ledger when it has returned."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kernel.clock import Clock
from kernel.errors import AppError
from lifecycle.runs.estimating import estimate
from lifecycle.runs.guard import Guard
from lifecycle.specs.spending import reached
from llmops.budgets.news import BudgetNews
from llmops.budgets.purse import Purse
from llmops.budgets.rules import BudgetBlocked, Charged
from llmops.budgets.waits import APPROVAL
from llmops.spend.ledger import Line, Outcome, Purpose
from llmops.spend.rates import RateBook
from llmops.spend.usage import Spend, Usage

if TYPE_CHECKING:
    from agent_framework import ChatContext, ChatResponse, ChatResponseUpdate, Message, ResponseStream, UsageDetails

    from lifecycle.loader.resolver import LiveAgent
    from lifecycle.runs.rules import Run
    from lifecycle.specs.spending import Rung

CallNext = Callable[[], Awaitable[None]]
_HOSTED = {
    "search_tool_call": "web_search",
    "code_interpreter_tool_call": "code_interpreter",
    "image_generation_tool_call": "image_generation",
    "mcp_server_tool_call": "mcp",
}
"""Contents that say that the provider ran a tool, and what its rate is named after."""


@dataclass(slots=True)
class Meter:
    """Pays for the model calls of one attempt.

    Attributes:
        run: The run, as claimed for this attempt.
        live: The agent that runs it.
        purse: What pays.
        rates: What the workspace pays for models and tools.
        guard: Stops the attempt when it runs away.
        news: Tells of steps down the agent's ladder.
        clock: Tells when a call began.
        usual_output: Tokens that an answer may take where the agent does not say; within budgets it may take no more.
        held_tokens: Most tokens of the conversation that the provider keeps.
        spend: What the attempt's calls have come to.
        model: The model that answered last, as the provider named it; None before the first answer.
        model_ms: How long the calls have taken.
        intent: The last call that was to be made, at its estimate.
        waits_below: The step of the ladder that stopped the run, in percent.
        messages: What the last call was to be told.
        first: How many of these the first call was told already.
        purpose: What the calls are for.
        calls: How many of the attempt have been begun.
        lines: What became of them; of one that could not be recorded, its estimate.
        limit: What ends the attempt, which a budget of wall time may bring forward; `latest` is when it would anyway.
    """

    run: Run
    live: LiveAgent
    purse: Purse
    rates: RateBook
    guard: Guard
    news: BudgetNews
    clock: Clock
    usual_output: int
    held_tokens: int = 0
    spend: Spend = field(default_factory=Spend)
    model: str | None = None
    model_ms: int = 0
    intent: Line | None = None
    waits_below: int | None = None
    limit: asyncio.Timeout | None = None
    latest: float = 0.0
    messages: list[Message] = field(default_factory=list["Message"])
    first: int = 0
    purpose: Purpose = "answer"
    calls: int = 0
    lines: list[Line] = field(default_factory=list[Line])

    def middleware(self) -> list[Any]:
        """Return middleware for Agent Framework: of model calls, which it makes one by one, and of function tools."""
        from agent_framework import chat_middleware  # noqa: PLC0415 - cold start

        @chat_middleware
        async def meter(context: ChatContext, call_next: CallNext) -> None:
            await self._call(context, call_next)

        return [meter, self.guard.middleware()]

    async def _call(self, context: ChatContext, call_next: CallNext) -> None:
        intent = await self._begin(context)
        started = time.perf_counter()
        try:
            await call_next()
        except BaseException as error:
            await self._end_without(intent, error, started)
            raise
        result = context.result
        if context.stream:
            # The stream is made, not sent: what it takes is known when it ends, however it does.
            context.result = self._metered(result, intent)  # pyright: ignore[reportArgumentType] - of a streamed call
        else:
            await self._end(intent, result, started)  # pyright: ignore[reportArgumentType] - of one that is not

    def _metered(
        self, stream: ResponseStream[ChatResponseUpdate, ChatResponse[Any]], intent: Line
    ) -> ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        from agent_framework import ChatResponse, ResponseStream  # noqa: PLC0415 - cold start

        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            started = time.perf_counter()
            try:
                async with stream:
                    async for update in stream:
                        yield update
                    response = await stream.get_final_response()
            except BaseException as error:  # the reader's leaving among them
                await self._end_without(intent, error, started)
                raise
            await self._end(intent, response, started)

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates)

    async def _begin(self, context: ChatContext) -> Line:
        """Reserve the call and return it at its estimate.

        Raises:
            BudgetBlocked: A budget, or the agent's ladder, does not allow it.
            RunFailed: The run has run away.
        """
        self.guard.check(time.monotonic())
        self.messages = list(context.messages)
        if self.calls == 0:
            self.first = len(self.messages)
        spec, run = self.live.spec, self.run
        options: dict[str, Any] = context.options if isinstance(context.options, dict) else {}
        limited = bool(await self.purse.limits())
        if limited:
            await self._degrade(options)
            if spec.max_output_tokens is None and spec.provider != "foundry":
                # One dict is shared by all calls of the loop, so that this is said once for all.
                options.setdefault("max_tokens", None)
                options["max_tokens"] = options["max_tokens"] or self.usual_output
        model = str(options.get("model") or spec.model)
        most_output = int(options.get("max_tokens") or spec.max_output_tokens or self.usual_output)
        usage = estimate(context.messages, options, spec.instructions, held=self.held_tokens, most_output=most_output)
        rates, now = await self.rates.of(run.workspace), self.clock()
        fees = rates.fees({tool.type: 1 for tool in spec.hosted_tools})
        cost = rates.at_most(model, usage, now)
        at_most = None if cost is None else cost + fees
        self.calls += 1
        intent = Line(
            workspace=run.workspace,
            run_id=run.id,
            attempt=run.attempt,
            call=self.calls,
            at=now,
            agent=run.agent,
            session_id=run.session_id,
            user_id=run.user_id or "",
            provider=spec.provider,
            model=model,
            usage=usage,
            cost_micro_usd=at_most,
            rate=rates.price(model, usage, now).rate,
            latency_ms=0,
            purpose=self.purpose,
            outcome="unsettled",
        )
        self.intent = intent
        await self.purse.begin(intent)
        if self.limit is not None and self.purse.until is not None:
            self.limit.reschedule(min(self.latest, self.purse.until))
        return intent

    async def _end(self, intent: Line, response: ChatResponse[Any], started: float) -> None:
        """Record the answer at what it cost.

        Raises:
            Unavailable: The ledger cannot be written; the attempt must not go on unrecorded.
        """
        self.model = response.model or intent.model
        usage = usage_of(response.usage_details)
        rates = await self.rates.of(intent.workspace)
        priced, fees = rates.price(self.model, usage, intent.at), rates.fees(_tools(response))
        cost = None if priced.cost_micro_usd is None else priced.cost_micro_usd + fees
        line = replace(
            intent,
            model=self.model,
            usage=usage,
            cost_micro_usd=cost,
            rate=priced.rate,
            tool_micro_usd=fees,
            outcome="answered",
        )
        await self._record(line, started)
        if cost is None:
            await self.rates.note_unpriced(intent.workspace, self.model)

    async def _end_without(self, intent: Line, error: BaseException, started: float) -> None:
        """Record a call that brought no answer: refused by the provider, or of unknown cost."""
        outcome: Outcome = "refused" if refused(error) else "unsettled"
        usage = Usage() if outcome == "refused" else intent.usage
        cost = 0 if outcome == "refused" else intent.cost_micro_usd
        await self._record(replace(intent, usage=usage, cost_micro_usd=cost, outcome=outcome), started)

    async def _record(self, line: Line, started: float) -> None:
        took = round((time.perf_counter() - started) * 1000)
        self.model_ms += took
        self.lines.append(replace(self.intent or line, latency_ms=took))
        stored = await self.purse.record(replace(line, latency_ms=took))
        self.lines[-1] = stored
        self.spend += stored.spend
        self.guard.spent(stored.spend.cost_micro_usd, time.monotonic())

    async def _degrade(self, options: dict[str, Any]) -> None:
        """Go down the agent's ladder as far as its budgets are used up.

        Raises:
            BudgetBlocked: A step that is reached stops the run, or asks for an approval that it does not have.
        """
        ladder = self.live.spec.ladder
        if not ladder:
            return
        percent = await self.purse.percent()
        for rung in reached(ladder, percent):
            who = charged(self.run)
            await self.news.degraded(who, rung.do, percent, rung.model, self.clock())
            if rung.do == "cheaper_model":
                options["model"] = rung.model
            elif rung.do == "stop" or (rung.do == "ask" and not self.run.approved):
                self.waits_below = rung.at
                raise _stopped(rung, percent)


def charged(run: Run) -> Charged:
    """Return who is charged for a run."""
    return Charged(run.workspace, run.agent, run.session_id, run.id, run.user_id or "")


def usage_of(details: UsageDetails | None) -> Usage:
    """Return the call's usage from the framework's standard keys; provider-specific keys repeat these amounts."""
    counts = details or {}
    return Usage(
        input_tokens=counts.get("input_token_count") or 0,
        cached_tokens=counts.get("cache_read_input_token_count") or 0,
        cache_write_tokens=counts.get("cache_creation_input_token_count") or 0,
        output_tokens=counts.get("output_token_count") or 0,
        reasoning_tokens=counts.get("reasoning_output_token_count") or 0,
    )


def refused(error: BaseException) -> bool:
    """Return whether the provider answered that it will not: with a status, or by an error of our own tree.

    Anything else (a timeout, a broken connection, a reader that left, a worker that is stopped) leaves open what the
    model has done.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, AppError) or isinstance(getattr(seen, "status_code", None), int):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _tools(response: ChatResponse[Any]) -> Mapping[str, int]:
    """Return how often the provider ran each of its tools."""
    contents = (content for message in response.messages for content in message.contents)
    ran = (content for content in contents if content.type in _HOSTED)
    return Counter(content.tool_name or _HOSTED[content.type] for content in ran)


def _stopped(rung: Rung, percent: int) -> BudgetBlocked:
    if rung.do == "ask":
        msg = f"{percent} % of a budget are spent; from {rung.at} % on the agent needs an operator's approval."
        return BudgetBlocked(msg, code=APPROVAL)
    msg = f"{percent} % of a budget are spent; the agent stops at {rung.at} %."
    return BudgetBlocked(msg)
