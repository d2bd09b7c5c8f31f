"""Tools and context providers in Agent Framework's form.

Imports the framework, so import this module only where needed.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from agent_framework import (
    AgentSession,
    ContextProvider,
    FunctionInvocationContext,
    FunctionTool,
    Message,
    SessionContext,
    SupportsAgentRun,
)

from kernel.errors import Unavailable
from lifecycle.tools.context import CURRENT
from lifecycle.tools.definition import MAX_RESULT_BYTES, Tool, ToolTerms
from lifecycle.tools.limited_calls import call
from lifecycle.tools.results import cut

if TYPE_CHECKING:
    from lifecycle.tools.context_providers import ContextSource

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


log = logging.getLogger(__name__)


def framework_providers(known: Mapping[str, ContextSource], names: Iterable[str]) -> list[ContextProvider]:
    """Return the named context providers for an agent."""
    return [_made(known[name]) for name in names]


def _made(source: ContextSource) -> ContextProvider:
    if inspect.isclass(source.make):
        return cast("Callable[[str], ContextProvider]", source.make)(source.name)
    return _Retrieved(source)


class _Retrieved(ContextProvider):
    """Adds a function's text as a message before the query, marked as data, not as instructions."""

    def __init__(self, source: ContextSource) -> None:
        super().__init__(source.name)
        self._source = source
        self._wanted = set(inspect.signature(source.make).parameters)

    async def before_run(
        self, *, agent: SupportsAgentRun, session: AgentSession, context: SessionContext, state: dict[str, Any]
    ) -> None:
        query = next((message.text for message in reversed(context.input_messages) if message.role == "user"), "")
        given = {name: value for name, value in (("query", query), ("context", CURRENT.get())) if name in self._wanted}
        text = await self._text(given)
        if text:
            shown = cut(text.encode(errors="replace"), MAX_RESULT_BYTES).text
            message = Message("user", [f'<context source="{self._source.name}">\n{shown}\n</context>'])
            context.extend_messages(self._source.name, [message])

    async def _text(self, given: Mapping[str, Any]) -> str:
        source = self._source
        try:
            async with asyncio.timeout(source.timeout_s):
                found = await source.make(**given)
        except TimeoutError:
            reason = f"took longer than {source.timeout_s:g} s"
        except Exception as error:  # noqa: BLE001 - its text may hold anything
            reason = "failed"
            log.warning("context provider %s: %s", source.name, type(error).__name__, extra={"event": "context.failed"})
        else:
            if found is None or isinstance(found, str):
                return found or ""
            reason = "returned no text"
        # An answer without its context would be a guess that nobody recognizes as one.
        msg = f"The context provider {source.name!r} {reason}."
        raise Unavailable(msg, code="context_provider_failed")
