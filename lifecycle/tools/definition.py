"""What a function tool is: a plain typed function whose docstring and parameters are what the model sees."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, overload

from kernel.strict_json import is_object
from lifecycle.tools.conditions import check_condition
from lifecycle.tools.context import ToolContext

MAX_RESULT_BYTES = 65_536
"""Most of a tool's result that the model is given, where the tool does not say."""
MOST_RESULT_BYTES = 1_048_576
TIMEOUT_S = 30.0
"""How long a call may take, where the tool does not say."""
LONGEST_S = 600.0
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class When(TypedDict):
    """A rule over a call's arguments that says when it needs an approval."""

    when: str


Approval = Literal["never", "always"] | When
"""When a call of a tool needs a person's approval."""


@dataclass(frozen=True, slots=True)
class ToolTerms:
    """On what terms a tool is called.

    Attributes:
        timeout_s: How long a call may take, in seconds.
        approval: When a call needs an approval.
        show_arguments: Arguments that are shown where a run's steps are listed; True for all, the others are not.
        max_result_bytes: Most of its result that the model is given, in bytes of UTF-8; the rest is cut off.
        show_result: Whether a run's steps show the beginning of its result.
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
    """A function tool. It can be called like its function.

    Attributes:
        name: What specs and the model call it.
        function: The function, sync or async.
        terms: On what terms it is called.
        context_parameter: The parameter that is given the `ToolContext`; None where it has none.
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
    """Make the function a tool, named like it unless a name is given; see `ToolTerms` for the others.

    Raises:
        TypeError: It has no docstring, or parameters that no model could fill in.
        ValueError: The name or a term is not possible.
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
        msg = f"the tool {name} has no docstring, which is what the model knows of it"
        raise TypeError(msg)
    hints = typing.get_type_hints(function)
    context: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            msg = f"the tool {name} has the parameter {parameter}; a model fills in named parameters only"
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
