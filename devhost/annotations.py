"""Checks of a function's annotations as the Python worker makes them: what fails there must fail here too."""

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
    if extension := _extension_of(hint):
        raise StartupError(_not_emulated(function, hint, extension))
    if not isinstance(hint, type) or not _converter(kind).check_input_type_annotation(hint):
        raise StartupError(
            f"Function '{function}': the annotation {_name(hint)} of '{param}' does not fit a {kind} binding"
        )
    return kind


def check_context(function: str, hints: Mapping[str, Any]) -> None:
    """Check the annotation of the invocation context.

    Raises:
        StartupError: It is not azure.functions.Context.
    """
    hint = hints.get("context")
    if hint is not None and getattr(hint, "__name__", "") != "Context":
        raise StartupError(f"Function '{function}': 'context' must be an azure.functions.Context, not {_name(hint)}")


def check_return(function: str, kind: str | None, hints: Mapping[str, Any]) -> None:
    """Check the annotation of the value that goes to `$return`.

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
    if extension := _extension_of(hint):
        raise StartupError(_not_emulated(function, hint, extension))
    if not isinstance(hint, type) or not _converter(kind).check_output_type_annotation(hint):
        raise StartupError(f"Function '{function}': the return annotation {_name(hint)} does not fit a {kind} binding")


def _extension_of(hint: Any) -> str | None:
    """Return the package that a type needs on the platform; None for a type of azure-functions itself or any other."""
    modules = [getattr(base, "__module__", "") for base in getattr(hint, "__mro__", (hint,))]
    if any(module.partition(".")[0] in {"starlette", "fastapi"} for module in modules):
        return "azurefunctions-extensions-http-fastapi"
    extension = next((module for module in modules if module.startswith("azurefunctions.extensions.")), None)
    return ".".join(extension.split(".")[:4]).replace(".", "-") if extension else None


def _not_emulated(function: str, hint: Any, extension: str) -> str:
    return (
        f"Function '{function}' uses {_name(hint)} of the extension {extension}, which devhost does not emulate: it"
        " hands over azure.functions.HttpRequest, HttpResponse, ServiceBusMessage, TimerRequest and entity contexts."
        " Annotate with these, or run the app with Azure Functions Core Tools (`func start`)."
    )


def _converter(kind: str) -> Any:
    return func.get_binding_registry().get(kind)


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)
