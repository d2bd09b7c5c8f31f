"""The AG-UI protocol: its events, with the types of the official package, and its JavaScript client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from ag_ui.core import Event, EventType
from pydantic import TypeAdapter

from devhost.services import node
from tests.e2e.support import PROMPT, Api, Reply, Stack
from tests.e2e.test_approvals import ASKING

EVENTS: TypeAdapter[Any] = TypeAdapter(Event)


def events(reply: Reply) -> list[Any]:
    """Return the events of an answer, as the official package reads them."""
    assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, "text/event-stream"), reply.body
    lines = [line for line in reply.body.decode().split("\n\n") if line]
    return [EVENTS.validate_json(line.removeprefix("data: ")) for line in lines]


def run_input(run_id: str, *texts: str, **more: Any) -> dict[str, Any]:
    """Return a request in which the user and the assistant speak in turn."""
    messages = [{"id": str(n), "role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    return {"threadId": "thread", "runId": run_id, "messages": messages} | more


async def test_a_run_is_told_as_events(api: Api) -> None:
    """Started, its text, finished; a thread is a session, and the same run is not run twice."""
    await api.declare("a", simulate={"reply": "One two three."})

    first = events(await api.call("POST", "agui/a", run_input("r1", PROMPT)))
    again = await api.call("POST", "agui/a", run_input("r1", PROMPT))
    second = await api.call("POST", "agui/a", run_input("r2", PROMPT, "One two three.", PROMPT, tools=[{"name": "x"}]))
    session = await api.get("sessions/thread")

    assert [event.type for event in first] == [
        EventType.RUN_STARTED,
        EventType.TEXT_MESSAGE_START,
        EventType.TEXT_MESSAGE_CONTENT,
        EventType.TEXT_MESSAGE_END,
        EventType.RUN_FINISHED,
    ]
    assert (first[2].delta, first[-1].outcome.type) == ("One two three.", "success")
    assert (first[0].thread_id, first[0].run_id) == ("thread", "r1")
    assert events(again) == first
    assert second.headers["x-ignored-parameters"] == "tools"
    assert (session["runs"], session["turns"]) == (2, 4)


async def test_an_approval_is_an_interrupt(api: Api) -> None:
    """It names the tool and its arguments; resumed with a decision, the same run goes on to its answer."""
    await api.declare("cashier", **ASKING)

    asked = events(await api.call("POST", "agui/cashier", run_input("r1", "20 + 3")))
    (interrupt,) = asked[-1].outcome.interrupts
    resume = [{"interruptId": interrupt.id, "status": "resolved", "payload": {"decision": "approve"}}]
    done = events(await api.call("POST", "agui/cashier", run_input("r2", "20 + 3", resume=resume)))
    wrong = [{"interruptId": "none", "status": "resolved", "payload": True}]
    missing = await api.call("POST", "agui/cashier", run_input("r3", "20 + 3", resume=wrong))

    assert asked[-1].outcome.type == "interrupt"
    assert (interrupt.metadata["tool"], interrupt.metadata["arguments"]) == ("calculator", {"expression": "20 + 3"})
    assert done[-1].outcome.type == "success"
    assert "returned '23'" in "".join(event.delta for event in done if event.type == EventType.TEXT_MESSAGE_CONTENT)
    assert (missing.status, missing.code) == (404, "approval_not_found")
    assert len((await api.get("runs"))["items"]) == 1


async def test_the_tools_of_a_front_end_are_called_there(api: Api) -> None:
    """The agent asks for one with the protocol's events, and goes on with what came of it; others are given none."""
    await api.declare("a", client_tools=True, simulate={"call_tool": "confirm"})
    await api.declare("b")
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    tools = [{"name": "confirm", "description": "Asks the person.", "parameters": schema}]

    asked = events(await api.call("POST", "agui/a", run_input("r1", PROMPT, tools=tools)))
    start, arguments, end = asked[1:-1]
    call = {"id": start.tool_call_id, "type": "function", "function": {"name": "confirm", "arguments": arguments.delta}}
    history = [
        {"id": "0", "role": "user", "content": PROMPT},
        {"id": "1", "role": "assistant", "toolCalls": [call]},
        {"id": "2", "role": "tool", "toolCallId": start.tool_call_id, "content": "Yes."},
    ]
    done = events(await api.call("POST", "agui/a", run_input("r2", tools=tools, messages=history)))
    other = await api.call("POST", "agui/b", run_input("r3", PROMPT, tools=tools, threadId="other"))

    assert [event.type for event in asked[1:-1]] == [
        EventType.TOOL_CALL_START,
        EventType.TOOL_CALL_ARGS,
        EventType.TOOL_CALL_END,
    ]
    assert (start.tool_call_name, json.loads(arguments.delta)) == ("confirm", {"text": PROMPT})
    assert end.tool_call_id == start.tool_call_id
    assert asked[-1].outcome.type == "success"
    assert "returned 'Yes.'" in "".join(event.delta for event in done if event.type == EventType.TEXT_MESSAGE_CONTENT)
    assert other.headers["x-ignored-parameters"] == "tools"
    assert (await api.get("sessions/thread"))["turns"] == 4


async def test_what_goes_wrong_is_an_event_or_a_problem(api: Api) -> None:
    """A run that fails ends with an error; what is never run is refused."""
    await api.declare("a", simulate={"fail_first": 1, "fail_with": "content_filter"})

    failed = events(await api.call("POST", "agui/a", run_input("r1", PROMPT)))
    image = [{"id": "1", "role": "user", "content": [{"type": "image", "source": {"type": "url", "value": "x"}}]}]
    replies = [
        await api.call("POST", "agui/nobody", run_input("r2", PROMPT)),
        await api.call("POST", "agui/a", run_input("r2")),
        await api.call("POST", "agui/a", run_input("r2", messages=image)),
        await api.call("POST", "agui/a", run_input("r2", PROMPT, threadId="~")),
        await api.call("POST", "agui/a", run_input("r1", "other words")),
    ]

    assert (failed[-1].type, failed[-1].code) == (EventType.RUN_ERROR, "content_filter")
    assert [(reply.status, reply.code) for reply in replies] == [
        (404, "agent_not_found"),
        (400, "no_question"),
        (400, "unsupported_content"),
        (400, "invalid_session_id"),
        (409, "idempotency_conflict"),
    ]


async def test_the_javascript_client_is_answered(api: Api, stack: Stack) -> None:
    """It has the answers as messages of its conversation."""
    await api.declare("a", simulate={"reply": "Good."})
    program = await asyncio.create_subprocess_exec(
        node(),
        str(Path(__file__).with_name("agui_client.mjs")),
        f"{stack.host.url}/api/agui/a",
        str(api.workspace),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, log = await program.communicate()
    assert program.returncode == 0, log.decode()
    told = json.loads(output)

    assert [message["content"] for message in told["messages"]] == [f"{PROMPT} 1", "Good.", f"{PROMPT} 2", "Good."]
    assert told["types"].count("RUN_FINISHED") == 2
    assert (await api.get("sessions/js"))["turns"] == 4
