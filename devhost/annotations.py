"""Checks of a function's annotations, as the Python worker makes them: what fails there must not run here."""

from collections.abc import Mapping
from typing import Any

import azure.functions as func

from devhost.errors import StartupError


def has_implicit_output(kind: str) -> bool:
    """Whether functions with this trigger return a value without a `$return` binding, as entities do."""
    return bool(getattr(_converter(kind), "has_implicit_output", lambda: False)())


def input_converter(function: str, param: str, kind: str, hints: Mapping[str, Any]) -> str:
    """Return the converter of an input binding: its own, or "generic", which hands the raw value to a str or bytes.

    Args:
        function: The function's name, for the error.
        param: The bound parameter.
        kind: The binding's type.
        hints: The function's resolved annotations.

    Raises:
        StartupError: The annotation does not fit the binding.
    """
    if param not in hints:
        return kind
    hint = hints[param]
    if hint in {str, bytes} and not has_implicit_output(kind):
        return "generic"
    if not isinstance(hint, type) or not _converter(kind).check_input_type_annotation(hint):
        raise StartupError(
            f"Function '{function}': the annotation {_name(hint)} of '{param}' does not fit a {kind} binding"
        )
    return kind


def check_context(function: str, hints: Mapping[str, Any]) -> None:
    """Check the annotation of the invocation context.

    Raises:
        StartupError: It is none of azure.functions.Context.
    """
    hint = hints.get("context")
    if hint is not None and getattr(hint, "__name__", "") != "Context":
        raise StartupError(f"Function '{function}': 'context' must be an azure.functions.Context, not {_name(hint)}")


def check_return(function: str, kind: str | None, hints: Mapping[str, Any]) -> None:
    """Check the annotation of what goes to `$return`.

    Args:
        function: The function's name, for the error.
        kind: The `$return` binding's type, None if there is none.
        hints: The function's resolved annotations.

    Raises:
        StartupError: The annotation does not fit the binding; unions such as `HttpResponse | None` never do.
    """
    if kind is None or "return" not in hints:
        return
    hint = hints["return"]
    if not isinstance(hint, type) or not _converter(kind).check_output_type_annotation(hint):
        raise StartupError(f"Function '{function}': the return annotation {_name(hint)} does not fit a {kind} binding")


def _converter(kind: str) -> Any:
    return func.get_binding_registry().get(kind)


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
