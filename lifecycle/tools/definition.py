"""Definition of a function tool: a typed function whose docstring and parameters are shown to the model."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, Literal, TypedDict, overload

from kernel.lazy_dataclass import dataclass
from kernel.strict_json import is_object
from lifecycle.tools.argument_conditions import check_condition
from lifecycle.tools.context import ToolContext

MAX_RESULT_BYTES = 65_536
"""Default limit of a tool's result that the model gets, in bytes of UTF-8."""
MOST_RESULT_BYTES = 1_048_576
TIMEOUT_S = 30.0
"""Default time limit of a call, in seconds."""
LONGEST_S = 600.0
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class When(TypedDict):
    """A condition on a call's arguments under which it needs an approval."""

    when: str


Approval = Literal["never", "always"] | When
"""When a call of a tool needs a person's approval."""


@dataclass(frozen=True, slots=True)
class ToolTerms:
    """Terms of calling a tool.

    Attributes:
        timeout_s: Time limit of a call, in seconds.
        approval: When a call needs an approval.
        show_arguments: Arguments shown in the list of a run's steps; True for all, others are hidden.
        max_result_bytes: Limit of the result that the model gets, in bytes of UTF-8; the rest is cut off.
        show_result: Whether the list of a run's steps shows the beginning of the result.
    """

    timeout_s: float = TIMEOUT_S
    approval: Approval = "never"
    show_arguments: bool | tuple[str, ...] = False
    max_result_bytes: int = MAX_RESULT_BYTES
    show_result: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= LONGEST_S:
            msg = f"timeout_s is more than 0 and at most {LONGEST_S:g}"
            raise ValueError(msg)
        if not 0 < self.max_result_bytes <= MOST_RESULT_BYTES:
            msg = f"max_result_bytes is from 1 to {MOST_RESULT_BYTES}"
            raise ValueError(msg)
        rule = self.approval
        if rule not in ("never", "always") and not (is_object(rule) and set(rule) == {"when"}):
            msg = 'approval is "never", "always" or {"when": "…"}'
            raise ValueError(msg)
        if isinstance(rule, dict):
            check_condition(rule["when"])


@dataclass(frozen=True, slots=True)
class Tool:
    """A function tool. Calling it calls its function.

    Attributes:
        name: Its name in specs and for the model.
        function: The function, sync or async.
        terms: Terms of calling it.
        context_parameter: Name of the parameter that gets the `ToolContext`; None if it has none.
    """

    name: str
    function: Callable[..., Any]
    terms: ToolTerms = ToolTerms()
    context_parameter: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, without limits."""
        return self.function(*args, **kwargs)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str = "",
    timeout_s: float = TIMEOUT_S,
    approval: Approval = "never",
    show_arguments: bool | tuple[str, ...] = False,
    show_result: bool = False,
    max_result_bytes: int = MAX_RESULT_BYTES,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    timeout_s: float = TIMEOUT_S,
    approval: Approval = "never",
    show_arguments: bool | tuple[str, ...] = False,
    show_result: bool = False,
    max_result_bytes: int = MAX_RESULT_BYTES,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make the function a tool, with the function's name unless one is given; for the rest see `ToolTerms`.

    Raises:
        TypeError: It has no docstring, or parameters that a model cannot fill in.
        ValueError: The name or a term is not valid.
    """
    terms = ToolTerms(timeout_s, approval, show_arguments, max_result_bytes, show_result)

    def decorated(given: Callable[..., Any]) -> Tool:
        return defined(given, name or given.__name__, terms)

    return decorated(function) if function is not None else decorated


def defined(function: Callable[..., Any], name: str, terms: ToolTerms | None = None) -> Tool:
    """Return the function as a tool.

    Raises:
        TypeError: See `tool`.
        ValueError: See `tool`.
    """
    if not _NAME.fullmatch(name):
        msg = f"a tool's name is of a-z, 0-9 and _, begins with a letter and has at most 64 characters; not {name!r}"
        raise ValueError(msg)
    if not (inspect.getdoc(function) or "").strip():
        msg = f"the tool {name} has no docstring; the model needs it as its description"
        raise TypeError(msg)
    hints = typing.get_type_hints(function)
    context: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            msg = f"the tool {name} has the parameter {parameter}; only named parameters are supported"
            raise TypeError(msg)
        if parameter.name not in hints:
            msg = f"the parameter {parameter.name!r} of the tool {name} has no type"
            raise TypeError(msg)
        if hints[parameter.name] is ToolContext:
            if context is not None:
                msg = f"the tool {name} has two parameters for its context"
                raise TypeError(msg)
            context = parameter.name
    return Tool(name, function, terms or ToolTerms(), context)
