"""What the failures of an OpenAI-compatible endpoint mean, and who repeats the call."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.providers.openai import Endpoint
from adapters.providers.openai_failures import named_wait_s
from kernel.errors import AppError, ProviderRejected, Unavailable
from lifecycle.runs.call_costs import refused
from tests.contracts.providers.conftest import NOW, agent_at, ask
from tests.contracts.providers.metering import Meter
from tests.fakes.openai_server import FakeOpenAI, Fault


async def failure(fake: FakeOpenAI, *, stream: bool = False, message: str = "Hi", **endpoint: Any) -> AppError:
    """Return what a run that must fail is translated into."""
    async with agent_at(Endpoint(base_url=fake.base_url, api_key="sk-secret", **endpoint)) as (agent, provider):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
            await ask(agent, message, stream=stream)
        return provider.translate(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("throttled", Unavailable, "provider_throttled"),
        ("server_error", Unavailable, "provider_unavailable"),
        ("unavailable", Unavailable, "provider_unavailable"),
        ("malformed", Unavailable, "provider_unavailable"),
        ("reset", Unavailable, "provider_unavailable"),
        ("quota", ProviderRejected, "provider_rejected"),
        ("invalid", ProviderRejected, "provider_rejected"),
        ("unprocessable", ProviderRejected, "provider_rejected"),
        ("not_found", ProviderRejected, "provider_rejected"),
        ("auth", ProviderRejected, "provider_auth"),
        ("forbidden", ProviderRejected, "provider_auth"),
        ("content_filter", ProviderRejected, "content_filter"),
        ("answer_filtered", ProviderRejected, "content_filter"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_every_fault_has_its_meaning(
    fake: FakeOpenAI, fault: Fault, kind: type[AppError], code: str, stream: bool
) -> None:
    """Each way an endpoint can fail is one of our errors, and none of them quotes the key or the prompt."""
    fake.fail_next(fault)
    error = await failure(fake, stream=stream, message="my secret diary", max_retries=0)

    assert (type(error), error.code) == (kind, code)
    assert "sk-secret" not in error.detail
    assert "diary" not in error.detail


@pytest.mark.parametrize(
    ("fault", "stream"),
    [
        ("html", False),
        ("html", True),
        ("error_as_200", False),
        ("error_as_200", True),
        ("truncated", True),
        ("stream_error", True),
    ],
)
async def test_half_an_answer_is_no_answer(fake: FakeOpenAI, fault: Fault, stream: bool) -> None:
    """A page, an error sent as success and a stream that just ends are outages, not answers."""
    fake.fail_next(fault)
    error = await failure(fake, stream=stream, max_retries=0)

    assert (type(error), error.code) == (Unavailable, "provider_unavailable")


async def test_a_rejection_says_what_was_wrong(fake: FakeOpenAI) -> None:
    """The endpoint's own code and parameter are passed on, they are what one searches for."""
    fake.fail_next("invalid")

    assert "400 (context_length_exceeded, messages[0].content)" in (await failure(fake)).detail


async def test_a_filtered_answer_was_paid_for(fake: FakeOpenAI) -> None:
    """When the filter stops the answer, the tokens it took are metered before the run fails."""
    for stream in (False, True):
        fake.fail_next("answer_filtered")
        meter = Meter()
        async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
            with pytest.raises(ProviderRejected):
                await ask(agent, "Hi", meter, stream=stream)

        assert [call.finish_reason for call in meter.calls] == ["content_filter"]
        assert (meter.calls[0].usage or {}).get("output_token_count")


async def test_nobody_listening_is_an_outage() -> None:
    """A refused connection is an outage."""
    async with FakeOpenAI() as gone:
        pass

    assert (await failure(gone, max_retries=0)).code == "provider_unavailable"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_was_never_sent_costs_nothing(stream: bool) -> None:
    """However often the SDK tries to connect; one that broke off may have been answered, whatever came after it."""
    async with FakeOpenAI() as fake:
        endpoint = Endpoint(base_url=fake.base_url, api_key="k", max_retries=1)
        async with agent_at(endpoint) as (agent, _):
            fake.fail_next("reset", times=2)
            with pytest.raises(Exception) as broken:  # noqa: PT011 - the point is what it is translated into
                await ask(agent, "Hi", stream=stream)
    async with agent_at(endpoint) as (agent, _):
        with pytest.raises(Exception) as unsent:  # noqa: PT011 - see above
            await ask(agent, "Hi", stream=stream)

    assert (refused(broken.value), refused(unsent.value)) == (False, True)


async def test_without_a_key_openai_is_not_asked() -> None:
    """The run fails at once, and says which settings there are."""
    with pytest.raises(ProviderRejected) as missing:
        async with agent_at(Endpoint(base_url="https://api.openai.com/v1")):
            pass

    assert missing.value.code == "provider_not_configured"


async def test_a_time_out_is_not_repeated_at_once(fake: FakeOpenAI) -> None:
    """The model may have answered and been paid for, so only the caller may try again."""
    fake.fail_next("hang", times=2)
    error = await failure(fake, timeout_s=0.1, max_retries=1)

    assert (type(error), error.code) == (Unavailable, "provider_unavailable")
    assert len(fake.requests) == 1


async def test_a_short_throttling_is_waited_for(fake: FakeOpenAI) -> None:
    """A wait of moments costs less than giving the run back to the queue."""
    fake.fail_next("throttled", retry_after_s=0.01)
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        assert (await agent.run("Hi")).text

    assert len(fake.requests) == 2


async def test_a_long_throttling_is_passed_on_at_once(fake: FakeOpenAI) -> None:
    """The SDK alone would hold the worker for up to two minutes; the queue can wait for nothing."""
    fake.fail_next("throttled", retry_after_s=30)
    error = await failure(fake, max_retries=3)

    assert error.retry_after_s == 30
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 08:01:00 GMT"}, 60),
        ({"retry-after": "Sat, 21 Nov 2026 07:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_the_wait_is_read_as_the_rfc_has_it(headers: dict[str, str], wait_s: float | None) -> None:
    """`Retry-After` is seconds or a date; nonsense is as good as nothing."""
    assert named_wait_s(headers, NOW) == wait_s
