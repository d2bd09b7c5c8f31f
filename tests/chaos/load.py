"""The clients of a chaos run: each asks one thing after the other, and asks again until it is told that it is taken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import ServiceBusError

from tests.chaos.plan import RUNS_PER_TALK, Talk
from tests.chaos.world import Timeline
from tests.e2e.support import PRIORITY_QUEUE, QUEUE, Api, Reply, Stack
from tests.waiting import Patience, eventually

TERMINAL = ("succeeded", "failed", "cancelled")
_PAUSE_S = 0.2
_AGAIN = (429, 500, 502, 503, 504)


@dataclass
class Accepted:
    """What was taken, by talk in the order of acceptance; and what the erased sessions had spent."""

    timeline: Timeline
    runs: dict[Talk, list[str]] = field(default_factory=dict)
    erased: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many runs were taken."""
        return sum(map(len, self.runs.values()))

    def add(self, talk: Talk, run_id: str) -> None:
        """Write down that a run was taken."""
        self.runs.setdefault(talk, []).append(run_id)
        self.timeline.note(f"{talk.name}: {run_id} is accepted")


class Producer:
    """Sends to both queues until the broker has taken the message, over connections that it makes again."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._lock = asyncio.Lock()
        self._open = AsyncExitStack()
        self._senders: dict[str, ServiceBusSender] = {}

    async def send(self, queue: str, message: ServiceBusMessage) -> None:
        """Send it, however often that fails; the broker drops what it has taken already."""
        patience = Patience("a broker that takes messages")
        while True:
            patience.look("")
            async with self._lock:
                try:
                    async with asyncio.timeout(30):
                        await (await self._sender(queue)).send_messages(message)
                except (ServiceBusError, OSError, ValueError, TimeoutError):
                    await self.aclose()
                else:
                    return
            await asyncio.sleep(_PAUSE_S)

    async def aclose(self) -> None:
        """Close its connections."""
        self._senders.clear()
        with contextlib.suppress(ServiceBusError, OSError, ValueError):  # the broker may be gone
            await self._open.aclose()
        self._open = AsyncExitStack()

    async def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            client = ServiceBusClient.from_connection_string(self._stack.bus.connection_string, retry_total=0)
            await self._open.enter_async_context(client)
            self._senders[queue] = await self._open.enter_async_context(client.get_queue_sender(queue))
        return self._senders[queue]


class Clients:
    """All clients: they stop for nothing but an answer that no fault explains."""

    def __init__(self, api: Api, producer: Producer, accepted: Accepted) -> None:
        self._api = api
        self._producer = producer
        self.accepted = accepted

    async def talk(self, talk: Talk) -> None:
        """Have a conversation from its beginning to its end."""
        for number in range(RUNS_PER_TALK):
            run_id = await (self._post if talk.way == "http" else self._produce)(talk, number)
            self.accepted.add(talk, run_id)
            if number in talk.cancels:
                await self.call("POST", f"runs/{run_id}/cancel", good=(200, 202, 409))
            if talk.agent == "idle":
                await self.ended(run_id)
                await self.call("POST", f"sessions/{talk.session_id(number)}/end", good=(200, 202, 204))
                await asyncio.sleep(1.5)  # for it to be idle
        if talk.erases:
            runs = [await self.ended(run_id) for run_id in self.accepted.runs[talk]]
            await self.call("DELETE", f"sessions/{talk.name}", good=(200, 204, 404))
            self.accepted.erased += [run["spend"] for run in runs]

    async def ended(self, run_id: str) -> Any:
        """Wait until a run has ended, and return it."""

        async def look() -> Any:
            run = (await self.call("GET", f"runs/{run_id}", good=(200, 404))).json()
            seen.append((run.get("state"), run.get("attempt")))
            return run if run.get("state") in TERMINAL else None

        seen: list[Any] = []
        return await eventually(look, progress=lambda: (seen[-1], self.accepted.count), what=f"the end of {run_id}")

    async def call(
        self, method: str, path: str, body: Any = None, *, good: tuple[int, ...] = (200,), **headers: str
    ) -> Reply:
        """Call until there is an answer that is not the fault of a fault.

        Raises:
            AssertionError: It is not one of the good ones.
        """
        patience = Patience(f"an answer to {method} {path}")
        why: object = None
        while True:
            patience.look((why, self.accepted.count))
            try:
                reply = await self._api.call(method, path, body, **headers)
            except (aiohttp.ClientError, TimeoutError) as error:
                why = type(error).__name__
            else:
                if reply.status in good:
                    return reply
                assert reply.status in _AGAIN, (method, path, headers, reply.status, reply.body)
                why = reply.status
            await asyncio.sleep(_PAUSE_S)

    async def _post(self, talk: Talk, number: int) -> str:
        body: dict[str, Any] = {"query": f"{talk.name} {number}", "session_id": talk.session_id(number)}
        if number == 0 or talk.session_id(0) != talk.session_id(1):
            body |= {"priority": talk.priority} | ({"pin_version": True} if talk.pins else {})
        reply = await self.call(
            "POST", f"agents/{talk.agent}/runs", body, good=(200, 202), Idempotency_Key=f"{talk.name} {number}"
        )
        return str(reply.json()["id"])

    async def _produce(self, talk: Talk, number: int) -> str:
        run_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._api.workspace} {talk.name} {number}"))
        body = {"agent": talk.agent, "query": f"{talk.name} {number}", "workspace": self._api.workspace}
        message = ServiceBusMessage(json.dumps(body).encode(), session_id=talk.session_id(number), message_id=run_id)
        await self._producer.send(PRIORITY_QUEUE if talk.priority == "high" else QUEUE, message)
        return run_id
