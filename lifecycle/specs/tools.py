"""The function tools that specs can name: built-in ones, and those of extensions (`lifecycle.extensions`)."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from kernel.clock import Clock, rfc3339
from kernel.errors import InvalidInput, RunFailed, one_of
from lifecycle.tools.definition import Tool, defined
from lifecycle.tools.handoff import handoff_tool, is_handoff

if TYPE_CHECKING:
    from agent_framework import ContextProvider, FunctionTool

    from lifecycle.specs.hosted_tools import HostedTool, Mcp
    from lifecycle.specs.servers import ToolServers
    from lifecycle.tools.context_providers import ContextSource

Tools = Mapping[str, "Callable[..., Any] | Tool | FunctionTool"]
"""Tools by their names in specs."""

BUILTIN_TOOLS = ("current_time", "calculator")
"""Names of the built-in tools."""

_EXPRESSION = re.compile(r"[0-9eE.+\-*/%()\s]{1,200}")
_MAX_BITS = 2048  # of an integer result; about 600 digits


def builtin_tools(clock: Clock) -> dict[str, Callable[..., Any] | FunctionTool]:
    """Return the built-in tools: `current_time` and `calculator`."""

    def current_time() -> str:
        """Return the current date and time in UTC, as RFC 3339."""
        return rfc3339(clock())

    return {"current_time": current_time, "calculator": calculator}


def calculator(
    expression: Annotated[str, "Numbers with + - * / // % ** and parentheses, like (2 + 3) * 4; up to 200 characters"],
) -> str:
    """Calculate an arithmetic expression; whole numbers are exact, others are double precision."""
    if not _EXPRESSION.fullmatch(expression):
        return "Cannot calculate that: use numbers, + - * / // % ** and parentheses, at most 200 characters."
    try:
        return str(_value(ast.parse(expression.strip(), mode="eval").body))
    except SyntaxError:
        return "Cannot calculate that: it is not a complete expression."
    except ArithmeticError as error:
        return f"Cannot calculate that: {error}."


def check_tools(tools: Tools, wanted: Iterable[str | HostedTool]) -> None:
    """Check that every name is a known tool, when a spec is declared.

    Hosted tools are skipped: they were checked when the spec was parsed.

    Raises:
        InvalidInput: Some are unknown (code `unknown_tool`); `fields` has their places in the spec.
    """
    names = [(at, name) for at, name in enumerate(wanted) if isinstance(name, str)]
    unknown = {f"/tools/{at}": name for at, name in names if name not in tools and not is_handoff(name)}
    if unknown:
        msg = f"Unknown tools: {one_of(list(unknown.values()))}. This app has: {one_of(list(tools)) or 'none'}."
        raise InvalidInput(msg, code="unknown_tool", fields=dict.fromkeys(unknown, "This app has no such tool."))


def check_context(known: Collection[str], wanted: Iterable[str]) -> None:
    """Check that every name is a known context provider.

    Raises:
        InvalidInput: Some are unknown (code `unknown_context_provider`).
    """
    unknown = {f"/context_providers/{at}": name for at, name in enumerate(wanted) if name not in known}
    if unknown:
        unknown_names, has = one_of(list(unknown.values())), one_of(sorted(known)) or "none"
        msg = f"Unknown context providers: {unknown_names}. This app has: {has}."
        fields = dict.fromkeys(unknown, "This app has no such context provider.")
        raise InvalidInput(msg, code="unknown_context_provider", fields=fields)


class Toolbox:
    """Tools as Agent Framework's objects, each wrapped once: wrapping costs more than opening an agent."""

    def __init__(
        self,
        tools: Tools,
        context: Mapping[str, ContextSource] | None = None,
        servers: ToolServers | None = None,
    ) -> None:
        """Set the tools and context providers that specs can name, and the connections to MCP servers."""
        self._tools = tools
        self._context = context or {}
        self._servers = servers
        self._wrapped: dict[str, FunctionTool] = {}

    def pick(self, wanted: Iterable[str | HostedTool]) -> list[FunctionTool]:
        """Return the named tools in that order, without hosted tools.

        Raises:
            InvalidInput: A tool is unknown (code `unknown_tool`).
        """
        wanted = list(wanted)
        check_tools(self._tools, wanted)
        return [self._wrapped.get(name) or self._wrap(name) for name in wanted if isinstance(name, str)]

    async def remote(self, servers: Sequence[Mcp]) -> list[FunctionTool]:
        """Return the tools of MCP servers that the app calls.

        Raises:
            Unavailable: A server cannot be reached (code `mcp_unavailable`).
            RunFailed: A setting of the app is missing (code `mcp_not_configured`).
        """
        if not servers:
            return []
        if self._servers is None:
            msg = "This app does not connect to MCP servers."
            raise RunFailed(msg, code="mcp_not_configured")
        return [tool for server in servers for tool in await self._servers.tools(server)]

    def context(self, wanted: Iterable[str]) -> list[ContextProvider]:
        """Return the named context providers in that order.

        Raises:
            InvalidInput: One is unknown (code `unknown_context_provider`).
        """
        wanted = list(wanted)
        check_context(self._context, wanted)
        if not wanted:
            return []
        from lifecycle.tools.function_tools import framework_providers  # noqa: PLC0415 - cold start

        return framework_providers(self._context, wanted)

    def _wrap(self, name: str) -> FunctionTool:
        from agent_framework import FunctionTool  # noqa: PLC0415 - cold start

        from lifecycle.tools.function_tools import framework_tool  # noqa: PLC0415 - cold start

        given = self._tools[name] if name in self._tools else handoff_tool(name)
        if not isinstance(given, FunctionTool):
            given = framework_tool(given if isinstance(given, Tool) else defined(given, name))
        wrapped = given
        if wrapped.name != name:
            msg = f"the FunctionTool {wrapped.name!r} cannot be registered under another name, {name!r}"
            raise ValueError(msg)
        self._wrapped[name] = wrapped
        return wrapped


_Number = int | float


def _power(base: _Number, exponent: _Number) -> _Number:
    if isinstance(base, int) and base.bit_length() * abs(exponent) > _MAX_BITS:
        msg = "the power is too large"
        raise ArithmeticError(msg)
    result = base**exponent
    if isinstance(result, complex):
        msg = "the result is not a real number"
        raise ArithmeticError(msg)  # noqa: TRY004 - a rule of arithmetic, not of types
    return result


_BINARY: dict[type[ast.operator], Callable[[_Number, _Number], _Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda one, other: one / other,
    ast.FloorDiv: lambda one, other: one // other,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: dict[type[ast.unaryop], Callable[[_Number], _Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def _value(node: ast.expr) -> _Number:
    """Return the value of the expression; recursion is bounded by the length of the text."""
    match node:
        case ast.Constant(value=int() | float() as number):
            result: _Number = number
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            result = _BINARY[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op, operand) if type(op) in _UNARY:
            result = _UNARY[type(op)](_value(operand))
        case _:
            msg = "only + - * / // % ** and parentheses are known"
            raise ArithmeticError(msg)
    if isinstance(result, int) and result.bit_length() > _MAX_BITS:
        msg = "the number is too large"
        raise ArithmeticError(msg)
    return result
