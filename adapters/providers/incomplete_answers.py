"""What all providers' answers go through: middleware that rejects incomplete ones, and the usage they report.

Usage is translated to Agent Framework's terms here, because the framework's own parser loses fields that only some
providers send (`cache_creation_tokens`, `prompt_cache_hit_tokens`), passes on fractions and negative numbers, and
raises on details that are not objects, which would lose a paid answer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from agent_framework import ChatContext, ChatMiddleware, ChatResponse, UsageDetails

from adapters.providers.openai_failures import content_filtered, unusable_answer
from llmops.spend.usage import Usage, read_usage


class WholeAnswer(ChatMiddleware):
    """Raises an error for an answer cut by the content filter or broken off, which the framework would accept.

    As the agent's own middleware it is outside any given to `run`, which have therefore seen the token counts before it
    raises.
    """

    async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Check the call's answer; a streamed one at its end."""
        if context.stream:
            context.stream_result_hooks.append(self._check)
            await call_next()
        else:
            await call_next()
            if isinstance(context.result, ChatResponse):
                self._check(context.result)

    def _check(self, response: ChatResponse[Any]) -> ChatResponse[Any]:
        if response.finish_reason == "content_filter":
            raise content_filtered()
        if response.finish_reason in (None, "error"):
            raise unusable_answer()
        return response


WHOLE_ANSWER = WholeAnswer()
"""The only instance; it is stateless."""


log = logging.getLogger(__name__)


def usage_details(reported: Any) -> UsageDetails:
    """Return the usage in an SDK object; empty where it is unusable, which makes the call unmetered."""
    read = read_usage(reported.to_dict(mode="python", warnings=False) if hasattr(reported, "to_dict") else reported)
    if not isinstance(read, Usage):
        log.warning("an answer's usage cannot be used: %s", read.reason, extra={"event": "provider.usage_unusable"})
        return UsageDetails()
    return UsageDetails(
        input_token_count=read.input_tokens,
        output_token_count=read.output_tokens,
        total_token_count=read.input_tokens + read.output_tokens,
        cache_read_input_token_count=read.cached_tokens,
        cache_creation_input_token_count=read.cache_write_tokens,
        reasoning_output_token_count=read.reasoning_tokens,
    )
