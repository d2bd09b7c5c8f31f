"""The tools of the MCP server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from kernel.errors import AppError, InvalidInput, NotFound
from kernel.ids import agent_name
from kernel.text import shown
from kernel.validation import wrong_places
from lifecycle.approvals.approval import MAX_REASON
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.conversations.run import Run, Stage
from lifecycle.conversations.run_request import RunRequest
from triggers.http import protocol_runs
from triggers.http.approvals.views import ApprovalView
from triggers.http.protocol_runs import LONGEST_ANSWER_S, SubmittedRun

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from triggers.http.handler_call import Call

    Context = ServerRequestContext[Any, Any]
    ToolAnswer = types.CallToolResult | types.InputRequiredResult | dict[str, Any]

IDEMPOTENCY_KEY = "agent-lifecycle/idempotency-key"
"""Keys in a request's `_meta`: an idempotency key, which this app's own agents send when they call a tool."""
_OWN_TOOL = "agent_"
_LONGEST_NAME = 64
"""Longest name of a tool that clients accept, in characters."""
_WAIT_S = 50
"""Default wait for an answer, in seconds; clients commonly time out after a minute."""
_TASK_AFTER_S = 10
"""The same, in seconds, where the client accepts a task afterwards."""
TASKS = "io.modelcontextprotocol/tasks"
"""The extension by which a client declares that."""
_LOOK_EVERY_S = 1.0
_MOST_NAMED = 10
"""Most wrong arguments named at once."""
_STAGES = tuple(Stage)
_APPROVAL = "approval:"

_TEXT = {"type": "string", "minLength": 1}
_SESSION = {"type": "string", "description": "The conversation to continue; left out, a new one is started."}
_USER = {"type": "string", "description": "The user it is asked for; other users' sessions are not found."}
_WAIT = {
    "type": "integer",
    "minimum": 0,
    "maximum": LONGEST_ANSWER_S,
    "default": _WAIT_S,
    "description": "Seconds to wait for the answer.",
}
_QUESTION = {
    "query": _TEXT | {"description": "What is asked."},
    "session_id": _SESSION,
    "user_id": _USER,
    "wait_s": _WAIT,
}
_RUN = {
    "type": "object",
    "properties": {
        "run_id": {"type": "string"},
        "session_id": {"type": "string"},
        "agent": {"type": "string"},
        "state": {"enum": ["queued", "running", "waiting", "succeeded", "failed", "cancelled"]},
        "answer": {"type": ["string", "null"]},
        "error": {"type": ["object", "null"]},
        "approvals": {"type": "array", "items": {"type": "string"}},
        "usage": {"type": "object"},
    },
    "required": ["run_id", "session_id", "agent", "state", "answer", "error", "approvals", "usage"],
}


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


FIXED_TOOLS = (
    types.Tool(
        name="ask_agent",
        description="Ask an agent of the workspace; list_agents says which there are.",
        input_schema=_object({"agent": _TEXT | {"description": "Who is asked."}} | _QUESTION, "agent", "query"),
        output_schema=_RUN,
    ),
    types.Tool(
        name="get_run",
        description="Read the state of a question, and wait for its answer.",
        input_schema=_object({"run_id": _TEXT, "wait_s": _WAIT | {"default": 0}}, "run_id"),
        output_schema=_RUN,
        annotations=types.ToolAnnotations(read_only_hint=True),
    ),
    types.Tool(
        name="cancel_run",
        description="Cancel a question that is not answered yet.",
        input_schema=_object({"run_id": _TEXT}, "run_id"),
        output_schema=_RUN,
        annotations=types.ToolAnnotations(idempotent_hint=True),
    ),
    types.Tool(
        name="list_agents",
        description="List the agents that can be asked.",
        input_schema=_object({"after": _TEXT | {"description": "The `next` of the answer before."}}),
        annotations=types.ToolAnnotations(read_only_hint=True),
    ),
    types.Tool(
        name="list_approvals",
        description="List approvals that wait for a person's decision.",
        input_schema=_object({}),
        annotations=types.ToolAnnotations(read_only_hint=True),
    ),
    types.Tool(
        name="decide_approval",
        description="Decide about a tool call that an agent wants to make, on behalf of the person who is asked.",
        input_schema=_object(
            {
                "approval_id": _TEXT,
                "decision": {"enum": ["approve", "reject"]},
                "reason": {"type": "string", "maxLength": MAX_REASON},
            },
            "approval_id",
            "decision",
        ),
        annotations=types.ToolAnnotations(destructive_hint=True),
    ),
)


class AgentTools:
    """The tools, for one caller."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list(self, _: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """List the fixed tools, and one for each of the first agents, at most MCP_AGENT_TOOLS."""
        most = self._call.services.core.settings.mcp_agent_tools
        found, _after = await protocol_runs.callees(self._call, most) if most else ((), None)
        own = [
            types.Tool(
                name=_OWN_TOOL + one.name,
                description=one.description or f"Ask the agent {one.name}.",
                input_schema=_object(_QUESTION, "query"),
                output_schema=_RUN,
            )
            for one in found
            if len(_OWN_TOOL + one.name) <= _LONGEST_NAME
        ]
        return types.ListToolsResult(tools=[*FIXED_TOOLS, *own])

    async def call(self, context: Context, params: types.CallToolRequestParams) -> ToolAnswer:
        """Call a tool; errors are returned in its result, for the model that called it."""
        given = dict(params.arguments or {})
        tool = self._tool(params.name)
        try:
            _check(given, tool.input_schema)
            match params.name:
                case "get_run":
                    asked = await protocol_runs.find(self._call, given["run_id"])
                    return await self._followed(context, asked, given.get("wait_s", 0), params)
                case "cancel_run":
                    asked = await protocol_runs.find(self._call, given["run_id"])
                    return await self._run_result(await asked.cancel())
                case "list_agents":
                    return await self._agents(given.get("after"))
                case "list_approvals":
                    return await self._approvals()
                case "decide_approval":
                    ruling = DecisionRequest(given["decision"], given.get("reason", ""))
                    return _result(await self._decided(given["approval_id"], ruling))
                case _:
                    name = given.get("agent") or params.name.removeprefix(_OWN_TOOL)
                    return await self._asked(context, name, given, params)
        except AppError as error:
            return _failed(error)

    def _tool(self, name: str) -> types.Tool:
        found = next((tool for tool in FIXED_TOOLS if tool.name == name), None)
        if found is None and name.startswith(_OWN_TOOL):
            return types.Tool(name=name, input_schema=_object(_QUESTION, "query"))
        if found is None:
            raise MCPError(types.INVALID_PARAMS, "There is no such tool.", {"tool": name[:64]})
        return found

    async def _asked(
        self, context: Context, name: str, given: Mapping[str, Any], params: types.CallToolRequestParams
    ) -> ToolAnswer:
        if params.request_state:
            asked = await protocol_runs.find(self._call, params.request_state)
        else:
            try:
                fields = ("query", "session_id", "user_id")
                request = RunRequest(**{field: given[field] for field in fields if given.get(field) is not None})
            except ValidationError as error:
                raise _invalid(wrong_places(error)) from None
            key = (params.meta or {}).get(IDEMPOTENCY_KEY)
            asked = await protocol_runs.ask(self._call, name, request, key=key if isinstance(key, str) else None)
        as_task = takes_tasks(context)
        answer = await self._followed(
            context, asked, given.get("wait_s", _TASK_AFTER_S if as_task else _WAIT_S), params
        )
        if not as_task or asked.settled:
            return answer
        from triggers.http.mcp.tasks import task_of  # noqa: PLC0415 - it stands on this

        return {"resultType": "task"} | task_of(asked.run, "working")

    async def _followed(
        self, context: Context, asked: SubmittedRun, wait_s: int, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Wait for the answer and report its stages; where a person must decide, ask the caller."""
        await self.decide_all(params.input_responses)
        if params.input_responses:
            asked = await protocol_runs.find(self._call, asked.run.id)
        left, stage = float(wait_s), None
        while True:
            if asked.run.stage is not None and asked.run.stage is not stage:
                stage = asked.run.stage
                await context.session.report_progress(_STAGES.index(stage) + 1, len(_STAGES) - 1, stage.value)
            if asked.settled or left <= 0:
                break
            await asked.wait(min(_LOOK_EVERY_S, left))
            left -= _LOOK_EVERY_S
        waiting = await protocol_runs.waiting_approvals(self._call, asked.run)
        if waiting and takes_questions(context):
            return types.InputRequiredResult(
                input_requests={f"{_APPROVAL}{one.id}": question(one) for one in waiting}, request_state=asked.run.id
            )
        return result_of(asked.run, [one.id for one in waiting])

    async def decide_all(self, responses: types.InputResponses | None) -> None:
        """Submit the decisions of the person at the client."""
        for name, response in (responses or {}).items():
            if not name.startswith(_APPROVAL) or not isinstance(response, types.ElicitResult):
                continue
            content: Mapping[str, Any] = response.content or {}
            approved = response.action == "accept" and content.get("decision") == "approve"
            if response.action == "cancel":
                continue  # it stays pending
            reason = str(content.get("reason", ""))[:MAX_REASON]
            await self._decided(
                name.removeprefix(_APPROVAL), DecisionRequest("approve" if approved else "reject", reason)
            )

    async def _decided(self, ident: str, decision: DecisionRequest) -> dict[str, Any]:
        return (await protocol_runs.decide(self._call, ident, decision)).model_dump(mode="json")

    async def _run_result(self, run: Run) -> types.CallToolResult:
        return _result(_run(run, []))

    async def _agents(self, after: str | None) -> types.CallToolResult:
        found, following = await protocol_runs.callees(self._call, 100, agent_name(after) if after else None)
        return _result(
            {"agents": [{"name": one.name, "description": one.description} for one in found], "next": following}
        )

    async def _approvals(self) -> types.CallToolResult:
        call = self._call
        found, _ = await call.services.approvals.store.list(call.workspace, 50, None, pending=True, where={})
        views = [ApprovalView.of_record(record, call.person) for record in found]
        return _result({"approvals": [view.model_dump(mode="json") for view in views]})


def _check(given: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    import jsonschema_rs  # noqa: PLC0415 - cold start

    wrong: dict[str, str] = {}
    for error in jsonschema_rs.iter_errors(dict(schema), dict(given), mask=""):  # without the values
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
            wrong[error.kind.property] = "is missing"
        elif isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
            known = ", ".join(schema["properties"]) or "none"
            wrong |= {shown(name): f"is no argument; there are: {known}" for name in error.kind.unexpected}
        else:
            wrong[".".join(str(step) for step in error.instance_path)] = error.message.strip()
    if wrong:
        raise _invalid(wrong)


def _invalid(wrong: Mapping[str, str]) -> InvalidInput:
    fields = dict(list(wrong.items())[:_MOST_NAMED])
    return InvalidInput("The arguments are not valid.", code="invalid_arguments", fields=fields)


def takes_tasks(context: Context) -> bool:
    """Return whether the client accepts a task where an answer takes longer."""
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS  # noqa: PLC0415

    wanted = types.ClientCapabilities(extensions={TASKS: {}})
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS and context.session.check_client_capability(wanted)


def takes_questions(context: Context) -> bool:
    """Return whether the client can put questions to a person, in a protocol version that allows it."""
    from mcp_types.version import MODERN_PROTOCOL_VERSIONS  # noqa: PLC0415

    wanted = types.ClientCapabilities(elicitation=types.ElicitationCapability())
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS and context.session.check_client_capability(wanted)


def question(approval: ApprovalView) -> types.ElicitRequest:
    """Return the question that a person is asked about an approval."""
    arguments = json.dumps(approval.arguments, ensure_ascii=False)[:4000] if approval.arguments is not None else ""
    schema = {
        "type": "object",
        "properties": {
            "decision": {"type": "string", "enum": ["approve", "reject"], "title": "Decision"},
            "reason": {"type": "string", "title": "Reason", "maxLength": MAX_REASON},
        },
        "required": ["decision"],
    }
    message = f"The agent {approval.agent} asks to call {approval.tool or 'a model'}. {arguments}"
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def result_of(run: Run, approvals: Sequence[str]) -> types.CallToolResult:
    """Return a run as the result of the tool call that started it."""
    return _result(_run(run, approvals), failed=run.error is not None)


def _run(run: Run, approvals: Sequence[str]) -> dict[str, Any]:
    error = {"code": run.error.code, "detail": run.error.detail} if run.error else None
    spend = run.spend
    return {
        "run_id": run.id,
        "session_id": run.session_id,
        "agent": run.agent,
        "state": run.state.value,
        "answer": run.answer,
        "error": error,
        "approvals": list(approvals),
        "usage": {
            "calls": spend.calls,
            "input_tokens": spend.input_tokens,
            "output_tokens": spend.output_tokens,
            "cost_micro_usd": spend.cost_micro_usd,
        },
    }


def _result(value: dict[str, Any], *, failed: bool = False) -> types.CallToolResult:
    answer = value.get("answer")
    text = answer if isinstance(answer, str) else json.dumps(value, ensure_ascii=False)
    ended = failed and value.get("state") in ("failed", "cancelled")
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=value, is_error=ended
    )


def _failed(error: AppError) -> types.CallToolResult:
    value = {"code": error.code, "detail": error.detail}
    if error.code == "invalid_arguments":  # of others, the detail says which argument it is
        value["detail"] += " " + "; ".join(f"{name.lstrip('/')}: {why}" for name, why in error.fields.items()) + "."
    if isinstance(error, NotFound) and error.code == "agent_not_found":
        value["detail"] += " list_agents says which there are."
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=f"{value['code']}: {value['detail']}")], is_error=True
    )
