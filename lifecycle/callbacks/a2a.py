"""Callbacks as push notifications of the Agent2Agent protocol (a2a-protocol.org); a run is a task there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernel.clock import rfc3339

if TYPE_CHECKING:
    from lifecycle.conversations.callback import Callback
    from lifecycle.conversations.run import Run

A2A = "a2a"
"""Callback format for versions 1.x of the protocol: a `StreamResponse` with the task."""
A2A_OLD = "a2a-0.3"
"""Callback format for version 0.3: the task."""
FORMATS = (A2A, A2A_OLD)
_STATES = {"succeeded": "completed", "failed": "failed", "cancelled": "canceled"}
_TEXT = "text/plain"


def task_of(run: Run, form: str) -> bytes:
    """Return the notification of an ended run as JSON: its task, with the answer or the error."""
    old = form == A2A_OLD
    state = _STATES[run.state.value]
    status: dict[str, Any] = {"state": state if old else f"TASK_STATE_{state.upper()}"}
    if run.finished_at is not None:
        status["timestamp"] = rfc3339(run.finished_at)
    if run.error is not None:
        status["message"] = {
            "messageId": f"{run.id}-status",
            "taskId": run.id,
            "contextId": run.session_id,
            "role": "agent" if old else "ROLE_AGENT",
            "parts": [_part(run.error.detail, old=old)],
            "metadata": {"code": run.error.code},
            **({"kind": "message"} if old else {}),
        }
    task: dict[str, Any] = {"id": run.id, "contextId": run.session_id, "status": status}
    if run.answer is not None:
        task["artifacts"] = [{"artifactId": "answer", "name": "answer", "parts": [_part(run.answer, old=old)]}]
    payload = task | {"kind": "task"} if old else {"task": task}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def headers_of(callback: Callback) -> dict[str, str]:
    """Return the headers by which the receiver authenticates the sender."""
    headers = {"X-A2A-Notification-Token": callback.token, "Authorization": callback.authorization}
    return {name: value for name, value in headers.items() if value}


def _part(text: str, *, old: bool) -> dict[str, str]:
    return {"kind": "text", "text": text} if old else {"text": text, "mediaType": _TEXT}
