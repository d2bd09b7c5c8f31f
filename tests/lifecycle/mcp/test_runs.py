"""Runs whose agents call tools of MCP servers, in the whole app in memory."""

from __future__ import annotations

import json
import os
import ssl
from typing import Any

import pytest

from adapters.mcp_servers import McpServers
from kernel.errors import InvalidInput
from kernel.tables import Row, Upsert
from lifecycle.configuration.kinds import CONTENT, Kind, Ref
from lifecycle.configuration.layers import AgentConfig
from lifecycle.conversations.run import RunState
from lifecycle.registry.mcp_offers import Offer, OfferedTool, compared
from tests.fakes.foundry_server import FakeFoundry
from tests.fakes.openai_server import FakeOpenAI
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec
from tests.lifecycle.mcp.conftest import ServerProcess
from tests.waiting import eventually
from triggers.http.configuration.views import McpServerView


def mcp(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "orders", "url": url, **more}


async def test_runs_call_a_servers_tools_and_the_connection_outlives_them(stateful: ServerProcess) -> None:
    """Two runs, a restart between them; the call carries a key that names run and call, and is a step of the run."""
    async with FakeOpenAI() as fake:
        app = App(OPENAI_BASE_URL=fake.base_url, MCP_ALLOW_PRIVATE=True)
        await app.declare(declared=spec(provider="openai", tools=[mcp(stateful.url)]))
        first = await app.ask('/tool orders_book {"item": "a", "tool_name": "t"}')
        stateful.kill()
        stateful.start()
        second = await app.ask('/tool orders_book {"item": "b", "tool_name": "t"}')
        steps = await app.services.runs.steps.of("default", first.id)
        offered = [tool["function"]["name"] for tool in fake.requests[0].body["tools"]]
        await app.services.aclose()

    assert (first.state, second.state) == (RunState.SUCCEEDED, RunState.SUCCEEDED)
    assert "booked a for t" in (first.answer or "")
    assert "booked b for t" in (second.answer or "")
    assert [call["key"].split(".")[0] for call in stateful.calls] == [first.id, second.id]
    assert [(step.name, step.outcome, dict(step.arguments or {})) for step in steps if step.kind == "tool_call"] == [
        ("orders_book", "ok", {"item": "[hidden]", "tool_name": "[hidden]"})
    ]
    assert "orders_add" in offered


async def test_a_run_whose_server_is_away_is_tried_again(stateful: ServerProcess) -> None:
    """An answer without the tools would be a guess; the run waits for its next attempt."""
    async with FakeOpenAI() as fake:
        app = App(OPENAI_BASE_URL=fake.base_url, MCP_ALLOW_PRIVATE=True)
        await app.declare(declared=spec(provider="openai", tools=[mcp(stateful.url)]))
        stateful.kill()
        await app.submit()
        other = app.worker()  # the one that declared the agent knows what the server offered
        run = await app.requeued(app.queue.sent[-1], worker=other)
        asked = len(fake.requests)
        await other.aclose()
        await app.services.aclose()

    assert run is not None
    assert run.error is not None
    assert (run.state, run.error.code, asked) == (RunState.QUEUED, "mcp_unavailable", 0)


async def test_preloading_connects_to_an_agents_servers(stateful: ServerProcess) -> None:
    """The first run of a new worker needs no server to be asked what it offers, nor a connection to the model."""
    async with FakeOpenAI() as fake:
        app = App(OPENAI_BASE_URL=fake.base_url, MCP_ALLOW_PRIVATE=True)
        declared = spec(provider="openai", tools=[mcp(stateful.url)])
        await app.declare(declared=declared)
        await app.services.agents.administration.prewarm("default", "bot", app.signals)
        worker = app.worker()
        await worker.agents.preloader.preload([("default", "bot")])
        await worker.agents.preloader.finished()
        stateful.kill()
        await app.submit()
        run = await app.process(app.queue.sent[-1], worker=worker)
        await worker.aclose()
        await app.services.aclose()

    assert run.state == RunState.SUCCEEDED
    assert [len(fake.questions), len(fake.requests)] == [1, 1]
    assert {one.peer_port for one in fake.questions} == {one.peer_port for one in fake.requests}


async def test_an_agent_whose_servers_are_away_is_preloaded_all_the_same(stateful: ServerProcess) -> None:
    """Warming up fails, which is nobody's failure: the agent is held, and counts as no failed preload."""
    async with FakeOpenAI() as fake:
        app = App(OPENAI_BASE_URL=fake.base_url, MCP_ALLOW_PRIVATE=True)
        await app.declare(declared=spec(provider="openai", tools=[mcp(stateful.url)]))
        await app.services.agents.administration.prewarm("default", "bot", app.signals)
        stateful.kill()
        worker = app.worker()
        assert await worker.agents.preloader.preload([("default", "bot")]) == [("default", "bot")]
        await worker.agents.preloader.finished()
        state = await worker.agents.loader_overview.state("default")
        await worker.aclose()
        await app.services.aclose()

    assert (state.total.preloaded, state.total.preload_failures) == (1, 0)


async def test_a_call_that_needs_an_approval_is_not_made(stateful: ServerProcess) -> None:
    """The rule is the spec's; the run waits for who decides."""
    async with FakeOpenAI() as fake:
        app = App(OPENAI_BASE_URL=fake.base_url, MCP_ALLOW_PRIVATE=True)
        await app.declare(declared=spec(provider="openai", tools=[mcp(stateful.url, approval="always")]))
        run = await app.ask('/tool orders_book {"item": "a", "tool_name": "t"}')
        await app.services.aclose()

    assert (run.state, stateful.calls) == (RunState.WAITING, [])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/mcp", "https://169.254.169.254/", "http://mcp.example.com/"])
async def test_a_server_inside_the_network_is_refused_when_it_is_declared(url: str) -> None:
    """Unless the setting allows it; nothing is changed."""
    app = App()
    with pytest.raises(InvalidInput) as caught:
        await app.declare(declared=spec(tools=[mcp(url)]))

    assert caught.value.code == "mcp_url_refused"
    assert await app.services.agents.catalog.find("default", "bot") is None
    await app.aclose()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {
                "provider": "foundry",
                "tools": [
                    {
                        "type": "mcp",
                        "server_label": "a",
                        "project_connection_id": "c",
                        "headers_setting": "MCP_HEADERS_X",
                    }
                ],
            },
            "headers_setting",
        ),
        ({"provider": "foundry", "tools": [mcp("https://x.org", timeout_s=3)]}, "timeout_s"),
        ({"provider": "foundry", "tools": [mcp("http://x.org")]}, "https"),
        ({"tools": [{"type": "mcp", "server_label": "a", "project_connection_id": "c"}]}, "server_url"),
        ({"tools": [mcp("https://x.org", headers_setting="OPENAI_API_KEY")]}, "MCP_HEADERS"),
    ],
)
def test_a_spec_says_only_what_its_provider_can_do(fields: dict[str, Any], said: str) -> None:
    """What it would pass over, or a key of something else, is refused when it is declared."""
    with pytest.raises(ValueError, match=said):
        spec(**fields)


async def test_what_servers_offer_is_noted_when_the_agent_is_declared_and_compared_later(
    stateful: ServerProcess,
) -> None:
    """With the schemas; another schema is drift, which declaring it again accepts; a server that is away is shown."""
    app = App(MCP_ALLOW_PRIVATE=True)
    declared = spec(tools=[mcp(stateful.url)])
    await app.declare(declared=declared)
    servers: Any = app.services.extensions.tool_servers
    offers = app.services.agents.offered_tools
    [before] = await offers.compare("default", "bot", declared)
    evolve = next(tool for tool in await servers.tools(declared.mcp_servers[0]) if tool.name == "orders_evolve")
    await evolve.invoke(arguments={})

    async def compared() -> Any:
        [found] = await offers.compare("default", "bot", declared)
        return found if found.changes else None

    changed = await eventually(compared)
    plans = app.services.drift.plans
    drifted = await plans.make("default")
    lines = [step.line for step in await plans.steps(drifted, 0, 10) if step.line.kind == "tools"]
    summaries = await plans.reconcile()
    await app.declare(declared=declared)
    known = await plans.make("default")
    stateful.kill()
    other = spec(tools=[mcp("http://127.0.0.1:9/mcp")])
    await app.declare("other", other)
    [away] = await offers.compare("default", "other", other)
    unreachable = await plans.make("default")
    await app.services.aclose()

    assert (before.changes, before.problem) == ({}, "")
    assert '"a"' in next(tool.schema for tool in before.declared.tools if tool.name == "add")
    assert changed.changes == {"add": "changed"}
    assert [(line.agent, line.kind, line.action) for line in lines] == [("bot", "tools", "none")]
    assert "'orders' offers something else than when the agent was declared: 'add' was changed." in lines[0].why
    assert drifted.summary.counts["tools"] == 1
    assert summaries["default"].counts["tools"] == 1, "which the metrics, and alert rules over them, go by"
    assert "tools" not in known.summary.counts, "declaring it again accepts what there is"
    assert "tools" not in unreachable.summary.counts, "a server that is away says nothing of its tools"
    assert (away.problem, away.declared.problem) == ("mcp_unavailable", "mcp_unavailable")


async def test_a_note_that_cannot_be_read_keeps_no_agent_from_being_compared() -> None:
    """It is as if nothing had been noted; the timer that compares all workspaces goes on."""
    app = App(MCP_ALLOW_PRIVATE=True)
    await app.declare(declared=spec(tools=[mcp("http://127.0.0.1:9/mcp")]))
    await app.declare("other")
    await app.tables.commit("offeredtools", [Upsert(Row("default", "bot", {"offers": '{"servers": 1}'}))])
    summaries = await app.services.drift.plans.reconcile()
    await app.services.aclose()

    assert summaries["default"].counts == {"create": 2}


async def test_servers_that_foundry_calls_are_noted_and_compared_by_the_app(
    encrypted: tuple[ServerProcess, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With headers of its own, which Foundry is not told of; other schemas are drift, in the timer's counts too."""
    server, trusts = encrypted
    origin = server.url.removesuffix("/mcp")
    monkeypatch.setenv("MCP_HEADERS_ORDERS", json.dumps({"origin": origin, "headers": {"x-key": "k-1"}}))
    declared = spec(provider="foundry", tools=[mcp(server.url, headers_setting="MCP_HEADERS_ORDERS")])
    async with FakeFoundry() as foundry:
        app = App(FOUNDRY_PROJECT_ENDPOINT=foundry.endpoint)
        app.services.extensions.tool_servers = McpServers(os.environ.get, allow_private=True, trusts=trusts)
        await app.declare(declared=declared)
        await app.ask("hello")
        offers, plans = app.services.agents.offered_tools, app.services.drift.plans
        [before] = await offers.compare("default", "bot", declared)
        servers: Any = app.services.extensions.tool_servers
        evolve = next(tool for tool in await servers.tools(declared.mcp_servers[0]) if tool.name == "orders_evolve")
        await evolve.invoke(arguments={})

        async def differing() -> Any:
            [found] = await offers.compare("default", "bot", declared)
            return found if found.changes else None

        changed = await eventually(differing)
        drifted = await plans.make("default")
        lines = [step.line for step in await plans.steps(drifted, 0, 10)]
        summaries = await plans.reconcile()
        made = foundry.bodies("create_version")[-1]["definition"]["tools"]
        await app.services.aclose()

    assert (before.state, before.problem, changed.state) == ("same", "", "changed")
    assert "add" in {tool.name for tool in before.declared.tools}
    assert [(line.agent, line.kind, line.provider) for line in lines] == [("bot", "tools", "foundry")]
    assert "'add' was changed" in lines[0].why
    assert summaries["default"].counts["tools"] == 1
    assert made == [{"type": "mcp", "server_label": "orders", "server_url": server.url, "require_approval": "never"}]


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ({"type": "mcp", "server_label": "orders", "project_connection_id": "c"}, "mcp_url_unknown"),
        (mcp("https://10.0.0.1/mcp"), "mcp_url_refused"),
        (mcp("https://192.0.2.1/mcp", headers_setting="MCP_HEADERS_NONE"), "mcp_url_refused"),
    ],
)
async def test_why_the_app_does_not_know_what_foundrys_server_offers_is_said(
    server: dict[str, Any], problem: str
) -> None:
    """It is known to Foundry alone, or inside a network: the agent is declared all the same, and nothing is drift."""
    app = App()
    await app.declare(declared=(declared := spec(provider="foundry", tools=[server])))
    [found] = await app.services.agents.offered_tools.compare("default", "bot", declared)
    view = McpServerView.from_compared(found, hosted=True)
    await app.services.aclose()

    assert (view.state, view.problem, view.called_by, view.tools) == ("unknown", problem, "provider", [])


async def test_servers_that_come_with_a_template_are_noted_when_it_changes(stateful: ServerProcess) -> None:
    """As if the agent had been declared with them."""
    app = App(MCP_ALLOW_PRIVATE=True)
    ref, change = Ref(Kind.TEMPLATE, "t"), app.services.agents.configuration_changes.put
    await change("default", ref, CONTENT[ref.kind].model_validate({"model": "m"}), app.signals)
    administration = app.services.agents.administration
    await administration.declare("default", "bot", AgentConfig.model_validate({"template": "t"}), app.signals)
    content = CONTENT[ref.kind].model_validate({"model": "m", "tools": [mcp(stateful.url)]})
    await change("default", ref, content, app.signals)
    declared = (await app.services.agents.catalog.get("default", "bot")).declaration.spec
    [found] = await app.services.agents.offered_tools.compare("default", "bot", declared)
    await app.services.aclose()

    assert (found.state, bool(found.declared.tools)) == ("same", True)


def test_a_server_that_was_away_when_the_agent_was_declared_is_compared_with_nothing() -> None:
    """Though it is there now: what is there now may be the change. Declaring the agent again begins to compare."""
    away, now = Offer("orders", problem="mcp_unavailable"), Offer("orders", (OfferedTool("add", "", "{}", "d"),))
    unknown = [compared(before, now) for before in (None, away)]
    known = compared(now, now)

    assert [(one.state, one.problem, one.declared.tools) for one in unknown] == [("unknown", "mcp_not_noted", ())] * 2
    assert (known.state, known.declared) == ("same", now)
    assert compared(now, away).problem == "mcp_unavailable"
