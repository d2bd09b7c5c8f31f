"""Runs as tasks of MCP's tasks extension (`io.modelcontextprotocol/tasks`), for answers that take long.

A client with the extension gets a task where an answer is not ready soon, and polls it with `tasks/get`; a task is a
run. The SDK's server does not implement tasks; it passes an extension's results on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from kernel.clock import rfc3339
from kernel.errors import InvalidInput, NotFound
from lifecycle.conversations.run import Run, RunState
from triggers.http import protocol_runs
from triggers.http.mcp.tools import question, result_of, takes_questions

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from triggers.http.handler_call import Call
    from triggers.http.mcp.tools import AgentTools
    from triggers.http.protocol_runs import SubmittedRun

    Context = ServerRequestContext[Any, Any]

_POLL_MS = 1000


class TaskParams(types.RequestParams):
    """The id of a task."""

    task_id: str


class UpdateParams(TaskParams):
    """A person's decisions on what a task asks."""

    input_responses: types.InputResponses


class AgentTasks:
    """The extension's methods for one caller."""

    def __init__(self, call: Call, tools: AgentTools) -> None:
        self._call = call
        self._tools = tools

    async def get(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """Return a task: with its answer once it has ended, with its questions while it waits for a person."""
        asked = await self._task(params.task_id)
        run = asked.run
        waiting = await protocol_runs.waiting_approvals(self._call, run)
        if waiting and takes_questions(context):
            asks = {f"approval:{one.id}": _dumped(question(one)) for one in waiting}
            return task_of(run, "input_required") | {"inputRequests": asks}
        if run.state is RunState.CANCELLED:
            return task_of(run, "cancelled")
        if run.finished:
            return task_of(run, "completed") | {"result": _dumped(result_of(run, []))}
        return task_of(run, "working")

    async def update(self, context: Context, params: UpdateParams) -> dict[str, Any]:
        """Submit a person's decisions; the run then continues."""
        await self._task(params.task_id)
        await self._tools.decide_all(params.input_responses)
        return {}

    async def cancel(self, context: Context, params: TaskParams) -> dict[str, Any]:
        """Cancel a task's run, soon if it is running; one that has ended is unchanged."""
        asked = await self._task(params.task_id)
        if not asked.run.finished:
            await asked.cancel()
        return {}

    async def _task(self, ident: str) -> SubmittedRun:
        try:
            return await protocol_runs.find(self._call, ident)
        except (NotFound, InvalidInput):
            raise MCPError(types.INVALID_PARAMS, "There is no such task.", {"taskId": ident[:64]}) from None


def task_of(run: Run, status: str) -> dict[str, Any]:
    """Return a run as a task in that status."""
    latest = run.finished_at or run.last.ended_at or run.last.claimed_at or run.created_at
    message = run.error.detail if run.error else run.stage.value if run.stage else run.state.value
    return {
        "taskId": run.id,
        "status": status,
        "statusMessage": message,
        "createdAt": rfc3339(run.created_at),
        "lastUpdatedAt": rfc3339(latest),
        "ttlMs": None,
        "pollIntervalMs": _POLL_MS,
    }


def _dumped(value: Any) -> dict[str, Any]:
    return value.model_dump(by_alias=True, mode="json", exclude_none=True)
