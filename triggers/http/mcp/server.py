"""The workspace's agents as an MCP server, on the official SDK; one server per request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from kernel.errors import AppError, InternalError
from kernel.ids import session_id
from lifecycle.configuration.kinds import Kind, Ref, item_name
from lifecycle.sessions.list import Filter
from lifecycle.sessions.transcript import transcript_of
from triggers.http.handler_call import page_token
from triggers.http.mcp.tasks import AgentTasks, TaskParams, UpdateParams
from triggers.http.mcp.tools import FIXED_TOOLS, TASKS, AgentTools
from triggers.http.request_handling import defect
from triggers.http.sessions.transcripts import as_markdown

if TYPE_CHECKING:
    from lifecycle.configuration.store import ConfigurationItem
    from triggers.http.handler_call import Call

T = TypeVar("T")

NAME = "agent-lifecycle"
_SESSIONS = "session://"
_LISTED = 50
"""Most sessions (latest first) and templates (by name) listed."""
_INSTRUCTIONS = (
    "Agents of a workspace. Ask one with ask_agent or with its own tool; continue the same conversation by giving "
    "its session_id. An answer that takes longer is read later with get_run."
)


def agent_server(call: Call) -> Server[Any]:
    """Return a server with the agents, sessions and templates of the caller's workspace."""
    tools = AgentTools(call)
    shown = _Shown(call)
    handle_tool: Any = _guarded(tools.call)  # a task is a result without a type in the SDK, which passes it on
    server: Server[Any] = Server(
        NAME,
        version="1",
        instructions=_INSTRUCTIONS,
        on_list_tools=_guarded(tools.list),
        on_call_tool=handle_tool,
        on_list_resources=_guarded(shown.list_resources),
        on_list_resource_templates=_guarded(shown.list_templates),
        on_read_resource=_guarded(shown.read_resource),
        on_list_prompts=_guarded(shown.list_prompts),
        on_get_prompt=_guarded(shown.get_prompt),
        get_tool_input_schema=lambda name: next((tool.input_schema for tool in FIXED_TOOLS if tool.name == name), None),
    )
    tasks = AgentTasks(call, tools)
    server.extensions[TASKS] = {}
    server.add_request_handler("tasks/get", TaskParams, _guarded(tasks.get))
    server.add_request_handler("tasks/update", UpdateParams, _guarded(tasks.update))
    server.add_request_handler("tasks/cancel", TaskParams, _guarded(tasks.cancel))
    return server


class _Shown:
    """Sessions as resources, templates as prompts."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list_resources(self, _: Any, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        call = self._call
        found, _after = await call.services.sessions.list.page(call.workspace, Filter(None, None, None), _LISTED, None)
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=f"{_SESSIONS}{quote(session.id, safe='')}",
                    name=session.id,
                    description=f"A conversation with {session.agent}: {session.state.value}, {session.turns} messages",
                    mime_type="text/markdown",
                )
                for session in found
            ]
        )

    async def list_templates(
        self, _: Any, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=f"{_SESSIONS}{{id}}",
                    name="session",
                    description="The messages of a session",
                    mime_type="text/markdown",
                )
            ]
        )

    async def read_resource(self, _: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        call = self._call
        if not params.uri.startswith(_SESSIONS):
            raise _unknown(params.uri)
        ident = session_id(unquote(params.uri.removeprefix(_SESSIONS)))
        session = (await call.services.conversations.store.load(call.workspace, ident)).session
        if session is None or session.receipt is not None:
            raise _unknown(params.uri)
        text = as_markdown(await transcript_of(call.services.conversations.store, session))
        content = types.TextResourceContents(uri=params.uri, mime_type="text/markdown", text=text)
        return types.ReadResourceResult(contents=[content])

    async def list_prompts(self, _: Any, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        call = self._call
        found, after = await call.services.configuration.items.list(
            call.workspace, Kind.TEMPLATE, _LISTED, params.cursor if params else None
        )
        prompts = [
            types.Prompt(name=item.ref.name, description=_of(item, "description"))
            for item in found
            if _of(item, "instructions")
        ]
        return types.ListPromptsResult(prompts=prompts, next_cursor=page_token(after) if after else None)

    async def get_prompt(self, _: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        call = self._call
        template = Ref(Kind.TEMPLATE, item_name(Kind.TEMPLATE, params.name))
        item = await call.services.configuration.items.get(call.workspace, template)
        text = types.TextContent(type="text", text=_of(item, "instructions") or "")
        return types.GetPromptResult(
            description=_of(item, "description"), messages=[types.PromptMessage(role="user", content=text)]
        )


def _of(item: ConfigurationItem, name: str) -> str | None:
    return getattr(item.content, name, None) or None


def _guarded(handler: Callable[[Any, Any], Awaitable[T]]) -> Callable[[Any, Any], Awaitable[T]]:
    """Return the handler with the app's errors as those of the protocol; the SDK would reveal an exception's text."""

    async def handle(context: Any, params: Any) -> T:
        try:
            return await handler(context, params)
        except MCPError:
            raise
        except AppError as error:
            raise _protocol_error(error) from None
        except Exception as error:  # noqa: BLE001 - the edge
            raise _protocol_error(defect(error, "mcp")) from None

    return handle


def _protocol_error(error: AppError) -> MCPError:
    code = types.INTERNAL_ERROR if isinstance(error, InternalError) else types.INVALID_PARAMS
    return MCPError(code, error.detail, {"code": error.code})


def _unknown(uri: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, "There is no such resource.", {"uri": uri[:200]})
