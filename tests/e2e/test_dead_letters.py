"""What the queue gives up on: said why, kept, and put back by one call."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from tests.e2e.support import QUEUE, Api, Stack, eventually

SECRET = "zq-prompt-secret"


def _good(agent: str = "a", **fields: Any) -> dict[str, Any]:
    return {"v": 1, "agent": agent, "query": SECRET} | fields


@pytest.fixture
async def session_id(default_api: Api, stack: Stack) -> str:
    """Return a session id of the test's own, in the workspace that garbage belongs to."""
    return f"s-{uuid.uuid4().hex}"


GARBAGE: dict[str, tuple[bytes | dict[str, Any], str]] = {
    "not JSON": (b"hello " + SECRET.encode(), "not JSON"),
    "not UTF-8": (b"\xff\xfe\x00" + SECRET.encode(), "not JSON"),
    "empty": (b"", "not JSON"),
    "a list": (json.dumps([SECRET]).encode(), "not a JSON object"),
    "too deep": (b"[" * 50_000, "not JSON"),
    "another version": (_good(v=2), "/v (Input should be 1)"),
    "no agent": ({"query": SECRET}, "either an agent or a team"),
    "no query": ({"agent": "a"}, "no query"),
    "query of another type": (_good(query=[SECRET]), "/query (Input should be a valid string)"),
    "a blank query": (_good(query=" \n"), "query is empty"),
    "an unknown field": (_good(colour=SECRET), "There is no colour"),
    "a wrong session": (_good(session_id=SECRET), "session_id is not the message's SessionId"),
    "a bad agent name": (_good(agent=f"{SECRET}/../x"), "agent name"),
    "a bad workspace": (_good(workspace=f"{SECRET}!"), "workspace"),
    "a bad user": (_good(user_id=f"{SECRET} !"), "user id"),
    "a bad run id": (_good(run_id="x" * 300), "idempotency key"),
    "an oversized query": (_good(query=SECRET * 8_000), "bytes; at most 65536"),
    "lone surrogates": (b'{"agent":"a","query":"\\ud800"}', "not JSON"),
}


async def test_garbage_is_dead_lettered_with_what_is_wrong(default_api: Api, stack: Stack, session_id: str) -> None:
    """Every kind of garbage is listed with its fault and not a word of its content, and none can be redriven."""
    await default_api.declare("a")
    await stack.send_messages(
        *(
            ServiceBusMessage(
                body if isinstance(body, bytes) else json.dumps(body),
                session_id=f"{session_id}-{name.replace(' ', '-')[:20]}",
                message_id=str(uuid.uuid4()),
            )
            for name, (body, _) in GARBAGE.items()
        )
    )

    async def all_dead() -> Any:
        letters = {item["session_id"]: item for item in await default_api.everything("dead-letters", 200)}
        mine = [letters.get(f"{session_id}-{name.replace(' ', '-')[:20]}") for name in GARBAGE]
        return mine if all(mine) else None

    for (name, (_, said)), letter in zip(GARBAGE.items(), await eventually(all_dead), strict=True):
        assert letter["code"] == "invalid_message", name
        assert said in letter["detail"], (name, letter)
        assert SECRET not in json.dumps(letter), name
        assert (letter["redrivable"], letter["run_id"]) == (False, None)
        refused = await default_api.call("POST", f"dead-letters/{letter['id']}/redrive")
        assert (refused.status, refused.code) == (409, "dead_letter_invalid")
    hidden = await default_api.elsewhere().everything("dead-letters", 200)

    assert hidden == []


async def test_messages_that_are_no_data_are_dead_lettered(default_api: Api, stack: Stack, session_id: str) -> None:
    """A number, a text or a map instead of bytes: the list of dead letters still works."""
    bodies: list[dict[str, Any]] = [{"value_body": value} for value in (42, "text", ["a"], True)]
    messages = [AmqpAnnotatedMessage(**body) for body in [*bodies, {"sequence_body": [[1, 2]]}]]
    for message in messages:
        message.properties = AmqpMessageProperties(message_id=str(uuid.uuid4()), group_id=session_id)
    await stack.send_messages(*messages)

    letters = await default_api.letters(session_id, 5)

    assert {letter["code"] for letter in letters} == {"invalid_message"}


async def test_garbage_does_not_block_its_session(default_api: Api, stack: Stack, session_id: str) -> None:
    """Good messages behind garbage in the same session are answered."""
    await default_api.declare("a")
    run_id = str(uuid.uuid4())
    await stack.send_messages(
        ServiceBusMessage(b"garbage", session_id=session_id, message_id=str(uuid.uuid4())),
        ServiceBusMessage(json.dumps(_good()), session_id=session_id, message_id=run_id),
    )

    run = await eventually(lambda: _found(default_api, run_id))

    assert (await default_api.ended(run["id"]))["state"] == "succeeded"


async def test_a_message_for_nobody_waits_for_its_agent(api: Api, stack: Stack) -> None:
    """Of an unknown agent no run is made; once it is declared, a redrive makes it."""
    run_id = str(uuid.uuid4())
    await stack.send(_good("unborn", workspace=api.workspace), "s", run_id)

    letter = (await api.letters("s"))[0]
    no_run = await api.call("GET", f"runs/{run_id}")
    elsewhere = await api.elsewhere().call("POST", f"dead-letters/{letter['id']}/redrive")
    await api.declare("unborn")
    redriven = await api.call("POST", f"dead-letters/{letter['id']}/redrive")
    run = await eventually(lambda: _found(api, run_id))

    assert (letter["code"], letter["redrivable"], letter["agent"]) == ("not_accepted", True, "unborn")
    assert (no_run.status, no_run.code) == (404, "run_not_found")
    assert (elsewhere.status, elsewhere.code) == (404, "dead_letter_not_found")
    assert (redriven.status, redriven.headers["location"]) == (202, f"/api/runs/{run_id}")
    assert (await api.ended(run["id"]))["state"] == "succeeded"
    assert await api.everything("dead-letters", 10) == []


async def test_a_run_that_keeps_failing_is_redriven_to_one_answer(api: Api) -> None:
    """Given up after its attempts, listed with its reason; mended and redriven, it is answered once."""
    await api.declare("a", simulate={"fail_first": 50})
    failed = await api.ask("a", session_id="s")
    letter = (await api.letters("s"))[0]
    await api.declare("a")

    redriven = await api.call("POST", f"dead-letters/{letter['id']}/redrive")
    run = await api.run_in(failed["id"], "succeeded")
    session = await api.get("sessions/s")
    gone = await api.call("POST", f"dead-letters/{letter['id']}/redrive")

    assert (failed["state"], failed["attempt"], failed["error"]["code"]) == ("failed", 3, "provider_unavailable")
    assert (letter["run_id"], letter["code"], letter["deliveries"]) == (failed["id"], "provider_unavailable", 3)
    assert redriven.status == 202
    assert (run["attempt"], run["redriven"], run["error"]) == (4, 1, None)
    assert (session["turns"], session["pending"], session["runs"]) == (2, 0, 1)
    assert (gone.status, gone.code) == (404, "dead_letter_not_found")


async def test_a_redriven_run_gets_its_attempts_anew(api: Api) -> None:
    """Redriven without being mended, it is attempted as often again and dead-lettered again."""
    await api.declare("a", simulate={"fail_first": 50})
    failed = await api.ask("a", session_id="s")
    letter = (await api.letters("s"))[0]

    await api.call("POST", f"dead-letters/{letter['id']}/redrive")

    async def dead_again() -> Any:
        found = await api.everything("dead-letters", 50)
        return [item for item in found if item["id"] == letter["id"] and item["deliveries"] > letter["deliveries"]]

    again = (await eventually(dead_again))[0]
    run = await api.get(f"runs/{failed['id']}")

    assert (run["state"], run["attempt"], run["redriven"]) == ("failed", 6, 1)
    assert (again["run_id"], (await api.get("sessions/s"))["pending"]) == (failed["id"], 0)


async def test_letters_redriven_at_once_all_come_back(api: Api) -> None:
    """Several redrives at the same time do not get into each other's way; two of one letter redrive it once.

    The second of the two is told that there is no such letter any more, or takes part in the first: which, is a race.
    """
    await api.declare("a", simulate={"fail_first": 50})
    failed = await asyncio.gather(*(api.ask("a", session_id=f"s{n}") for n in range(4)))
    letters = [(await api.letters(f"s{n}"))[0] for n in range(4)]
    await api.declare("a")

    replies = await asyncio.gather(
        *(api.call("POST", f"dead-letters/{letter['id']}/redrive") for letter in [*letters, letters[0]])
    )
    ended = await asyncio.gather(*(api.run_in(run["id"], "succeeded") for run in failed))
    gone = await api.call("POST", f"dead-letters/{letters[0]['id']}/redrive")

    statuses = [reply.status for reply in replies]
    assert statuses[1:4] == [202] * 3
    assert sorted((statuses[0], statuses[4])) in ([202, 202], [202, 404])
    assert (gone.status, gone.code) == (404, "dead_letter_not_found")
    assert not any(letter["redrivable"] for letter in await api.everything("dead-letters", 10))
    assert {run["redriven"] for run in ended} == {1}
    assert {(await api.get(f"sessions/s{n}"))["turns"] for n in range(4)} == {2}


async def test_a_run_id_used_again_for_another_request_is_refused(api: Api, stack: Stack) -> None:
    """A message that reuses a run's id for something else is dead-lettered and touches nothing of that run."""
    await api.declare("a", simulate={"fail_first": 50})
    failed = await api.ask("a", "the real one", session_id="s")
    await api.letters("s")

    await stack.send(_good("a", workspace=api.workspace, run_id=failed["id"]), "s", str(uuid.uuid4()))
    letter = next(item for item in await api.letters("s", 2) if item["code"] == "invalid_message")
    refused = await api.call("POST", f"dead-letters/{letter['id']}/redrive")
    await stack.run_timer("account_dead_letters")

    assert (letter["redrivable"], refused.status, refused.code) == (False, 409, "dead_letter_invalid")
    assert await api.get(f"runs/{failed['id']}") == failed


async def test_a_message_for_an_ended_session_is_dead_lettered(api: Api, stack: Stack) -> None:
    """A producer that is late is not answered, and the session stays as it ended."""
    await api.declare("a")
    await api.answer("a", session_id="s")
    ended = (await api.call("POST", "sessions/s/end")).json()

    await stack.send(_good("a", workspace=api.workspace), "s", str(uuid.uuid4()))
    letter = (await api.letters("s"))[0]

    assert letter["code"] == "not_accepted"
    assert await api.get("sessions/s") == ended


async def test_a_run_whose_workers_died_is_failed_by_the_timer(api: Api, stack: Stack) -> None:
    """Its message is dead and nobody could say why: the timer fails the run, once, and leaves other runs alone."""
    await api.declare("a", simulate={"latency_ms": 500})
    session_id = f"s-{uuid.uuid4().hex}"  # of no other test: the host would still hold it
    async with (
        ServiceBusClient.from_connection_string(stack.bus.connection_string) as client,
        client.get_queue_receiver(QUEUE, session_id=session_id, max_wait_time=10) as receiver,
    ):
        # This receiver has the session, so it gets the message, and does what the broker does after the last delivery.
        lost = await api.submit("a", session_id=session_id)
        messages = await receiver.receive_messages(max_message_count=1)
        await receiver.dead_letter_message(messages[0], reason="MaxDeliveryCountExceeded")
    other = await api.submit("a", session_id="other")
    before = await api.get(f"runs/{lost['id']}")

    await stack.run_timer("account_dead_letters")
    run = await api.get(f"runs/{lost['id']}")
    letter = (await api.letters(session_id))[0]
    await stack.run_timer("account_dead_letters")
    session = await api.get(f"sessions/{session_id}")
    await api.call("POST", f"dead-letters/{letter['id']}/redrive")

    assert before["state"] == "queued"
    assert (run["state"], run["error"]["code"]) == ("failed", "worker_lost")
    assert (letter["code"], letter["redrivable"]) == ("worker_lost", True)
    assert session["pending"] == 0
    assert (await api.run_in(lost["id"], "succeeded"))["redriven"] == 1
    assert (await api.ended(other["id"]))["state"] == "succeeded"


async def _found(api: Api, run_id: str) -> Any:
    reply = await api.call("GET", f"runs/{run_id}")
    return reply.json() if reply.status == 200 else None
