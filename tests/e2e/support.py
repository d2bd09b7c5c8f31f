"""What the end-to-end tests share: the whole stack as processes, and clients for its API, its queue and its tables."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from azure.data.tables.aio import TableServiceClient
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient

from devhost.processes import Child
from devhost.services import (
    PROJECT,
    Azurite,
    RunningHost,
    Service,
    ServiceBus,
    start_azurite,
    start_host,
    start_service_bus,
)
from tests.waiting import QUIET_S, eventually

QUEUE = "agent-runs"
PRIORITY_QUEUE = "agent-runs-priority"
LOW_QUEUE = "agent-runs-low"
REPLY_QUEUE = "agent-replies"
WORKER_QUEUE = "worker-runs"
"""A queue the host does not listen to."""
NEVER = "0 0 0 1 1 *"
OPENAI_KEY = "sk-e2e-must-not-leak"
SIGNING_KEY = "e2e-signing-key-that-must-not-leak"
PROMPT = "zq-prompt"
"""A word in every query of these tests, which must not appear in any log."""

SETTINGS = {
    "AGENT_CACHE_TRUST_S": "1",
    "AUTH_MODE": "keys",
    "TRUST_WORKSPACE_HEADER": "true",
    "OPENAI_API_KEY": OPENAI_KEY,
    "QUEUE_SIGNING_KEY": SIGNING_KEY,
    "QUEUE_WORKSPACES": f"{QUEUE}=* {PRIORITY_QUEUE}=* {LOW_QUEUE}/billing=finance",
    "MODEL_TIMEOUT_S": "10",
    "RUN_LEASE_S": "3",
    "RUN_LOOK_EVERY_S": "0.2",
    "RUN_MAX_ATTEMPTS": "3",
    "RUN_RETRY_BASE_S": "0.05",
    "RECORD_USE_EVERY_S": "0.2",
    "SESSION_IDLE_AFTER_S": "3600",
    "KEEP_NEW_FOR_S": "0",
    "PRUNE_SCHEDULE": NEVER,
    "VERIFY_SCHEDULE": NEVER,
    "PRUNE_GRACE_S": "0",
    "AGGREGATION_SCHEDULE": NEVER,
    "REPORT_SCHEDULE": NEVER,
    "CONFIGURATION_SCHEDULE": NEVER,
    "SESSION_EXPIRY_SCHEDULE": NEVER,
    "DRIFT_SCHEDULE": NEVER,
    "DEAD_LETTER_SCHEDULE": NEVER,
    "ALERT_SCHEDULE": NEVER,
    "LOADER_SCHEDULE": NEVER,
    "EVENTS_SCHEDULE": NEVER,
    "NOTIFY_SCHEDULE": NEVER,
    "PLANNED_RUNS_SCHEDULE": NEVER,
}
HANDS = 8
"""Sessions of a queue that are worked on at a time, in the stack whose parts are killed."""
PATIENT = {
    "RUN_MAX_ATTEMPTS": "20",
    "AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentSessions": str(HANDS),
}
"""Settings of a stack whose parts are killed: on a slow machine leases and locks are over before the work is, too."""


def topology(deliveries: int) -> dict[str, Any]:
    """Return the queues, whose messages are delivered so often at most."""
    properties = {
        "RequiresSession": True,
        "LockDuration": "PT5S",
        "MaxDeliveryCount": deliveries,
        "DefaultMessageTimeToLive": "P14D",
        "RequiresDuplicateDetection": True,
        "DuplicateDetectionHistoryTimeWindow": "PT10M",
    }
    names = (QUEUE, PRIORITY_QUEUE, LOW_QUEUE, REPLY_QUEUE, WORKER_QUEUE)
    queues = [{"Name": name, "Properties": properties} for name in names]
    return {"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": queues}]}}


@dataclass(frozen=True)
class Reply:
    """An HTTP response, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code; fails when the body is no problem."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        return self.json()["code"]


class Stack:
    """Azurite, the Service Bus emulator and the app's host on one data directory; each can be killed and restarted."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self._directory = directory
        self.settings = settings
        self._parts = ExitStack()
        self._old_log = ""
        self._bus_port = 0

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            parts.callback(self._stop, "azurite")
            self.azurite: Azurite = start_azurite(self._directory / "azurite")
            parts.callback(self._stop, "bus")
            self.start_bus()
            parts.callback(self._stop, "host")
            self.start_host()
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def _stop(self, name: str) -> None:
        part: Service | None = getattr(self, name, None)
        if part is not None:
            part.child.stop(grace_s=QUIET_S)
            assert part.child.exit_code == 0, f"{part.child.name} had to be killed: it hung"

    def mend(self) -> None:
        """Start again what a test that failed has left dead."""
        if self.azurite.child.exit_code is not None:
            self.restart_azurite()
        if self.bus.child.exit_code is not None:
            self.start_bus()
        if self.host.child.exit_code is not None:
            self._old_log += self.host.child.output()
            self.start_host()

    def restart_azurite(self) -> None:
        """Start Azurite on what it has kept, on the ports it had."""
        old = self.azurite
        self.azurite = start_azurite(
            self._directory / "azurite",
            blob_port=old.blob_port,
            queue_port=old.queue_port,
            table_port=old.table_port,
        )

    def start_bus(self) -> None:
        """Start the emulator on the messages it has kept, on the port it had."""
        deliveries = int((SETTINGS | self.settings)["RUN_MAX_ATTEMPTS"])
        self.bus: ServiceBus = start_service_bus(topology(deliveries), self._directory / "bus", self._bus_port)
        self._bus_port = self.bus.port

    def start_host(self) -> None:
        """Start the host on the state it has kept."""
        self.host: RunningHost = start_host(PROJECT, self.environment(), state_dir=self._directory / "host")

    def environment(self) -> dict[str, str]:
        """Return every setting of the app, so that a developer's own local.settings.json changes no test."""
        example = json.loads((PROJECT / "local.settings.example.json").read_text())["Values"]
        return {
            **example,
            **SETTINGS,
            "AzureWebJobsStorage": self.azurite.connection_string,
            "TablesConnection": self.azurite.connection_string,
            "ServiceBusConnection": self.bus.connection_string,
            **self.settings,
        }

    def kill_host(self) -> None:
        """Kill the host at once, as a crash would."""
        self.host.kill()
        self._old_log += self.host.child.output()

    def log(self) -> str:
        """Return all that the host has logged, over restarts."""
        return self._old_log + self.host.child.output()

    async def run_timer(self, name: str) -> None:
        """Run a timer now, and wait for its end."""
        url = f"{self.host.url}/api/timers/{name}/run"
        async with aiohttp.ClientSession() as http, http.post(url) as response:
            assert response.status == 200, await response.text()

    async def send(
        self,
        body: Any,
        session_id: str,
        message_id: str | None = None,
        queue: str = QUEUE,
        **properties: Any,
    ) -> None:
        """Put a message on a queue as any other producer would; a body that is not bytes is written as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = ServiceBusMessage(content, session_id=session_id, message_id=message_id, **properties)
        await self.send_messages(message, queue=queue)

    async def send_messages(self, *messages: Any, queue: str = QUEUE) -> None:
        """Put messages on a queue, one after the other."""
        async with (
            ServiceBusClient.from_connection_string(self.bus.connection_string) as client,
            client.get_queue_sender(queue) as sender,
        ):
            for message in messages:
                await sender.send_messages(message)

    async def dead(self) -> Sequence[ServiceBusReceivedMessage]:
        """Return what is in the dead-letter queue."""
        async with (
            ServiceBusClient.from_connection_string(self.bus.connection_string) as client,
            client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver,
        ):
            return await receiver.peek_messages(250)

    async def rows(self, table: str, **where: str) -> list[Mapping[str, Any]]:
        """Return a table's rows, with the Azure SDK itself."""
        text = " and ".join(f"{name} eq @{name}" for name in where)
        async with (
            TableServiceClient.from_connection_string(self.azurite.connection_string) as service,
            service.get_table_client(table) as client,
        ):
            return [row async for row in client.query_entities(text, parameters=where)]


class Api:
    """The app's HTTP API as one workspace sees it; a workspace of None sends no header, a URL is another way to it."""

    def __init__(
        self, http: aiohttp.ClientSession, stack: Stack, workspace: str | None, url: str | None = None
    ) -> None:
        self.workspace = workspace
        self._url = url
        self._http = http
        self._stack = stack

    def elsewhere(self, workspace: str | None = None) -> Api:
        """Return the API as another workspace sees it; a new one unless named."""
        return Api(self._http, self._stack, workspace or f"ws-{uuid.uuid4().hex[:12]}", self._url)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request: a body that is not bytes is written as JSON, `_` in a header's name stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.workspace is not None:
            sent.setdefault("X-Workspace", self.workspace)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = f"{self._url or self._stack.host.url}/api/{path}"
        async with self._http.request(method, url, data=content, headers=sent) as response:
            return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())

    async def get(self, path: str) -> Any:
        """Return the JSON of a resource that is there."""
        reply = await self.call("GET", path)
        assert reply.status == 200, (path, reply.status, reply.body)
        return reply.json()

    async def declare(self, name: str, **spec: Any) -> Any:
        """Declare an agent, offline unless told otherwise, and return it."""
        reply = await self.call("PUT", f"agents/{name}", {"model": "gpt-4o"} | spec)
        assert reply.status in (200, 201), reply.body
        return reply.json()

    async def submit(
        self, agent: str, query: str = PROMPT, *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> Any:
        """Submit a run that is accepted, and return it."""
        reply = await self.call("POST", f"agents/{agent}/runs", {"query": query} | body, **(headers or {}))
        assert reply.status == 202, (reply.status, reply.body)
        return reply.json()

    async def ask(self, agent: str, query: str = PROMPT, **body: Any) -> Any:
        """Submit a run, wait for its end, and return it."""
        reply = await self.call("POST", f"agents/{agent}/runs", {"query": query} | body, Prefer="wait=25")
        assert reply.status in (200, 202), (reply.status, reply.body)
        run = reply.json()
        return run if reply.status == 200 else await self.ended(run["id"])

    async def answer(self, agent: str, query: str = PROMPT, **body: Any) -> Any:
        """Submit a run, wait until it has succeeded, and return it."""
        run = await self.ask(agent, query, **body)
        assert run["state"] == "succeeded", run
        return run

    async def ended(self, run_id: str) -> Any:
        """Wait until a run has ended, and return it."""
        return await self.run_in(run_id, "succeeded", "failed", "cancelled")

    async def run_in(self, run_id: str, *states: str) -> Any:
        """Wait until a run is in one of the states, and return it."""

        async def look() -> Any:
            run = await self.get(f"runs/{run_id}")
            seen.append((run["state"], run["stage"], run["attempt"]))
            return run if run["state"] in states else None

        seen: list[tuple[Any, ...]] = []
        return await eventually(look, progress=lambda: seen[-1], what=f"run {run_id} in {states}")

    async def agent_in(self, name: str, state: str) -> Any:
        """Wait until an agent is in the state, and return it."""

        async def look() -> Any:
            agent = await self.get(f"agents/{name}")
            return agent if agent["state"] == state else None

        return await eventually(look)

    async def everything(self, path: str, limit: int) -> list[Any]:
        """Return all items of a list, read in pages."""
        items: list[Any] = []
        token = ""
        while True:
            page = await self.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{token}")
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["next"] is None:
                return items
            token = f"&next={page['next']}"

    async def letters(self, session_id: str, count: int = 1) -> list[Any]:
        """Wait for the dead letters of a session, and return them."""

        async def look() -> Any:
            found = [item for item in await self.everything("dead-letters", 200) if item["session_id"] == session_id]
            return found if len(found) >= count else None

        return await eventually(look)


async def plan_fault(stack: Stack, fault: str) -> None:
    """Make the OpenAI stand-in's next request, after those planned before, fail (see tests/fakes/openai_server.py)."""
    url = stack.settings["OPENAI_BASE_URL"].removesuffix("/v1")
    async with aiohttp.ClientSession() as http, http.post(f"{url}/fake/fail", json={"fault": fault}) as response:
        assert response.status == 204


def start_fake_openai(directory: Path) -> tuple[Child, str]:
    """Start the OpenAI stand-in as a process, and return it with its base URL."""
    ready = directory / "openai.url"
    command = [sys.executable, "-m", "tests.fakes.openai_server", "--ready-file", ready]
    child = Child("fake OpenAI", command, log=directory / "openai.log", cwd=PROJECT)
    url = child.wait_for(lambda: ready.read_text() if ready.exists() else None, QUIET_S, "its address")
    return child, url
