"""Tools of the caller's own: the model asks for them, the caller calls them, and the session's next run goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kernel.errors import AppError, InvalidInput, TooLarge
from lifecycle.conversations.client_tool_values import (
    ClientTool,
    ClientTools,
    ToolResult,
    call_id,
    check,
    check_allowed,
    run_of_call,
)
from lifecycle.conversations.run import Run
from lifecycle.conversations.session import EarlierMessage
from lifecycle.sessions.start import SessionOptions
from lifecycle.specs.spec import AgentSpec, fingerprint
from tests.fakes.openai_server import FakeOpenAI
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec

WHERE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = ClientTool("weather", "The weather of a city.", WHERE)
OFFERED = ClientTools((WEATHER,))
TAKING = spec(provider="openai", tools=("calculator",), client_tools=True)
ASKS = '/tool weather {"city": "Bonn"}'


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def app(fake: FakeOpenAI) -> AsyncIterator[App]:
    """Return the app over an OpenAI endpoint, with an agent that takes its callers' tools."""
    made = App(OPENAI_BASE_URL=fake.base_url, OPENAI_API_KEY="key-1")
    await made.declare(declared=TAKING)
    yield made
    await made.aclose()
    await made.services.aclose()


def results(run: Run, *outputs: str) -> ClientTools:
    """Return the caller's tools with what came of the run's calls."""
    pairs = zip(run.result.calls, outputs, strict=False)
    return ClientTools((WEATHER,), results=tuple(ToolResult(call.id, output) for call, output in pairs))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_ends_with_the_calls_and_the_next_goes_on_with_their_results(
    app: App, fake: FakeOpenAI, stream: bool
) -> None:
    """The model is told its own calls and what came of them; whole and streamed, where calls come in pieces."""
    asked = await app.ask(ASKS, client_tools=OFFERED, stream=stream)
    (call,) = asked.result.calls
    answered = await app.ask("", session_id=asked.session_id, client_tools=results(asked, "Sunny."), stream=stream)
    sent = fake.requests[-1].body

    assert (asked.state, asked.answer, asked.finish_reason, asked.score) == ("succeeded", "", "tool_calls", None)
    assert (call.name, json.loads(call.arguments), run_of_call(call.id)) == ("weather", {"city": "Bonn"}, asked.id)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["calculator", "weather"]
    assert sent["tools"][1]["function"]["parameters"] == WHERE
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool"]
    assert sent["messages"][1]["tool_calls"][0]["id"] == sent["messages"][2]["tool_call_id"] == call.id
    assert len(call.id) <= 40
    assert sent["messages"][2]["content"] == "Sunny."
    assert answered.answer == "heard 3 messages (user, assistant, tool), the last: 'Sunny.'"
    assert (answered.finish_reason, answered.result.calls) == ("stop", ())
    assert [turn.role for turn in await app.turns(asked)] == ["user", "assistant", "tool", "assistant"]
    assert asked.spend.calls == answered.spend.calls == 1


async def test_several_calls_take_a_result_each(app: App, fake: FakeOpenAI) -> None:
    """With fewer the next run fails, and the session is as it was: the results can be sent again, all of them."""
    asked = await app.ask('/tool weather {"city": "Bonn"}\n/tool weather {"city": "Ulm"}', client_tools=OFFERED)
    before = len(fake.requests)
    failed = await app.ask("", session_id=asked.session_id, client_tools=results(asked, "Sunny."))
    foreign = ClientTools(results=(ToolResult("call_1", "?"), ToolResult("call_2", "?")))
    other = await app.ask("", session_id=asked.session_id, client_tools=foreign)

    assert len(asked.result.calls) == 2
    for run in (failed, other):
        assert run.error is not None
        assert (run.state, run.error.code) == ("failed", "tool_results_unmatched")
    assert len(fake.requests) == before
    done = await app.ask("", session_id=asked.session_id, client_tools=results(asked, "Sunny.", "Rain."))
    assert done.answer == "heard 4 messages (user, assistant, tool, tool), the last: 'Rain.'"


async def test_the_agents_own_tools_come_first(app: App, fake: FakeOpenAI) -> None:
    """Where the model asks for both at once, its own are called, and it may ask for the caller's again."""
    for stream in (False, True):
        run = await app.ask(
            '/tool weather {"city": "Bonn"}\n/tool calculator {"expression": "20 + 3"}',
            client_tools=OFFERED,
            stream=stream,
        )

        assert run.answer == "heard 3 messages (user, assistant, tool), the last: '23'"
        assert (run.spend.calls, run.result.calls) == (2, ())


async def test_a_question_instead_of_results_leaves_the_calls_behind(app: App, fake: FakeOpenAI) -> None:
    """A provider refuses calls without results, and results without calls: neither is told."""
    asked = await app.ask(ASKS, client_tools=OFFERED)
    other = await app.ask("Never mind.", session_id=asked.session_id)
    late = await app.ask("", session_id=asked.session_id, client_tools=results(asked, "Sunny."))

    assert other.answer == "heard 2 messages (user, user), the last: 'Never mind.'"
    assert late.error is not None
    assert late.error.code == "tool_results_unmatched"


async def test_a_history_that_is_brought_along_has_its_calls(app: App, fake: FakeOpenAI) -> None:
    """A session can begin with calls and results of another place, and end them with its first run."""
    call = call_id("01900000-0000-7000-8000-000000000000", 0)
    asked = app.services.sessions.start
    run = await app.ask(ASKS, client_tools=OFFERED)
    (made,) = run.result.calls
    history = (EarlierMessage("user", "Weather?"), EarlierMessage("assistant", "I look.", (made,)))
    await asked.start("default", "bot", "s", SessionOptions(history=history))
    done = await app.ask("And now?", session_id="s", client_tools=results(run, "Sunny."))

    assert run_of_call(call) == "01900000-0000-7000-8000-000000000000"
    assert done.answer == "heard 4 messages (user, assistant, tool, user), the last: 'And now?'"
    assert fake.requests[-1].body["messages"][1]["content"] == "I look."


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
        ("none", "auto"),
    ],
)
async def test_the_caller_chooses_among_its_tools(app: App, fake: FakeOpenAI, choice: str, sent: Any) -> None:
    """`none` offers none of them; the agent's own stay."""
    await app.ask("Hi", client_tools=ClientTools((WEATHER,), choice))
    body = fake.requests[-1].body

    assert body["tool_choice"] == sent
    assert [tool["function"]["name"] for tool in body["tools"]] == ["calculator", "weather"][: 1 + (choice != "none")]


@pytest.mark.parametrize(
    ("declared", "tool", "code"),
    [
        (spec(), "weather", "client_tools_not_allowed"),
        (spec(client_tools=True, tools=("calculator",)), "calculator", "client_tool_taken"),
    ],
)
async def test_an_agent_takes_them_only_where_its_spec_says_so(declared: AgentSpec, tool: str, code: str) -> None:
    """Nothing is stored of a run that is refused: its key is free for another."""
    app = App()
    await app.declare(declared=declared)
    with pytest.raises(InvalidInput) as refused:
        await app.submit(client_tools=ClientTools((ClientTool(tool),)), run_id="01900000-0000-7000-8000-000000000000")
    accepted = await app.submit(run_id="01900000-0000-7000-8000-000000000000")

    assert refused.value.code == code
    assert accepted.created


def test_the_tools_of_an_agents_mcp_servers_are_its_own() -> None:
    """They begin with the server's label; which there are is known only at the server."""
    with pytest.raises(InvalidInput) as refused:
        check_allowed(ClientTools((WEATHER, ClientTool("wiki_find"))), allowed=True, taken=("search", "wiki_*"))

    assert (refused.value.code, *refused.value.fields) == ("client_tool_taken", "/client_tools/tools/1/name")


@pytest.mark.parametrize(
    "given",
    [
        ClientTools((ClientTool("no name"),)),
        ClientTools((WEATHER, WEATHER)),
        ClientTools((ClientTool("a", parameters={"type": "string"}),)),
        ClientTools((ClientTool("a", "x" * 100_001),)),
        ClientTools(tuple(ClientTool(f"t{n}") for n in range(129))),
        ClientTools((WEATHER,), "other"),
        ClientTools((), "required"),
        ClientTools(results=(ToolResult("a", ""), ToolResult("a", ""))),
        ClientTools(results=(ToolResult("", ""),)),
        ClientTools(results=(ToolResult("a", "é" * 60),)),
    ],
)
def test_what_is_no_tool_is_refused(given: ClientTools) -> None:
    with pytest.raises(AppError) as refused:
        check(given, 100)

    assert refused.value.code in ("invalid_client_tools", "tool_results_too_large")
    assert isinstance(refused.value, InvalidInput | TooLarge)


def test_an_agent_that_takes_them_is_the_same_version() -> None:
    """It says whom the agent serves, not what it is; and a hosted agent has the tools of its version."""
    assert fingerprint(spec(client_tools=True)) == fingerprint(spec())
    with pytest.raises(ValueError, match="leave out client_tools"):
        spec(provider="foundry", client_tools=True)


@pytest.mark.parametrize("ident", ["call_1", "call_" + "0" * 33, "call_" + "g" * 34, "", "x"])
def test_other_calls_name_no_run(ident: str) -> None:
    assert run_of_call(ident) is None
