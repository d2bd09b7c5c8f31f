"""Storage of optimizations. Table `optimizations`: partition = workspace, one row `{newest first}` each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernel.codec import JsonCodec, readable
from kernel.errors import EtagMismatch, NotFound
from kernel.tables import Insert, Replace, Row, RowChanged, Span, Tables, first_rows
from llmops.optimization.proposals import Optimization

TABLE = "optimizations"
_CODEC = JsonCodec(Optimization)
_CHANGES_BEFORE_GIVING_UP = 8


class OptimizationStore:
    """Reads and writes optimizations."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, workspace: str, found: Optimization) -> None:
        """Store a new optimization."""
        await self._tables.commit(TABLE, [Insert(_row(workspace, found))])

    async def get(self, workspace: str, ident: str) -> Optimization:
        """Return the optimization.

        Raises:
            NotFound: `optimization_not_found`: there is none of that id.
        """
        return _CODEC.load((await self._stored(workspace, ident)).text("optimization"))

    async def list(self, workspace: str, limit: int, after: str | None) -> tuple[Sequence[Optimization], str | None]:
        """Return up to `limit` optimizations, newest first, and the cursor of the next page; None at the end."""
        span = Span.prefix(workspace, "", after=_key(after) if after else None)
        rows = await first_rows(self._tables, TABLE, span, limit + 1)
        found = list(readable(rows[:limit], lambda row: _CODEC.load(row.text("optimization")), "optimization"))
        return found, rows[limit - 1].key.partition("!")[2] if len(rows) > limit else None

    async def change(self, workspace: str, ident: str, step: Callable[[Optimization], Optimization]) -> Optimization:
        """Change the optimization and return it.

        Raises:
            NotFound: There is none of that id.
            EtagMismatch: Other callers kept changing it.
        """
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            row = await self._stored(workspace, ident)
            before = _CODEC.load(row.text("optimization"))
            after = step(before)
            if after == before:
                return after
            try:
                await self._tables.commit(TABLE, [Replace(_row(workspace, after, row.etag))])
            except RowChanged:
                continue
            return after
        raise EtagMismatch

    async def _stored(self, workspace: str, ident: str) -> Row:
        row = await self._tables.get(TABLE, workspace, _key(ident))
        if row is None:
            raise NotFound(f"There is no optimization {ident!r}.", code="optimization_not_found")
        return row


def _row(workspace: str, found: Optimization, etag: str = "") -> Row:
    return Row(workspace, _key(found.id), {"optimization": _CODEC.dump(found)}, etag)


def _key(ident: str) -> str:
    """Return the row key of an id, which begins with its 48-bit time (UUID version 7, RFC 9562 §5.7)."""
    return f"{(1 << 48) - 1 - int(ident.replace('-', '')[:12], 16):012x}!{ident}"
