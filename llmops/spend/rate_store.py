"""Storage of a workspace's own rates, and of models without a known price.

Table `prices`, partition workspace: `rate!{digest}` a rate; partition `_unpriced`: `{workspace}!{digest}` a model that
was called without a known price.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, all_readable, readable
from kernel.errors import NotFound, Unavailable
from kernel.preconditions import delete_row, put_row
from kernel.tables import Row, Span, Tables, Upsert, every, first_rows
from llmops.spend.pricing import Rate, Rates

if TYPE_CHECKING:
    from kernel.clock import Clock

log = logging.getLogger(__name__)

TABLE = "prices"
_RATE = JsonCodec(Rate)
_UNPRICED = "_unpriced"
_UNPRICED_FOR = timedelta(days=1)


class RateStore:
    """Stores rates, and caches them in this process for `trust_for`."""

    def __init__(self, tables: Tables, clock: Clock, trust_for: timedelta) -> None:
        self._tables = tables
        self._clock = clock
        self._trust_for = trust_for
        self._known: dict[str, tuple[datetime, Rates]] = {}
        self._noted: dict[tuple[str, str, str], datetime] = {}

    async def of(self, workspace: str) -> Rates:
        """Return the workspace's rates, at most `trust_for` old."""
        now = self._clock()
        known = self._known.get(workspace)
        if known is None or known[0] + self._trust_for <= now:
            rows = every(self._tables, TABLE, Span.prefix(workspace, "rate!"))
            rates = [rate async for rate in all_readable(rows, _rate, "rate")]
            known = self._known[workspace] = (now, Rates({rate.name: rate for rate in rates}))
        return known[1]

    async def get(self, workspace: str, name: str) -> tuple[Rate, str]:
        """Return the rate and its ETag.

        Raises:
            NotFound: The workspace has no rate of that name.
        """
        row = await self._tables.get(TABLE, workspace, _key(name))
        if row is None:
            raise _missing(name)
        return _rate(row), row.etag

    async def list(
        self, workspace: str, limit: int, after: str | None = None
    ) -> tuple[Sequence[tuple[Rate, str]], str | None]:
        """Return up to `limit` rates with their ETags, and the cursor of the next page; None at the end."""
        rows = await first_rows(self._tables, TABLE, Span.prefix(workspace, "rate!", after=after), limit + 1)
        found = list(readable(rows[:limit], lambda row: (_rate(row), row.etag), "rate"))
        return found, rows[limit - 1].key if len(rows) > limit else None

    async def put(self, workspace: str, rate: Rate, if_match: str | None) -> tuple[str, bool]:
        """Store the rate and return its ETag and whether it is new; calls use it within `trust_for`.

        Raises:
            EtagMismatch: It has changed since the caller read it.
        """
        row = Row(workspace, _key(rate.name), {"rate": _RATE.dump(rate)})
        put = await put_row(self._tables, TABLE, row, if_match)
        self._known.pop(workspace, None)
        return put

    async def delete(self, workspace: str, name: str, if_match: str | None) -> None:
        """Delete the rate.

        Raises:
            NotFound: The workspace has no rate of that name.
            EtagMismatch: It has changed since the caller read it.
        """
        await delete_row(self._tables, TABLE, (workspace, _key(name)), if_match, _missing(name))
        self._known.pop(workspace, None)

    async def note_unpriced(self, workspace: str, asked: str, served: str) -> bool:
        """Note a call of a model without a known price; return whether it is this process's first today.

        It writes at most once an hour per model and process. Where that fails, the model's next call is noted instead:
        the answer is paid for and must not be lost.

        Args:
            workspace: Workspace of the call.
            asked: The requested model or deployment.
            served: The model that the provider says answered.
        """
        now = self._clock()
        noted = self._noted.get((workspace, asked, served))
        if noted is not None and noted + timedelta(hours=1) > now:
            return False
        self._noted[workspace, asked, served] = now
        values = {"asked": asked, "model": served, "at": now}
        row = Row(_UNPRICED, f"{workspace}!{_digest(f'{asked} {served}')}", values)
        try:
            await self._tables.commit(TABLE, [Upsert(row)])
        except Unavailable as error:
            log.warning("a model without a price is not noted: %s", error.code, extra={"event": "usage.not_noted"})
            self._noted.pop((workspace, asked, served), None)
            return False
        return True

    async def unpriced(self) -> int:
        """Return the number of models called without a known price in the last day that still have none."""
        now = self._clock()
        count = 0
        async for row in every(self._tables, TABLE, Span(_UNPRICED)):
            at, served = row.moment("at"), row.text("model")
            own = await self.of(row.key.split("!", 1)[0])
            asked = str(row.values.get("asked") or served)
            count += at is not None and at + _UNPRICED_FOR > now and own.own_rate(asked, served) is None
        return count


def _rate(row: Row) -> Rate:
    return _RATE.load(row.text("rate"))


def _key(name: str) -> str:
    return f"rate!{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _missing(name: str) -> NotFound:
    return NotFound(f"There is no rate of your own for {name!r}.", code="price_not_found")
