"""The Service Bus trigger's use of the SDK: connecting, receiving, closing, renewing locks."""

import asyncio
import contextlib
import functools
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import certifi
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import ServiceBusError

from devhost.servicebus_types import complete_decoder
from devhost.settings import ServiceBusConnection

#: What the SDK raises when the broker is away, besides its own errors.
BROKER_ERRORS = (ServiceBusError, OSError, AttributeError)
#: Seconds between looks at a lock whose end is unknown.
LONGEST_LOOK_S = 60.0
_log = logging.getLogger("devhost.servicebus")


def connect(connection: ServiceBusConnection) -> ServiceBusClient:
    """Return a client without retries of its own, because the trigger has its own retry and log policy.

    All have the same TLS context: by default the SDK creates one for every connection and reads all certificates
    again, even for an unencrypted port.
    """
    complete_decoder()
    options: dict[str, Any] = {"retry_total": 0, "ssl_context": _authorities()}
    if connection.connection_string:
        return ServiceBusClient.from_connection_string(connection.connection_string, **options)
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - slow to import and seldom needed

    return ServiceBusClient(connection.fully_qualified_namespace or "", DefaultAzureCredential(), **options)


@functools.cache
def _authorities() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


class Outage:
    """Logs a broker outage once rather than at every attempt, and its end."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._lasts = False

    def begin(self, error: BaseException) -> None:
        """Note that an attempt failed."""
        if not self._lasts:
            self._lasts = True
            _log.warning("Queue '%s' is not reachable (%s); trying again until it is", self._queue, brief(error))

    def end(self) -> None:
        """Note that the broker has answered."""
        if self._lasts:
            self._lasts = False
            _log.warning("Queue '%s' is reachable again", self._queue)


async def receive_one(
    receiver: ServiceBusReceiver, wait_s: float, release: asyncio.Event
) -> list[ServiceBusReceivedMessage]:
    """Receive one message, or none after `wait_s` seconds or when `release` is set."""
    receiving = asyncio.ensure_future(receiver.receive_messages(max_message_count=1, max_wait_time=max(wait_s, 0.001)))
    releasing = asyncio.ensure_future(release.wait())
    try:
        await asyncio.wait({receiving, releasing}, return_when=asyncio.FIRST_COMPLETED)
        return receiving.result() if receiving.done() else []
    finally:
        for task in (receiving, releasing):
            task.cancel()
        await asyncio.gather(receiving, releasing, return_exceptions=True)


async def open_promptly(receiver: ServiceBusReceiver, timeout_s: float) -> None:
    """Open a receiver without the SDK's polling pause of 50 ms.

    The SDK calls `client_ready_async` of its AMQP client until it returns True, and sleeps in between; here it returns
    only when the client is ready. If a later SDK works differently, opening still works, with the pause.
    """
    make = getattr(receiver, "_create_handler", None)
    if make is not None:

        def make_prompt(auth: Any) -> None:
            make(auth)
            handler = getattr(receiver, "_handler", None)
            ready = getattr(handler, "client_ready_async", None)
            if ready is not None:
                handler.client_ready_async = functools.partial(_until_ready, ready, timeout_s)  # pyright: ignore[reportOptionalMemberAccess]

        receiver._create_handler = make_prompt  # noqa: SLF001 - see above
    await receiver.__aenter__()


async def _until_ready(ready: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not (answer := await ready()) and time.monotonic() < deadline:
        pass
    return answer


async def close_quietly(receiver: ServiceBusReceiver) -> None:
    """Close a receiver in any state of its connection, ignoring errors."""
    with contextlib.suppress(*BROKER_ERRORS, TimeoutError):
        await asyncio.wait_for(receiver.close(), 5.0)


def this_task() -> "asyncio.Task[Any]":
    """Return the running task.

    Raises:
        RuntimeError: No task is running.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("no task is running")
    return task


def half_life_s(locked_until: datetime | None) -> float:
    """Return the seconds until half of a lock's remaining time has passed."""
    if locked_until is None:
        return LONGEST_LOOK_S
    return max(0.05, (locked_until - datetime.now(UTC)).total_seconds() / 2)


def brief(error: BaseException) -> str:
    """Return the first line of an error's text, for the log."""
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


async def keep_locked(
    work: "asyncio.Future[Any]",
    renew: Callable[[], Awaitable[datetime]],
    locked_until: datetime | None,
    limit_s: float,
    what: str,
) -> bool:
    """Wait for `work` while renewing a lock, for at most `limit_s` seconds; return whether it was held to the end."""
    started = time.monotonic()
    while True:
        done, _ = await asyncio.wait({work}, timeout=half_life_s(locked_until))
        if done:
            return True
        if time.monotonic() - started >= limit_s:
            _log.warning("%s outlives maxAutoLockRenewalDuration: its lock may expire", what)
            break
        try:
            locked_until = await renew()
        except (*BROKER_ERRORS, ValueError) as error:
            _log.warning("The lock of a message for %s is lost: %s", what, brief(error))
            break
    await asyncio.wait({work})
    return False
