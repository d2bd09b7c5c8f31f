"""The MCP server, with the official SDK's client, in today's protocol and in that before it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import httpx2
import mcp_types as types
import pytest
from mcp import Client, MCPError
from mcp.client.extension import ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult
from pydantic import ConfigDict

from devhost.services import PROJECT, node
from tests.e2e.support import PROMPT, Api, Stack
from tests.e2e.test_approvals import ASKING
from tests.waiting import QUIET_S

ERAS = ["legacy", "2026-07-28"]
KEY = "agent-lifecycle/idempotency-key"


@asynccontextmanager
async def connected(stack: Stack, api: Api, mode: Any = "2026-07-28", **options: Any) -> AsyncIterator[Client]:
    """Connect the SDK's client to the workspace of the test."""
    async with AsyncExitStack() as parts:
        headers = {"X-Workspace": str(api.workspace)}
        http = await parts.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=QUIET_S))
        transport = streamable_http_client(f"{stack.host.url}/api/mcp", http_client=http)
        yield await parts.enter_async_context(Client(transport, mode=mode, **options))


@pytest.mark.parametrize("mode", ERAS)
async def test_agents_are_tools(api: Api, stack: Stack, mode: str) -> None:
    """Each has its own and any can be asked by name; a conversation goes on by its session's id."""
    await api.declare("weather", description="Tells the weather.")

    async with connected(stack, api, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        listed = await client.call_tool("list_agents", {})
        first = await client.call_tool("agent_weather", {"query": PROMPT})
        session = first.structured_content["session_id"]
        second = await client.call_tool("ask_agent", {"agent": "weather", "query": PROMPT, "session_id": session})
        run = await client.call_tool("get_run", {"run_id": second.structured_content["run_id"]})

    assert tools["agent_weather"].description == "Tells the weather."
    assert listed.structured_content == {
        "agents": [{"name": "weather", "description": "Tells the weather."}],
        "next": None,
    }
    assert (first.is_error, first.structured_content["state"]) == (False, "succeeded")
    assert "turn 2" in second.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
    assert run.structured_content == second.structured_content
    stored = await api.get(f"runs/{run.structured_content['run_id']}")
    assert run.structured_content["usage"]["cost_micro_usd"] == stored["spend"]["cost_micro_usd"]


async def test_as_many_agents_have_tools_of_their_own_as_is_set(api: Api, stack: Stack) -> None:
    """The first 20 by name; one with a long name is asked by `ask_agent`."""
    names = ["a" * 63, *(f"b{n:02}" for n in range(22))]
    await asyncio.gather(*(api.declare(name) for name in names))

    async with connected(stack, api) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools if tool.name.startswith("agent_")]
        answer = await client.call_tool("ask_agent", {"agent": names[0], "query": PROMPT})

    assert tools == [f"agent_b{n:02}" for n in range(19)]
    assert answer.structured_content["state"] == "succeeded"


@pytest.mark.parametrize("mode", ERAS)
async def test_progress_is_told_where_it_is_asked_for(api: Api, stack: Stack, mode: str) -> None:
    """The stages of the run, in order."""
    await api.declare("a", simulate={"latency_ms": 1500})
    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(str(message))

    async with connected(stack, api, mode) as client:
        answer = await client.call_tool("agent_a", {"query": PROMPT}, progress_callback=note)

    assert answer.structured_content["state"] == "succeeded"
    assert "RUNNING" in told
    assert told[-1] == "COMPLETED"


async def test_a_long_run_is_read_later_and_the_same_key_is_the_same_run(api: Api, stack: Stack) -> None:
    """After `wait_s` the answer says that it runs; asking again under its key asks nothing new; it can be cancelled."""
    await api.declare("slow", simulate={"latency_ms": 20_000})
    meta: Any = {KEY: str(uuid.uuid4())}

    async with connected(stack, api) as client:
        asked = [await client.call_tool("agent_slow", {"query": PROMPT, "wait_s": 0}, meta=meta) for _ in range(2)]
        cancelled = await client.call_tool("cancel_run", {"run_id": meta[KEY]})
        done = await client.call_tool("get_run", {"run_id": meta[KEY], "wait_s": 60})

    assert {answer.structured_content["run_id"] for answer in asked} == {meta[KEY]}
    assert asked[0].structured_content["state"] in ("queued", "running")
    assert cancelled.is_error is False
    assert (done.structured_content["state"], done.structured_content["answer"]) == ("cancelled", None)


async def test_what_goes_wrong_is_told_to_the_model(api: Api, stack: Stack) -> None:
    """With a code, as the tool's result; a tool that there is not is an error of the protocol. Nothing is run."""
    await api.declare("a")
    await api.answer("a", session_id="hers", user_id="ada")
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("ask_agent", {"agent": "nobody", "query": PROMPT}, "agent_not_found"),
        ("agent_nobody", {"query": PROMPT}, "agent_not_found"),
        ("ask_agent", {"agent": "a"}, "invalid_arguments"),
        ("ask_agent", {"agent": "a", "query": PROMPT, "extra": 1}, "invalid_arguments"),
        ("ask_agent", {"agent": "a", "query": "x" * 300_000}, "query_too_large"),
        ("ask_agent", {"agent": "a", "query": PROMPT, "session_id": "hers", "user_id": "bob"}, "session_not_found"),
        ("get_run", {"run_id": "none"}, "invalid_run_id"),
        ("get_run", {"run_id": str(uuid.uuid4())}, "run_not_found"),
        ("get_run", {"run_id": str(uuid.uuid4()), "wait_s": 1e9}, "invalid_arguments"),
        ("list_agents", {"after": "~"}, "invalid_agent_name"),
        ("decide_approval", {"approval_id": "none", "decision": "approve"}, "approval_not_found"),
    ]

    async with connected(stack, api) as client:
        for tool, arguments, code in wrong:
            answer = await client.call_tool(tool, arguments)
            text = answer.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
            assert (answer.is_error, text.partition(":")[0]) == (True, code)
            assert PROMPT not in text
        with pytest.raises(MCPError):
            await client.call_tool("no_such_tool", {})
        failed = await _failed(api, client)

    assert failed.is_error
    assert failed.structured_content["error"]["code"] == "provider_rejected"
    assert len((await api.get("runs"))["items"]) == 2


async def _failed(api: Api, client: Client) -> Any:
    await api.declare("bad", simulate={"fail_first": 1, "fail_with": "rejected"})
    return await client.call_tool("ask_agent", {"agent": "bad", "query": PROMPT})


async def test_an_approval_is_asked_of_the_person_at_the_client(api: Api, stack: Stack) -> None:
    """Where the client shows questions: what the agent wants to call and with what; approved, the same run goes on."""
    await api.declare("cashier", **ASKING)
    asked: list[str] = []

    async def person(_: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"decision": "approve", "reason": "Fine."})

    async with connected(stack, api, elicitation_callback=person) as client:
        answer = await client.call_tool("agent_cashier", {"query": "20 + 3"})
    decided = (await api.get("approvals?state=approved"))["items"]

    assert "calculator" in asked[0]
    assert "20 + 3" in asked[0]
    assert "returned '23'" in answer.structured_content["answer"]
    assert [item["run_id"] for item in decided] == [answer.structured_content["run_id"]]


async def test_without_questions_an_approval_is_named_and_decided_with_a_tool(api: Api, stack: Stack) -> None:
    """The answer says that it waits and for what; rejected, the run goes on without the call."""
    await api.declare("cashier", **ASKING)

    async with connected(stack, api, "legacy") as client:
        waiting = await client.call_tool("agent_cashier", {"query": "20 + 3"})
        listed = await client.call_tool("list_approvals", {})
        (approval,) = waiting.structured_content["approvals"]
        decided = await client.call_tool(
            "decide_approval", {"approval_id": approval, "decision": "reject", "reason": "Not today."}
        )
        done = await client.call_tool("get_run", {"run_id": waiting.structured_content["run_id"], "wait_s": 60})

    assert (waiting.is_error, waiting.structured_content["state"]) == (False, "waiting")
    assert [item["id"] for item in listed.structured_content["approvals"]] == [approval]
    assert decided.structured_content["state"] == "rejected"
    assert done.structured_content["state"] == "succeeded"
    assert "returned '23'" not in done.structured_content["answer"]


class CreatedTask(types.Result):
    """A task, as the tasks extension answers it in place of a result."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    poll_interval_ms: int


class Tasks(ClientExtension):
    """The tasks extension at the client: it polls until a task has ended, and answers its questions as told."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, decision: str = "", *, cancels: bool = False) -> None:
        self._decision, self._cancels = decision, cancels
        self.seen: list[dict[str, Any]] = []

    def claims(self) -> Any:
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self._resolve)]

    async def _resolve(self, task: CreatedTask, context: Any) -> types.CallToolResult:
        async def ask(method: str, **params: Any) -> dict[str, Any]:
            asked = types.Request[dict[str, Any], str](method=method, params={"taskId": task.task_id, **params})
            return (await context.session.send_request(asked, AnyResult)).model_dump()

        if self._cancels:
            await ask("tasks/cancel")
        while True:
            self.seen.append(found := await ask("tasks/get"))
            if found["status"] == "input_required":
                content = {"action": "accept", "content": {"decision": self._decision}}
                await ask("tasks/update", inputResponses=dict.fromkeys(found["inputRequests"], content))
            elif found["status"] != "working":
                return types.CallToolResult.model_validate(found.get("result") or {"content": [], "isError": True})
            await asyncio.sleep(0.1)


class AnyResult(types.Result):
    """An answer with all its fields."""

    model_config = ConfigDict(extra="allow")


async def test_a_long_run_is_a_task_where_the_client_takes_one(api: Api, stack: Stack) -> None:
    """It is polled to its result, its approval is a question of the task's, and it is cancelled as a task."""
    await api.declare("slow", simulate={"latency_ms": 700, "reply": "At last."})
    await api.declare("cashier", **(ASKING | {"simulate": ASKING["simulate"] | {"latency_ms": 500}}))
    await api.declare("stuck", simulate={"latency_ms": 20_000})

    async def person(_: Any, params: Any) -> ElicitResult:
        raise AssertionError(params)  # it is asked of the task

    outcomes = {}
    for agent, extension in (("slow", Tasks()), ("cashier", Tasks("approve")), ("stuck", Tasks(cancels=True))):
        async with connected(stack, api, extensions=[extension], elicitation_callback=person) as client:
            answer = await client.call_tool(f"agent_{agent}", {"query": "20 + 3", "wait_s": 0})
            outcomes[agent] = (answer, extension.seen)
            with pytest.raises(MCPError):
                await Tasks()._resolve(
                    CreatedTask(task_id=str(uuid.uuid4()), status="working", poll_interval_ms=1), client
                )

    assert outcomes["slow"][0].structured_content["answer"] == "At last."
    assert "returned '23'" in outcomes["cashier"][0].structured_content["answer"]
    assert {"input_required", "completed"} <= {seen["status"] for seen in outcomes["cashier"][1]}
    assert outcomes["stuck"][1][-1]["status"] == "cancelled"
    states = {run["agent"]: run["state"] for run in (await api.get("runs"))["items"]}
    assert states == {"slow": "succeeded", "cashier": "succeeded", "stuck": "cancelled"}


async def test_sessions_are_resources_and_templates_are_prompts(api: Api, stack: Stack) -> None:
    """The latest sessions with what was said in them; templates with their instructions."""
    await api.declare("a")
    await api.answer("a", session_id="team/talk", user_id="ada")
    await api.call("PUT", "templates/greeter", {"instructions": "Greet warmly.", "description": "Greets."})

    async with connected(stack, api) as client, connected(stack, api.elsewhere()) as stranger:
        (resource,) = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
        read = await client.read_resource(resource.uri)
        prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        prompt = await client.get_prompt("greeter")
        for reading in (
            stranger.read_resource(resource.uri),
            client.read_resource("session://none"),
            client.read_resource("file:///etc/passwd"),
            client.get_prompt("nobody"),
        ):
            with pytest.raises(MCPError):
                await reading

    assert (resource.uri, templates[0].uri_template) == ("session://team%2Ftalk", "session://{id}")
    assert PROMPT in read.contents[0].text  # pyright: ignore[reportAttributeAccessIssue]
    assert prompts["greeter"].description == "Greets."
    assert prompt.messages[0].content.text == "Greet warmly."  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_what_is_no_message_of_the_protocol_is_refused(api: Api) -> None:
    """Text, a batch, an unknown version, a body over 4 MiB, another content type, another method."""
    accepts = {"Accept": "application/json, text/event-stream"}
    ask: Any = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    replies = [
        await api.call("POST", "mcp", b"{", **accepts),
        await api.call("POST", "mcp", [ask], **accepts),
        await api.call("POST", "mcp", ask, **accepts, MCP_Protocol_Version="1999-01-01"),
        await api.call("POST", "mcp", ask | {"pad": "x" * 5_000_000}, **accepts),
        await api.call("POST", "mcp", ask, Content_Type="text/plain"),
        await api.call("GET", "mcp"),
        await api.call("DELETE", "mcp"),
    ]

    assert [reply.status for reply in replies] == [400, 400, 400, 413, 415, 405, 405]
    for reply in replies[:5]:
        assert reply.json()["error"]["code"] < 0


async def test_the_inspector_reads_it(api: Api, stack: Stack) -> None:
    """The command line of the MCP Inspector, of the protocol before today's, lists the tools and calls one."""
    await api.declare("a", simulate={"reply": "Hi."})

    async def inspect(*options: str) -> Any:
        program = await asyncio.create_subprocess_exec(
            node(),
            "cli.js",
            *("--cli", f"{stack.host.url}/api/mcp", "--transport", "http"),
            *("--header", f"X-Workspace: {api.workspace}"),
            *options,
            cwd=PROJECT / "node_modules/@modelcontextprotocol/inspector-cli/build",  # it looks for its name from there
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, log = await program.communicate()
        assert program.returncode == 0, log.decode()
        return json.loads(output)

    tools = await inspect("--method", "tools/list")
    answer = await inspect("--method", "tools/call", "--tool-name", "agent_a", "--tool-arg", f"query={PROMPT}")

    assert "agent_a" in [tool["name"] for tool in tools["tools"]]
    assert answer["structuredContent"]["answer"] == "Hi."
