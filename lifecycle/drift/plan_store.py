"""Storage of plans, so that exactly what was shown is applied.

Table `plans`: partition = workspace, row `{plan id}` a plan without its lines, row `latest` the summary of the last
comparison; partition `{workspace}!{plan id}` the lines, several to a row. A plan is `whole` once all its lines are
stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from datetime import datetime

from kernel.codec import JsonCodec, readable
from kernel.errors import NotFound
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, Span, Tables, Upsert, every
from lifecycle.drift.drift_plan import Plan, PlanLine

TABLE = "plans"
KEPT = 20
"""How many plans of a workspace are kept; adding one deletes the oldest."""

EXCLUDED = -1
"""Value in `StoredPlan.sent` for a destructive line that was excluded when the plan was applied."""

_LATEST = "latest"  # sorts after every id, as these are hexadecimal
_LINES_A_ROW = 16  # a line has at most some 50 KiB, a row 1 MiB
_ROWS_A_COMMIT = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a comparison.

    Attributes:
        at: When it was made, aware UTC.
        counts: Number of lines by kind (`lifecycle.drift.drift_plan.DriftKind`), without zeros.
        unchanged: How many agents have no difference.
        unseen: Providers that could not be read, with the error's code.
    """

    at: datetime
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    unchanged: int = 0
    unseen: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan without its lines.

    Attributes:
        id: Its id.
        workspace: The workspace that it is about.
        summary: Its counts, and when it was made.
        digest: Digest of its effects.
        lines: Number of its lines.
        whole: Whether all lines are stored.
        applied: How many times it was applied, in whole or in part.
        sent: For each line, the number of the application that last sent it; 0 for none, or `EXCLUDED`. Empty before
            the first application.
    """

    id: str
    workspace: str
    summary: Summary
    digest: str
    lines: int
    whole: bool = False
    applied: int = 0
    sent: tuple[int, ...] = ()

    def sent_in(self, number: int) -> int:
        """Return the entry of `sent` for the line."""
        return self.sent[number] if number < len(self.sent) else 0


_PLAN = JsonCodec(StoredPlan)
_LINES: JsonCodec[tuple[PlanLine, ...]] = JsonCodec(tuple[PlanLine, ...])
_SUMMARY = JsonCodec(Summary)


class PlanStore:
    """Reads and writes plans."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def save(self, workspace: str, plan_id: str, plan: Plan, now: datetime) -> StoredPlan:
        """Store a plan under a new id, and delete the workspace's oldest ones."""
        stored = StoredPlan(plan_id, workspace, summary_of(plan, now), plan.digest, len(plan.lines))
        # The plan first, then its lines, so that an incomplete plan is found and deleted in time.
        etag = (await self._tables.commit(TABLE, [Insert(_row(stored))]))[0]
        rows = [
            Row(
                _partition(workspace, plan_id),
                f"{start:06d}",
                {"lines": _LINES.dump(plan.lines[start : start + _LINES_A_ROW])},
            )
            for start in range(0, len(plan.lines), _LINES_A_ROW)
        ]
        for start in range(0, len(rows), _ROWS_A_COMMIT):
            await self._tables.commit(TABLE, [Insert(row) for row in rows[start : start + _ROWS_A_COMMIT]])
        whole = replace(stored, whole=True)
        await self._tables.commit(TABLE, [Replace(_row(whole, etag))])
        await self._drop_oldest(workspace)
        return whole

    async def read(self, workspace: str, plan_id: str) -> StoredPlan:
        """Return the plan without its lines.

        Raises:
            NotFound: There is no plan of this id (any more).
        """
        return (await self._read(workspace, plan_id))[0]

    async def lines(self, stored: StoredPlan, first: int = 0, limit: int | None = None) -> Sequence[PlanLine]:
        """Return up to `limit` of the plan's lines from number `first` on; all the rest if `limit` is None.

        Raises:
            NotFound: The plan was deleted meanwhile.
        """
        last = stored.lines if limit is None else min(stored.lines, first + limit)
        if first >= last:
            return []
        start = first - first % _LINES_A_ROW
        span = Span(_partition(stored.workspace, stored.id), key_from=f"{start:06d}", key_before=f"{last:06d}")
        found = [line async for row in every(self._tables, TABLE, span) for line in _LINES.load(row.text("lines"))]
        if len(found) < last - start:
            raise _unknown(stored.id)
        return found[first - start : last - start]

    async def begin(self, workspace: str, plan_id: str, sent: Collection[int], excluded: Collection[int]) -> StoredPlan:
        """Record an application of the plan: the lines that are sent and those that are left out. Return the plan.

        Raises:
            NotFound: There is no plan of this id (any more).
        """
        while True:
            stored, etag = await self._read(workspace, plan_id)
            begun = _begun(stored, sent, excluded)
            with suppress(RowChanged):
                await self._tables.commit(TABLE, [Replace(_row(begun, etag))])
                return begun

    async def note(self, workspace: str, summary: Summary) -> None:
        """Store the summary of the latest comparison."""
        await self._tables.commit(TABLE, [Upsert(Row(workspace, _LATEST, {"summary": _SUMMARY.dump(summary)}))])

    async def latest(self, workspace: str) -> Summary | None:
        """Return the summary of the latest comparison; None before the first, or if unreadable."""
        row = await self._tables.get(TABLE, workspace, _LATEST)
        return next(readable([row] if row else [], lambda row: _SUMMARY.load(row.text("summary")), "summary"), None)

    async def _read(self, workspace: str, plan_id: str) -> tuple[StoredPlan, str]:
        row = await self._tables.get(TABLE, workspace, plan_id) if plan_id != _LATEST else None
        stored = _PLAN.load(row.text("plan")) if row else None
        if row is None or stored is None or not stored.whole:
            raise _unknown(plan_id)
        return stored, row.etag

    async def _drop_oldest(self, workspace: str) -> None:
        rows = [row async for row in every(self._tables, TABLE, Span(workspace, key_before=_LATEST))]
        for row in rows[:-KEPT]:
            partition = _partition(workspace, row.key)  # not by the plan, which may be unreadable
            keys = [each.key async for each in every(self._tables, TABLE, Span(partition))]
            for key in keys:
                with suppress(RowChanged):  # another process deletes it too
                    await self._tables.commit(TABLE, [Delete(partition, key)])
            with suppress(RowChanged):
                await self._tables.commit(TABLE, [Delete(workspace, row.key)])


def summary_of(plan: Plan, now: datetime) -> Summary:
    """Return the summary of a plan that was made now."""
    return Summary(now, plan.counts, plan.unchanged, plan.unseen)


def _begun(stored: StoredPlan, sent: Collection[int], excluded: Collection[int]) -> StoredPlan:
    application = stored.applied + 1
    states = [stored.sent_in(number) for number in range(stored.lines)]
    for number in excluded:
        states[number] = states[number] or EXCLUDED  # one that was sent before stays so
    for number in sent:
        states[number] = application
    return replace(stored, applied=application, sent=tuple(states))


def _row(stored: StoredPlan, etag: str = "") -> Row:
    return Row(stored.workspace, stored.id, {"plan": _PLAN.dump(stored)}, etag)


def _partition(workspace: str, plan_id: str) -> str:
    return f"{workspace}!{plan_id}"


def _unknown(plan_id: str) -> NotFound:
    msg = f"There is no plan {plan_id!r} (any more); the latest {KEPT} of a workspace are kept."
    return NotFound(msg, code="plan_not_found")
