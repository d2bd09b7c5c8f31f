"""Context providers: text that a model gets before a run, besides the conversation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, overload

from kernel.lazy_dataclass import dataclass

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class ContextSource:
    """Adds to what a model gets before each run: retrieval, memory.

    Attributes:
        name: Its name in specs (`context_providers`).
        make: An async function of the query and optionally of the `ToolContext` that returns text, or None for nothing;
            or a subclass of Agent Framework's `ContextProvider`, which is created with its name.
        timeout_s: Time limit of the function, in seconds.
    """

    name: str
    make: Callable[..., Any]
    timeout_s: float = 10.0


@overload
def context_provider(made: Callable[..., Any], /) -> ContextSource: ...
@overload
def context_provider(*, name: str = "", timeout_s: float = 10.0) -> Callable[[Callable[..., Any]], ContextSource]: ...
def context_provider(
    made: Callable[..., Any] | None = None, /, *, name: str = "", timeout_s: float = 10.0
) -> ContextSource | Callable[[Callable[..., Any]], ContextSource]:
    """Make the function, or the class, a context provider, with its name in lower case unless a name is given.

    Raises:
        TypeError: It is neither a class nor an async function, or has unknown parameters.
        ValueError: The name is not valid.
    """

    def decorated(given: Callable[..., Any]) -> ContextSource:
        if not inspect.isclass(given):
            if not inspect.iscoroutinefunction(given):
                msg = f"the context provider {given.__name__} is neither a class nor an async function"
                raise TypeError(msg)
            unknown = set(inspect.signature(given).parameters) - {"query", "context"}
            if unknown:
                msg = f"a context provider's parameters are query and context; not {', '.join(sorted(unknown))}"
                raise TypeError(msg)
        return ContextSource(named(name or given.__name__.lower()), given, timeout_s)

    return decorated(made) if made is not None else decorated


def named(name: str) -> str:
    """Return the name if it is valid for an extension.

    Raises:
        ValueError: It is not valid.
    """
    if not _NAME.fullmatch(name):
        msg = f"a name is of a-z, 0-9 and _, begins with a letter and has at most 64 characters; not {name!r}"
        raise ValueError(msg)
    return name
