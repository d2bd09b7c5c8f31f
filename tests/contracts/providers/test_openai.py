"""What the provider for OpenAI-compatible endpoints sends, and to whom."""

from __future__ import annotations

from typing import Any, cast

import pytest

from adapters.providers.openai import Endpoint, OpenAIProvider
from adapters.providers.openai_client import connect
from lifecycle.specs.spec import fingerprint
from tests.contracts.providers.conftest import NOW, agent_at, ask, wanted
from tests.contracts.providers.conftest import OPENAI_SPEC as SPEC
from tests.contracts.providers.metering import Meter
from tests.fakes.openai_server import REASONING, FakeOpenAI


async def test_a_version_is_named_by_its_spec() -> None:
    """Creating is repeatable and needs no endpoint: the version is the fingerprint's beginning."""
    provider = OpenAIProvider(Endpoint(base_url="http://127.0.0.1:9/v1"), lambda: NOW)
    made = [await provider.create(wanted(SPEC)) for _ in range(2)]

    assert made[0] == made[1]
    assert made[0].version == fingerprint(SPEC)[:12]
    assert made[0].id == f"openai:helper:{made[0].version}"


async def test_the_spec_is_sent_as_the_endpoint_knows_it(fake: FakeOpenAI) -> None:
    """Model, instructions, sampling, output limit and tools go out under their names in the API, and nothing else."""
    said = {"temperature": 0.5, "top_p": 0.9, "max_output_tokens": 99, "reasoning_effort": "low"}
    spec = SPEC.model_copy(update={**said, "tools": ("calculator",)})
    async with agent_at(Endpoint(base_url=fake.base_url, api_key="key-1"), spec) as (agent, _):
        await agent.run("Hi")
    request = fake.requests[0]

    assert request.headers["authorization"] == "Bearer key-1"
    assert request.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert request.body["tools"][0]["function"]["name"] == "calculator"
    assert set(request.body) - {"messages", "tools"} == {
        "model", "temperature", "top_p", "max_tokens", "reasoning_effort", "tool_choice", "stream",
    }  # fmt: skip


async def test_nothing_unset_is_sent(fake: FakeOpenAI) -> None:
    """What a spec leaves open is left to the endpoint: some models refuse a temperature, even the default one."""
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        await agent.run("Hi")

    assert set(fake.requests[0].body) == {"model", "messages", "stream"}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
        ("https://openai.com.example.org/v1", "max_tokens"),
    ],
)
async def test_the_output_limit_has_the_name_that_is_obeyed(url: str, name: str) -> None:
    """OpenAI's own models get `max_completion_tokens`; others `max_tokens`, as some ignore the new name silently."""
    async with agent_at(Endpoint(base_url=url, api_key="k")) as (agent, _):
        request = cast("Any", agent.client)._prepare_options([], {"messages": [], "max_tokens": 7})

    assert {key: value for key, value in request.items() if key.startswith("max_")} == {name: 7}


async def test_azure_is_called_by_deployment_and_version(fake: FakeOpenAI) -> None:
    """With an API version the deployment is in the path, the key in `api-key`, and the limit has OpenAI's name."""
    endpoint = Endpoint(azure_endpoint=fake.url, api_version="2024-10-21", api_key="key-1")
    async with agent_at(endpoint, SPEC.model_copy(update={"max_output_tokens": 7})) as (agent, _):
        await agent.run("Hi")

    assert fake.requests[0].path == "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21"
    assert fake.requests[0].headers["api-key"] == "key-1"
    assert fake.requests[0].body["max_completion_tokens"] == 7


@pytest.mark.parametrize("api_version", [None, "2024-10-21"])
async def test_entra_tokens_are_fetched_for_each_call(fake: FakeOpenAI, api_version: str | None) -> None:
    """With a credential every call carries its current token, on Azure's v1 API as on the versioned one."""
    tokens = iter(["token-1", "token-2"])

    async def token() -> str:
        return next(tokens)

    endpoint = Endpoint(azure_endpoint=fake.url, api_version=api_version, credential=token)
    async with agent_at(endpoint, SPEC.model_copy(update={"max_output_tokens": 7})) as (agent, _):
        await agent.run("Hi")
        await agent.run("Hi")

    assert [each.headers["authorization"] for each in fake.requests] == ["Bearer token-1", "Bearer token-2"]
    assert api_version or fake.requests[0].path == "/openai/v1/chat/completions"
    assert fake.requests[0].body["max_completion_tokens"] == 7


async def test_the_environment_sends_no_key_anywhere(fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, organisation or URL that happens to be in the environment does not reach the configured endpoint."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ambient")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ambient")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-ambient")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "sk-ambient")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "ambient")
    azure = Endpoint(azure_endpoint=fake.url, api_version="2024-10-21")
    for endpoint in (Endpoint(base_url=fake.base_url), azure):
        async with agent_at(endpoint) as (agent, _):
            await agent.run("Hi")

    assert len(fake.requests) == 2
    assert not [value for each in fake.requests for value in each.headers.values() if "ambient" in value]


async def test_calls_share_connections(fake: FakeOpenAI) -> None:
    """Agents of one provider reuse one pool: calls one after the other need one connection."""
    provider = OpenAIProvider(Endpoint(base_url=fake.base_url), lambda: NOW)
    for name in ("a", "b", "c"):
        agent = provider.open(await provider.create(wanted(SPEC, name)), SPEC)
        await agent.run("Hi")
    await provider.aclose()

    assert len({each.peer_port for each in fake.requests}) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_cached_and_reasoning_tokens_are_told(fake: FakeOpenAI, stream: bool) -> None:
    """Details come under the names the ledger reads: cached is part of input, reasoning part of output."""
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        meter = Meter()
        await ask(agent, "Hi", meter, stream=stream)
    usage = meter.calls[0].usage or {}

    assert usage.get("cache_read_input_token_count") == (usage.get("input_token_count") or 0) // 2
    assert usage.get("reasoning_output_token_count") == REASONING


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_that_answered_is_metered(fake: FakeOpenAI, stream: bool) -> None:
    """Endpoints answer with the exact model behind an alias, which may have another price."""
    fake.served_model = "gpt-4o-mini-2024-07-18"
    async with agent_at(Endpoint(base_url=fake.base_url)) as (agent, _):
        meter = Meter()
        await ask(agent, "Hi", meter, stream=stream)

    assert (meter.calls[0].asked, meter.calls[0].served) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")


async def test_an_endpoint_does_not_show_its_key() -> None:
    """Neither the endpoint nor the provider show the key when printed."""
    endpoint = Endpoint(base_url="http://127.0.0.1:9/v1", api_key="sk-secret")

    assert "sk-secret" not in repr(endpoint)
    assert "sk-secret" not in repr(OpenAIProvider(endpoint, lambda: NOW))
    await connect(endpoint, lambda: NOW).close()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"base_url": "http://a/v1", "azure_endpoint": "http://b"},
        {"base_url": "http://a/v1", "api_key": "key-1", "credential": object()},
    ],
)
def test_an_endpoint_is_one_place_with_one_way_in(given: dict[str, Any]) -> None:
    """An endpoint is a base URL or an Azure endpoint, entered with a key or a credential, never both."""
    with pytest.raises(ValueError, match="an endpoint"):
        Endpoint(**given)
