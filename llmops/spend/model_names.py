"""The names under which one model goes: as configured, as served, with a gateway's prefix, a tag, a region or a date.

A name is reduced step by step, each step only where it applies; the result of each step is tried in order:

    step                         example
    as it is                     ~openrouter/eu.anthropic.claude-sonnet-4.5@20250929:free
    without `~`                  openrouter/eu.anthropic.claude-sonnet-4.5@20250929:free
    without a router's tag       openrouter/eu.anthropic.claude-sonnet-4.5@20250929
    without each path before it  eu.anthropic.claude-sonnet-4.5@20250929     (openai/…, models/…, accounts/x/models/…)
    without a region             anthropic.claude-sonnet-4.5@20250929        (us., eu., apac., global., …)
    without a vendor             claude-sonnet-4.5@20250929                  (Bedrock's anthropic., meta., …; its -v1:0)
    without a date               claude-sonnet-4.5                           (@20250929, -2025-09-29, @latest, …)
    Anthropic's own dashes       claude-sonnet-4-5
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_TAG = re.compile(r":(?:free|beta|nitro|floor|online|thinking|extended|exacto)$")
_REGION = re.compile(r"^(?:us|eu|ap|apac|au|ca|jp|sa|me|af|us-gov|global)\.(?=[a-z0-9]+\.)")
_VENDOR = re.compile(r"^(?:anthropic|meta|amazon|mistral|cohere|ai21|deepseek|openai|qwen|google|writer)\.")
_BEDROCK_VERSION = re.compile(r"-v\d+(?::\d+)?$")
_DATE = re.compile(r"(?:[@-]20\d{6}|[@-]20\d\d-\d\d-\d\d|[@-]latest)$")
_CLAUDE_DOT = re.compile(r"(?<=\d)\.(?=\d)")


@lru_cache(maxsize=2048)
def spellings(name: str) -> tuple[str, ...]:
    """Return the names of the model: its own first, the most general last, without duplicates."""
    return tuple(dict.fromkeys(_spellings(name)))


def _spellings(name: str) -> Iterator[str]:
    yield name
    name = name.removeprefix("~")
    yield name
    name = _TAG.sub("", name)
    yield name
    while "/" in name:
        name = name.partition("/")[2]
        yield name
    name = _REGION.sub("", name)
    yield name
    if _VENDOR.search(name):
        name = _VENDOR.sub("", name)
        yield name
        name = _BEDROCK_VERSION.sub("", name)
        yield name
    name = _DATE.sub("", name)
    yield name
    if name.startswith("claude-"):
        yield _CLAUDE_DOT.sub("-", name)
