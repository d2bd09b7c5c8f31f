"""The Service Bus queue trigger: receivers of the real SDK, one message at a time each.

Slots and sessions. A slot is a receiver of its own: it waits for a session (or, without sessions, for a message),
serves it, and waits again. For a session queue there are a few slots more than `maxConcurrentSessions`, and at most
`maxConcurrentSessions` functions run at once, one per session. A session that has no message stays held for
`sessionIdleTimeout`, so its next message starts without accepting the session anew; but when waiting slots run short,
the session that has been idle longest is released, so that no session waits for an idle one. (The real host lets it
wait.)

Locks are renewed from the slot's own task at half of their life: for at most `maxAutoLockRenewalDuration` of one
execution, and for as long as a session is held idle or waits for its turn.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

from azure.functions.meta import Datum
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import OperationTimeoutError, SessionLockLostError

from devhost.index import Function
from devhost.invoke import Dispatcher, Outcome
from devhost.servicebus_client import (
    BROKER_ERRORS,
    Outage,
    brief,
    close_quietly,
    half_life_s,
    keep_locked,
    open_promptly,
    receive_one,
    this_task,
)
from devhost.servicebus_message import UnreadableMessageError, manual_value, shown, trace_parent, trigger_value
from devhost.settings import ServiceBusOptions

#: Seconds of one long poll for a session or a message.
_POLL_S = 60.0
#: Seconds a session may look for its next message before it gives way to a waiting one.
_GRACE_S = 0.02
#: Slots kept waiting, so that a burst finds receivers that are already connected, while there may be more slots; and
#: those of a queue that nothing comes from: the SDK looks five times a second whether something has come.
_STANDBY, _QUIET_STANDBY = 8, 2
#: Slots of a session queue beyond `maxConcurrentSessions`; with fewer waiting, idle sessions are let go.
_SPARE = 2
#: Seconds between taking a session and making room for the next: connecting again would delay the first message.
_MAKE_ROOM_S = 0.05
#: Seconds settlements get when the host stops.
_SETTLE_S = 2.0
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.25, 3.0
_log = logging.getLogger("devhost.servicebus")


class _Held:
    """A session that a slot holds: idle since a moment of the monotonic clock, or busy (None)."""

    def __init__(self) -> None:
        self.idle_since: float | None = time.monotonic()
        self.release = asyncio.Event()


class ServiceBusTrigger:
    """Passes the messages of one queue to one function."""

    def __init__(
        self, function: Function, queue: str, client: ServiceBusClient, options: ServiceBusOptions, invoker: Dispatcher
    ) -> None:
        """Prepare a trigger.

        Args:
            function: The function.
            queue: The queue's name.
            client: Connects to the broker.
            options: `extensions.serviceBus` of host.json.
            invoker: Runs the function.
        """
        self._function = function
        self._queue = queue
        self._client = client
        self._options = options
        self._invoker = invoker
        self._sessions = bool(function.trigger.get("isSessionsEnabled", False))
        concurrency = options.max_concurrent_sessions if self._sessions else options.max_concurrent_calls
        self._limit = concurrency + _SPARE if self._sessions else concurrency
        self._permits = asyncio.Semaphore(concurrency)
        self._slots: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self._held: set[_Held] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._outage = Outage(queue)

    @property
    def name(self) -> str:
        """The function's name."""
        return self._function.name

    def start(self) -> None:
        """Connect the first slots in the background; more follow when these are busy."""
        for _ in range(min(_QUIET_STANDBY, self._limit)):
            self._add_slot()

    def quiesce(self) -> None:
        """Receive no further message."""
        self._stopping = True
        for slot in self._waiting:
            slot.cancel()
        for held in self._held:
            held.release.set()

    async def stop(self) -> None:
        """Stop every slot, interrupting what still runs, and disconnect."""
        self.quiesce()
        # A message whose function has just ended must still be settled.
        if self._slots:
            await asyncio.wait(self._slots, timeout=_SETTLE_S)
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._client.close()

    async def run_now(self, text: str) -> None:
        """Run the function with a message made from `text`, outside the queue."""
        value, metadata = manual_value(text)
        await self._invoker.invoke(self._function, value, metadata=metadata, about="run through /admin")

    def _add_slot(self) -> None:
        slot = asyncio.create_task(self._slot())
        self._slots.add(slot)
        self._waiting.add(slot)  # it is about to
        slot.add_done_callback(self._slots.discard)
        slot.add_done_callback(self._waiting.discard)

    async def _slot(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while not self._stopping:
            started = time.monotonic()
            try:
                await (self._serve_session() if self._sessions else self._serve_messages())
                backoff_s = _FIRST_BACKOFF_S
            except OperationTimeoutError:
                # No session came. A broker that responds at once must not be polled in a tight loop.
                self._outage.end()
                if len(self._waiting) >= _QUIET_STANDBY:
                    return
                await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - started)))
            except SessionLockLostError as error:
                _log.warning("A session of queue '%s' was lost: %s", self._queue, brief(error))
            except Exception as error:  # noqa: BLE001 - a broker that goes away makes the SDK raise errors of any kind
                if not self._stopping:
                    self._outage.begin(error)
                if time.monotonic() - started > _LONGEST_BACKOFF_S:
                    backoff_s = _FIRST_BACKOFF_S
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)

    @contextlib.asynccontextmanager
    async def _open(self, receiver: ServiceBusReceiver) -> AsyncIterator[None]:
        """Open a receiver, counting this slot as waiting until it is open; close it in the background."""
        slot = this_task()
        self._waiting.add(slot)
        try:
            await open_promptly(receiver, _POLL_S)
            self._waiting.discard(slot)
            self._outage.end()
            yield
        finally:
            self._waiting.discard(slot)
            # The SDK drains a link for 0.4 s before it closes; the slot does not wait for that.
            closing = asyncio.create_task(close_quietly(receiver))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _make_room(self) -> None:
        """Keep slots waiting: add what is missing, or at the limit release the session that has been idle longest."""
        if self._stopping or len(self._waiting) >= _STANDBY:
            return
        if len(self._slots) < self._limit:
            for _ in range(min(_STANDBY - len(self._waiting), self._limit - len(self._slots))):
                self._add_slot()
        elif len(self._waiting) < _SPARE and (idle := [held for held in self._held if held.idle_since is not None]):
            min(idle, key=lambda held: held.idle_since or 0.0).release.set()

    async def _serve_session(self) -> None:
        # Polls of different lengths: if they ended together, for a moment no slot would wait.
        poll_s = _POLL_S - 2.0 * len(self._waiting)
        receiver = self._client.get_queue_receiver(
            self._queue, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=max(poll_s, _POLL_S / 2)
        )
        async with self._open(receiver):
            held = _Held()
            self._held.add(held)
            asyncio.get_running_loop().call_later(_MAKE_ROOM_S, self._make_room)
            try:
                while not self._stopping and (message := await self._next_of_session(receiver, held)):
                    held.idle_since = None
                    if not await self._in_turn(receiver, message):
                        return
                    held.idle_since = time.monotonic()
            finally:
                self._held.discard(held)

    async def _in_turn(self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> bool:
        """Process a session's message when fewer than `maxConcurrentSessions` run; return False if its lock is lost."""
        session = receiver.session
        turn = asyncio.ensure_future(self._permits.acquire())
        try:
            if not await keep_locked(turn, session.renew_lock, session.locked_until_utc, math.inf, self.name):
                return False
            return await self._process(receiver, message, session.renew_lock, session.locked_until_utc)
        finally:
            if not turn.cancel() and not turn.cancelled():
                self._permits.release()

    async def _next_of_session(self, receiver: ServiceBusReceiver, held: _Held) -> ServiceBusReceivedMessage | None:
        """Wait for a session's next message; return None when the session is to be released."""
        idle_since = held.idle_since or time.monotonic()
        while not held.release.is_set():
            left_s = idle_since + self._options.session_idle_timeout_s - time.monotonic()
            if left_s <= 0:
                return None
            crowded = len(self._slots) >= self._limit and not self._waiting
            wait_s = min(left_s, _GRACE_S if crowded else half_life_s(receiver.session.locked_until_utc))
            messages = await receive_one(receiver, wait_s, held.release)
            if messages:
                return messages[0]
            if crowded:
                return None
            if half_life_s(receiver.session.locked_until_utc) <= wait_s / 2:
                await receiver.session.renew_lock()
        return None

    async def _serve_messages(self) -> None:
        receiver = self._client.get_queue_receiver(self._queue)
        async with self._open(receiver):
            slot = this_task()
            while not self._stopping:
                self._waiting.add(slot)
                try:
                    messages = await receiver.receive_messages(max_message_count=1, max_wait_time=_POLL_S)
                finally:
                    self._waiting.discard(slot)
                for message in messages:
                    self._make_room()

                    async def renew(message: ServiceBusReceivedMessage = message) -> datetime:
                        return await receiver.renew_message_lock(message)

                    await self._process(receiver, message, renew, message.locked_until_utc)

    async def _process(
        self,
        receiver: ServiceBusReceiver,
        message: ServiceBusReceivedMessage,
        renew: Callable[[], Awaitable[datetime]],
        locked_until: datetime | None,
    ) -> bool:
        """Run the function for a message, settle it, and return whether the lock was kept."""
        try:
            value, metadata = trigger_value(message)
        except UnreadableMessageError as error:
            _log.error("%s: message %s cannot be handed over: %s", self.name, shown(message), error)
            outcome = Outcome(error=error)
        else:
            outcome = await self._run(message, value, metadata, renew, locked_until)
        try:
            await (receiver.abandon_message(message) if outcome.error else receiver.complete_message(message))
        except (*BROKER_ERRORS, ValueError) as error:
            verb = "abandoned" if outcome.error else "completed"
            _log.warning(
                "Message %s could not be %s and will be delivered again: %s", message.message_id, verb, brief(error)
            )
            # The session is accepted again after a failed settlement: its lock or its connection is lost.
            return not self._sessions
        return True

    async def _run(
        self,
        message: ServiceBusReceivedMessage,
        value: Datum,
        metadata: dict[str, Datum],
        renew: Callable[[], Awaitable[datetime]],
        locked_until: datetime | None,
    ) -> Outcome:
        run = asyncio.create_task(
            self._invoker.invoke(
                self._function, value, metadata=metadata, trace_parent=trace_parent(message), about=shown(message)
            )
        )
        try:
            await keep_locked(run, renew, locked_until, self._options.max_auto_lock_renewal_s, self.name)
            return await run
        except asyncio.CancelledError:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            raise
