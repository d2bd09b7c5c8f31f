"""Helpers of the demo: calling the app, waiting, and collecting results."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from agent_lifecycle_client import Client, RunNotAnswered
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from rich.console import Console
from rich.table import Table

from kernel.ids import new_id

PATIENCE_S = 30


class Kit:
    """Access to the app, and the table of results."""

    def __init__(self, http: aiohttp.ClientSession, client: Client, queue: str, console: Console) -> None:
        self._http = http
        self._client = client
        self._queue = queue
        self._console = console
        self.table = Table("What was done", "What it shows", "Found", "", title="The main job", title_justify="left")
        self.failed = False

    def note(self, done: str, shows: str, found: object, *, true: bool) -> None:
        """Add a line to the table, and print what was done; what was found only if it is wrong."""
        if done:
            self._console.print(f"  {done}", highlight=False)
        if not true:
            self._console.print(f"  NO  {shows}: {found}", highlight=False)
        self.table.add_row(done, shows, str(found), "[green]yes[/]" if true else "[red]NO[/]")
        self.failed = self.failed or not true

    async def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Call the API and return the response's JSON."""
        async with self._http.request(method, path, json=body, headers=headers) as response:
            text = await response.text()
            return json.loads(text) if text else None

    async def text(self, path: str) -> str:
        """Return the text of a GET's response."""
        async with self._http.get(path) as response:
            return await response.text()

    async def ask(self, agent: str, query: str, **more: Any) -> Any:
        """Ask an agent over HTTP and return the finished run."""
        try:
            run = await self._client.ask(agent, query, timeout_s=PATIENCE_S, **more)
        except RunNotAnswered as ended:
            run = ended.run
        return run.model_dump(mode="json")

    async def run_timer(self, name: str) -> None:
        """Run a timer now, and wait for it to end."""
        await self.call("POST", f"/api/timers/{name}/run")

    async def until(self, ask: Callable[[], Awaitable[Any]], true: Callable[[Any], bool]) -> Any:
        """Return the result of `ask` once `true` accepts it, or the last one at the timeout."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            answer = await ask()
            if true(answer) or loop.time() > deadline:
                return answer
            await asyncio.sleep(0.2)

    async def produce(self, agent: str, query: str) -> str:
        """Send a run as any Service Bus producer would, and return its id."""
        run_id = new_id()
        message = ServiceBusMessage(
            json.dumps({"agent": agent, "query": query}), message_id=run_id, session_id=f"demo-{run_id}"
        )
        client = ServiceBusClient.from_connection_string(self._queue)
        async with client, client.get_queue_sender("agent-runs") as sender:
            await sender.send_messages(message)
        return run_id
