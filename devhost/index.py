"""Indexing: converts a function app's module to descriptors, with the checks of the Python worker."""

import importlib
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func

from devhost.annotations import check_context, check_return, has_implicit_output, input_converter
from devhost.errors import StartupError

HTTP, TIMER, SERVICE_BUS, ENTITY = "httpTrigger", "timerTrigger", "serviceBusTrigger", "entityTrigger"
DURABLE_CLIENT = "durableClient"
_TRIGGERS = {HTTP, TIMER, SERVICE_BUS, ENTITY}
_ORCHESTRATION = {"orchestrationTrigger", "activityTrigger"}


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """A function's retry policy; delays in the binding's own `hh:mm:ss` form."""

    strategy: str
    max_retry_count: int
    settings: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Function:
    """One indexed function: its trigger and how its arguments are made."""

    name: str
    #: The code; `unloaded` in a host whose worker processes run it.
    call: Callable[..., Any]
    is_async: bool
    directory: str
    #: The raw trigger binding, as the host sees it.
    trigger: Mapping[str, Any]
    #: Input parameter → converter name in the SDK's registry; "generic" hands the raw value over.
    converters: Mapping[str, str]
    #: Parameters bound to `durableClient`.
    clients: frozenset[str] = frozenset()
    #: Parameters of type `func.Out` that carry the HTTP response.
    outputs: frozenset[str] = frozenset()
    #: Converter name of `$return`, or None when the function may return nothing.
    returns: str | None = None
    wants_context: bool = False
    retry: RetryPolicy | None = None
    bindings: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @property
    def type(self) -> str:
        """The trigger's type, such as `httpTrigger`."""
        return self.trigger["type"]

    @property
    def trigger_param(self) -> str:
        """The parameter that receives the trigger's value."""
        return self.trigger["name"]


def unloaded(*_: object, **__: object) -> None:
    """Placeholder for the code of a function that another process runs.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("this function runs in a worker process")


def load_app(root: Path) -> list[Function]:
    """Import the app's module from its directory and index its functions.

    Raises:
        StartupError: There is not exactly one function app, or a function is malformed or uses a trigger or binding
            that this host does not emulate.
    """
    file = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
    if not (root / file).is_file():
        raise StartupError(f"{root} holds no {file}; give the app's directory with --root")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    module = importlib.import_module(Path(file).stem)
    apps = {id(app): app for app in vars(module).values() if isinstance(app, func.FunctionRegister)}
    if len(apps) != 1:
        raise StartupError(f"{file} must define exactly one function app, found {len(apps)}")
    # get_functions() is called once: a second call reports every function as a duplicate.
    return index_functions(next(iter(apps.values())).get_functions())


def index_functions(functions: Iterable[Any]) -> list[Function]:
    """Return the descriptors of the SDK's function objects, in the app's order."""
    return [_index(function) for function in functions]


def _index(function: Any) -> Function:
    name = function.get_function_name()
    call = function.get_user_function()
    bindings = [json.loads(raw) for raw in function.get_raw_bindings()]
    trigger = next(raw for raw in bindings if raw["type"] == function.get_trigger().type)
    if trigger["type"] in _ORCHESTRATION:
        raise StartupError(
            f"Function '{name}' has an {trigger['type']}: devhost emulates durable entities, not orchestrations or"
            " activities. Run the app with Azure Functions Core Tools (`func start`) instead."
        )
    if trigger["type"] not in _TRIGGERS:
        raise StartupError(
            f"Function '{name}': trigger type '{trigger['type']}' is not supported by devhost, which emulates"
            " HTTP, timer, Service Bus queue and durable entity triggers"
        )
    parameters = dict(inspect.signature(call).parameters)
    hints = typing.get_type_hints(call)
    converters: dict[str, str] = {}
    outputs: set[str] = set()
    for raw in bindings:
        _check_binding(name, raw, trigger)
        if raw["name"] == "$return":
            continue
        if raw["direction"] == "OUT":
            outputs.add(raw["name"])
        else:
            converters[raw["name"]] = input_converter(name, raw["name"], raw["type"], hints)
    wants_context = "context" in parameters and "context" not in converters
    _check_parameters(name, set(parameters) - ({"context"} if wants_context else set()), {*converters, *outputs})
    explicit = next((raw["type"] for raw in bindings if raw["name"] == "$return"), None)
    implicit = trigger["type"] if has_implicit_output(trigger["type"]) else None
    check_return(name, explicit, hints)
    if wants_context:
        check_context(name, hints)
    return Function(
        name=name,
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        directory=str(Path(inspect.getfile(call)).parent),
        trigger=trigger,
        converters=converters,
        clients=frozenset(raw["name"] for raw in bindings if raw["type"] == DURABLE_CLIENT),
        outputs=frozenset(outputs),
        returns=explicit or implicit,
        wants_context=wants_context,
        retry=_retry(function.get_settings_dict("retry_policy")),
        bindings=tuple(bindings),
    )


def _check_binding(name: str, raw: Mapping[str, Any], trigger: Mapping[str, Any]) -> None:
    kind, direction = raw["type"], raw["direction"]
    supported = (
        raw is trigger or (kind == DURABLE_CLIENT and direction == "IN") or (kind == "http" and direction == "OUT")
    )
    if not supported:
        raise StartupError(
            f"Function '{name}': {direction} binding '{raw['name']}' of type '{kind}' is not supported by devhost"
        )
    if kind == SERVICE_BUS and "queueName" not in raw:
        raise StartupError(f"Function '{name}': devhost supports Service Bus queues, not topic subscriptions")
    if kind == SERVICE_BUS and str(raw.get("cardinality", "ONE")).upper() != "ONE":
        raise StartupError(f"Function '{name}': devhost supports serviceBusTrigger with cardinality ONE only")


def _check_parameters(name: str, parameters: set[str], bound: set[str]) -> None:
    if missing := parameters - bound:
        raise StartupError(f"Function '{name}': parameters {sorted(missing)} are declared but bound to nothing")
    if extra := bound - parameters:
        raise StartupError(f"Function '{name}': bindings {sorted(extra)} have no parameter of that name")


def _retry(settings: Mapping[str, str] | None) -> RetryPolicy | None:
    if not settings:
        return None
    count = int(settings.get("max_retry_count", "-1"))
    return RetryPolicy(strategy=settings["strategy"], max_retry_count=count, settings=settings)
