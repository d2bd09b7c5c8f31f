"""The same functions invoked by Microsoft's own worker library and by this host see the same arguments."""

import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
import pytest_asyncio
from azure.functions.meta import Datum

from devhost import datums
from devhost.durable.protocol import EntityId, EntityState, Signal, batch_request, client_binding
from devhost.index import index_functions
from devhost.invoke import Invoker
from devhost.servicebus_message import manual_value

pytestmark = pytest.mark.skipif(sys.version_info < (3, 13), reason="azure-functions-runtime needs Python 3.13")

CLIENT = client_binding("Hub", "http://h/hooks", "http://r/durabletask/")
#: Runs a function with a trigger's value and metadata; returns whether it succeeded, and its encoded return value.
Runner = Callable[[str, Datum, Mapping[str, Datum]], Any]


def _app(seen: list[Any]) -> df.DFApp:
    """Make an app whose functions note everything they are given."""
    app = df.DFApp()

    @app.route(route="a/{id}")
    @app.durable_client_input(client_name="client")
    async def http(req: func.HttpRequest, client: Any, context: func.Context) -> func.HttpResponse:
        seen.append(
            {
                "method": req.method,
                "url": req.url,
                "headers": dict(req.headers),
                "params": dict(req.params),
                "route": dict(req.route_params),
                "body": req.get_body(),
                "json": req.get_json(),
                "hub": client._orchestration_bindings.task_hub_name,
                "name": context.function_name,
                "directory": context.function_directory,
                "retries": (context.retry_context.retry_count, context.retry_context.max_retry_count),
                "context": sorted(name for name in dir(context) if not name.startswith("_")),
            }
        )
        return func.HttpResponse("ok", status_code=201, headers={"X-A": "1"}, mimetype="application/json")

    @app.route(route="text")
    def text(req: func.HttpRequest) -> str:
        return "plain"

    @app.route(route="none")
    def none(req: func.HttpRequest) -> func.HttpResponse:
        return None  # pyright: ignore[reportReturnType]

    @app.service_bus_queue_trigger(arg_name="message", queue_name="q", connection="c", is_sessions_enabled=True)
    def bus(message: func.ServiceBusMessage) -> None:
        names = [name for name in dir(type(message)) if isinstance(getattr(type(message), name), property)]
        values = {name: getattr(message, name) for name in names if name not in {"metadata", "force_persistence"}}
        seen.append({**values, "body": message.get_body()})

    @app.service_bus_queue_trigger(arg_name="message", queue_name="q", connection="c")
    def raw_bus(message: str) -> None:
        seen.append(message)

    @app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
    def timer(timer: func.TimerRequest) -> None:
        request: Any = timer
        seen.append((request.past_due, request.schedule, request.schedule_status))

    @app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
    def returns(timer: func.TimerRequest) -> str:
        return "nobody takes this"

    @app.entity_trigger(context_name="context", entity_name="Counter")
    def counter(context: df.DurableEntityContext) -> None:
        seen.append((context.entity_name, context.entity_key, context.operation_name, context.get_input(int)))
        context.set_state(context.get_state(lambda: 0, int) + context.get_input(int))

    return app


async def _worker(functions: list[Any]) -> Runner:
    """Make the runner of Microsoft's library, through its entry without protobuf."""
    from azure_functions_runtime import handle_event, native_invocation  # noqa: PLC0415
    from azure_functions_runtime.bindings.meta import load_binding_registry  # noqa: PLC0415
    from azure_functions_runtime.utils.threadpool import start_threadpool_executor  # noqa: PLC0415

    load_binding_registry()
    start_threadpool_executor()
    registry: Any = handle_event._functions
    info = type("BindingInfo", (), {"inout": 2, "out": 1, "undefined": 0})
    for function in functions:
        registry.add_indexed_function(function=function, protos=SimpleNamespace(BindingInfo=info))

    async def run(name: str, value: Datum, metadata: Mapping[str, Datum]) -> tuple[bool, Any]:
        identity = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        inputs = [(param, value if kind != "client" else Datum(CLIENT, "string")) for param, kind in _inputs(name)]
        answer = await native_invocation.invocation_request_native(str(uuid.uuid4()), identity, inputs, dict(metadata))
        return answer[0], answer[1]

    return run


def _inputs(name: str) -> list[tuple[str, str]]:
    by_function = {"bus": "message", "raw_bus": "message", "timer": "timer", "returns": "timer", "counter": "context"}
    trigger = [(by_function.get(name, "req"), "trigger")]
    return [*trigger, ("client", "client")] if name == "http" else trigger


def _devhost(functions: list[Any], invoker: Invoker) -> Runner:
    indexed = {function.name: function for function in index_functions(functions)}

    async def run(name: str, value: Datum, metadata: Mapping[str, Datum]) -> tuple[bool, Any]:
        outcome = await invoker.invoke(indexed[name], value, metadata=metadata)
        return outcome.error is None, outcome.value

    return run


@pytest_asyncio.fixture
async def both() -> AsyncIterator[Callable[..., Any]]:
    """Run a function on both and compare what it saw and what came out."""
    invoker = Invoker(timeout_s=None, client_value=CLIENT)
    worker_seen: list[Any] = []
    devhost_seen: list[Any] = []
    worker = await _worker(_app(worker_seen).get_functions())
    devhost = _devhost(_app(devhost_seen).get_functions(), invoker)

    async def run(name: str, value: Datum, metadata: Mapping[str, Datum] | None = None) -> tuple[bool, Any, Any]:
        worker_ok, worker_value = await worker(name, value, metadata or {})
        devhost_ok, devhost_value = await devhost(name, value, metadata or {})
        assert (devhost_ok, devhost_seen) == (worker_ok, worker_seen)
        assert _plain(devhost_value) == _plain(worker_value)
        return devhost_ok, devhost_value, devhost_seen[-1] if devhost_seen else None

    yield run
    invoker.close()


def _plain(value: Any) -> Any:
    """Make encoded values comparable; the time an operation took is no part of what it did."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if hasattr(value, "type"):
        inner = value.value
        if isinstance(inner, str) and inner.startswith('{"entityExists"'):
            inner = json.loads(inner)
            inner["results"] = [{**item, "duration": 0, "startTime": 0} for item in inner["results"]]
        return (value.type, _plain(inner))
    return value


REQUEST = datums.http(
    method="POST",
    url="http://h/api/a/7?x=1",
    headers=[("Content-Type", "application/json"), ("X-A", "1"), ("X-A", "2")],
    query=[("x", "1"), ("empty", "")],
    params={"id": "7"},
    body=b'{"a": 1}',
)


async def test_http(both: Callable[..., Any]) -> None:
    """Request, client and context are the same, and so is the encoded response."""
    ok, value, seen = await both("http", REQUEST)

    assert (ok, value.value["status_code"].value, seen["json"], seen["hub"]) == (True, "201", {"a": 1}, "Hub")


@pytest.mark.parametrize(("name", "expected"), [("text", True), ("none", False)])
async def test_http_return_values(both: Callable[..., Any], name: str, expected: bool) -> None:
    """Text is a response; None is an error in both, not an empty answer."""
    ok, _, _ = await both(name, REQUEST)

    assert ok is expected


async def test_service_bus(both: Callable[..., Any]) -> None:
    """Every property of a message is the same, naive times and absent ones included."""
    metadata = datums.service_bus_metadata(
        texts={"MessageId": "m", "SessionId": "s", "LockToken": str(uuid.uuid4()), "Subject": "x", "Label": "x"},
        delivery_count=3,
        sequence_number=7,
        enqueued=datetime(2026, 11, 21, 7, 18, 47, 236000, tzinfo=UTC),
        time_to_live=timedelta(hours=1),
        properties={"a": 1},
    )
    for body in (b'{"n": 1}', b"\xff\x00"):
        ok, _, seen = await both("bus", datums.service_bus_body(body), metadata)

        assert (ok, seen["body"], seen["delivery_count"], seen["locked_until"]) == (True, body, 3, None)
    assert (await both("bus", *manual_value("{}")))[0]
    assert (await both("raw_bus", datums.service_bus_body(b"raw"), metadata))[2] == "raw"


@pytest.mark.parametrize("has_status", [True, False])
async def test_timer(both: Callable[..., Any], has_status: bool) -> None:
    """Lateness, schedule and status are the same."""
    now = datetime(2026, 11, 21, tzinfo=UTC)

    ok, _, seen = await both(
        "timer", datums.timer(last=None, next_=now, updated=None, past_due=True, has_status=has_status)
    )

    assert (ok, seen[0], bool(seen[2])) == (True, True, has_status)


async def test_a_value_nobody_takes_is_an_error(both: Callable[..., Any]) -> None:
    """A function without `$return` must not return anything."""
    now = datetime(2026, 11, 21, tzinfo=UTC)

    ok, _, _ = await both("returns", datums.timer(last=None, next_=now, updated=None, past_due=False, has_status=True))

    assert not ok


async def test_entity(both: Callable[..., Any]) -> None:
    """A batch arrives and is answered alike."""
    signals = [Signal(str(number), "add", json.dumps(json.dumps(number))) for number in (1, 2)]
    request = batch_request(EntityId("counter", "k"), EntityState(True, "5"), signals)

    ok, value, seen = await both("counter", Datum(request, "string"))

    assert (ok, json.loads(value.value)["entityState"], seen) == (True, "8", ("counter", "k", "add", 2))
