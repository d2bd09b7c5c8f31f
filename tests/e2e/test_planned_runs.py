"""Replies, CloudEvents, schedules and batches over the whole stack, as the Python client and producers see them."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agent_lifecycle_client import ApiError, Client, RunNotAnswered
from agent_lifecycle_client.models import RunView
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from cloudevents.core.bindings import amqp
from cloudevents.core.v1.event import CloudEvent

from tests.e2e.support import PROMPT, REPLY_QUEUE, Api, Stack, eventually
from tests.waiting import QUIET_S


@pytest_asyncio.fixture
async def client(stack: Stack, api: Api) -> AsyncIterator[Client]:
    """Yield the Python client of the test's own workspace."""
    async with Client(stack.host.url, workspace=api.workspace) as client:
        await client.declare("a", {"model": "gpt-5-mini"})
        yield client


async def reply(stack: Stack, session_id: str) -> Any:
    """Return the next message of a session of the reply queue, settled."""
    async with (
        ServiceBusClient.from_connection_string(stack.bus.connection_string) as bus,
        bus.get_queue_receiver(REPLY_QUEUE, session_id=session_id) as receiver,
    ):
        [message] = await receiver.receive_messages(1, max_wait_time=QUIET_S)
        await receiver.complete_message(message)
        return message


async def test_a_producer_gets_its_answer_on_the_queue_it_names(api: Api, stack: Stack, client: Client) -> None:
    """Request and reply as Service Bus has it: ReplyTo, ReplyToSessionId, and the request's MessageId comes back."""
    till, message_id = f"till-{uuid.uuid4().hex}", str(uuid.uuid4())
    body = {"agent": "a", "query": PROMPT, "workspace": api.workspace}
    await stack.send(body, "s", message_id, reply_to=REPLY_QUEUE, reply_to_session_id=till)
    answer = await reply(stack, till)

    told = json.loads(b"".join(answer.body))
    assert (answer.correlation_id, answer.subject, answer.session_id) == (message_id, "run.succeeded", till)
    assert (told["data"]["id"], told["data"]["answer"]) == (message_id, (await client.run(message_id)).answer)


async def test_a_cloud_event_is_a_run(api: Api, stack: Stack, client: Client) -> None:
    """Delivered twice, structured and binary, it is answered once."""
    event = CloudEvent(
        attributes={"source": "/shop", "id": str(uuid.uuid4()), "type": "ask", "datacontenttype": "application/json"},
        data={"agent": "a", "query": PROMPT, "workspace": api.workspace},
    )
    structured, binary = amqp.to_structured_event(event), amqp.to_binary_event(event)
    properties: Any = {name: str(value) for name, value in binary.application_properties.items()}
    await stack.send_messages(
        ServiceBusMessage(structured.application_data, session_id="ce", message_id=str(uuid.uuid4())),
        ServiceBusMessage(binary.application_data, session_id="ce", application_properties=properties),
        ServiceBusMessage(json.dumps({"agent": "a", "query": "last", "workspace": api.workspace}), session_id="ce"),
    )

    async def look() -> Any:
        found = [run async for run in client.pages("runs", RunView, session="ce")]
        return found if any(run.query == "last" and run.state == "succeeded" for run in found) else None

    assert sorted(run.query for run in await eventually(look)) == ["last", PROMPT]


async def test_the_client_asks_streams_and_pages(client: Client) -> None:
    """An answer, the same one as it is written, and lists of any length; a failure is an error with its code."""
    run = await client.ask("a", PROMPT, session_id="c-1")
    pieces = [piece async for piece in client.stream("a", f"{PROMPT} streamed")]
    again = await client.submit("a", "twice", key="k")
    same = await client.submit("a", "twice", key="k")
    await client.wait(same)
    found = [each async for each in client.pages("runs", RunView, limit=2)]
    await client.declare("b", {"model": "gpt-5-mini", "simulate": {"fail_first": 9}})

    assert run.answer
    assert "".join(pieces).endswith("received 2 words in turn 1.")
    assert (again.id == same.id, len(found)) == (True, 3)
    for failing, code in ((client.ask("nobody", "x"), "agent_not_found"), (client.run("x"), "invalid_run_id")):
        with pytest.raises(ApiError) as refused:
            await failing
        assert refused.value.code == code
    with pytest.raises(RunNotAnswered) as unanswered:
        await client.ask("b", PROMPT)
    assert unanswered.value.run.state == "failed"


async def test_a_schedule_and_a_batch_come_to_their_ends(stack: Stack, client: Client) -> None:
    """The timer submits what is due; a batch's results come as they were posted."""
    schedule = await client.schedule("daily", {"agent": "a", "run": {"query": PROMPT}, "cron": "0 0 9 * * *"})
    batch = await client.batch([{"query": f"{PROMPT} {n}", "id": f"q{n}"} for n in range(5)], agent="a", max_cost_usd=1)

    async def look() -> Any:
        await stack.run_timer("submit_planned_runs")
        now = await client.batch_ended(batch.id, timeout_s=0)
        return now if now.state == "completed" else None

    done = await eventually(look)
    results = [each async for each in client.batch_results(batch.id)]
    await client.call("DELETE", "schedules/daily")

    assert [at.hour for at in schedule.next_at] == [9] * 5
    assert (done.total, done.succeeded) == (5, 5)
    assert [(each.id, each.state) for each in results] == [(f"q{n}", "succeeded") for n in range(5)]
