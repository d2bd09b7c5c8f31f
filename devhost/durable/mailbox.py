"""The entity scheduler: one batch at a time for each entity, many entities concurrently.

It behaves as the Durable extension with an out-of-process worker does:

- All signals waiting for an entity go to its function as one batch, at most `maxEntityOperationBatchSize`.
- The new state and the deletion of the batch's signals are one commit. If the host is killed before it, the whole batch
runs
  again: operations run at least once, their effect on the entity's state is applied exactly once.
- An operation that raises is only an error in the batch's results. The state is committed all the same (the SDK has no
  rollback), the invocation is logged as failed, nothing is retried.
- A batch that times out counts as failed in every operation and leaves the state unchanged.
- If the function itself fails, or returns an invalid response, its batch is run again after a pause that grows to a
minute,
  without limit: the extension never drops signals.
"""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime

from azure.functions.meta import Datum

from devhost.durable.protocol import BatchResult, EntityId, ProtocolError, Signal, batch_request, batch_response
from devhost.durable.store import EntityStore
from devhost.index import Function
from devhost.invoke import Dispatcher, FunctionTimeoutError

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 60.0
_log = logging.getLogger("devhost.entities")


class UnknownEntityError(ValueError):
    """The app has no entity function of that name."""


class Mailboxes:
    """Accepts signals and runs them."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        store: EntityStore,
        invoker: Dispatcher,
        *,
        max_concurrent: int,
        max_batch_size: int,
        now: Callable[[], datetime],
    ) -> None:
        """Create the scheduler.

        Args:
            functions: Entity functions by lower-cased entity name.
            store: Stores states and signals.
            invoker: Runs the functions.
            max_concurrent: Most entities that run at the same time.
            max_batch_size: Most operations of one batch.
            now: Returns the current time, aware.
        """
        self._functions = functions
        self._store = store
        self._invoker = invoker
        self._slots = asyncio.Semaphore(max_concurrent)
        self._max_batch_size = max_batch_size
        self._now = now
        self._workers: dict[EntityId, asyncio.Task[None]] = {}
        self._stopping = False

    def start(self) -> None:
        """Schedule the signals that an earlier host left undelivered."""
        for entity in self._store.entities_with_signals():
            self._wake(entity)

    async def stop(self) -> None:
        """Stop between batches; undelivered signals stay in the store."""
        self._stopping = True
        for task in list(self._workers.values()):
            task.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def quiesce(self) -> None:
        """Start no further batch."""
        self._stopping = True

    def signal(self, entity: EntityId, operation: str, text: str | None) -> None:
        """Accept a signal; when this returns, it is stored durably and will be delivered.

        Raises:
            UnknownEntityError: The app has no such entity function.
        """
        if entity.name not in self._functions:
            raise UnknownEntityError(
                f"The entity function '{entity.name}' doesn't exist, is disabled, or is not an entity function."
            )
        self._store.enqueue(entity, Signal(str(uuid.uuid4()), operation, text))
        self._wake(entity)

    def _wake(self, entity: EntityId) -> None:
        if self._stopping or entity in self._workers:
            return
        function = self._functions.get(entity.name)
        if function is None:
            _log.warning("Signals for %s wait: the app has no entity function '%s'", entity, entity.name)
            return
        self._workers[entity] = asyncio.create_task(self._work(entity, function))

    async def _work(self, entity: EntityId, function: Function) -> None:
        backoff_s = _FIRST_BACKOFF_S
        try:
            while True:
                async with self._slots:
                    # The batch is read only when it may run, so that it includes what arrived while it waited for a
                    # slot.
                    batch = [] if self._stopping else self._store.pending(entity, self._max_batch_size)
                    if not batch:
                        return
                    done = await self._run_batch(entity, function, batch)
                if done:
                    backoff_s = _FIRST_BACKOFF_S
                    continue
                _log.warning("The batch of %d operations of %s runs again in %.0f s", len(batch), entity, backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
        finally:
            # Nothing awaits between the last look at the store and here, so that no signal is missed.
            del self._workers[entity]

    async def _run_batch(self, entity: EntityId, function: Function, batch: list[tuple[int, Signal]]) -> bool:
        state = self._store.state(entity)
        signals = [signal for _, signal in batch]
        outcome = await self._invoker.invoke(
            function, Datum(batch_request(entity, state, signals), "string"), about=_about(entity, signals)
        )
        if isinstance(outcome.error, FunctionTimeoutError):
            result = BatchResult(state, tuple((signal.operation, "timed out") for signal in signals), ())
        elif outcome.error or outcome.value is None:
            return False
        else:
            try:
                result = batch_response(outcome.value.value, signals)
            except ProtocolError as error:
                _log.error("%s: %s", function.name, error)
                return False
        outbox = [Signal(str(uuid.uuid4()), operation, text) for _, operation, text in result.outbox]
        try:
            self._store.commit(entity, [sequence for sequence, _ in batch], result, outbox, self._now())
        except sqlite3.Error:
            _log.exception("The state of %s could not be committed", entity)
            return False
        for operation, message in result.errors:
            _log.error("Error in operation '%s' of %s: %s", operation, entity, message)
        for target, _, _ in result.outbox:
            self._wake(target)
        return True


def _about(entity: EntityId, signals: list[Signal]) -> str:
    operations = ", ".join(sorted({signal.operation for signal in signals}))
    return f"{entity}: {operations}" if len(signals) == 1 else f"{entity}: {len(signals)} operations, {operations}"
