"""A sample app for several worker processes; what its functions see goes to a log the tests read."""

import asyncio
import enum
import json
import os
import signal
import time
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
LOG = Path(os.environ.get("SAMPLE_LOG", "sample.log"))
#: The first message of a session ends once this file is there.
GATE = LOG.with_name("gate")


class Kind(enum.StrEnum):
    """A text of a class of the app's own."""

    JSON = "application/json"


def note(**values: object) -> None:
    """Append one JSON line to the log the tests read."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps({"pid": os.getpid(), "at": time.monotonic(), **values}, default=str) + "\n")


note(event="loaded")


@app.route(route="pid")
async def pid(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    if "s" in req.params:
        note(event="sleeping")
        await asyncio.sleep(float(req.params["s"]))
    seen = {"pid": os.getpid(), "name": context.function_name, "size": len(req.get_body())}
    return func.HttpResponse(json.dumps(seen), mimetype=Kind.JSON, headers={"Set-Cookie": "a=b; Path=/", "X-A": "1"})


@app.route(route="mirror")
def mirror(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.get_body(), mimetype="application/octet-stream")


@app.route(route="boom")
async def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("asked to fail")


@app.route(route="die")
async def die(req: func.HttpRequest) -> func.HttpResponse:
    os.kill(os.getpid(), signal.SIGKILL)
    return func.HttpResponse()


@app.route(route="hang")
async def hang(req: func.HttpRequest) -> func.HttpResponse:
    note(event="hang")
    time.sleep(3600)  # noqa: ASYNC251 - a function that never yields
    return func.HttpResponse()


@app.route(route="counters/{key}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def add(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    await client.signal_entity(df.EntityId("Counter", req.route_params["key"]), "slow_add", 1)
    return func.HttpResponse(status_code=202)


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter(context: df.DurableEntityContext) -> None:
    note(event="begin", key=context.entity_key)
    time.sleep(0.02)
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    note(event="end", key=context.entity_key)


@app.service_bus_queue_trigger(arg_name="message", queue_name="sessions", connection="Bus", is_sessions_enabled=True)
async def of_session(message: func.ServiceBusMessage) -> None:
    body = json.loads(message.get_body())
    note(event="began", n=body["n"], session=message.session_id, delivery=message.delivery_count)
    while body["n"] == 0 and not GATE.exists():  # noqa: ASYNC110 - the test opens it from another process
        await asyncio.sleep(0.02)
    note(event="ended", n=body["n"], session=message.session_id, delivery=message.delivery_count)


@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer")
def tick(timer: func.TimerRequest) -> None:
    note(event="tick")
