"""Runs of agents that use what extensions bring: the examples, in the whole app in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernel.errors import InvalidInput
from lifecycle.conversations.run import RunState
from lifecycle.specs.spec import AgentSpec
from llmops.facts.attempt_fact import ToolCall
from tests.fakes.openai_server import FakeOpenAI
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec

EXAMPLES = "examples.extensions"


def extended(**more: Any) -> App:
    return App(EXTENSIONS=EXAMPLES, **more)


def second(**more: Any) -> AgentSpec:
    return spec(provider="second_endpoint", **more)


async def tools_of(app: App, run: Any) -> tuple[ToolCall, ...]:
    return tuple(tool for fact in await app.attempts(run) for tool in fact.tools)


async def test_an_agent_calls_a_tool_of_an_extension() -> None:
    """What the model learnt is in its answer; the step is in the run's fact, with the arguments the tool shows."""
    app = extended()
    await app.declare(declared=spec(tools=("order_status",), simulate={"call_tool": "order_status"}))
    run = await app.ask("Where is A1001?")
    [step] = await tools_of(app, run)

    assert "packed, leaves today" in (run.answer or "")
    assert (step.name, step.outcome, step.at) == ("order_status", "ok", app.clock.now)
    assert json.loads(step.arguments) == {"order_id": "Where is A1001?"}
    assert step.result_bytes == len("Order A1001 is packed, leaves today.")
    assert step.call_id.startswith("call_")
    await app.aclose()


async def test_arguments_are_hidden_unless_the_tool_shows_them() -> None:
    """The names of its parameters are no secret; what they hold may be."""
    app = extended()
    await app.declare(declared=spec(tools=("calculator",), simulate={"call_tool": "calculator"}))
    run = await app.ask("6 * 7")

    assert [json.loads(step.arguments) for step in await tools_of(app, run)] == [{"expression": "[hidden]"}]
    await app.aclose()


async def test_a_call_that_its_tools_rule_lets_through_is_made() -> None:
    """The rule looks at the arguments; the key that the tool is given names run and call."""
    app = extended()
    await app.declare(declared=spec(tools=("refund_order",), simulate={"call_tool": "refund_order"}))
    run = await app.ask("Refund A1001")
    [step] = await tools_of(app, run)

    assert run.state is RunState.SUCCEEDED
    assert step.outcome == "ok"
    assert f"{run.id}.{step.call_id}" in (run.answer or "")
    await app.aclose()


async def test_a_context_provider_gives_the_model_what_it_finds() -> None:
    """As a message beside the query, to every provider, and only to agents that name it."""
    async with FakeOpenAI() as fake:
        app = extended(OPENAI_BASE_URL=fake.base_url)
        await app.declare("with", spec(provider="openai", context_providers=("handbook",)))
        await app.declare("without", spec(provider="openai"))
        for name in ("with", "without"):
            assert (await app.ask("How do I return it?", agent=name)).state is RunState.SUCCEEDED
        sent = [[message["content"] for message in one.body["messages"]] for one in fake.requests]
        await app.services.aclose()

    assert len(sent[0]) == 2
    assert "within 30 days" in str(sent[0][0])
    assert "return it" in str(sent[0][1])
    assert len(sent[1]) == 1


async def test_a_chat_client_of_an_extension_is_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tools, streaming and costs as every other one; the key comes from the app's settings."""
    async with FakeOpenAI(api_key="second-key") as fake:
        monkeypatch.setenv("SECOND_ENDPOINT_URL", fake.base_url)
        monkeypatch.setenv("SECOND_ENDPOINT_KEY", "second-key")
        app = extended()
        await app.declare(declared=second(tools=("order_status",), instructions="Be brief.", max_output_tokens=50))
        run = await app.ask('/tool order_status {"order_id": "A1002"}')
        streamed = await app.ask("Hello", stream=True)
        body = fake.requests[0].body
        await app.services.aclose()

    assert run.state is streamed.state is RunState.SUCCEEDED
    assert "delivered on Monday" in (run.answer or "")
    assert run.spend.calls == 2
    assert run.spend.cost_micro_usd > 0
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["model"], body["max_completion_tokens"]) == ("gpt-4o-mini", 50)


@pytest.mark.parametrize(
    ("fault", "code", "state"),
    [("auth", "provider_auth", "failed"), ("throttled", "provider_throttled", "queued")],
)
async def test_what_a_chat_client_raises_is_told_by_its_status(
    monkeypatch: pytest.MonkeyPatch, fault: Any, code: str, state: str
) -> None:
    """Never by its text; what may pass is tried again."""
    async with FakeOpenAI() as fake:
        monkeypatch.setenv("SECOND_ENDPOINT_URL", fake.base_url)
        app = extended()
        await app.declare(declared=second())
        fake.fail_next(fault, times=10)
        await app.submit("secret prompt")
        run = await app.requeued(app.queue.sent[-1])
        await app.services.aclose()

    assert run is not None
    assert run.error is not None
    assert (run.state, run.error.code) == (state, code)
    assert "secret prompt" not in run.error.detail


async def test_a_chat_client_that_cannot_be_made_fails_its_runs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served; the error says which client, and what kind of exception."""
    app = extended()

    def broken(model: str, setting: Any) -> Any:
        raise ValueError("key=hunter2")

    provider: Any = app.services.agents.providers["second_endpoint"]
    monkeypatch.setattr(provider, "_maker", type(provider._maker)("second_endpoint", broken))
    await app.declare("second", second())
    await app.declare("other")
    run, other = await app.ask(agent="second"), await app.ask(agent="other")

    assert run.error is not None
    assert (run.error.code, other.state) == ("chat_client_failed", RunState.SUCCEEDED)
    assert run.error.detail == "The chat client 'second_endpoint' could not be made (ValueError)."
    await app.aclose()


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"provider": "third_endpoint"}, "unknown_provider", "/provider"),
        ({"tools": ("order_status", "cancel_order")}, "unknown_tool", "/tools/1"),
        ({"context_providers": ("handbook", "wiki")}, "unknown_context_provider", "/context_providers/1"),
        ({"evaluation": {"checks": ["rude"]}}, "unknown_check", "/evaluation/checks"),
    ],
)
async def test_what_no_extension_brings_is_refused_when_it_is_declared(
    fields: dict[str, Any], code: str, pointer: str
) -> None:
    """By its place in the spec, and nothing is changed."""
    app = extended()
    with pytest.raises(InvalidInput) as caught:
        await app.declare(declared=spec(**fields))

    assert (caught.value.code, list(caught.value.fields)) == (code, [pointer])
    assert await app.services.agents.catalog.find("default", "bot") is None
    await app.aclose()


async def test_an_agent_whose_extension_is_gone_says_so() -> None:
    """Its runs fail with a code; other agents, and their actors, go on."""
    first = extended()
    await first.declare(declared=second())
    app = App(tables=first.tables)
    await app.declare("other")
    run, other = await app.ask(), await app.ask(agent="other")

    assert run.error is not None
    assert (run.error.code, run.state, other.state) == ("unknown_provider", RunState.FAILED, RunState.SUCCEEDED)
    await app.aclose()


async def test_a_check_of_an_extension_scores_answers() -> None:
    """By its name in the agent's policy."""
    app = extended()
    await app.declare(declared=spec(evaluation={"checks": ["polite"]}, simulate={"reply": "I am glad to help."}))
    run = await app.ask()

    assert run.score is not None
    assert run.score.parts["polite"] == 100
    await app.aclose()


async def test_erasing_a_session_takes_what_its_tools_were_given() -> None:
    """The steps stay, with their times and outcomes."""
    app = extended()
    await app.declare(declared=spec(tools=("order_status",), simulate={"call_tool": "order_status"}))
    run = await app.ask("Where is A1001?")
    await app.services.sessions.erasure.erase("default", run.session_id)
    kept = [tool for each in await app.facts(run) for tool in each.fact.tools]

    assert [(tool.name, tool.outcome, tool.arguments) for tool in kept] == [("order_status", "ok", "")]
    await app.aclose()
