"""A sample app with Service Bus triggers; what it sees goes to a log the tests read."""

import asyncio
import json
import os
import time
from pathlib import Path

import azure.functions as func

app = func.FunctionApp()
LOG = Path(os.environ.get("SAMPLE_LOG", "sample.log"))


def note(**values: object) -> None:
    """Append one JSON line to the log."""
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(values, default=str) + "\n")


async def handle(message: func.ServiceBusMessage, queue: str) -> None:
    """Do what the message asks for: sleep, fail, or nothing."""
    begin = time.time()
    body = json.loads(message.get_body())
    await asyncio.sleep(body.get("sleep_s", 0))
    note(
        queue=queue,
        n=body["n"],
        session=message.session_id,
        begin=begin,
        end=time.time(),
        delivery=message.delivery_count,
        message_id=message.message_id,
        subject=message.subject,
        enqueued=message.enqueued_time_utc,
        properties=message.application_properties,
        state=message.state,
        sequence=message.sequence_number,
        lock_token=message.lock_token,
    )
    if body.get("fail"):
        raise RuntimeError("asked to fail")


@app.service_bus_queue_trigger(
    arg_name="message", queue_name="%SESSION_QUEUE%", connection="Bus", is_sessions_enabled=True
)
async def of_session(message: func.ServiceBusMessage) -> None:
    await handle(message, "sessions")


@app.service_bus_queue_trigger(arg_name="message", queue_name="plain", connection="Bus")
async def plain(message: func.ServiceBusMessage) -> None:
    await handle(message, "plain")
