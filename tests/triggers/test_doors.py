"""Bad input at every door: said in the protocol's own words, and nothing is run."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import RunRequest, Submission
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.team import Team
from tests.triggers.conftest import Edge, request
from tests.waiting import eventually
from triggers.http import a2a, agui, mcp, openai, protocol_runs
from triggers.http.disconnects import cancel_on_disconnect

TEN_MB = "x" * 10_000_000


class _Queue:
    """Takes messages; nobody works at them."""

    def open(self) -> None: ...

    async def send(self, submission: Submission) -> None:
        return None


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """Yield the functions of all doors over services in memory, with an agent to ask and a session of Ada's."""
    edge = Edge(openai, mcp, a2a, agui, queue=_Queue())
    await edge.services.agents.catalog.declare("default", "a", AgentSpec(model="gpt-4o"))
    yield edge
    await edge.services.aclose()


def text(said: str = "Hi") -> dict[str, Any]:
    return {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": said}]}


def rpc(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def tool(name: str = "ask_agent", **arguments: Any) -> dict[str, Any]:
    return rpc("tools/call", name=name, arguments={"agent": "a", "query": "Hi", "wait_s": 0} | arguments)


def chat(*content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "a", "messages": [{"role": "user", "content": [*content] or "Hi"}]} | more


def front_end(content: Any = "Hi", **more: Any) -> dict[str, Any]:
    return {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": content}]} | more


V1 = {"A2A-Version": "1.0"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
DRAWN = {"role": "user", "content": [PICTURE]}
RAW = {"raw": "AAAA", "mediaType": "image/png"}
CHAT, RESPONSE = "openai_chat_completions", "openai_responses_create"
LIMIT = "1000000 characters"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SAID_SO = [{"role": "assistant", "content": "B"}]
ASKED = {"role": "user", "content": "C"}


def response(asked: Any = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "a", "input": asked} | more


def message(**more: Any) -> dict[str, Any]:
    return rpc("SendMessage", message=text() | more)


CASES: dict[str, Any] = {
    # door and what is wrong: function, its route, headers, body, status, what the answer says
    "chat-unknown": (CHAT, {}, {}, chat(model="gpt-4o"), 404, "model_not_found"),
    "chat-image": (CHAT, {}, {}, chat(PICTURE), 400, "unsupported_content"),
    "chat-session": (CHAT, {}, {"X-Session-Id": "hers"}, chat(user="bob"), 404, "session_not_found"),
    "chat-10MB": (CHAT, {}, {}, chat({"type": "text", "text": TEN_MB}), 400, LIMIT),
    "response-unknown": (RESPONSE, {}, {}, response(model="gpt-4o"), 404, "model_not_found"),
    "response-image": (
        RESPONSE,
        {},
        {},
        response([{"role": "user", "content": [PICTURE]}]),
        400,
        "unsupported_content",
    ),
    "response-session": (RESPONSE, {}, {}, response(conversation="hers", user="bob"), 404, "session_not_found"),
    "response-10MB": (RESPONSE, {}, {}, response(TEN_MB), 400, LIMIT),
    "mcp-unknown": ("mcp", {}, {}, tool(agent="nobody"), 200, "agent_not_found"),
    "mcp-image": ("mcp", {}, {}, tool(image="data:,"), 200, "invalid_arguments"),
    "mcp-session": ("mcp", {}, {}, tool(session_id="hers", user_id="bob"), 200, "session_not_found"),
    "mcp-10MB": ("mcp", {}, {}, tool(query=TEN_MB), 413, "too_large"),
    "mcp-version": ("mcp", {}, {"MCP-Protocol-Version": "1999-01-01"}, tool(), 400, "-32602"),
    "a2a-unknown": ("a2a", {"name": "nobody"}, V1, message(), 404, "agent_not_found"),
    "a2a-image": ("a2a", {"name": "a"}, V1, message(parts=[RAW]), 200, "-32005"),
    "a2a-session": ("a2a", {"name": "a"}, V1, message(contextId="hers"), 200, "session_not_found"),
    "a2a-10MB": ("a2a", {"name": "a"}, V1, message(parts=[{"text": TEN_MB}]), 413, "too_large"),
    "a2a-version": ("a2a", {"name": "a"}, {"A2A-Version": "9.9"}, message(), 200, "-32009"),
    "agui-unknown": ("agui", {"name": "nobody"}, {}, front_end(), 404, "agent_not_found"),
    "agui-image": ("agui", {"name": "a"}, {}, front_end([{"type": "image"}]), 400, "unsupported_content"),
    "agui-session": ("agui", {"name": "a"}, {}, front_end(threadId="hers"), 404, "session_not_found"),
    "agui-10MB": ("agui", {"name": "a"}, {}, front_end(TEN_MB), 400, LIMIT),
}


async def answered(edge: Edge, function: str, asked: func.HttpRequest) -> tuple[int, str]:
    """Return the status and the body of an answer, however it is sent."""
    response: Any = await edge(function, asked)
    if isinstance(response, func.HttpResponse):
        return response.status_code, response.get_body().decode()
    return response.status_code, b"".join([piece async for piece in response.body]).decode()


async def runs(edge: Edge) -> list[Any]:
    found, _ = await edge.services.conversations.directory.runs(
        "default", agent=None, user_id=None, limit=9, after=None
    )
    return list(found)


@pytest.mark.parametrize("case", CASES)
async def test_what_cannot_be_asked_is_refused(edge: Edge, case: str) -> None:
    """An unknown name, an image, another user's session, ten megabytes, a version that nobody speaks."""
    function, route, headers, body, status, says = CASES[case]
    call: Any = await _call(edge)
    await protocol_runs.ask(call, "a", RunRequest(query="Hers.", session_id="hers", user_id="ada"))
    code, answer = await answered(edge, function, request(body, headers=headers, route=route))

    assert (code, says in answer) == (status, True), answer[:300]
    assert "x" * 100 not in answer
    assert not {"constrained", "tuple"} & set(re.findall("[a-z]+", answer))
    assert len(await runs(edge)) == 1


@pytest.mark.parametrize(
    ("function", "headers", "body", "param"),
    [
        (CHAT, {}, chat({"type": "text", "text": " "}), "messages"),
        (CHAT, {}, chat({"type": "text", "text": "x" * 300_000}), "messages"),
        (CHAT, {}, chat(user="a!b"), "user"),
        (CHAT, {}, chat(safety_identifier="a!b"), "safety_identifier"),
        (CHAT, {"X-Session-Id": "a!b"}, chat(), "X-Session-Id"),
        (RESPONSE, {}, response(" "), "input"),
        (RESPONSE, {}, response("x" * 300_000), "input"),
        (RESPONSE, {}, response(user="a!b"), "user"),
        (RESPONSE, {}, response(conversation="a!b"), "conversation"),
    ],
)
async def test_an_openai_client_is_told_which_parameter_is_wrong(
    edge: Edge, function: str, headers: Any, body: Any, param: str
) -> None:
    """By its name in that protocol."""
    status, answer = await answered(edge, function, request(body, headers=headers))
    error = json.loads(answer)["error"]

    assert (status, error["param"]) == (400, param), error
    assert "x" * 100 not in answer


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"query": ""}, "query: is shorter than 1 character"),
        ({"query": 7}, 'query: is not of type "string"'),
        ({"wait_s": 1e9}, "wait_s: is greater than the maximum of 220"),
        ({"question": "Hi", "x": 1}, "question: is no argument; there are: agent, query, session_id, user_id, wait_s;"),
        ({"user_id": "a!b"}, "Not a valid user id"),
    ],
)
async def test_a_model_is_told_which_argument_of_a_tool_is_wrong(edge: Edge, arguments: Any, says: str) -> None:
    """And what is wrong with it, so that it can call again; never its value."""
    _, answer = await answered(edge, "mcp", request(tool(**arguments)))
    _, missing = await answered(edge, "mcp", request(rpc("tools/call", name="ask_agent", arguments={"wait_s": 0})))

    assert says in json.loads(answer)["result"]["content"][0]["text"]
    assert json.loads(missing)["result"]["content"][0]["text"] == (
        "invalid_arguments: The arguments are not valid. agent: is missing; query: is missing."
    )


@pytest.mark.parametrize(
    "body",
    [
        [],
        [rpc("ping")],
        5,
        {},
        {"jsonrpc": "2.0", "id": 1},
        rpc("ping") | {"jsonrpc": "1.0"},
        rpc("ping") | {"method": 5},
        rpc("ping") | {"params": ["a-secret"]},
        rpc("ping") | {"id": {"a": "a-secret"}},
    ],
)
@pytest.mark.parametrize("door", ["mcp", "a2a"])
async def test_what_is_no_message_is_an_invalid_request(edge: Edge, door: str, body: Any) -> None:
    """In words of the protocol: neither Python's nor what was sent."""
    code, answer = await answered(edge, door, request(body, headers=V1, route={"name": "a"}))

    assert (code, json.loads(answer)["error"]["code"]) == (400 if door == "mcp" else 200, -32600)
    assert len(answer) < 200
    assert "a-secret" not in answer


@pytest.mark.parametrize(
    ("door", "body"),
    [
        (CHAT, chat(model="crew", tools=[TOOL])),
        (CHAT, chat(model="crew", tools=[TOOL]) | {"messages": [{"role": "user", "content": "A"}, *SAID_SO, ASKED]}),
        (RESPONSE, response(model="crew", tools=[{"type": "function", "name": "f", "parameters": {}, "strict": None}])),
    ],
    ids=["chat", "chat-with-what-was-said", "response"],
)
async def test_a_team_takes_no_tools_of_its_callers(edge: Edge, door: str, body: Any) -> None:
    """Though its members do: who answers next may be another one. It is said before anything is run."""
    for name in ("one", "two"):
        await edge.services.agents.catalog.declare("default", name, AgentSpec(model="gpt-4o", client_tools=True))
    crew = Team.model_validate({"members": [{"name": "one", "agent": "one"}, {"name": "two", "agent": "two"}]})
    await edge.services.teams.store.put("default", "crew", crew)

    code, answer = await answered(edge, door, request(body))

    assert (code, json.loads(answer)["error"]["code"]) == (400, "unsupported_tools")
    assert "not for teams" in answer
    assert await runs(edge) == []


async def test_what_a_client_answers_is_taken(edge: Edge) -> None:
    """A response is a message too, though nothing waits for it here."""
    code, answer = await answered(edge, "mcp", request({"jsonrpc": "2.0", "id": 1, "result": {}}))

    assert (code, answer) == (202, "")


@pytest.mark.parametrize("leaves_after", [0, 1])
async def test_a_reader_that_leaves_cancels_the_run(edge: Edge, leaves_after: int) -> None:
    """Before its first words and after them; one that has read to the end has not left."""
    call: Any = await _call(edge)
    asked = await protocol_runs.ask(call, "a", RunRequest(query="Say.", stream=True))

    async def chunks() -> AsyncGenerator[str]:
        yield "one"
        await asyncio.Event().wait()

    stream = cancel_on_disconnect(asked, chunks())
    for _ in range(leaves_after):
        await anext(stream)
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    if leaves_after:
        reading.cancel()
        await asyncio.wait([reading])
    else:
        await reading
        await stream.aclose()

    async def state() -> bool:
        run = await edge.services.runs.queries.get("default", asked.run.id)
        return run.state is RunState.CANCELLED

    await eventually(state)


async def _call(edge: Edge) -> Any:
    return SimpleNamespace(
        workspace="default", services=edge.services, signals=edge.signals, queue=_Queue(), live=True, request=None
    )
