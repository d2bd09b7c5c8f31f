"""The app, indexed and invoked by Microsoft's own Python worker library instead of devhost.

A program of its own, because the library keeps its state in module globals and the app reads its settings when it is
imported: `microsoft_worker.py HOST_URL WORKSPACE` prints what came out as one JSON object. HOST_URL is a running host
that takes the Durable client's signals.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from azure.functions.meta import Datum
from azure.servicebus import NEXT_AVAILABLE_SESSION
from azure.servicebus.aio import ServiceBusClient
from azure_functions_runtime import handle_event, loader, native_invocation
from azure_functions_runtime.bindings.meta import load_binding_registry
from azure_functions_runtime.utils.threadpool import start_threadpool_executor

from devhost import datums
from devhost.durable.protocol import client_binding
from devhost.servicebus_message import trigger_value

CONNECTION = "ServiceBusConnection"


class Worker:
    """The library's loader and its entry without protobuf (its private API: the version is pinned)."""

    def __init__(self, host_url: str, workspace: str) -> None:
        load_binding_registry()
        start_threadpool_executor()
        self._workspace = workspace
        self._client = client_binding("Hub", host_url, f"{host_url}/runtime/webhooks/durabletask/")
        registry: Any = handle_event._functions
        info = type("BindingInfo", (), {"inout": 2, "out": 1, "undefined": 0})
        functions: Any = loader.index_function_app(str(Path("function_app.py").resolve()))
        for function in functions:
            registry.add_indexed_function(function=function, protos=SimpleNamespace(BindingInfo=info))
        self.bindings = {
            function.get_function_name(): [binding.get_dict_repr() for binding in function.get_bindings()]
            for function in functions
        }

    async def invoke(self, name: str, value: Datum, metadata: Mapping[str, Datum] | None = None) -> Any:
        """Invoke a function with its trigger's value; a Durable client is given to those that have one."""
        inputs = [
            (binding["name"], Datum(self._client, "string") if binding["type"] == "durableClient" else value)
            for binding in self.bindings[name]
            if str(binding["direction"]).endswith(("IN", "0")) or binding["direction"] == 0
        ]
        answer = await native_invocation.invocation_request_native(
            str(uuid.uuid4()), str(uuid.uuid5(uuid.NAMESPACE_OID, name)), inputs, dict(metadata or {})
        )
        if not answer[0]:
            raise RuntimeError(f"{name}: {answer[3]}")
        return answer[1]

    async def http(
        self, name: str, method: str, params: dict[str, str], body: Any = None, *, workspace: str = ""
    ) -> dict[str, Any]:
        """Invoke an HTTP function, in the worker's workspace or another one."""
        request = datums.http(
            method=method,
            url="http://worker/api",
            headers=[("x-workspace", workspace or self._workspace), ("content-type", "application/json")],
            query=[],
            params=params,
            body=b"" if body is None else json.dumps(body).encode(),
        )
        parts: Any = (await self.invoke(name, request)).value
        return {"status": int(parts["status_code"].value), "body": json.loads(parts["body"].value)}


async def main(host_url: str, workspace: str) -> None:
    """Declare an agent, submit a run, run what came on the queue, read the run, aggregate the costs."""
    worker = Worker(host_url, workspace)
    agent = {"name": "native"}
    results: dict[str, Any] = {
        "functions": sorted(worker.bindings),
        "health": await worker.http("health", "GET", {}),
        "declared": await worker.http("agents_item", "PUT", agent, {"model": "gpt-4o"}),
        "refused": await worker.http("agents_item", "PUT", agent, {"model": 7}),
        "submitted": await worker.http("runs_submit", "POST", agent, {"query": "zq-prompt hello", "session_id": "s"}),
    }
    async with (
        ServiceBusClient.from_connection_string(os.environ[CONNECTION]) as client,
        client.get_queue_receiver(
            os.environ["RUN_QUEUE"], session_id=NEXT_AVAILABLE_SESSION, max_wait_time=20
        ) as receiver,
    ):
        message = (await receiver.receive_messages(max_message_count=1))[0]
        await worker.invoke("run_agent", *trigger_value(message))
        await receiver.complete_message(message)
    results["run"] = await worker.http("runs_get", "GET", {"run_id": results["submitted"]["body"]["id"]})
    now = datetime.now(UTC)
    timer = datums.timer(last=None, next_=now, updated=None, past_due=False, has_status=True)
    await worker.invoke("run_timers", timer)
    await worker.invoke("prune_idle_agents", timer)
    results["timer"] = await worker.http("timers_run", "POST", {"name": "aggregate_costs"}, workspace="default")
    results["reports"] = await worker.http("reports_list", "GET", {})
    print(json.dumps(results))
    sys.stdout.flush()
    os._exit(0)  # the app's own connections and threads are the host's to end


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    asyncio.run(main(*sys.argv[1:]))
