"""Putting every model call of a run into the ledger, at the moment it returns."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kernel.clock import Clock
from llmops.spend.ledger import Ledger, Line
from llmops.spend.pricing import price
from llmops.spend.usage import Spend, Usage

if TYPE_CHECKING:
    from agent_framework import ChatContext, ChatResponse, UsageDetails

    from lifecycle.loader.resolver import LiveAgent
    from lifecycle.runs.rules import Run


@dataclass(slots=True)
class Meter:
    """Counts the model calls of one attempt.

    Attributes:
        run: The run, as claimed for this attempt.
        live: The agent that runs it.
        ledger: Where the calls are written.
        clock: Tells when a call ended.
        spend: What the attempt's calls have come to.
        model: The model that answered last, as the provider named it; None before the first answer.
    """

    run: Run
    live: LiveAgent
    ledger: Ledger
    clock: Clock
    spend: Spend = field(default_factory=Spend)
    model: str | None = None

    async def record(self, response: ChatResponse, latency_ms: int) -> None:
        """Price a model's answer and write it to the ledger.

        Raises:
            Unavailable: The ledger cannot be written; the attempt must not go on unrecorded.
        """
        self.model = response.model or self.live.spec.model
        usage = usage_of(response.usage_details)
        now = self.clock()
        priced = price(self.model, usage, now)
        line = Line(
            workspace=self.run.workspace,
            run_id=self.run.id,
            attempt=self.run.attempt,
            call=self.spend.calls + 1,
            at=now,
            agent=self.run.agent,
            session_id=self.run.session_id,
            user_id=self.run.user_id or "",
            provider=self.live.spec.provider,
            model=self.model,
            usage=usage,
            cost_micro_usd=priced.cost_micro_usd,
            rate=priced.rate,
            latency_ms=latency_ms,
        )
        await self.ledger.record(line)
        self.spend += line.spend

    def middleware(self) -> Callable[[ChatContext, Callable[[], Awaitable[None]]], Awaitable[None]]:
        """Return chat middleware for Agent Framework, which calls it once per model round trip."""
        from agent_framework import ChatResponse, chat_middleware  # noqa: PLC0415 - cold start

        @chat_middleware
        async def meter(context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
            started = time.perf_counter()
            await call_next()
            if isinstance(context.result, ChatResponse):
                await self.record(context.result, round((time.perf_counter() - started) * 1000))

        return meter


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
