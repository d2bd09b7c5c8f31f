"""Translating exceptions of an opened agent: their causes, and the rules that all providers share."""

from __future__ import annotations

from collections.abc import Iterator

from kernel.errors import AppError, InternalError


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and everything that led to it, nearest first.

    The Agent Framework wraps what a client raises: it chains the original (`__cause__`) and also passes it on as an
    argument (`agent_framework.exceptions.AgentFrameworkException`).
    """
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        causes_of_it = (current.__cause__, current.__context__, *current.args)
        waiting += [cause for cause in causes_of_it if isinstance(cause, BaseException)]


def own_error(error: BaseException) -> AppError | None:
    """Return the app's own error that the exception is or was caused by; None if there is none."""
    return next((cause for cause in causes(error) if isinstance(cause, AppError)), None)


def unknown_error(error: BaseException) -> InternalError:
    """Return the error for an exception without a rule, with its type only, because its text may contain secrets."""
    return InternalError(f"The agent failed with an unexpected {type(error).__name__}.")
