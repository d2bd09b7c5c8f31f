"""Creates batches, submits their runs step by step, cancels them and returns their results.

An item's run id is derived from the batch's id and the item's number, so submitting it again gives the same run. The
batch's row records a submission only after the run is submitted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from kernel.codec import Unreadable, if_readable, pass_over
from kernel.errors import AppError, Conflict, NotFound
from kernel.lazy_dataclass import dataclass
from lifecycle.batches.batch_rules import (
    WINDOW,
    Batch,
    BatchState,
    Item,
    Progress,
    item_run_id,
    room,
    settled,
)
from lifecycle.batches.store import USER_ERASED, no_batch
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session_priority import Priority

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueThing, DueTimes
    from lifecycle.batches.store import BatchStore, StoredBatch, StoredItem
    from lifecycle.conversations.run_request import Send
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.run_queries import RunQueries
    from lifecycle.runs.run_submission import RunSubmission

log = logging.getLogger(__name__)

KEEP_FOR = timedelta(days=30)
"""How long a batch is kept after it has ended; its runs are kept like any others."""
_LOOK_AGAIN = timedelta(seconds=1)
_READS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of an item: its run, None if it has none; and the error code if it was refused."""

    item: Item
    run_id: str
    run: Run | None
    refused: str


class Batches:
    """Creates, advances and cancels batches."""

    def __init__(
        self, store: BatchStore, due: DueTimes, intake: RunSubmission, queries: RunQueries, clock: Clock
    ) -> None:
        self._store = store
        self._due = due
        self._intake = intake
        self._queries = queries
        self._clock = clock

    async def create(
        self, workspace: str, batch_id: str, items: Sequence[Item], max_cost_micro_usd: int | None
    ) -> tuple[Batch, bool]:
        """Store a batch, and return it and whether it is new; a repeated request returns the batch that exists.

        Raises:
            Conflict: The id was used for a different batch.
        """
        digest = _digest(items, max_cost_micro_usd)
        found = await self._store.find(workspace, batch_id)
        if found is None:
            now = self._clock()
            batch = Batch(batch_id, len(items), digest, max_cost_micro_usd, now)
            await self._due.add(workspace, batch_id, now)
            if await self._store.create(workspace, batch, items):
                return batch, True
            found = await self._store.find(workspace, batch_id)
        if found is None or found.batch.digest != digest:
            msg = "This idempotency key was used before, for a different batch."
            raise Conflict(msg, code="idempotency_conflict")
        return found.batch, False

    async def get(self, workspace: str, batch_id: str) -> Batch:
        """Return the batch, with the runs counted that have ended since it was last advanced; its state is as then.

        Raises:
            NotFound: There is no such batch.
        """
        batch = await self._store.get(workspace, batch_id)
        return batch if batch.over else replace(batch, progress=await self._with_ended_runs(workspace, batch))

    async def run(self, signals: AgentSignals, send: Send) -> int:
        """Advance every due batch, and return how many runs were submitted."""
        submitted = 0
        async for entry in self._due.until(self._clock()):
            try:
                submitted += await self._process_due(entry, signals, send)
            except AppError as error:
                # One batch's failure must not stop the others; it is tried again in the next round.
                log.warning("batch %s: %s", entry.name, error.code, extra={"event": "batch.postponed"})
        return submitted

    async def cancel(self, workspace: str, batch_id: str) -> Batch:
        """Submit no more runs of the batch, cancel those submitted, and return it; unchanged if it has ended.

        Raises:
            NotFound: There is no such batch.
        """
        while True:
            if (found := await self._store.find(workspace, batch_id)) is None:
                raise no_batch(batch_id)
            if found.batch.over or found.batch.state is BatchState.CANCELLING:
                break
            cancelling = replace(found.batch, state=BatchState.CANCELLING)
            if await self._store.replace(workspace, cancelling, found.etag) is not None:
                found = replace(found, batch=cancelling)
                break
        if found.batch.state is BatchState.CANCELLING:
            await self._cancel_runs(workspace, found.batch)
        return found.batch

    async def results(self, workspace: str, batch_id: str, first: int, limit: int) -> Sequence[BatchResult]:
        """Return the results of up to `limit` (1-1000) items in order, starting with number `first`.

        Raises:
            NotFound: There is no such batch.
        """
        batch = await self._store.get(workspace, batch_id)
        turnstile = asyncio.Semaphore(_READS_AT_ONCE)

        async def result(stored: StoredItem) -> BatchResult:
            ident, run = item_run_id(workspace, batch_id, stored.item.number), None
            if stored.item.number < batch.progress.submitted and not stored.refused:
                async with turnstile:
                    run = await if_readable(self._run(workspace, ident), "run", f"{workspace}/{ident}")
            return BatchResult(stored.item, ident, run, stored.refused)

        items = await self._store.items(workspace, batch_id, first, limit)
        return await asyncio.gather(*map(result, items))

    async def _process_due(self, entry: DueThing, signals: AgentSignals, send: Send) -> int:
        workspace, now = entry.workspace, self._clock()
        found = await self._store.find(workspace, entry.name)
        if found is None:
            if entry.outlasted(now):  # its creation was never completed
                await self._store.remove(workspace, entry.name, None)
                await self._due.drop(entry)
            return 0
        if found.batch.finished_at is not None:
            keep_until = found.batch.finished_at + KEEP_FOR
            if keep_until <= now:
                await self._store.remove(workspace, entry.name, found.batch.created_at)
            else:
                await self._due.add(workspace, entry.name, keep_until)
            await self._due.drop(entry)
            return 0
        submitted = await self._advance(workspace, found, signals, send)
        await self._due.add(workspace, entry.name, now + _LOOK_AGAIN)
        await self._due.drop(entry)
        return submitted

    async def _advance(self, workspace: str, found: StoredBatch, signals: AgentSignals, send: Send) -> int:
        batch = replace(found.batch, progress=await self._with_ended_runs(workspace, found.batch))
        batch = settled(batch, self._clock())
        before = batch.progress.submitted
        failure: AppError | None = None
        try:
            # Refused lines do not count against the limit: the lines after them are submitted in the same round.
            while count := min(room(batch), WINDOW - (batch.progress.submitted - before)):
                if not (some := await self._store.items(workspace, batch.id, batch.progress.submitted, count)):
                    break
                for stored in some:
                    batch = await self._submit(workspace, batch, stored, signals, send)
        except AppError as error:
            failure = error
        batch = settled(batch, self._clock())
        batch = await self._store_progress(workspace, found, batch)
        if batch.state is BatchState.CANCELLING:
            await self._cancel_runs(workspace, batch)
        if failure is not None:
            raise failure
        return batch.progress.submitted - before

    async def _store_progress(self, workspace: str, found: StoredBatch, batch: Batch) -> Batch:
        """Store the batch's progress, and return it as stored: it may have been cancelled meanwhile."""
        was = found.batch
        while batch != found.batch and await self._store.replace(workspace, batch, found.etag) is None:
            latest = await self._store.find(workspace, batch.id)
            if latest is None or latest.batch.progress != was.progress:
                break  # another process advances it: it submits the same runs
            found, batch = latest, settled(replace(latest.batch, progress=batch.progress), self._clock())
        return batch

    async def _submit(
        self, workspace: str, batch: Batch, stored: StoredItem, signals: AgentSignals, send: Send
    ) -> Batch:
        progress, item = batch.progress, stored.item
        if stored.refused:  # before it was submitted, or in a round that died before it was counted
            erased = stored.refused == USER_ERASED
            cancelled, failed = progress.cancelled + erased, progress.failed + (not erased)
            progress = replace(progress, cancelled=cancelled, failed=failed, unmeasured=progress.unmeasured + 1)
            return replace(batch, progress=replace(progress, submitted=item.number + 1))
        request = item.request.model_copy(update={"priority": Priority.LOW})
        ident = item_run_id(workspace, batch.id, item.number)
        try:
            await self._intake.submit(workspace, item.agent, request, ident, signals, send)
        except AppError as error:
            if error.retriable:
                raise
            await self._store.refuse(workspace, batch.id, item.number, error.code)
            progress = replace(progress, failed=progress.failed + 1, unmeasured=progress.unmeasured + 1)
        else:
            progress = replace(progress, underway=(*progress.underway, item.number))
        return replace(batch, progress=replace(progress, submitted=item.number + 1))

    async def _with_ended_runs(self, workspace: str, batch: Batch) -> Progress:
        """Return the progress, with runs counted that have ended since the last round."""
        progress = batch.progress
        idents = [item_run_id(workspace, batch.id, number) for number in progress.underway]
        runs = await asyncio.gather(*(self._run(workspace, ident) for ident in idents), return_exceptions=True)
        for number, ident, run in zip(progress.underway, idents, runs, strict=True):
            if isinstance(run, Unreadable):  # until it can be read, or is erased with its session
                pass_over("run", f"{workspace}/{ident}", run)
                continue
            if isinstance(run, BaseException):
                raise run
            if run is None:  # erased meanwhile
                progress = replace(
                    progress,
                    cancelled=progress.cancelled + 1,
                    unmeasured=progress.unmeasured + 1,
                    erased=progress.erased + 1,
                )
            elif run.finished:
                free = run.state is not RunState.SUCCEEDED and run.spend.cost_micro_usd == 0
                progress = replace(
                    progress,
                    succeeded=progress.succeeded + (run.state is RunState.SUCCEEDED),
                    failed=progress.failed + (run.state is RunState.FAILED),
                    cancelled=progress.cancelled + (run.state is RunState.CANCELLED),
                    cost_micro_usd=progress.cost_micro_usd + run.spend.cost_micro_usd,
                    uncosted=progress.uncosted + (run.spend.unpriced_calls > 0),
                    unmeasured=progress.unmeasured + free,
                )
            else:
                continue
            progress = replace(progress, underway=tuple(each for each in progress.underway if each != number))
        return progress

    async def _cancel_runs(self, workspace: str, batch: Batch) -> None:
        for number in batch.progress.underway:
            try:
                await self._queries.cancel(workspace, item_run_id(workspace, batch.id, number))
            except (NotFound, Unreadable):
                continue

    async def _run(self, workspace: str, ident: str) -> Run | None:
        try:
            return await self._queries.get(workspace, ident)
        except NotFound:
            return None


def _digest(items: Sequence[Item], max_cost_micro_usd: int | None) -> str:
    lines = [[item.id, item.request.digest(item.agent)] for item in items]
    return hashlib.sha256(json.dumps([max_cost_micro_usd, lines]).encode()).hexdigest()
