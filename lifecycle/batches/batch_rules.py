"""What a batch is, how it is parsed from JSON lines, and how many of its runs may be submitted now. Pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from pydantic import Field, ValidationError

from kernel.errors import AppError, InvalidInput, TooLarge
from kernel.ids import agent_name, run_id
from kernel.lazy_dataclass import dataclass
from kernel.strict_json import parse_json
from kernel.validation import unknown_fields, wrong_places
from lifecycle.conversations.run_request import RunRequest, check

MAX_LINES = 10_000
MAX_BYTES = 10_000_000
WINDOW = 100
"""Most runs of a batch that are submitted and not ended at a time."""
FIRST_SLICE = 5
"""The same, until the cost of a run is known, for a batch with a cost cap."""
_TOLD = 10
_NOT_OF_LINES = ("priority", "callback", "stream")


class BatchState(StrEnum):
    """State of a batch."""

    RUNNING = "running"  # runs are being submitted, or have not ended
    CANCELLING = "cancelling"  # no more are submitted; those submitted are being cancelled
    COMPLETED = "completed"  # every run has ended
    CANCELLED = "cancelled"  # cancelled on request
    STOPPED = "stopped"  # no more were submitted because of its cost; see `stopped_by`


class BatchLine(RunRequest):
    """A line of a batch: a run request, its agent, and an id for its result.

    Attributes:
        id: Unique in the batch; the line's number unless given.
        agent: The agent to ask; the batch's agent if left out.
    """

    id: str | None = Field(default=None, min_length=1, max_length=128)
    agent: str | None = None

    @property
    def request(self) -> RunRequest:
        """The run request without agent and id."""
        return RunRequest.model_validate(self.model_dump(include=set(RunRequest.model_fields), exclude_unset=True))


@dataclass(frozen=True, slots=True)
class Item:
    """A run that a batch is to submit: its position from 0, its id in the batch, the agent and the request."""

    number: int
    id: str
    agent: str
    request: RunRequest


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch has come.

    Attributes:
        submitted: How many of its runs were submitted or refused, in order.
        underway: The numbers of submitted runs that have not ended.
        succeeded: How many runs succeeded.
        failed: How many failed, or were refused.
        cancelled: How many were cancelled.
        cost_micro_usd: What the ended runs cost, in millionths of a USD.
        uncosted: How many of them had a model call with an unknown price.
        unmeasured: How many of them do not count towards the average cost of a run: they were refused or erased, or
            ended before they cost anything.
        erased: How many of these were erased, so that their cost is not known.
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
        """How many runs have ended."""
        return self.succeeded + self.failed + self.cancelled

    @property
    def measured(self) -> int:
        """How many of the ended runs count towards the average cost of a run."""
        return self.ended - self.unmeasured


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of runs.

    Attributes:
        id: Unique in the workspace.
        total: How many runs it has.
        digest: SHA-256 of the posted items and the cost cap, in hexadecimal.
        max_cost_micro_usd: Its cost cap, in millionths of a USD; None for none.
        created_at: When it was accepted, aware UTC.
        state: See `BatchState`.
        stopped_by: Why no more runs are submitted (`cost_cap`, `cost_unknown`); None if it was not stopped.
        progress: How far it has come.
        finished_at: When its last run ended, aware UTC; None before.
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
        """Whether the batch has reached a final state."""
        return self.finished_at is not None


def item_run_id(workspace: str, batch_id: str, number: int) -> str:
    """Return the id of the run of an item."""
    return run_id(workspace, f"batch {batch_id} {number}")


def parse_lines(body: bytes, agent: str | None, max_query_bytes: int) -> Sequence[Item]:
    """Return the items of a batch that was posted as JSON lines; blank lines are skipped.

    Args:
        body: One JSON object a line.
        agent: The agent of lines that name none.
        max_query_bytes: Limit of each query, in bytes.

    Raises:
        TooLarge: There are too many lines or bytes (`batch_too_large`).
        InvalidInput: Lines are invalid (`invalid_batch`); `fields` names the lines and the faults, never their content.
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
        raise InvalidInput("The batch has lines that are not valid run requests.", code="invalid_batch", fields=wrong)
    if not items:
        raise InvalidInput("The batch is empty.", code="invalid_batch", fields={"": "one JSON object a line"})
    return items


def _read(
    number: int, line: bytes, agent: str | None, max_query_bytes: int
) -> tuple[str, str, RunRequest] | dict[str, str]:
    """Return a line's id, agent and request; or its faults by JSON pointer."""
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
        places = {f"/{number}/{place.lstrip('/')}": fault for place, fault in wrong_places(error).items()}
        return places or {f"/{number}": unknown_fields(error, BatchLine)}
    except AppError as error:
        return {f"/{number}{place}": fault for place, fault in error.fields.items()} or {f"/{number}": error.detail}
    return read.id or str(number), named, request


def room(batch: Batch) -> int:
    """Return how many more runs may be submitted now, so that a batch with a cost cap stays within it.

    A run's cost is known only when it has ended. Runs that have not ended, and those that were erased, are assumed to
    cost the average of those that have; they may cost more, and then pass the cap by the difference. Lines that were
    refused, or failed without cost, are not part of the average; while there is none, only `FIRST_SLICE` runs are
    submitted.
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
    remaining_micro_usd = batch.max_cost_micro_usd - progress.cost_micro_usd - each * progress.erased
    return max(0, min(free, remaining_micro_usd // each - len(progress.underway)))


def settled(batch: Batch, now: datetime) -> Batch:
    """Return the batch in the state that its progress implies: stopped by its cost, or ended."""
    progress = batch.progress
    remaining = batch.total - progress.submitted
    if (
        batch.max_cost_micro_usd is not None
        and batch.state is BatchState.RUNNING
        and remaining
        and not batch.stopped_by
    ):
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
    return batch if remaining else replace(batch, state=BatchState.COMPLETED, finished_at=now)
