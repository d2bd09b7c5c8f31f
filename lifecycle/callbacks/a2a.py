"""Push notifications of the Agent2Agent protocol (a2a-protocol.org): a run as a task."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kernel.clock import rfc3339
from lifecycle.conversations.run_callbacks import A2A_OLD

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.run_callbacks import Push

_STATES = {
    "running": "working",
    "waiting": "input-required",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "canceled",
}
_TEXT = "text/plain"


def notification_of(run: Run, form: str) -> bytes:
    """Return the notification of the state that a run is in.

    In version 1.x that is the task with its answer at its end, and a status update before; in 0.3 always the task.
    """
    old = form == A2A_OLD
    status = _status(run, old=old)
    if not run.finished and not old:
        return _dumped({"statusUpdate": {"taskId": run.id, "contextId": run.session_id, "status": status}})
    task: dict[str, Any] = {"id": run.id, "contextId": run.session_id, "status": status}
    if run.answer is not None:
        task["artifacts"] = [{"artifactId": "answer", "name": "answer", "parts": [_part(run.answer, old=old)]}]
    return _dumped(task | {"kind": "task"} if old else {"task": task})


def headers_of(push: Push) -> dict[str, str]:
    """Return the headers by which the receiver authenticates the sender."""
    known = {"X-A2A-Notification-Token": push.token, "Authorization": push.authorization}
    return {name: value for name, value in known.items() if value}


def _status(run: Run, *, old: bool) -> dict[str, Any]:
    state = _STATES[run.state.value]
    status: dict[str, Any] = {"state": state if old else f"TASK_STATE_{state.upper().replace('-', '_')}"}
    if (at := run.finished_at or run.last.ended_at or run.last.claimed_at) is not None:
        status["timestamp"] = rfc3339(at)
    if run.error is not None and run.state.value != "running":  # that of the attempt before
        status["message"] = {
            "messageId": f"{run.id}-status",
            "taskId": run.id,
            "contextId": run.session_id,
            "role": "agent" if old else "ROLE_AGENT",
            "parts": [_part(run.error.detail, old=old)],
            "metadata": {"code": run.error.code},
            **({"kind": "message"} if old else {}),
        }
    return status


def _part(text: str, *, old: bool) -> dict[str, str]:
    return {"kind": "text", "text": text} if old else {"text": text, "mediaType": _TEXT}


def _dumped(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
