"""Producers that know nothing of the HTTP API: they put messages on the queue with the Service Bus SDK."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from typing import Any

from azure.servicebus import ServiceBusMessage

from tests.e2e.support import LOW_QUEUE, PROMPT, SIGNING_KEY, Api, Stack, eventually


def message(api: Api, agent: str, query: str = PROMPT, **fields: Any) -> dict[str, Any]:
    """Return the body of a message as the documentation gives it."""
    return {"v": 1, "workspace": api.workspace, "agent": agent, "query": query} | fields


async def session_turns(api: Api, session_id: str, count: int) -> list[Any]:
    """Wait until a session has so many messages, and return them."""

    async def look() -> Any:
        if (await api.call("GET", f"sessions/{session_id}")).status == 404:
            return None
        turns = await api.everything(f"sessions/{session_id}/messages", 200)
        return turns if len(turns) >= count else None

    return await eventually(look)


async def test_a_plain_message_is_answered(api: Api, stack: Stack) -> None:
    """A message with nothing but agent and query becomes a run; its MessageId is the run's id."""
    await api.declare("a")
    run_id = str(uuid.uuid4())

    await stack.send(message(api, "a", f"{PROMPT} hello"), "from-sdk", run_id, subject="agent.run")
    await session_turns(api, "from-sdk", 2)
    run = await api.ended(run_id)

    assert (run["state"], run["query"], run["session_id"]) == ("succeeded", f"{PROMPT} hello", "from-sdk")
    assert (await api.get("costs"))["total"]["calls"] == 1
    assert [item["id"] for item in await api.everything("sessions", 10)] == ["from-sdk"]


async def test_a_message_without_ids_is_one_run(api: Api, stack: Stack) -> None:
    """Neither MessageId nor `run_id`: the message is one run all the same, however often it is delivered."""
    await api.declare("a", simulate={"fail_first": 1})
    body = message(api, "a")

    await stack.send_messages(ServiceBusMessage(json.dumps(body), session_id="s"))
    await session_turns(api, "s", 2)
    session = await api.get("sessions/s")

    assert (session["runs"], session["turns"], session["pending"]) == (1, 2, 0)


async def test_the_same_message_twice_is_one_run(api: Api, stack: Stack) -> None:
    """Sent twice, whether the broker notices (same MessageId) or not (same `run_id` only), it is answered once."""
    await api.declare("a")
    first, second = str(uuid.uuid4()), "order 7"

    sent = [
        (message(api, "a", "one"), first),
        (message(api, "a", "one"), first),
        (message(api, "a", "two", run_id=second), str(uuid.uuid4())),
        (message(api, "a", "two", run_id=second), str(uuid.uuid4())),
        (message(api, "a", "three"), str(uuid.uuid4())),
    ]
    await stack.send_messages(
        *(ServiceBusMessage(json.dumps(body), session_id="s", message_id=ident) for body, ident in sent)
    )
    turns = await session_turns(api, "s", 6)
    session = await api.get("sessions/s")

    assert [turn["text"] for turn in turns[::2]] == ["one", "two", "three"]
    assert (session["runs"], session["pending"], session["spend"]["calls"]) == (3, 0, 3)


async def test_a_key_means_the_same_over_http_and_the_queue(api: Api, stack: Stack) -> None:
    """A run submitted over HTTP is not repeated by a message with the same key."""
    await api.declare("a")
    run = await api.submit("a", session_id="s", headers={"Idempotency_Key": "order 8"})

    await stack.send(message(api, "a", run_id="order 8"), "s", str(uuid.uuid4()))
    await stack.send(message(api, "a", "last"), "s", str(uuid.uuid4()))
    turns = await session_turns(api, "s", 4)

    assert [turn["text"] for turn in turns[::2]] == [PROMPT, "last"]
    assert turns[0]["run_id"] == run["id"]


async def test_producers_at_once_keep_their_order_in_each_session(api: Api, stack: Stack) -> None:
    """Two producers and HTTP send to shared sessions at once: each sender's runs stay in the order it sent them."""
    await api.declare("a", simulate={"latency_ms": 5})

    async def produce(name: str) -> None:
        await stack.send_messages(
            *(
                ServiceBusMessage(
                    f'{{"workspace":"{api.workspace}","agent":"a","query":"{name} {n}"}}'.encode(),
                    session_id=f"s{n % 3}",
                    message_id=str(uuid.uuid4()),
                )
                for n in range(9)
            )
        )

    async def post() -> None:
        for n in range(9):
            await api.submit("a", f"http {n}", session_id=f"s{n % 3}")

    await asyncio.gather(produce("left"), produce("right"), post())
    for number in range(3):
        asked = [turn["text"] for turn in (await session_turns(api, f"s{number}", 18))[::2]]

        assert len(asked) == 9
        for name in ("left", "right", "http"):
            mine = [text for text in asked if text.startswith(name)]
            assert mine == [f"{name} {n}" for n in (number, number + 3, number + 6)]


async def test_the_same_uuid_in_two_workspaces_is_two_runs(api: Api) -> None:
    """A caller's key counts in its own workspace only, for the broker too."""
    other = api.elsewhere()
    key = str(uuid.uuid4())
    for each in (api, other):
        await each.declare("a")

    for each in (api, other):
        await each.submit("a", headers={"Idempotency_Key": key})

    for each in (api, other):
        assert (await each.ended(key))["state"] == "succeeded"


async def test_a_run_of_a_disabled_agent_fails(api: Api, stack: Stack) -> None:
    """A message for an agent that is switched off becomes a run that says so."""
    await api.declare("a")
    await api.call("POST", "agents/a/disable")
    run_id = str(uuid.uuid4())

    await stack.send(message(api, "a"), "s", run_id)

    async def look() -> Any:
        reply = await api.call("GET", f"runs/{run_id}")
        return reply.json() if reply.status == 200 and reply.json()["state"] == "failed" else None

    assert (await eventually(look))["error"]["code"] == "agent_disabled"


def signed(key: str, message_id: str, workspace: str, body: bytes) -> dict[str, str]:
    """Return the application property that signs a message, made as docs/api.md says it."""
    text = f"{message_id}\n{workspace}\n{hashlib.sha256(body).hexdigest()}"
    return {"workspace-signature": "v1=" + hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()}


async def test_a_pinned_queue_takes_other_workspaces_from_who_holds_the_key_only(
    api: Api, default_api: Api, stack: Stack
) -> None:
    """Unsigned, from another subject, wrongly signed, and signed for another message: dead letters, and no run."""
    workspace = str(api.workspace)
    await api.declare("a")
    body = json.dumps(message(api, "a", f"{PROMPT} signed")).encode()
    ids = [str(uuid.uuid4()) for _ in range(5)]
    forged = [None, None, signed("x" * 32, ids[2], workspace, body), signed(SIGNING_KEY, ids[4], workspace, body)]
    for number, properties in enumerate([*forged, signed(SIGNING_KEY, ids[4], workspace, body)]):
        more = {"application_properties": properties} if properties else {}
        subject = "billing" if number == 1 else "other"
        await stack.send(body, f"{workspace}-{number}", ids[number], LOW_QUEUE, subject=subject, **more)
    await session_turns(api, f"{workspace}-4", 2)
    run = await api.ended(ids[4])
    letters = [(await default_api.letters(f"{workspace}-{number}"))[0] for number in range(4)]
    asked = await api.answer("a", session_id="ours", priority="low")

    assert run["state"] == "succeeded"
    assert asked["state"] == "succeeded", "the app signs its own messages"
    assert [letter["code"] for letter in letters] == ["workspace_not_allowed"] * 2 + ["invalid_signature"] * 2
    assert {letter["redrivable"] for letter in letters} == {False}
    assert sorted(item["id"] for item in await api.everything("runs", 50)) == sorted([ids[4], asked["id"]])
