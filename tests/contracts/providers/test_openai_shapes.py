"""Answers of OpenAI-compatible endpoints as they come in the wild: what is booked of them, and which of them count."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.providers.openai import Endpoint
from kernel.errors import AppError, ProviderRejected, Unavailable
from llmops.spend.usage import Unmetered, Usage, read_usage
from tests.contracts.providers.conftest import agent_at, ask
from tests.contracts.providers.metering import Meter
from tests.fakes.openai_server import REASONING, FakeOpenAI
from tests.fakes.openai_shapes import ABSENT, FINISH_REASONS, SHAPES, USAGES

CLAUDE = Usage(98_805, 66_360, 32_435, 5_120)
METERED = {
    "openai": Usage(100, 64, 0, 20, 8),
    "openai_cache_write": Usage(100, 10, 64, 20),
    "responses": Usage(100, 64, 0, 20, 8),
    "azure": Usage(100, 0, 0, 20),
    "azure_nulls": Usage(100, 0, 0, 20),
    "claude_at_litellm": CLAUDE,
    "claude_at_gateway": CLAUDE,
    "anthropic": CLAUDE,
    "claude_cache_apart": Usage(170, 100, 60, 20),
    "gemini": Usage(100, 0, 0, 250),
    "xai": Usage(100, 64, 0, 114, 94),
    "deepseek": Usage(100, 64, 0, 20, 8),
    "mistral": Usage(100, 64, 0, 20),
    "moonshot": Usage(100, 64, 0, 20),
    "qwen": Usage(100, 0, 64, 20),
    "openrouter": Usage(100, 64, 10, 20, 8),
    "whole_floats": Usage(100, 0, 0, 20),
    "texts": Usage(100, 0, 0, 20),
    "no_total": Usage(100, 0, 0, 20),
}
UNMETERED = {
    "absent": "none is reported",
    "null": "none is reported",
    "empty": "none is reported",
    "a_list": "none is reported",
    "a_text": "none is reported",
    "zeros": "an input of no tokens is reported",
    "no_input": "an input of no tokens is reported",
    "null_counts": "the tokens of input are not reported",
    "null_output": "the tokens of output are not reported",
    "fraction": "completion_tokens is no number of tokens",
    "negative": "prompt_tokens is no number of tokens",
    "negative_cached": "prompt_tokens_details.cached_tokens is no number of tokens",
    "worded": "prompt_tokens is no number of tokens",
    "huge": "prompt_tokens is no number of tokens",
    "cached_over_prompt": "more is read from and written to a cache than is input",
    "written_over_prompt": "more is read from and written to a cache than is input",
    "reasoning_over_completion": "more is reasoning than is output",
    "total_too_small": "the total is less than input and output",
    "details_a_list": "prompt_tokens_details holds no counts",
    "details_a_text": "completion_tokens_details holds no counts",
}
WHOLE = (
    "usage_on_each_chunk", "empty_usage_last", "null_choices_last", "no_choices_last",
    "null_choices_in_place_of_the_end", "finish_null", "finish_empty", "no_done", "null_envelope", "text_created",
    "content_parts", "no_stream", "no_stream_finish_null", "plain_text", "octets", "utf16", "bom",
)  # fmt: skip


def test_every_shape_has_an_expectation() -> None:
    """No usage that the fake can send is left out here."""
    assert {*METERED, *UNMETERED} == {*USAGES}


@pytest.mark.parametrize("name", USAGES)
def test_usage_is_read_or_refused_with_a_reason(name: str) -> None:
    """Whole, not negative and consistent, in whichever words; else it is said what is wrong."""
    reported = None if USAGES[name] is ABSENT else USAGES[name]
    expected = METERED[name] if name in METERED else Unmetered(UNMETERED[name])

    assert read_usage(reported) == expected


@pytest.mark.parametrize("count", [True, float("nan"), float("inf"), 0.5, -1, "-1", "1.0", "²", 10**30, [1], {}])
def test_what_is_no_number_of_tokens_is_refused(count: Any) -> None:
    """A count is whole and from nothing to a thousand millions, as a number or as its digits."""
    assert isinstance(read_usage({"prompt_tokens": count, "completion_tokens": 1}), Unmetered)
    assert isinstance(read_usage({"prompt_tokens": 1, "completion_tokens": count}), Unmetered)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", USAGES)
async def test_usage_reaches_the_meter_whole_or_not_at_all(fake: FakeOpenAI, name: str, stream: bool) -> None:
    """Nothing is lost between wire and ledger, no nonsense comes through, and the answer counts all the same."""
    fake.answer_next(f"usage:{name}")
    meter = Meter()
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        response = await ask(agent, "Hi", meter, stream=stream)
    read = read_usage(meter.calls[0].usage)

    assert response.text.startswith("heard 2 messages")
    assert (read if isinstance(read, Usage) else None) == METERED.get(name)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", WHOLE)
async def test_what_came_whole_counts(fake: FakeOpenAI, name: str, stream: bool) -> None:
    """One call, its text, and its finish reason where there is one: `unknown` is not made up to be `stop`."""
    fake.answer_next(name)
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        response = await ask(agent, "Hi", stream=stream)
    shape = SHAPES[name]
    unsaid = shape.finish_reason in (None, "") or (stream and not shape.finishes)

    assert response.text == (
        "in parts" if name == "content_parts" else "heard 2 messages (system, user), the last: 'Hi'"
    )
    assert response.finish_reason == ("unknown" if unsaid else "stop")
    assert len(fake.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", FINISH_REASONS)
async def test_why_an_answer_ended_comes_out_in_one_vocabulary(fake: FakeOpenAI, said: str, stream: bool) -> None:
    """A cut answer is `length`, whatever its provider calls that."""
    fake.answer_next(f"finish:{said}")
    meter = Meter()
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        response = await ask(agent, "Hi", meter, stream=stream)

    assert response.finish_reason == meter.calls[0].finish_reason == FINISH_REASONS[said]


@pytest.mark.parametrize("stream", [False, True])
async def test_usage_on_each_chunk_is_the_last_chunks(fake: FakeOpenAI, stream: bool) -> None:
    """Servers that report as they go report sums; they are not added up, and an empty one takes nothing back."""
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        meter = Meter()
        await ask(agent, "Hi", meter, stream=stream)
        for name in ("usage_on_each_chunk", "empty_usage_last"):
            fake.answer_next(name)
            await ask(agent, "Hi", meter, stream=stream)
    first, *others = (read_usage(call.usage) for call in meter.calls)

    assert isinstance(first, Usage)
    assert first.reasoning_tokens == REASONING
    assert others == [first, first]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call_without_a_finish_reason_is_made(fake: FakeOpenAI, stream: bool) -> None:
    """The loop goes on from what the model asks for, whatever the server says of the end."""
    from tests.contracts.providers.conftest import OPENAI_SPEC  # noqa: PLC0415

    fake.answer_next("finish_null", times=2)
    spec = OPENAI_SPEC.model_copy(update={"tools": ("calculator",)})
    async with agent_at(Endpoint(base_url=fake.base_url), spec) as (agent, _):
        response = await ask(agent, '/tool calculator {"expression": "2 + 3"}', stream=stream)

    assert response.text.endswith("the last: '5'")


async def _failure(fake: FakeOpenAI, stream: bool, meter: Meter) -> AppError:
    async with agent_at(Endpoint(base_url=fake.base_url, max_retries=0)) as (agent, provider):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
            await ask(agent, "Hi", meter, stream=stream)
        return provider.translate(caught.value)


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("no_end", True),
        ("cut", True),
        ("cut", False),
        ("no_text", True),
        ("no_text", False),
        ("null_choices", True),
        ("null_choices", False),
        ("finish_error", True),
        ("finish_error", False),
        ("error_upstream", True),
        ("error_upstream", False),
    ],
)
async def test_what_broke_off_is_an_outage(fake: FakeOpenAI, name: str, stream: bool) -> None:
    """The transport tells: no `[DONE]`, an incomplete body, or nothing in it; another attempt may bring an answer."""
    fake.answer_next(name)
    error = await _failure(fake, stream, Meter())

    assert (type(error), error.code) == (Unavailable, "provider_unavailable")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["error_context", "error_bad_request"])
async def test_what_fails_the_same_way_again_is_not_tried_again(fake: FakeOpenAI, name: str, stream: bool) -> None:
    """An error that is sent with status 200 means what its code says."""
    fake.answer_next(name)
    error = await _failure(fake, stream, Meter())

    assert (type(error), error.code) == (ProviderRejected, "provider_rejected")


@pytest.mark.parametrize("stream", [False, True])
async def test_throttling_with_status_200_is_throttling(fake: FakeOpenAI, stream: bool) -> None:
    """The queue waits as for a 429."""
    fake.answer_next("error_throttled")

    assert (await _failure(fake, stream, Meter())).code == "provider_throttled"


def test_framework_details_are_read_as_a_report() -> None:
    """Cached and reasoning tokens come under the framework's keys and the provider's; none is added twice."""
    details: dict[str, Any] = {
        "input_token_count": 10,
        "output_token_count": 5,
        "total_token_count": 15,
        "cache_read_input_token_count": 4,
        "cache_creation_input_token_count": 3,
        "reasoning_output_token_count": 2,
        "openai.cached_input_tokens": 4,
        "openai.reasoning_tokens": 2,
    }

    assert read_usage(details) == Usage(10, 4, 3, 5, 2)
