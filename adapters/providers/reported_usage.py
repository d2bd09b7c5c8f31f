"""Usage reported by a provider, in Agent Framework's terms.

The framework's own parser loses fields that only some providers send (`cache_creation_tokens`,
`prompt_cache_hit_tokens`),
passes on fractions and negative numbers, and raises on details that are not objects, which would lose a paid answer.
"""

from __future__ import annotations

import logging
from typing import Any

from agent_framework import UsageDetails

from llmops.spend.usage import Usage, read_usage

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
