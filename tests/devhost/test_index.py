"""Indexing: what the host learns of an app, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest

from devhost.errors import StartupError
from devhost.index import Function, index_functions, load_app


def _index(declare: Callable[[df.DFApp], Any]) -> list[Function]:
    app = df.DFApp()
    declare(app)
    return index_functions(app.get_functions())


def test_learns_triggers_clients_and_context() -> None:
    """A function's trigger, its Durable client and its wish for a context are told apart by binding."""

    def declare(app: df.DFApp) -> None:
        @app.route(route="a")
        @app.durable_client_input(client_name="client")
        async def act(req: func.HttpRequest, client: Any, context: func.Context) -> func.HttpResponse:
            return func.HttpResponse()

    (function,) = _index(declare)

    assert (
        function.name,
        function.type,
        function.trigger_param,
        function.is_async,
        function.wants_context,
    ) == ("act", "httpTrigger", "req", True, True)
    assert frozenset({"client"}) == function.clients
    assert function.returns == "http"


def test_an_entitys_context_is_its_trigger() -> None:
    """A parameter called `context` that is bound is no invocation context."""

    def declare(app: df.DFApp) -> None:
        @app.entity_trigger(context_name="context", entity_name="Agent")
        def agent(context: df.DurableEntityContext) -> None: ...

    (function,) = _index(declare)

    assert (function.type, function.trigger_param, function.wants_context) == ("entityTrigger", "context", False)
    assert function.trigger["entityName"] == "Agent"


def test_text_parameters_get_the_raw_value() -> None:
    """A parameter annotated str or bytes gets what was sent, not the SDK's object, as in the worker."""

    def declare(app: df.DFApp) -> None:
        @app.service_bus_queue_trigger(arg_name="text", queue_name="q", connection="c")
        def act(text: str) -> None: ...

    (function,) = _index(declare)

    assert function.converters == {"text": "generic"}


def test_refuses_unsupported_triggers_by_name_and_type() -> None:
    """The message names the function and the trigger's type."""

    def declare(app: df.DFApp) -> None:
        @app.blob_trigger(arg_name="blob", path="p", connection="c")
        def shrink(blob: func.InputStream) -> None: ...

    with pytest.raises(StartupError, match=r"'shrink'.*'blobTrigger'"):
        _index(declare)


def test_an_orchestration_is_named_as_out_of_scope() -> None:
    """The error says that entities are emulated and orchestrations are not, and what runs the app instead."""

    def orchestration(app: df.DFApp) -> None:
        @app.orchestration_trigger(context_name="context")
        def flow(context: df.DurableOrchestrationContext) -> Any: ...

    def activity(app: df.DFApp) -> None:
        @app.activity_trigger(input_name="name")
        def step(name: str) -> str:
            return name

    for declare in (orchestration, activity):
        with pytest.raises(StartupError, match=r"entities, not orchestrations or activities.*func start"):
            _index(declare)


def test_an_extension_that_is_not_emulated_is_named() -> None:
    """FastAPI's requests, as Microsoft's agents runtime uses them, are an extension's; the app is not to blame."""
    request = type("Request", (), {"__module__": "starlette.requests"})
    own = type("Request", (request,), {"__module__": "azurefunctions.extensions.http.fastapi.request"})
    blob = type("BlobClient", (), {"__module__": "azurefunctions.extensions.bindings.blob.blobClient"})

    def declared(hint: Any, returned: Any) -> Callable[[df.DFApp], Any]:
        def declare(app: df.DFApp) -> None:
            def act(req: Any) -> Any: ...

            act.__annotations__.update({"req": hint, "return": returned})
            app.route(route="a")(act)

        return declare

    for hint, returned, name in (
        (request, func.HttpResponse, "azurefunctions-extensions-http-fastapi"),
        (own, func.HttpResponse, "azurefunctions-extensions-http-fastapi"),
        (func.HttpRequest, own, "azurefunctions-extensions-http-fastapi"),
        (blob, func.HttpResponse, "azurefunctions-extensions-bindings-blob"),
    ):
        with pytest.raises(StartupError, match=rf"{name}, which devhost does not emulate.*HttpRequest.*func start"):
            _index(declared(hint, returned))


def test_refuses_unsupported_outputs_by_name_and_type() -> None:
    """An output binding this host cannot write stops the start instead of losing data."""

    def declare(app: df.DFApp) -> None:
        @app.route(route="a")
        @app.queue_output(arg_name="out", queue_name="q", connection="c")
        def send(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
            return func.HttpResponse()

    with pytest.raises(StartupError, match=r"'send'.*'out'.*'queue'"):
        _index(declare)


def test_refuses_batches_and_topics() -> None:
    """Service Bus batches and subscriptions are refused, not half emulated."""

    def batch(app: df.DFApp) -> None:
        @app.service_bus_queue_trigger(
            arg_name="messages", queue_name="q", connection="c", cardinality=func.Cardinality.MANY
        )
        def act(messages: list[func.ServiceBusMessage]) -> None: ...

    def topic(app: df.DFApp) -> None:
        @app.service_bus_topic_trigger(arg_name="m", topic_name="t", subscription_name="s", connection="c")
        def act(m: func.ServiceBusMessage) -> None: ...

    with pytest.raises(StartupError, match=r"'act'.*cardinality"):
        _index(batch)
    with pytest.raises(StartupError, match=r"'act'.*subscriptions"):
        _index(topic)


def test_refuses_parameters_bound_to_nothing() -> None:
    """A parameter without a binding is an indexing error, as in the worker."""

    def declare(app: df.DFApp) -> None:
        @app.route(route="a")
        def act(req: func.HttpRequest, extra: int) -> func.HttpResponse:
            return func.HttpResponse()

    with pytest.raises(StartupError, match=r"'act'.*extra"):
        _index(declare)


def test_refuses_bindings_without_parameter() -> None:
    """A binding whose name no parameter has is an indexing error, as in the worker."""

    def declare(app: df.DFApp) -> None:
        @app.timer_trigger(arg_name="timer", schedule="* * * * * *")
        def act() -> None: ...

    with pytest.raises(StartupError, match=r"'act'.*timer"):
        _index(declare)


@pytest.mark.parametrize("hint", ["int", "func.HttpRequest | None", "list[func.HttpRequest]"])
def test_refuses_annotations_the_worker_refuses(hint: str) -> None:
    """A parameter whose annotation does not fit its binding fails to load in production, so it does here."""

    def declare(app: df.DFApp) -> None:
        def act(req: Any) -> func.HttpResponse:
            return func.HttpResponse()

        act.__annotations__["req"] = eval(hint)
        app.route(route="a")(act)

    with pytest.raises(StartupError, match=r"'act'.*annotation"):
        _index(declare)


def test_refuses_return_annotations_the_worker_refuses() -> None:
    """An HTTP function may be annotated with HttpResponse or str, not with a union."""

    def declare(app: df.DFApp) -> None:
        @app.route(route="a")
        def act(req: func.HttpRequest) -> func.HttpResponse | None: ...

    with pytest.raises(StartupError, match=r"'act'.*return annotation"):
        _index(declare)


def test_needs_an_app(tmp_path: Path) -> None:
    """A directory without function_app.py is named, with the option to give another."""
    with pytest.raises(StartupError, match="--root"):
        load_app(tmp_path)
