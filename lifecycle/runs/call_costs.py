"""Booking of model calls: pure rules from a call and its response or failure to its usage and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from lifecycle.runs.call_estimates import SentInput, charge_of_answer, charge_of_unfinished, texts_of
from llmops.facts.attempt_fact import Call, CallOutcome
from llmops.spend.pricing import Rates
from llmops.spend.usage import Usage, read_usage

if TYPE_CHECKING:
    from agent_framework import ChatResponse, Content

_HOSTED = {
    "search_tool_call": "web_search",
    "code_interpreter_tool_call": "code_interpreter",
    "image_generation_tool_call": "image_generation",
    "mcp_server_tool_call": "mcp",
}
"""Contents of responses that show that the provider ran a tool, with the name of the tool's rate."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A model call that was begun.

    Attributes:
        intent: The call at its upper bound of usage and cost.
        sent: The input that it sends.
        rates: The workspace's prices of models and tools.
    """

    intent: Call
    sent: SentInput
    rates: Rates

    def answered(self, response: ChatResponse[Any]) -> tuple[Call, str]:
        """Return the call with its response booked, and why it is unmetered; empty if it is metered."""
        contents = [content for message in response.messages for content in message.contents]
        usage, served = read_usage(response.usage_details), response.model or self.intent.model
        if isinstance(usage, Usage):
            return self._settled("answered", served, usage, contents), ""
        texts = [text for content in contents for text in texts_of(content)]
        estimated = charge_of_answer(self.intent.usage, self.sent, texts, served)
        return self._settled("unmetered", served, estimated, contents), usage.reason

    def unfinished(self, error: BaseException, streamed: Sequence[Content] | None) -> Call:
        """Return the call without a response: refused by the provider, or charged at an estimate.

        Args:
            error: The exception that ended it.
            streamed: The pieces of the answer received; None if not streamed.
        """
        if refused(error):
            return replace(self.intent, usage=Usage(), cost_micro_usd=0, outcome="refused")
        if streamed is None:
            return self.intent
        texts = [text for content in streamed for text in texts_of(content)]
        usage = charge_of_unfinished(self.intent.usage, self.sent, texts, self.intent.model)
        return self._settled("unsettled", self.intent.model, usage, streamed)

    def _settled(self, outcome: CallOutcome, served: str, usage: Usage, contents: Iterable[Content]) -> Call:
        intent = self.intent
        priced = self.rates.price(intent.model, usage, intent.at, served)
        fees = self.rates.fees(_tools(contents))
        cost = None if priced.cost_micro_usd is None else priced.cost_micro_usd + fees
        return replace(
            intent,
            model=served,
            usage=usage,
            cost_micro_usd=cost,
            rate=priced.rate,
            tool_micro_usd=fees,
            outcome=outcome,
            requested=intent.model if intent.model != served else "",
        )


def metered(response: ChatResponse[Any]) -> bool:
    """Return whether the response has a usage."""
    return isinstance(read_usage(response.usage_details), Usage)


def refused(error: BaseException) -> bool:
    """Return whether the model certainly did nothing: the call was not sent, or was refused.

    A refusal is an error status, or an `AppError`; adapters mark calls that were not sent with `never_sent`. After
    anything else (a timeout, a broken connection, a reader that left, a worker that is stopped) it is unknown what the
    model did.
    """
    seen: BaseException | None = error
    while seen is not None:
        has_response = isinstance(seen, AppError) or isinstance(getattr(seen, "status_code", None), int)
        if has_response or getattr(seen, "never_sent", False) is True:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _tools(contents: Iterable[Content]) -> Mapping[str, int]:
    """Return how often the provider ran each of its tools."""
    ran = (content for content in contents if content.type in _HOSTED)
    return Counter(content.tool_name or _HOSTED[content.type] for content in ran)
