"""The composition root for use as a library: everything wired, nothing connected, nothing left behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import cast

import pytest

from adapters.azure_texts import BlobTexts
from bootstrap.azure import azure_queue, azure_texts
from bootstrap.services import Services, system_clock
from kernel.clock import Clock
from kernel.large_texts import Owner
from kernel.settings import InvalidSettings, Settings
from lifecycle.conversations.run_request import RunRequest
from lifecycle.specs.spec import AgentSpec
from llmops.reports.periods import period_of
from tests.lifecycle.doubles import ManualClock, quick_settings

SPEC = AgentSpec(model="gpt-4o-mini")


async def test_in_memory_services_do_the_whole_job() -> None:
    """Declare, ask, read, report, prune: with nothing but this process."""
    clock = ManualClock()
    services = Services.in_memory(quick_settings(), clock)
    async with services.manager() as manager:
        agent = await manager.get_or_create("helper", SPEC)
        run = await agent.run("What is a durable entity?")
    done = await services.spend.daily_costs.aggregate(clock.now)
    report = await services.reports.store.get("default", period_of("day", clock.now.date()))
    await services.sessions.end.end("default", agent.session_id)
    clock.move(days=8)
    verdicts = await services.agents.prune.run(services.agents.local_signals())
    await services.aclose()

    assert run.state == "succeeded"
    assert done.folded == 1
    assert report.total == run.spend
    assert [verdict.retire for verdict in verdicts] == [True]


async def test_services_in_memory_share_nothing() -> None:
    """Two of them are two worlds."""
    one, two = Services.in_memory(), Services.in_memory()
    await one.agents.catalog.declare("default", "bot", SPEC)

    assert await two.agents.catalog.find("default", "bot") is None
    await asyncio.gather(one.aclose(), two.aclose())


async def test_closing_an_unused_service_is_nothing() -> None:
    """And closing twice is no error."""
    services = Services.in_memory()
    await services.aclose()
    await services.aclose()


async def test_settings_reach_the_rules() -> None:
    """A limit set is a limit kept."""
    services = Services.in_memory(Settings.from_environment({"AGENT_CACHE_SIZE": "2", "MAX_QUERY_BYTES": "10"}))
    async with services.manager() as manager:
        for name in ("a", "b", "c"):
            await manager.get_or_create(name, SPEC)
        with pytest.raises(Exception, match="at most 10"):
            await manager.run("a", RunRequest(query="x" * 11))

    assert len(services.agents.resolver.cache) == 2


def test_services_that_name_no_storage_say_so() -> None:
    """At the start, naming the setting."""
    with pytest.raises(InvalidSettings, match="TablesConnection"):
        Services.for_azure(Settings())
    with pytest.raises(InvalidSettings, match="ServiceBusConnection"):
        azure_queue(Settings())


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({}, "https://name.blob.core.windows.net"),
        ({"BLOB_ENDPOINT": "https://name.z01.blob.storage.azure.net/"}, "https://name.z01.blob.storage.azure.net"),
    ],
)
async def test_large_texts_are_in_the_account_of_the_tables(more: dict[str, str], url: str) -> None:
    """Where the settings say, or by the account's name; nothing is connected for it."""
    settings = Settings.from_environment({"TablesConnection__endpoint": "https://name.table.core.windows.net", **more})
    service = cast("BlobTexts", azure_texts(settings))._connect()
    await service.close()

    assert service.url.rstrip("/") == url
    with pytest.raises(InvalidSettings, match="TablesConnection"):
        azure_texts(Settings())


async def test_large_texts_without_a_storage_account_stay_in_the_process() -> None:
    """As tables do; closing what was never used is nothing."""
    services = Services.in_memory()
    kept = await services.core.texts.keep(Owner("default", "s", "r"), "answer", "x" * 100_000)

    assert await services.core.texts.whole(kept) == "x" * 100_000
    await services.aclose()
    await Services.in_memory().aclose()


def test_wiring_loads_no_blob_sdk() -> None:
    """An app that meets no large text pays nothing for the SDK that keeps them, on Azure neither."""
    code = (
        "import asyncio, sys; from bootstrap.services import Services; from kernel.large_texts import Owner;"
        "from kernel.settings import Settings;"
        "services = Services.for_azure(Settings.from_environment({'TablesConnection': 'UseDevelopmentStorage=true'}));"
        "services.conversations.store; services.runs.worker;"
        "print(asyncio.run(services.core.texts.keep(Owner('default', 's', 'r'), 'answer', 'short')));"
        "print(*{'azure.storage.blob', 'azure.storage'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("short\n\n", "")


def test_wiring_loads_no_model_sdk() -> None:
    """A cold start pays for the Agent Framework only when an agent runs."""
    code = (
        "import sys; from bootstrap.services import Services; Services.in_memory();"
        "slow = {'agent_framework', 'openai', 'genai_prices', 'azure.servicebus', 'azure.identity'};"
        "print(*slow & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_clock_is_aware() -> None:
    """Times without a zone never enter."""
    clock: Clock = system_clock

    assert clock().utcoffset() is not None


@pytest.mark.parametrize("times", [2, 20])
async def test_many_managers_make_one_agent(times: int) -> None:
    """Managers of one services object share the actors: an agent is made once however many ask at once."""
    services = Services.in_memory(quick_settings())
    managers = [services.manager() for _ in range(times)]
    await asyncio.gather(*(manager.get_or_create("helper", SPEC) for manager in managers))
    agent = await services.agents.catalog.get("default", "helper")
    assert agent.record is not None

    assert (agent.record.created, agent.record.adopted) == (1, 0)


async def test_a_library_takes_its_settings_from_the_environment_or_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reader would try it; what is misspelt is an error."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")
    services = Services.in_memory()

    assert services.core.settings.openai_base_url == "http://127.0.0.1:11434/v1"
    assert Settings.of({"openai_base_url": "http://x/v1"}).openai_base_url == "http://x/v1"
    with pytest.raises(InvalidSettings, match="opena_base_url"):
        Settings.of({"opena_base_url": "http://x/v1"})
    await services.aclose()
