"""The caller's own tools in OpenAI's protocol: those offered, the tool choice, and results of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidInput, NotFound
from kernel.strict_json import is_object
from lifecycle.conversations.client_tool_values import ClientTool, ClientTools, ToolResult, run_of_call
from triggers.http import protocol_runs

if TYPE_CHECKING:
    from triggers.http.chat_messages import ChatRequest
    from triggers.http.handler_call import Call

_FUNCTIONS = "Of tools, an agent takes functions of the caller's; others its declaration names."


def client_tools(tools: Sequence[Any], choice: Any, results: Sequence[ToolResult]) -> ClientTools | None:
    """Return the request's tools and results; None where it has none.

    Raises:
        InvalidInput: A tool is not a function, or the choice is not among the tools.
    """
    offered = tuple(_tool(tool, number) for number, tool in enumerate(tools))
    chosen = _choice(choice)
    if not offered and chosen not in ("auto", "none"):
        raise _refused("tools", "There are no tools to choose from.")
    if not offered and not results:
        return None
    return ClientTools(offered, chosen if offered else "auto", tuple(results))


async def session_of(call: Call, words: ChatRequest, user_id: str | None) -> str | None:
    """Return the session whose latest run asked for the tool calls that the request answers; None if not found.

    The calls' ids contain the run's, so that a client that sends the whole conversation continues in the same session.
    """
    ident = run_of_call(words.results[0].call_id) if words.results else None
    if ident is None:
        return None
    try:
        session, _ = await protocol_runs.branch(call, (await protocol_runs.find(call, ident)).run, user_id)
    except NotFound:
        return None
    return session


def check_results(words: ChatRequest, session: str | None, place: str) -> None:
    """Check that the tool results of a request without a session match the calls before them.

    Raises:
        InvalidInput: `tool_results_unmatched`: they do not.
    """
    if not words.results or session is not None:
        return
    asked = {each.id for each in words.before[-1].tool_calls} if words.before else set[str]()
    if asked != {result.call_id for result in words.results}:
        what = "each call of the message before has one result, and there are no others"
        raise InvalidInput("The results match no calls.", code="tool_results_unmatched", fields={place: what})


def _tool(tool: Any, number: int) -> ClientTool:
    if not is_object(tool) or tool.get("type") != "function":
        raise _refused(f"tools.{number}", _FUNCTIONS)
    nested = tool.get("function")
    function = nested if is_object(nested) else tool
    name, description, parameters = (function.get(field) for field in ("name", "description", "parameters"))
    fits = (
        isinstance(name, str) and isinstance(description, str | None) and (parameters is None or is_object(parameters))
    )
    if not fits:
        raise _refused(f"tools.{number}", "A function has a name, a description and JSON Schema as its parameters.")
    return ClientTool(str(name), description or "", parameters)


def _choice(choice: Any) -> str:
    if choice is None:
        return "auto"
    if isinstance(choice, str) and choice in ("auto", "none", "required"):
        return choice
    if is_object(choice) and choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if is_object(function) else choice.get("name")
        if isinstance(name, str) and name not in ("auto", "none", "required"):
            return name
    raise _refused("tool_choice", "auto, none, required, or one of the functions.")


def _refused(place: str, why: str) -> InvalidInput:
    return InvalidInput("Agents do not support this request.", code="unsupported_tools", fields={place: why})
