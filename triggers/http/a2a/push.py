"""Push notifications of tasks: where a task's states are pushed, as the protocol sets, gets, lists and deletes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from a2a.types import TaskPushNotificationConfig
from a2a.utils.errors import TaskNotFoundError

from lifecycle.conversations.run_callbacks import A2A, A2A_OLD, Callback, Push

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run
    from triggers.http.handler_call import Call


async def push_of(call: Call, config: TaskPushNotificationConfig) -> Push:
    """Return what a configuration asks for, once it is checked that notifications may go there.

    Raises:
        InvalidInput: Webhooks must not go there, or its token or credentials cannot be sent in a header.
    """
    auth = config.authentication
    authorization = f"{auth.scheme} {auth.credentials}" if auth.scheme and auth.credentials else ""
    version = (call.header("a2a-version") or "").strip() or "0.3"
    push = Push(config.url, config.id, config.token, authorization, A2A_OLD if version.startswith("0.") else A2A)
    await call.services.notifications.targets.check(Callback(pushes=(push,)))
    return push


def of_task(push: Push, run_id: str) -> Push:
    """Return the push with the id that stands for its task's, where it is that."""
    return replace(push, id="") if push.id == run_id else push


def found(run: Run, ident: str) -> Push:
    """Return what is set by the id; the first of all where none is given.

    Raises:
        TaskNotFoundError: There is none.
    """
    for push in _pushes(run):
        if ident in ("", push.id or run.id):
            return push
    raise TaskNotFoundError("The task has no such push notification configuration.")


def configs_of(run: Run) -> Sequence[TaskPushNotificationConfig]:
    """Return the configurations of a task."""
    return [config_of(run, push) for push in _pushes(run)]


def config_of(run: Run, push: Push) -> TaskPushNotificationConfig:
    """Return a configuration without its secrets: its URL, as it was set, is the caller's own."""
    return TaskPushNotificationConfig(id=push.id or run.id, task_id=run.id, url=push.url)


def _pushes(run: Run) -> Sequence[Push]:
    return run.input.callback.pushes if run.input.callback else ()
