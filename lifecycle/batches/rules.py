"""What a batch is, how it is read from JSON lines, and how many of its runs are submitted when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from pydantic import Field, ValidationError

from kernel.errors import AppError, InvalidInput, TooLarge
from kernel.ids import agent_name, run_id
from kernel.strict_json import parse_json
from kernel.validation import unknown_fields, wrong_places
from lifecycle.conversations.submission import RunRequest, check

MAX_LINES = 10_000
MAX_BYTES = 10_000_000
WINDOW = 100
"""Runs of a batch that are on their way at once."""
FIRST_SLICE = 5
"""Of these, how many before it is known what one costs, where the batch has a cost cap."""
_TOLD = 10
_NOT_OF_LINES = ("priority", "callback", "stream")


class BatchState(StrEnum):
    """How a batch stands."""

    RUNNING = "running"  # runs are submitted, or on their way
    CANCELLING = "cancelling"  # no more are submitted; those on their way are being cancelled
    COMPLETED = "completed"  # every run has ended
    CANCELLED = "cancelled"  # cancelled on request
    STOPPED = "stopped"  # no more were submitted because of its cost; `stopped_by` says why


class BatchLine(RunRequest):
    """A line of a batch: a run request with its agent, and an id by which its result is known.

    Attributes:
        id: Unique in the batch; the line's number unless given.
        agent: The agent asked; the batch's unless given.
    """

    id: str | None = Field(default=None, min_length=1, max_length=128)
    agent: str | None = None

    @property
    def request(self) -> RunRequest:
        """The request alone."""
        return RunRequest.model_validate(self.model_dump(include=set(RunRequest.model_fields), exclude_unset=True))


@dataclass(frozen=True, slots=True)
class Item:
    """A run that a batch is to submit: its place in the batch, from 0, its id there, and what is asked of whom."""

    number: int
    id: str
    agent: str
    request: RunRequest


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is.

    Attributes:
        submitted: How many of its runs were submitted, or refused; they are taken in order.
        underway: The numbers of those that have not ended.
        succeeded: How many were answered.
        failed: How many failed, or were refused.
        cancelled: How many were cancelled.
        cost_micro_usd: What those that have ended cost.
        uncosted: How many of them had a model call whose price is not known.
        unmeasured: How many of them say nothing of what a run costs: they were refused or erased, or failed or were
            cancelled before they cost anything.
        erased: How many of these were erased, so that what they cost is not known any more.
    """

    submitted: int = 0
    underway: tuple[int, ...] = ()
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    cost_micro_usd: int = 0
    uncosted: int = 0
    unmeasured: int = 0
    erased: int = 0

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self.succeeded + self.failed + self.cancelled

    @property
    def measured(self) -> int:
        """How many of those that have ended say what a run costs."""
        return self.ended - self.unmeasured


@dataclass(frozen=True, slots=True)
class Batch:
    """Many runs as one.

    Attributes:
        id: Unique in the workspace.
        total: How many runs it has.
        digest: SHA-256 of what was posted, in hexadecimal.
        max_cost_micro_usd: What it may cost; None for anything.
        created_at: When it was accepted, aware UTC.
        state: See BatchState.
        stopped_by: Why no more are submitted (`cost_cap`, `cost_unknown`); None where they are, or all were.
        progress: How far it is.
        finished_at: When the last of its runs ended; None while it has not.
    """

    id: str
    total: int
    digest: str
    max_cost_micro_usd: int | None
    created_at: datetime
    state: BatchState = BatchState.RUNNING
    stopped_by: str | None = None
    progress: Progress = Progress()
    finished_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.finished_at is not None


def item_run_id(workspace: str, batch_id: str, number: int) -> str:
    """Return the id of the run of an item."""
    return run_id(workspace, f"batch {batch_id} {number}")


def parse_lines(body: bytes, agent: str | None, max_query_bytes: int) -> Sequence[Item]:
    """Return the items of a batch that is posted as JSON lines; blank lines count for nothing.

    Args:
        body: One JSON object a line.
        agent: Whom lines ask that name nobody.
        max_query_bytes: Limit of each query.

    Raises:
        TooLarge: There are too many lines, or bytes.
        InvalidInput: A line is wrong (`invalid_batch`): the fields say which and how, never what it holds.
    """
    if len(body) > MAX_BYTES:
        raise TooLarge(f"A batch has at most {MAX_BYTES} bytes.", code="batch_too_large")
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if len(lines) > MAX_LINES:
        raise TooLarge(f"A batch has at most {MAX_LINES} lines.", code="batch_too_large")
    wrong: dict[str, str] = {}
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, line in lines:
        if len(wrong) >= _TOLD:
            break
        found = _read(number, line, agent, max_query_bytes)
        if isinstance(found, dict):
            wrong |= found
            continue
        line_id, named, request = found
        if line_id in seen:
            wrong[f"/{number}/id"] = f"is that of line {seen[line_id]}, too"
        seen.setdefault(line_id, number)
        items.append(Item(len(items), line_id, named, request))
    if wrong:
        raise InvalidInput("The batch has lines that are no run requests.", code="invalid_batch", fields=wrong)
    if not items:
        raise InvalidInput("The batch is empty.", code="invalid_batch", fields={"": "one JSON object a line"})
    return items


def _read(
    number: int, line: bytes, agent: str | None, max_query_bytes: int
) -> tuple[str, str, RunRequest] | dict[str, str]:
    """Return a line's id, agent and request, or what is wrong with it, by place."""
    try:
        values = parse_json(line)
    except ValueError:
        return {f"/{number}": "is no JSON"}
    if not isinstance(values, dict):
        return {f"/{number}": "is no JSON object"}
    values = cast("dict[str, Any]", values)
    if misplaced := [name for name in _NOT_OF_LINES if name in values]:
        return {f"/{number}/{name}": "is not for lines of a batch" for name in misplaced}
    try:
        read = BatchLine.model_validate(values)
        named = read.agent or agent
        if named is None:
            return {f"/{number}/agent": "names no agent, and neither does the batch"}
        agent_name(named)
        request = read.request
        check(request, max_query_bytes)
    except ValidationError as error:
        places = {f"/{number}/{place.lstrip('/')}": what for place, what in wrong_places(error).items()}
        return places or {f"/{number}": unknown_fields(error, BatchLine)}
    except AppError as error:
        return {f"/{number}{place}": what for place, what in error.fields.items()} or {f"/{number}": error.detail}
    return read.id or str(number), named, request


def room(batch: Batch) -> int:
    """Return how many more runs may be submitted now, so that what a batch with a cost cap costs stays within it.

    What a run costs is not known before it has ended, so that the runs on their way are taken to cost what those
    before them did on average, as are those that were erased. They can cost more, and the cap be passed by what they
    do. Lines that were refused, or failed without cost, count for nothing there: as long as there are no others, there
    is room for a first slice only.
    """
    progress = batch.progress
    free = min(WINDOW - len(progress.underway), batch.total - progress.submitted)
    if batch.state is not BatchState.RUNNING or batch.stopped_by is not None or free <= 0:
        return 0
    if batch.max_cost_micro_usd is None:
        return free
    if progress.measured == 0:
        return max(0, min(free, FIRST_SLICE - len(progress.underway)))
    each = max(1, -(-progress.cost_micro_usd // progress.measured))
    left = batch.max_cost_micro_usd - progress.cost_micro_usd - each * progress.erased
    return max(0, min(free, left // each - len(progress.underway)))


def settled(batch: Batch, now: datetime) -> Batch:
    """Return the batch as its progress leaves it: stopped by its cost, or over."""
    progress = batch.progress
    rest = batch.total - progress.submitted
    if batch.max_cost_micro_usd is not None and batch.state is BatchState.RUNNING and rest and not batch.stopped_by:
        if progress.uncosted:
            batch = replace(batch, stopped_by="cost_unknown")
        elif progress.ended and not progress.underway and room(batch) == 0:
            batch = replace(batch, stopped_by="cost_cap")
    if progress.underway or batch.over:
        return batch
    if batch.state is BatchState.CANCELLING:
        return replace(batch, state=BatchState.CANCELLED, finished_at=now)
    if batch.stopped_by is not None:
        return replace(batch, state=BatchState.STOPPED, finished_at=now)
    return batch if rest else replace(batch, state=BatchState.COMPLETED, finished_at=now)
