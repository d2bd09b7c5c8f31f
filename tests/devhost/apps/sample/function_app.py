"""A sample app with one function for each way a trigger is used."""

import asyncio
import json
import logging
import os
import time
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
LOG = Path(os.environ.get("SAMPLE_LOG", "sample.log"))


def note(**values: object) -> None:
    """Append one JSON line to the log the tests read."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(values) + "\n")


@app.route(route="echo/{id:int}/{op?}", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode(),
        "function": context.function_name,
        "trace": context.trace_context.trace_parent,
        "greeting": os.environ["GREETING"],
    }
    return func.HttpResponse(
        json.dumps(seen), mimetype="application/json", headers={"X-Sample": "1", "Set-Cookie": "a=b; Path=/"}
    )


@app.route(route="echo/list", auth_level=func.AuthLevel.ANONYMOUS)
def echo_list(req: func.HttpRequest) -> str:
    return "the list"


@app.route(route="boom", auth_level=func.AuthLevel.ANONYMOUS)
async def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("a secret of the function")


@app.route(route="nothing", auth_level=func.AuthLevel.ANONYMOUS)
async def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None  # pyright: ignore[reportReturnType]


@app.route(route="slow", auth_level=func.AuthLevel.ANONYMOUS)
async def slow(req: func.HttpRequest) -> func.HttpResponse:
    note(event="slow")
    await asyncio.sleep(float(req.params["s"]))
    return func.HttpResponse("slept")


@app.route(route="guarded")
async def guarded(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")


@app.route(route="administered", auth_level=func.AuthLevel.ADMIN)
async def administered(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("in")


@app.route(route="counters/{key}/{op}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
async def signal_counter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    entity = df.EntityId("Counter", req.route_params["key"])
    body = req.get_body()
    await client.signal_entity(entity, req.route_params["op"], json.loads(body) if body else None)
    return func.HttpResponse(status_code=202)


@app.route(route="counters/{key}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
async def read_counter(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    found = await client.read_entity_state(df.EntityId("Counter", req.route_params["key"]))
    return func.HttpResponse(
        json.dumps({"exists": found.entity_exists, "state": found.entity_state}), mimetype="application/json"
    )


@app.route(route="rpc", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
async def rpc_address(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({"url": client._orchestration_bindings.rpc_base_url}))


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter(context: df.DurableEntityContext) -> None:
    value = context.get_state(lambda: 0)
    operation = context.operation_name
    if operation == "add":
        value += context.get_input()
        context.set_state(value)
        context.set_result(value)
    elif operation == "set_then_raise":
        context.set_state(999)
        raise ValueError("no rollback")
    elif operation == "slow_add":
        note(event="begin", key=context.entity_key, at=time.monotonic())
        time.sleep(0.02)
        context.set_state(value + context.get_input())
        note(event="end", key=context.entity_key, at=time.monotonic())
    elif operation == "delete":
        context.destruct_on_exit()
    elif operation == "nothing":
        note(event="nothing")


@app.timer_trigger(schedule="%TICK_SCHEDULE%", arg_name="timer")
def tick(timer: func.TimerRequest) -> None:
    logging.getLogger("sample").info("the tick tells of itself")
    note(event="tick", past_due=timer.past_due, status=timer.schedule_status)  # pyright: ignore[reportAttributeAccessIssue]


@app.timer_trigger(schedule="0 0 0 1 1 *", arg_name="timer")
@app.retry(  # pyright: ignore[reportAttributeAccessIssue] - the SDK's stubs forget it
    strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00"
)
def fragile(timer: func.TimerRequest, context: func.Context) -> None:
    note(event="fragile", retry=context.retry_context.retry_count)
    raise RuntimeError("always")
