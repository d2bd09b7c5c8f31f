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
