"""An agent as an A2A server, on the official SDK, which handles the protocol's versions; one per request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from a2a.server.request_handlers import RequestHandler
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskState,
    TaskStatusUpdateEvent,
)
from a2a.utils.errors import (
    A2AError,
    ExtendedAgentCardNotConfiguredError,
    InternalError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from kernel import errors, ids
from lifecycle.callbacks.target_changes import remove_push, set_push
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_callbacks import Callback
from lifecycle.conversations.run_request import RunRequest
from lifecycle.runs.run_queries import RunFilter
from triggers.http import protocol_runs
from triggers.http.a2a.push import config_of, configs_of, found, of_task, push_of
from triggers.http.a2a.tasks import artifact_of, query_of, state_of, status_of, task_of
from triggers.http.protocol_runs import LONGEST_ANSWER_S, Callee, SubmittedRun
from triggers.http.request_handling import defect

if TYPE_CHECKING:
    from a2a.server.context import ServerCallContext
    from a2a.server.events import Event

    from triggers.http.handler_call import Call

_USER = "user_id"
"""Key in a request's metadata that names the user it is made for."""
_PAGE = 50
_MOST = 100
_LOOK_EVERY_S = 1.0
_LISTED = {
    TaskState.TASK_STATE_UNSPECIFIED: None,
    TaskState.TASK_STATE_SUBMITTED: RunState.QUEUED,
    TaskState.TASK_STATE_WORKING: RunState.RUNNING,
    TaskState.TASK_STATE_INPUT_REQUIRED: RunState.WAITING,
    TaskState.TASK_STATE_COMPLETED: RunState.SUCCEEDED,
    TaskState.TASK_STATE_FAILED: RunState.FAILED,
    TaskState.TASK_STATE_CANCELED: RunState.CANCELLED,
}


class AgentRequests(RequestHandler):
    """Handles the requests of one caller to one agent."""

    def __init__(self, call: Call, agent: Callee) -> None:
        self._call = call
        self._agent = agent

    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task | Message:
        """Start a run, and wait for its answer unless the caller wants the task at once."""
        async with _translated():
            configuration = params.configuration
            history = _history(configuration)
            asked = await self._ask(params, stream=False)
            if not configuration.return_immediately:
                await asked.wait(LONGEST_ANSWER_S)
            return task_of(asked.run, history)

    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Start a run, and yield the events of its task until it ends or waits for people."""
        async with _translated():
            history = _history(params.configuration)
            asked = await self._ask(params, stream=True)
            async for event in self._events(asked, history):
                yield event

    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Yield the events of a task from now on."""
        async with _translated():
            asked = await self._task(params.id)
            if asked.run.finished:
                raise UnsupportedOperationError("The task has ended; get it instead.")
            async for event in self._events(asked, 0):
                yield event

    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        """Return a task."""
        async with _translated():
            history = _history(params)
            return task_of((await self._task(params.id)).run, history)

    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task | None:
        """Cancel a task: at once while it has not started, soon when it is running."""
        async with _translated():
            asked = await self._task(params.id)
            if asked.run.finished and asked.run.state is not RunState.CANCELLED:
                raise TaskNotCancelableError("The task has ended.")
            await asked.cancel()
            await asked.wait(LONGEST_ANSWER_S)
            return task_of(asked.run)

    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """List the agent's tasks, newest first; only those of a context where one is named."""
        async with _translated():
            if params.page_size < 0:
                raise InvalidParamsError("A page has at least one task.")
            history = _history(params)
            if params.status not in _LISTED:
                return ListTasksResponse()
            limit = min(params.page_size or _PAGE, _MOST)
            wanted = RunFilter(_LISTED[params.status], self._agent.name, None)
            lists, workspace = self._call.services.runs.list, self._call.workspace
            after: str | int | None
            session = ids.session_id(params.context_id) if params.context_id else None
            if session is not None:
                start = _number(params.page_token)
                found, after = await lists.of_session(workspace, session, wanted, limit, start)
            else:
                start_key = ids.newest_first_key(params.page_token) if params.page_token else None
                found, after = await lists.page(workspace, wanted, limit, start_key)
            tasks = [task_of(run, history, artifacts=params.include_artifacts) for run in found]
            total = len(tasks)
            if params.page_token or after:  # the total is of all pages
                total = await lists.count(workspace, wanted, session)
            return ListTasksResponse(
                tasks=tasks, next_page_token=str(after or ""), page_size=limit, total_size=max(total, len(tasks))
            )

    async def on_create_task_push_notification_config(
        self, params: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Have a task's states pushed to a webhook; setting what has the same id again replaces it."""
        async with _translated():
            asked = await self._task(params.task_id)
            if asked.run.finished:
                raise UnsupportedOperationError("The task has ended; get it instead.")
            push = of_task(await push_of(self._call, params), asked.run.id)
            return config_of(await set_push(self._call.services.conversations.store, asked.run, push), push)

    async def on_get_task_push_notification_config(
        self, params: GetTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Return one of the places where a task's states are pushed."""
        async with _translated():
            run = (await self._task(params.task_id)).run
            return config_of(run, found(run, params.id))

    async def on_list_task_push_notification_configs(
        self, params: ListTaskPushNotificationConfigsRequest, context: ServerCallContext
    ) -> ListTaskPushNotificationConfigsResponse:
        """List where a task's states are pushed, the latest last; there are few enough for one page."""
        async with _translated():
            run = (await self._task(params.task_id)).run
            return ListTaskPushNotificationConfigsResponse(configs=configs_of(run))

    async def on_delete_task_push_notification_config(
        self, params: DeleteTaskPushNotificationConfigRequest, context: ServerCallContext
    ) -> None:
        """Have a task's states pushed to one place less."""
        async with _translated():
            run = (await self._task(params.task_id)).run
            await remove_push(self._call.services.conversations.store, run, found(run, params.id).id)

    async def on_get_extended_agent_card(
        self, params: GetExtendedAgentCardRequest, context: ServerCallContext
    ) -> AgentCard:
        """Refuse: there is only one card, which every caller may see."""
        raise ExtendedAgentCardNotConfiguredError

    async def _ask(self, params: SendMessageRequest, *, stream: bool) -> SubmittedRun:
        message = params.message
        if message.task_id:
            await self._task(message.task_id)
            raise UnsupportedOperationError(
                "A task accepts no further messages; send a new one in its context. Approvals have an API of their own."
            )
        given = dict(params.metadata) | dict(message.metadata)
        user = given.get(_USER)
        request = RunRequest(
            query=query_of(message, params.configuration.accepted_output_modes),
            session_id=message.context_id or None,
            user_id=user if isinstance(user, str) else None,
            stream=stream and self._call.live,
            callback=await self._callback(params),
        )
        if not message.message_id:
            raise InvalidParamsError("The message has no id.")
        # A client that repeats a message gets the task that the first one started.
        key = str(ids.run_id(self._call.workspace, f"a2a:{self._agent.name}:{_printable(message.message_id)}"))
        return await protocol_runs.ask(self._call, self._agent.name, request, key=key)

    async def _callback(self, params: SendMessageRequest) -> Callback | None:
        wanted = params.configuration
        if not wanted.HasField("task_push_notification_config"):
            return None
        return Callback(pushes=(await push_of(self._call, wanted.task_push_notification_config),))

    async def _task(self, ident: str) -> SubmittedRun:
        try:
            asked = await protocol_runs.find(self._call, ident)
        except (errors.NotFound, errors.InvalidInput):
            raise TaskNotFoundError from None
        if asked.run.agent != self._agent.name:
            raise TaskNotFoundError
        return asked

    async def _events(self, asked: SubmittedRun, history: int | None) -> AsyncIterator[Event]:
        """Yield the task, its answer as it grows, and each change of its state."""
        ident, context = asked.run.id, asked.run.session_id
        yield task_of(asked.run, history, artifacts=False)
        reported = state_of(asked.run)
        begun = False
        if not asked.run.stream:
            while not asked.settled:
                await asked.wait(_LOOK_EVERY_S)
                if not asked.settled and state_of(asked.run) != reported:
                    reported = state_of(asked.run)
                    yield TaskStatusUpdateEvent(status=status_of(asked.run), task_id=ident, context_id=context)
        async for piece in asked.pieces(LONGEST_ANSWER_S):
            if not begun and reported != TaskState.TASK_STATE_WORKING and not asked.run.finished:
                reported = TaskState.TASK_STATE_WORKING
                status = status_of(asked.run)
                status.state = reported
                yield TaskStatusUpdateEvent(status=status, task_id=ident, context_id=context)
            yield TaskArtifactUpdateEvent(
                artifact=artifact_of(piece),
                append=begun,
                last_chunk=asked.run.finished,
                task_id=ident,
                context_id=context,
            )
            begun = True
        yield TaskStatusUpdateEvent(status=status_of(asked.run), task_id=ident, context_id=context)


def _history(params: object) -> int | None:
    has = getattr(params, "HasField", None)
    length = getattr(params, "history_length", None) if has is not None and has("history_length") else None
    if length is not None and length < 0:
        raise InvalidParamsError("A task's history has no negative length.")
    return length


def _number(token: str) -> int | None:
    if not token:
        return None
    if not (token.isascii() and token.isdigit() and len(token) <= 15):
        raise InvalidParamsError("The page token is none of this list.")
    return int(token)


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable() or len(text) > 128:
        raise InvalidParamsError("A message's id has at most 128 printable ASCII characters.")
    return text


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Raise the app's errors as those of the protocol, with the app's code in their data."""
    try:
        yield
    except A2AError:
        raise
    except errors.InternalError as error:
        raise InternalError(error.detail, {"code": error.code}) from None
    except errors.Unavailable as error:
        raise InternalError(error.detail, {"code": error.code, "retryable": True}) from None
    except errors.AppError as error:
        raise InvalidParamsError(error.detail, {"code": error.code}) from None
    except Exception as error:  # noqa: BLE001 - the SDK would answer with the error's own text
        raise InternalError(defect(error, "a2a").detail, {"code": errors.InternalError.code}) from None
