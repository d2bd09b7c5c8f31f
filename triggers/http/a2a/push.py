"""Push notifications of tasks: setting, getting and deleting the webhook to which a task's end is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2a.types import TaskPushNotificationConfig
from a2a.utils.errors import TaskNotFoundError

from lifecycle.callbacks.a2a import A2A, A2A_OLD, FORMATS
from lifecycle.conversations.callback import Callback

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run
    from triggers.http.call import Call


async def callback_of(call: Call, config: TaskPushNotificationConfig) -> Callback:
    """Return the callback that a configuration asks for, after checking its URL.

    Raises:
        InvalidInput: Webhooks must not go there, or its token or credentials cannot be sent in a header.
    """
    auth = config.authentication
    authorization = f"{auth.scheme} {auth.credentials}" if auth.scheme and auth.credentials else ""
    version = (call.header("a2a-version") or "").strip() or "0.3"
    callback = Callback(
        url=config.url,
        format=A2A_OLD if version.startswith("0.") else A2A,
        token=config.token,
        authorization=authorization,
        id=config.id,
    )
    await call.services.notifications.targets.check(callback)
    return callback


def config_of(run: Run, ident: str = "") -> TaskPushNotificationConfig:
    """Return the push notification configuration of a task, without its secrets.

    Raises:
        TaskNotFoundError: It has none, or none of that id.
    """
    callback = run.input.callback
    if callback is None or callback.format not in FORMATS or ident not in ("", callback.id, run.id):
        raise TaskNotFoundError("The task has no such push notification configuration.")
    return TaskPushNotificationConfig(id=callback.id or run.id, task_id=run.id, url=callback.url)
