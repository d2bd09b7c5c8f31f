"""A model call as it is booked: pure rules from the call, its answer or its failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError
from lifecycle.runs.estimating import SentInput, charge_of_answer, charge_of_unfinished, texts_of
from llmops.facts.model import Call, CallOutcome
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
"""Contents that say that the provider ran a tool, and what its rate is named after."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A model call that was begun.

    Attributes:
        intent: The call at its bound: the most that it may take and cost.
        sent: What it sends.
        rates: What the workspace pays for models and tools.
    """

    intent: Call
    sent: SentInput
    rates: Rates

    def answered(self, response: ChatResponse[Any]) -> tuple[Call, str]:
        """Return the call as it was answered, and why it is unmetered; empty where it is not."""
        contents = [content for message in response.messages for content in message.contents]
        usage, served = read_usage(response.usage_details), response.model or self.intent.model
        if isinstance(usage, Usage):
            return self._settled("answered", served, usage, contents), ""
        texts = [text for content in contents for text in texts_of(content)]
        estimated = charge_of_answer(self.intent.usage, self.sent, texts, served)
        return self._settled("unmetered", served, estimated, contents), usage.reason

    def unfinished(self, error: BaseException, streamed: Sequence[Content] | None) -> Call:
        """Return the call as one that brought no answer: refused by the provider, or charged at an estimate.

        Args:
            error: What ended it.
            streamed: What had come of the answer; None where it was not streamed.
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
    """Return whether the answer says what it used."""
    return isinstance(read_usage(response.usage_details), Usage)


def refused(error: BaseException) -> bool:
    """Return whether the model has certainly done nothing: the call was never sent, or was answered by a refusal.

    A refusal is a status, or an error of our own tree; an adapter marks what was never sent with `never_sent`.
    Anything else (a timeout, a broken connection, a reader that left, a worker that is stopped) leaves open what the
    model has done.
    """
    seen: BaseException | None = error
    while seen is not None:
        known = isinstance(seen, AppError) or isinstance(getattr(seen, "status_code", None), int)
        if known or getattr(seen, "never_sent", False) is True:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _tools(contents: Iterable[Content]) -> Mapping[str, int]:
    """Return how often the provider ran each of its tools."""
    ran = (content for content in contents if content.type in _HOSTED)
    return Counter(content.tool_name or _HOSTED[content.type] for content in ran)
