"""A streamed answer through the HTTP server of Microsoft's own Python worker library.

A program of its own, because loading the extension changes the whole process: `microsoft_streaming.py HOST_URL
WORKSPACE` asks the agent `a` and prints the first piece of the answer and whether the run had ended by then. The host
at HOST_URL runs it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import aiohttp
from azure.functions.meta import Datum
from azure_functions_runtime import http_v2, loader

from devhost import datums
from devhost.context import Context, RetryContext, TraceContext, child_trace_parent
from devhost.durable.protocol import client_binding

QUESTION = {"model": "a", "stream": True, "messages": [{"role": "user", "content": "zq-prompt"}]}


async def serve_one(function: Any, invocation: str, client: str) -> None:
    """Do what the worker does with an invocation of an HTTP function (azure_functions_runtime/handle_event.py)."""
    request: Datum = datums.http(method="POST", url="http://worker/api", headers=[], query=[], params={}, body=b"")
    given = await http_v2.http_coordinator.get_http_request_async(invocation)
    await http_v2.sync_http_request(given, type("Sent", (), {"route_params": request.value["params"]}))  # pyright: ignore[reportOptionalSubscript, reportIndexIssue]
    context = Context("x", "", invocation, TraceContext(child_trace_parent(None)), RetryContext())
    answer = await function.get_user_function()(given, client=client, context=context)
    http_v2.http_coordinator.set_http_response(invocation, answer)


async def main(app: str, host_url: str, workspace: str) -> None:
    functions: Any = loader.index_function_app(app)
    function = next(each for each in functions if each.get_function_name() == "openai_chat_completions")
    assert http_v2.HttpV2Registry.http_v2_enabled()
    url = http_v2.initialize_http_server("127.0.0.1")
    client = client_binding("Hub", host_url, f"{host_url}/runtime/webhooks/durabletask/")
    invocation = str(uuid.uuid4())
    headers = {"x-ms-invocation-id": invocation, "x-workspace": workspace}
    pieces: list[tuple[str, str]] = []
    async with aiohttp.ClientSession(headers=headers) as http:
        while True:
            serving = asyncio.create_task(serve_one(function, invocation, client))
            try:
                response = await http.post(f"{url}/api/v1/chat/completions", json=QUESTION)
                break
            except aiohttp.ClientConnectorError:  # the library starts its server in the background
                serving.cancel()
                await asyncio.sleep(0.05)
        async for line in response.content:
            data = line.decode().strip().removeprefix("data: ")
            if not data.startswith("{"):
                continue
            text = json.loads(data)["choices"][0]["delta"].get("content")
            if text:
                run = f"{host_url}/api/runs/{response.headers['x-run-id']}"
                async with http.get(run) as found:
                    pieces.append((text, (await found.json())["state"]))
                async with http.post(f"{run}/cancel"):
                    break
        await serving
    print(json.dumps({"status": response.status, "type": response.headers["content-type"], "pieces": pieces}))
    sys.stdout.flush()
    os._exit(0)  # the library's server and the app's connections are the host's to end


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    asyncio.run(main(str(Path("function_app.py").resolve()), *sys.argv[1:]))
