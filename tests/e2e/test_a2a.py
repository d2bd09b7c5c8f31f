"""The A2A server, with the official SDK's client, in both versions of the protocol."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.compat.v0_3.types import Task as OldTask
from a2a.types import (
    AuthenticationInfo,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from aiohttp import web
from google.protobuf.json_format import ParseDict

from tests.e2e.support import PROMPT, Api, Stack, eventually
from tests.e2e.test_approvals import ASKING
from tests.llmops.notifications.support import Received, Receiver
from tests.waiting import QUIET_S

VERSIONS = ["1.0", "0.3"]


@asynccontextmanager
async def connected(
    stack: Stack, api: Api, agent: str, version: str = "1.0", *, streaming: bool = False, polling: bool = False
) -> AsyncIterator[Client]:
    """Find an agent by its card, and connect the SDK's client to it."""
    async with httpx.AsyncClient(headers={"X-Workspace": str(api.workspace)}, timeout=QUIET_S) as http:
        card = await A2ACardResolver(http, f"{stack.host.url}/api/a2a/{agent}").get_agent_card()
        kept = [each for each in card.supported_interfaces if each.protocol_version == version]
        del card.supported_interfaces[:]
        card.supported_interfaces.extend(kept)
        config = ClientConfig(httpx_client=http, streaming=streaming, polling=polling)
        yield ClientFactory(config).create(card)


def message(text: str = PROMPT, **more: Any) -> SendMessageRequest:
    """Return a request that says something."""
    ident = more.pop("message_id", str(uuid.uuid4()))
    configuration = more.pop("configuration", None)
    said = Message(message_id=ident, role=Role.ROLE_USER, parts=[Part(text=text)], **more)
    return SendMessageRequest(message=said, configuration=configuration)


async def sent(client: Client, request: SendMessageRequest) -> Task:
    """Send a message and return the task as it is in the end."""
    last: StreamResponse | None = None
    async for event in client.send_message(request):
        last = event
    assert last is not None
    assert last.HasField("task")
    return last.task


def text_of(task: Task) -> str:
    """Return a task's answer."""
    return "".join(part.text for artifact in task.artifacts for part in artifact.parts)


async def test_an_agent_has_a_card(api: Api, stack: Stack) -> None:
    """At the well-known address below its own: what it is for, where and how it is asked."""
    await api.declare("weather", description="Tells the weather.")

    async with httpx.AsyncClient(headers={"X-Workspace": str(api.workspace)}) as http:
        card = await A2ACardResolver(http, f"{stack.host.url}/api/a2a/weather").get_agent_card()
    missing = await api.call("GET", "a2a/nobody/.well-known/agent-card.json")

    assert (card.name, card.description, card.capabilities.streaming) == ("weather", "Tells the weather.", True)
    assert {each.url for each in card.supported_interfaces} == {f"{stack.host.url}/api/a2a/weather"}
    assert [each.protocol_version for each in card.supported_interfaces] == VERSIONS
    assert card.security_schemes["caller"].api_key_security_scheme.name == "x-functions-key"
    assert (missing.status, missing.code) == (404, "agent_not_found")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_task_is_a_run_and_a_context_is_a_session(api: Api, stack: Stack, version: str) -> None:
    """The answer is the task's artifact; a message in the same context goes on with the conversation."""
    await api.declare("a")

    async with connected(stack, api, "a", version) as client:
        first = await sent(client, message())
        second = await sent(client, message(context_id=first.context_id))
        got = await client.get_task(GetTaskRequest(id=second.id))

    run = await api.get(f"runs/{second.id}")
    assert first.status.state == TaskState.TASK_STATE_COMPLETED
    assert "turn 2" in text_of(second)
    assert text_of(got) == text_of(second) == run["answer"]
    assert got.context_id == run["session_id"]
    assert [part.text for told in got.history for part in told.parts] == [PROMPT]
    usage: Any = got.metadata["usage"]
    assert usage["cost_micro_usd"] == run["spend"]["cost_micro_usd"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stream_tells_of_the_task_until_it_has_ended(api: Api, stack: Stack, version: str) -> None:
    """The task first, then its answer, and its final state last."""
    await api.declare("a", simulate={"reply": "One two three.", "latency_ms": 300})

    async with connected(stack, api, "a", version, streaming=True) as client:
        events = [event async for event in client.send_message(message())]

    kinds = [event.WhichOneof("payload") for event in events]
    assert kinds[0] == "task"
    assert kinds[-1] == "status_update"
    assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
    pieces = [event.artifact_update for event in events if event.HasField("artifact_update")]
    assert "".join(part.text for piece in pieces for part in piece.artifact.parts) == "One two three."


async def test_a_message_that_comes_twice_is_one_task(api: Api, stack: Stack) -> None:
    """By its id; other words under the id are refused."""
    await api.declare("a")

    async with connected(stack, api, "a") as client:
        tasks = [await sent(client, message(message_id="m1")) for _ in range(2)]
        with pytest.raises(InvalidParamsError) as refused:
            await sent(client, message("something else", message_id="m1"))

    assert tasks[0].id == tasks[1].id
    assert "idempotency key" in str(refused.value)
    assert len((await api.get("runs"))["items"]) == 1


async def test_a_long_task_is_cancelled(api: Api, stack: Stack) -> None:
    """Returned at once where that is wanted; one that has ended can be neither cancelled nor subscribed to."""
    await api.declare("slow", simulate={"latency_ms": 20_000})
    await api.declare("quick")
    at_once = SendMessageConfiguration(return_immediately=True)

    async with connected(stack, api, "slow", polling=True) as client, connected(stack, api, "quick") as quick:
        begun = await sent(client, message(configuration=at_once))
        await eventually(lambda: _running(client, begun.id))
        cancelled = await client.cancel_task(CancelTaskRequest(id=begun.id))
        again = await client.cancel_task(CancelTaskRequest(id=begun.id))
        done = await sent(quick, message())
        with pytest.raises(TaskNotCancelableError):
            await quick.cancel_task(CancelTaskRequest(id=done.id))
        async with connected(stack, api, "quick", streaming=True) as subscriber:
            with pytest.raises(UnsupportedOperationError):
                _ = [event async for event in subscriber.subscribe(SubscribeToTaskRequest(id=done.id))]

    assert begun.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
    assert cancelled.status.state == again.status.state == TaskState.TASK_STATE_CANCELED


async def _running(client: Client, task_id: str) -> bool:
    task = await client.get_task(GetTaskRequest(id=task_id))
    return task.status.state == TaskState.TASK_STATE_WORKING


async def test_a_subscriber_sees_a_task_end(api: Api, stack: Stack) -> None:
    """From the state that it has when the subscription begins."""
    await api.declare("a", simulate={"latency_ms": 1500, "reply": "Done."})

    async with (
        connected(stack, api, "a", polling=True) as client,
        connected(stack, api, "a", streaming=True) as subscriber,
    ):
        begun = await sent(client, message(configuration=SendMessageConfiguration(return_immediately=True)))
        events = [event async for event in subscriber.subscribe(SubscribeToTaskRequest(id=begun.id))]

    assert events[0].task.id == begun.id
    assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


async def test_a_task_that_waits_for_approval_needs_input(api: Api, stack: Stack) -> None:
    """It says so, with why; decided as an approval, the task goes on."""
    await api.declare("cashier", **ASKING)

    async with connected(stack, api, "cashier") as client:
        waiting = await sent(client, message("20 + 3"))
        with pytest.raises(UnsupportedOperationError):
            await sent(client, message("approve", task_id=waiting.id, context_id=waiting.context_id))
        (item,) = (await api.get(f"approvals?run={waiting.id}"))["items"]
        await api.call("POST", f"approvals/{item['id']}/decision", {"decision": "approve"})
        await api.ended(waiting.id)
        done = await client.get_task(GetTaskRequest(id=waiting.id))

    assert waiting.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert waiting.status.message.metadata["code"] == "approval_needed"
    assert done.status.state == TaskState.TASK_STATE_COMPLETED


async def test_a_failed_task_says_why(api: Api, stack: Stack) -> None:
    """With our code among its message's metadata."""
    await api.declare("a", simulate={"fail_first": 1, "fail_with": "content_filter"})

    async with connected(stack, api, "a") as client:
        task = await sent(client, message())

    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert task.status.message.metadata["code"] == "content_filter"


async def test_tasks_are_listed(api: Api, stack: Stack) -> None:
    """The agent's own, newest first, in pages that say how many there are; of a context, those in it."""
    await api.declare("a")
    await api.declare("b")
    await api.answer("b")

    async with connected(stack, api, "a") as client:
        tasks = [await sent(client, message()) for _ in range(3)]
        page = await client.list_tasks(ListTasksRequest(page_size=2))
        rest = await client.list_tasks(ListTasksRequest(page_size=2, page_token=page.next_page_token))
        one = await client.list_tasks(ListTasksRequest(context_id=tasks[0].context_id, include_artifacts=True))

    assert [task.id for task in [*page.tasks, *rest.tasks]] == [task.id for task in reversed(tasks)]
    assert [found.total_size for found in (page, rest, one)] == [3, 3, 1]
    assert [text_of(task) for task in one.tasks] == [text_of(tasks[0])]


async def test_what_is_not_there_or_not_allowed_is_an_error_of_the_protocol(api: Api, stack: Stack) -> None:
    """Other agents' tasks, others' contexts, files, no words; nothing is run, and nothing that was sent comes back."""
    await api.declare("a")
    await api.declare("b")
    other = await api.answer("b")
    await api.answer("a", session_id="hers", user_id="ada")
    picture = Message(message_id="p", role=Role.ROLE_USER, parts=[Part(raw=b"x", media_type="image/png")])
    wrong: list[tuple[SendMessageRequest, type[A2AError]]] = [
        (SendMessageRequest(message=picture), ContentTypeNotSupportedError),
        (message(" "), InvalidParamsError),
        (message("x" * 300_000), InvalidParamsError),
        (message(context_id="hers"), InvalidParamsError),
        (message(task_id=str(uuid.uuid4())), TaskNotFoundError),
        (
            message(configuration=SendMessageConfiguration(accepted_output_modes=["image/png"])),
            ContentTypeNotSupportedError,
        ),
    ]

    async with connected(stack, api, "a") as client:
        for request, kind in wrong:
            with pytest.raises(kind) as refused:
                await sent(client, request)
            assert PROMPT not in str(refused.value)
        for task in (other["id"], str(uuid.uuid4()), "none"):
            with pytest.raises(TaskNotFoundError):
                await client.get_task(GetTaskRequest(id=task))
    assert len((await api.get("runs"))["items"]) == 2


async def test_what_is_no_message_of_the_protocol_is_refused(api: Api) -> None:
    """Text, a batch, an unknown method, a version that is not spoken, and an agent that is not there."""
    await api.declare("a")
    ask: Any = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}
    codes = [
        (await api.call("POST", "a2a/a", content, **headers)).json()["error"]["code"]
        for content, headers in (
            (b"{", {"A2A_Version": "1.0"}),
            ([ask], {"A2A_Version": "1.0"}),
            (ask | {"method": "NoSuchMethod"}, {"A2A_Version": "1.0"}),
            (ask, {"A2A_Version": "9.9"}),
        )
    ]
    missing = await api.call("POST", "a2a/nobody", ask)
    wrong_method = await api.call("GET", "a2a/a")

    assert codes == [-32700, -32600, -32601, -32009]
    assert (missing.status, missing.json()["error"]["data"]["code"]) == (404, "agent_not_found")
    assert (wrong_method.status, wrong_method.headers["allow"]) == (405, "POST")


def pushing(url: str, task_id: str = "", ident: str = "") -> TaskPushNotificationConfig:
    """Return where a task's states are to be pushed, with what the receiver knows the sender by."""
    bearer = AuthenticationInfo(scheme="Bearer", credentials="letmein")
    return TaskPushNotificationConfig(task_id=task_id, id=ident, url=url, token="tok-1", authentication=bearer)


def pushed_state(received: Received) -> str:
    """Return the state that a notification tells, by the SDK's types of its version: `working` or `input-required`."""
    body = received.json()
    if body.get("kind") == "task":
        return OldTask.model_validate(body).status.state.value
    told = ParseDict(body, StreamResponse())
    status = told.task.status if told.HasField("task") else told.status_update.status
    return TaskState.Name(status.state).removeprefix("TASK_STATE_").lower().replace("_", "-")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_states_of_a_task_are_pushed(api: Api, stack: Stack, version: str) -> None:
    """In the form of the client's version, with its token and credentials; what is refused at first comes again."""
    await api.declare("a", simulate={"reply": "Good.", "latency_ms": 1000})
    async with Receiver([web.Response(), web.Response(status=500)]) as receiver:
        configuration = SendMessageConfiguration(task_push_notification_config=pushing(receiver.url))
        async with connected(stack, api, "a", version) as client:
            task = await sent(client, message(configuration=configuration))
        tried = await eventually(lambda: api.everything("callbacks", 10))
        await api.call("POST", f"runs/{task.id}/callback/redeliver")
        await stack.run_timer("deliver_notifications")
        working, first, second = receiver.received

    if version == "1.0":
        told = ParseDict(second.json(), StreamResponse()).task
        assert (told.id, told.status.state, text_of(told)) == (task.id, TaskState.TASK_STATE_COMPLETED, "Good.")
    else:
        old = OldTask.model_validate(second.json())
        assert (old.id, old.status.state.value, old.context_id) == (task.id, "completed", task.context_id)
    assert [pushed_state(each) for each in receiver.received] == ["working", "completed", "completed"]
    assert [each["run_id"] for each in tried] == [task.id]
    assert working.headers["webhook-id"] != first.headers["webhook-id"]
    assert second.headers["x-a2a-notification-token"] == "tok-1"
    assert second.headers["authorization"] == "Bearer letmein"
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert "letmein" not in str(await api.get("callbacks")) + stack.log()


@pytest.mark.parametrize("version", VERSIONS)
async def test_where_a_task_is_pushed_is_set_while_it_goes_on(api: Api, stack: Stack, version: str) -> None:
    """Several places, each set, got, listed without its secrets, replaced and deleted by its id; no other task's."""
    await api.declare("a", simulate={"latency_ms": 20_000})
    begun = SendMessageConfiguration(return_immediately=True)
    async with (
        Receiver() as receiver,
        Receiver() as other,
        connected(stack, api, "a", version, polling=True) as client,
    ):
        task = await sent(client, message(configuration=begun))
        for config in (
            pushing("http://127.0.0.1:9/x", task.id),
            pushing(receiver.url, task.id),
            pushing(other.url, task.id, "mine"),
            pushing(other.url, task.id, "not mine"),
        ):
            await client.create_task_push_notification_config(config)
        got, mine = [
            await client.get_task_push_notification_config(
                GetTaskPushNotificationConfigRequest(task_id=task.id, id=ident)
            )
            for ident in (task.id, "mine")
        ]
        deleted = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="not mine")
        await client.delete_task_push_notification_config(deleted)
        listed = await client.list_task_push_notification_configs(
            ListTaskPushNotificationConfigsRequest(task_id=task.id)
        )
        await client.cancel_task(CancelTaskRequest(id=task.id))
        await eventually(lambda: receiver.received and other.received)
        for known, ident in ((task.id, "not mine"), (str(uuid.uuid4()), got.id)):
            with pytest.raises(TaskNotFoundError):
                await client.get_task_push_notification_config(
                    GetTaskPushNotificationConfigRequest(task_id=known, id=ident)
                )
        with pytest.raises(A2AError):
            await client.create_task_push_notification_config(pushing(receiver.url, task.id))

    assert (got.url, mine.url) == (receiver.url, other.url)
    assert {each.id: each.url for each in listed.configs} == {task.id: receiver.url, "mine": other.url}
    assert not any(each.token or each.authentication.credentials for each in (got, mine, *listed.configs))
    assert {pushed_state(each[-1]) for each in (receiver.received, other.received)} == {"canceled"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_task_that_waits_for_a_person_is_pushed(api: Api, stack: Stack, version: str) -> None:
    """With what it waits for; and its end once that is decided."""
    await api.declare("asking", **ASKING)
    async with Receiver() as receiver, connected(stack, api, "asking", version) as client:
        configuration = SendMessageConfiguration(task_push_notification_config=pushing(receiver.url))
        task = await sent(client, message(configuration=configuration))
        await eventually(lambda: "input-required" in [pushed_state(each) for each in receiver.received])
        waiting = receiver.received[-1].json()
        [approval] = (await api.get("approvals"))["items"]
        await api.call("POST", f"approvals/{approval['id']}/decision", {"decision": "approve"})
        await eventually(lambda: "completed" in [pushed_state(each) for each in receiver.received])

    assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert "approval_needed" in str(waiting)
