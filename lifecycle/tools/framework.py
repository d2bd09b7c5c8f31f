"""Tools as Agent Framework's function tools. Imports the framework, so import this module only where needed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from agent_framework import FunctionInvocationContext, FunctionTool

from lifecycle.tools.calling import call
from lifecycle.tools.definition import Tool, ToolTerms

_TERMS = "terms"


def framework_tool(
    tool: Tool, *, schema: Mapping[str, Any] | None = None, description: str | None = None
) -> FunctionTool:
    """Return the tool as an Agent Framework function tool.

    Args:
        tool: The tool.
        schema: JSON Schema of its parameters; None to derive it from the function.
        description: Description for the model; None for its docstring.
    """

    async def invoke(**arguments: Any) -> str:
        return (await call(tool, arguments)).text

    shown_description = description if description is not None else inspect.getdoc(tool.function) or ""
    model = schema if schema is not None else FunctionTool(name=tool.name, func=_shown(tool)).input_model
    return FunctionTool(
        name=tool.name,
        description=shown_description,
        func=invoke,
        input_model=model,
        additional_properties={_TERMS: tool.terms},
    )


def terms_of(tool: FunctionTool) -> ToolTerms:
    """Return the terms of calling a tool."""
    found = (tool.additional_properties or {}).get(_TERMS)
    return found if isinstance(found, ToolTerms) else ToolTerms()


def call_id_of(context: FunctionInvocationContext) -> str:
    """Return the model's id of the call."""
    return str(context.metadata.get("call_id", ""))


def _shown(tool: Tool) -> Callable[..., Any]:
    """Return a function with the parameters that the model fills in; it is never called."""

    @functools.wraps(tool.function)
    def shown() -> None: ...

    signature = inspect.signature(tool.function)
    shown.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue] - what `inspect` reads
        parameters=[one for name, one in signature.parameters.items() if name != tool.context_parameter]
    )
    return shown
