"""What the Foundry provider sends, to whom, and with what it leaves the project."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Self

import pytest
from azure.core.credentials import AccessToken

from adapters.providers.foundry import FoundryProvider, Project
from bootstrap.services import Services
from kernel.errors import ProviderRejected, Unavailable
from kernel.settings import Settings
from lifecycle.registry.providers import ProviderVersion
from lifecycle.specs.spec import AgentSpec, fingerprint, provider_name
from tests.contracts.providers.conftest import FOUNDRY_SPEC as SPEC
from tests.contracts.providers.conftest import NOW, ask, foundry_at, wanted
from tests.contracts.providers.metering import Meter
from tests.fakes.foundry_faults import Fault
from tests.fakes.foundry_model import REASONING
from tests.fakes.foundry_server import FakeFoundry

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


class Credential:
    """Hands out one token and notes what for."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken("secret-token", 4_102_444_800)

    async def close(self) -> None:
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        return


def spec(**fields: Any) -> AgentSpec:
    return AgentSpec.model_validate({**SPEC.model_dump(), **fields})


async def test_a_version_says_whose_it_is_and_what_it_was_made_from(foundry: FakeFoundry) -> None:
    """Owner, workspace, agent, the whole fingerprint, the definition's digest and the template are in the metadata."""
    labelled = spec(labels={"template": "support"}, description="Helps.")
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(labelled))
    [body] = foundry.bodies("create_version")
    digest = body["metadata"].pop("maf-definition")

    assert body["metadata"] == {
        "maf-owner": "tests",
        "maf-workspace": "default",
        "maf-agent": "helper",
        "maf-hash": fingerprint(labelled),
        "maf-template": "support",
    }
    assert len(digest) == 64
    assert body["description"] == "Helps."
    assert (made.owner, made.fingerprint, made.created_at) == ("tests", fingerprint(labelled), NOW)


async def test_a_definition_says_what_the_spec_says(foundry: FakeFoundry) -> None:
    """Model, instructions, sampling, both kinds of tools and the output's schema go out under their names."""
    full = spec(
        temperature=0.5,
        top_p=0.9,
        reasoning_effort="low",
        tools=[
            "calculator",
            {"type": "web_search", "search_context_size": "low", "allowed_domains": ["learn.microsoft.com"]},
            {"type": "code_interpreter", "memory_limit": "4g"},
            {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 5},
            {"type": "mcp", "server_label": "docs", "server_url": "https://example.org/mcp"},
        ],
        response_format={"name": "place", "json_schema": SCHEMA},
    )
    async with foundry_at(foundry) as provider:
        await provider.create(wanted(full))
    definition = foundry.bodies("create_version")[0]["definition"]
    function, *hosted = definition.pop("tools")

    assert (function["type"], function["name"], function["strict"]) == ("function", "calculator", False)
    assert hosted == [
        {"type": "web_search", "search_context_size": "low", "filters": {"allowed_domains": ["learn.microsoft.com"]}},
        {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}},
        {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 5},
        {"type": "mcp", "server_label": "docs", "server_url": "https://example.org/mcp", "require_approval": "never"},
    ]
    assert definition == {
        "kind": "prompt",
        "model": "gpt-4o-mini",
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}},
    }


async def test_nothing_unset_is_declared(foundry: FakeFoundry) -> None:
    """What a spec leaves open is left to the service: some models refuse a temperature, even the default one."""
    async with foundry_at(foundry) as provider:
        await provider.create(wanted(spec(instructions="")))

    assert foundry.bodies("create_version")[0]["definition"] == {"kind": "prompt", "model": "gpt-4o-mini"}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_is_named_on_every_call(foundry: FakeFoundry, stream: bool) -> None:
    """Two turns and a tool loop name it each time; the framework alone sends an empty one from the second call on."""
    async with foundry_at(foundry) as provider:
        helper = spec(tools=["calculator"])
        made = await provider.create(wanted(helper))
        agent = provider.open(made, helper)
        conversation = await provider.conversation(made, "default/session-1", None)
        for query in ("Hi", '/tool calculator {"expression": "6 * 7"}', "Bye"):
            session = agent.get_session(conversation or "")
            run = agent.run(query, session=session, stream=True) if stream else None
            await (run.get_final_response() if run else agent.run(query, session=session))
    sent = foundry.bodies("create_response")

    assert [body["model"] for body in sent] == ["gpt-4o-mini"] * 4
    assert {call.status for call in foundry.calls} == {200}


async def test_a_call_carries_nothing_that_the_version_owns(foundry: FakeFoundry) -> None:
    """Beside an agent reference the service refuses instructions, sampling, tools and formats."""
    helper = spec(tools=["calculator"], temperature=0.5, max_output_tokens=99)
    async with foundry_at(foundry) as provider:
        await provider.open(await provider.create(wanted(helper)), helper).run("Hi")
    [sent] = foundry.bodies("create_response")

    assert set(sent) == {"model", "input", "stream", "max_output_tokens", "agent_reference"}
    assert sent["agent_reference"] == {"type": "agent_reference", "name": "helper", "version": "1"}


async def test_an_answer_follows_the_schema(foundry: FakeFoundry) -> None:
    """Structured output is a matter of the definition; the answer is the JSON text."""
    formatted = spec(response_format={"name": "place", "json_schema": SCHEMA})
    async with foundry_at(foundry) as provider:
        answer = await provider.open(await provider.create(wanted(formatted)), formatted).run("Where?")

    assert answer.text == '{"city": "x", "people": 1}'


async def test_a_hosted_search_is_one_call_with_its_sources(foundry: FakeFoundry) -> None:
    """The service searches by itself within the call, and the answer's text carries where it was found."""
    searching = spec(tools=[{"type": "web_search"}])
    async with foundry_at(foundry) as provider:
        meter = Meter()
        agent = provider.open(await provider.create(wanted(searching)), searching)
        answer = await agent.run("/search agents", middleware=[meter])
    [annotation] = [each for content in answer.messages[0].contents for each in content.annotations or ()]

    assert len(meter.calls) == 1
    assert annotation.get("url") == "https://example.org/"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_that_answered_and_its_details_are_metered(foundry: FakeFoundry, stream: bool) -> None:
    """The exact model behind a deployment, cached and reasoning tokens come under the names the ledger reads."""
    foundry.project.served_model = "gpt-4o-mini-2024-07-18"
    async with foundry_at(foundry) as provider:
        meter = Meter()
        await ask(provider.open(await provider.create(wanted(SPEC)), SPEC), "Hi", meter, stream=stream)
    [call] = meter.calls
    usage = call.usage or {}

    assert (call.asked, call.served) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert usage.get("cache_read_input_token_count") == (usage.get("input_token_count") or 0) // 2
    assert usage.get("reasoning_output_token_count") == REASONING


async def test_all_agents_share_two_connections(foundry: FakeFoundry) -> None:
    """One client manages agents, one runs them; opening more agents opens no more connections."""
    async with foundry_at(foundry) as provider:
        for name in ("a", "b", "c"):
            agent = provider.open(await provider.create(wanted(SPEC, name)), SPEC)
            await agent.run("Hi")

    assert len({call.peer_port for call in foundry.calls}) == 2


async def test_nothing_connects_before_the_first_use(foundry: FakeFoundry) -> None:
    """Clients are made once, with the first use, also when several come at the same time."""
    provider = FoundryProvider(Project(endpoint=foundry.endpoint), lambda: NOW)
    assert provider._clients is None
    await asyncio.gather(*(provider.find(wanted(SPEC, name)) for name in "abc"))
    clients = provider._clients
    await provider.find(wanted(SPEC))

    assert provider._clients is clients
    await provider.aclose()


async def test_a_conversation_can_be_found_in_the_portal(foundry: FakeFoundry) -> None:
    """Its metadata names the agent and our session."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        conversation = await provider.conversation(made, "default/session-1", None)

    assert foundry.project.metadata[conversation or ""] == {"maf-agent": "helper", "maf-session": "default/session-1"}


async def test_a_failed_call_adds_nothing_to_its_conversation(foundry: FakeFoundry) -> None:
    """What is refused, or breaks before its end, can be asked again in the same conversation; a lost answer cannot."""
    async with foundry_at(foundry) as provider:
        made = await provider.create(wanted(SPEC))
        agent = provider.open(made, SPEC)
        conversation = await provider.conversation(made, "default/session-1", None) or ""
        faults: list[tuple[Fault, bool, int]] = [("throttled", False, 0), ("unavailable", False, 0), ("reset", True, 2)]
        for fault, after, items in faults:
            foundry.fail_next(fault, on="create_response", retry_after_s=9, after=after)
            with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
                await agent.run("Hi", session=agent.get_session(conversation))
            assert isinstance(provider.translate(caught.value), Unavailable)
            assert len(foundry.project.conversations[conversation]) == items


async def test_a_disabled_agent_runs_for_nobody(foundry: FakeFoundry) -> None:
    """The switch is the provider's own: whoever calls the agent is refused, and the reason is told."""
    async with foundry_at(foundry) as provider:
        agent = provider.open(await provider.create(wanted(SPEC)), SPEC)
        assert await provider.disable("helper", "tests")
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the point is what it is translated into
            await agent.run("Hi")
        await provider.enable("helper")

        assert provider.translate(caught.value).code == "provider_disabled"
        assert (await agent.run("Hi")).text


async def test_an_agent_with_somebody_elses_version_is_not_switched_off(foundry: FakeFoundry) -> None:
    """A colleague's edit in the portal made a version of theirs; whoever uses it goes on using it."""
    async with foundry_at(foundry) as provider:
        agent = provider.open(await provider.create(wanted(SPEC)), SPEC)
        foundry.project.edit_in_portal("helper", instructions="Mine.")

        assert not await provider.disable("helper", "tests")
        assert (await agent.run("Hi")).text


async def test_tokens_are_for_foundry() -> None:
    """Both clients ask the credential for Foundry's scope; nothing of the token gets into an error."""
    credential = Credential()
    project = Project(endpoint="https://127.0.0.1:9/api/projects/p", credential=credential)
    provider = FoundryProvider(project, lambda: NOW)
    with pytest.raises(Unavailable) as managed:
        await provider.find(wanted(SPEC))
    with pytest.raises(Unavailable) as talked:
        await provider.conversation(ProviderVersion("helper", "1", "x:1", NOW), "s", None)
    await provider.aclose()

    assert set(credential.scopes) == {"https://ai.azure.com/.default"}
    assert (managed.value.code, talked.value.code) == ("provider_unavailable", "provider_unavailable")
    assert "secret-token" not in repr(project) + managed.value.detail + talked.value.detail


@pytest.mark.parametrize(
    ("endpoint", "credential"), [("http://h/p", Credential()), ("https://h/p", None), ("h/p", None)]
)
def test_tokens_and_plain_http_exclude_each_other(endpoint: str, credential: Credential | None) -> None:
    """A token never goes over the wire in clear, and no real project is reached without one."""
    with pytest.raises(ValueError, match="https with a credential"):
        Project(endpoint=endpoint, credential=credential)


async def test_without_a_project_the_setting_is_named() -> None:
    """An app without a project refuses its agents and says which setting is missing."""
    provider = FoundryProvider(None, lambda: NOW)
    with pytest.raises(ProviderRejected, match="FOUNDRY_PROJECT_ENDPOINT") as caught:
        await provider.find(wanted(SPEC))

    assert caught.value.code == "provider_not_configured"
    await provider.aclose()


async def test_the_framework_does_not_warn_of_what_is_by_design(
    foundry: FakeFoundry, caplog: pytest.LogCaptureFixture
) -> None:
    """It would at every call of an agent with function tools."""
    helper = spec(tools=["calculator"])
    async with foundry_at(foundry) as provider:
        with caplog.at_level(logging.WARNING):
            await provider.open(await provider.create(wanted(helper)), helper).run("Hi")

    assert caplog.records == []


async def test_the_app_makes_an_agent_once_and_runs_it(foundry: FakeFoundry) -> None:
    """Through the registry, with the one setting: declared, made at its first use, reused, and priced."""
    settings = Settings.of({"FOUNDRY_PROJECT_ENDPOINT": f"{foundry.endpoint}/"})
    services = Services.in_memory(settings)
    async with services.manager() as manager:
        agent = await manager.get_or_create("tech_advisor", spec(tools=["calculator"]))
        runs = [await agent.run(query) for query in ("Hi", '/tool calculator {"expression": "6 * 7"}')]
    await services.aclose()
    [version] = [each for made in foundry.project.agents.values() for each in made.versions.values()]

    assert "'42'" in (runs[1].answer or "")
    assert [run.spend.calls for run in runs] == [1, 2]
    assert all(run.spend.cost_micro_usd for run in runs)
    assert foundry.counts["create_version"] == 1
    assert version["name"] == provider_name("default", "tech_advisor")
    assert version["metadata"]["maf-agent"] == "tech_advisor"


async def test_a_deletion_does_not_read_all_other_versions(foundry: FakeFoundry) -> None:
    """Whether any version is left is one request, however many are."""
    async with foundry_at(foundry) as provider:
        first = await provider.create(wanted(SPEC))
        for number in range(5):
            await provider.create(wanted(spec(instructions=f"Number {number}.")))
        before = len(foundry.calls)
        await provider.delete(first)

    assert [call.operation for call in foundry.calls[before:]] == ["get_version", "delete_version", "list_versions"]
