"""The shapes in which answers of Chat Completions come in the wild: what the fake server can be told to send.

Usage shapes are after the documented or published answers of each provider; the others after servers and gateways that
end answers oddly. `FakeOpenAI.answer_next(NAME)` makes the next answer one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

KEEP: Final = object()
"""As the fake would send it anyway."""
ABSENT: Final = object()
"""Not sent; in a stream, no chunk of usage comes."""


@dataclass(frozen=True)
class Shape:
    """How an answer is sent.

    Attributes:
        usage: Its `usage`.
        finish_reason: Its `finish_reason`; in a stream, that of the last choice.
        envelope: What stands in place of fields beside the choices.
        choices: What stands in place of the choices of a whole answer; a stream sends none.
        content: What stands in place of the text, in the last piece of a stream too.
        last: Chunks that a stream sends last, before `[DONE]`.
        done: Whether a stream ends with `[DONE]`.
        finishes: Whether a stream sends a choice with a `finish_reason` at all.
        usage_on: On which chunks of a stream the usage is: one of its own at the end, or on each.
        content_type: The answer's content type; None for the usual one.
        charset: What the body is encoded with.
        streams: Whether a stream is sent where one is asked for; else one JSON body.
        cut: Whether the connection breaks before the end: a stream before its last chunk, a body before its last byte.
        error: An error that is sent instead, with status 200: as the body, or as a stream's first event.
    """

    usage: Any = KEEP
    finish_reason: Any = KEEP
    envelope: Mapping[str, Any] = field(default_factory=dict[str, Any])
    choices: Any = KEEP
    content: Any = KEEP
    last: tuple[Mapping[str, Any], ...] = ()
    done: bool = True
    finishes: bool = True
    usage_on: Literal["end", "each"] = "end"
    content_type: str | None = None
    charset: str = "utf-8"
    streams: bool = True
    cut: bool = False
    error: Any = None


def _openai(prompt: Any = 100, completion: Any = 20, total: Any = 120, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


USAGES: Mapping[str, Any] = {
    # Whole and consistent, each in its provider's words.
    "openai": _openai(
        prompt_tokens_details={"cached_tokens": 64, "audio_tokens": 0},
        completion_tokens_details={
            "reasoning_tokens": 8,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    ),
    "openai_cache_write": _openai(prompt_tokens_details={"cached_tokens": 10, "cache_write_tokens": 64}),
    "responses": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 8},
        "total_tokens": 120,
    },
    "azure": _openai(prompt_tokens_details=None, completion_tokens_details=None),
    "azure_nulls": _openai(
        prompt_tokens_details={"cached_tokens": None}, completion_tokens_details={"reasoning_tokens": None}
    ),
    "claude_at_litellm": _openai(
        98_805,
        5_120,
        103_925,
        prompt_tokens_details={"cached_tokens": 66_360, "cache_creation_tokens": 32_435},
        cache_creation_input_tokens=32_435,
        cache_read_input_tokens=66_360,
    ),
    "claude_at_gateway": _openai(
        98_805, 5_120, 103_925, prompt_tokens_details={"cached_tokens": 66_360, "cache_creation_tokens": 32_435}
    ),
    "anthropic": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 32_435,
        "cache_read_input_tokens": 66_360,
        "cache_creation": {"ephemeral_5m_input_tokens": 32_435, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 5_120,
        "service_tier": "standard",
    },
    "claude_cache_apart": _openai(10, 20, 190, cache_read_input_tokens=100, cache_creation_input_tokens=60),
    "gemini": _openai(100, 20, 350),
    "xai": _openai(
        100,
        20,
        214,
        prompt_tokens_details={"text_tokens": 100, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 64},
        completion_tokens_details={"reasoning_tokens": 94, "audio_tokens": 0},
        num_sources_used=0,
    ),
    "deepseek": _openai(
        prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36, completion_tokens_details={"reasoning_tokens": 8}
    ),
    "mistral": _openai(prompt_audio_seconds=None, num_cached_tokens=64),
    "moonshot": _openai(cached_tokens=64),
    "qwen": _openai(
        prompt_tokens_details={
            "cached_tokens": 0,
            "cache_creation_input_tokens": 64,
            "cache_creation": {"ephemeral_5m_input_tokens": 64},
            "cache_type": "ephemeral",
        }
    ),
    "openrouter": _openai(
        prompt_tokens_details={"cached_tokens": 64, "cache_write_tokens": 10, "audio_tokens": 0, "video_tokens": 0},
        completion_tokens_details={"reasoning_tokens": 8, "image_tokens": 0},
        cost=0.000_123_4,
        is_byok=False,
        cost_details={"upstream_inference_cost": None},
    ),
    "whole_floats": _openai(100.0, 20.0, 120.0),
    "texts": _openai("100", "20", "120"),
    "no_total": {"prompt_tokens": 100, "completion_tokens": 20},
    # Of no use.
    "absent": ABSENT,
    "null": None,
    "empty": {},
    "a_list": [100, 20],
    "a_text": "100 tokens",
    "zeros": _openai(0, 0, 0),
    "no_input": _openai(0, 20, 20),
    "null_counts": _openai(None, None, None),
    "null_output": _openai(100, None, 120),
    "fraction": _openai(100, 20.5, 120.5),
    "negative": _openai(-5, 20, 15),
    "negative_cached": _openai(prompt_tokens_details={"cached_tokens": -64}),
    "worded": _openai("a hundred", "20", "120"),
    "huge": _openai(10**30, 20, 10**30 + 20),
    "cached_over_prompt": _openai(prompt_tokens_details={"cached_tokens": 500}),
    "written_over_prompt": _openai(prompt_tokens_details={"cached_tokens": 60, "cache_creation_tokens": 60}),
    "reasoning_over_completion": _openai(completion_tokens_details={"reasoning_tokens": 500}),
    "total_too_small": _openai(100, 20, 12),
    "details_a_list": _openai(prompt_tokens_details=[64]),
    "details_a_text": _openai(completion_tokens_details="8"),
}
"""What `usage` is in the answers of different providers."""

FINISH_REASONS: Mapping[str, str] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "model_length": "length",
    "end_turn": "stop",
    "STOP": "stop",
    "eos": "stop",
    "weary": "weary",
}
"""Why answers end, in words of different providers, and in OpenAI's where it has one."""

NULL_CHOICES = {"choices": None}

SHAPES: Mapping[str, Shape] = {
    **{f"usage:{name}": Shape(usage=usage) for name, usage in USAGES.items()},
    "usage_on_each_chunk": Shape(usage_on="each"),
    "empty_usage_last": Shape(last=({"choices": [], "usage": {}},)),
    # Whole, oddly ended.
    "null_choices_last": Shape(last=(NULL_CHOICES,)),
    "no_choices_last": Shape(last=({"choices": []},)),
    "null_choices_in_place_of_the_end": Shape(last=(NULL_CHOICES,), finishes=False, usage=ABSENT),
    "finish_null": Shape(finish_reason=None),
    "finish_empty": Shape(finish_reason=""),
    **{f"finish:{reason}": Shape(finish_reason=reason) for reason in FINISH_REASONS},
    "no_done": Shape(done=False),
    "null_envelope": Shape(envelope={"id": None, "created": None, "model": None, "object": None}),
    "text_created": Shape(envelope={"created": "2026-11-30T12:00:00Z"}),
    "content_parts": Shape(content=[{"type": "thinking", "thinking": []}, {"type": "text", "text": "in parts"}]),
    "no_stream": Shape(streams=False),
    "no_stream_finish_null": Shape(streams=False, finish_reason=None),
    "plain_text": Shape(content_type="text/plain"),
    "octets": Shape(content_type="application/octet-stream"),
    "utf16": Shape(charset="utf-16", streams=False),
    "bom": Shape(charset="utf-8-sig", streams=False),
    # Broken off, or nothing.
    "no_end": Shape(finishes=False, done=False, usage=ABSENT),
    "cut": Shape(cut=True),
    "no_text": Shape(content="", finish_reason=None),
    "null_choices": Shape(choices=None, finishes=False, content=""),
    "finish_error": Shape(finish_reason="error"),
    # Errors with status 200.
    "error_upstream": Shape(error={"message": "no upstream", "code": 502}),
    "error_context": Shape(error={"message": "too long", "type": "x", "code": "context_length_exceeded"}),
    "error_bad_request": Shape(error={"message": "no such field", "code": 400}),
    "error_throttled": Shape(error={"message": "slow down", "code": 429}),
}
"""Every shape by name."""
