"""How many reservations a budget takes in a second, beside bare updates of one row by ETag."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.azure_tables import AzureTables
from benchmarks.measure import Result
from devhost.services import start_azurite
from kernel.ids import new_id
from kernel.tables import Insert, Replace, Row, RowChanged, Tables
from llmops.budgets.accounts import Accounts
from llmops.budgets.holds import Ask, Settled
from llmops.budgets.rules import Amounts, Applied, Limit
from llmops.spend.ledger import Line
from llmops.spend.usage import Usage

_WORKERS = (1, 8, 64)
_SECONDS = 4.0
_NOW = datetime.now(UTC)
_LIMITS = [
    Applied(scope, Limit("tokens", "month", 10**12), f"{scope}!2026-11", None) for scope in ("workspace", "agent:bench")
]


async def measure_budgets() -> list[Result]:
    """Return reservations a second, each reserved and settled in two scopes, and bare updates of one row."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as data, start_azurite(Path(data)) as azurite:
        for workers in _WORKERS:
            made = [AzureTables.from_connection_string(azurite.connection_string) for _ in range(workers)]
            bare = await _rate([_Bare(tables, f"bare{workers}") for tables in made])
            one = await _rate([_Shared(Accounts(made[0], _now), f"one{workers}")] * workers)
            own = await _rate([_Shared(Accounts(tables, _now), f"own{workers}") for tables in made])
            for tables in made:
                await tables.aclose()
            beside = f"bare ETag updates of one row: {bare:.0f}/s"
            results += [
                Result(f"reservations/s, {workers} in one process", f"{one:.0f}", beside, f"{one / bare:.2f}×"),
                Result(
                    f"reservations/s, {workers} as processes of their own", f"{own:.0f}", beside, f"{own / bare:.2f}×"
                ),
            ]
    return results


class _Bare:
    """Reads a row and replaces it, again when somebody was faster; two rounds, as a reservation is two writes."""

    def __init__(self, tables: Tables, key: str) -> None:
        self._tables = tables
        self._key = key

    async def once(self) -> None:
        for _ in range(2):
            await self._update()

    async def _update(self) -> None:
        while True:
            row = await self._tables.get("bare", "p", self._key)
            try:
                count = row.integer("count") + 1 if row else 1
                changed = Row("p", self._key, {"count": count}, row.etag if row else "")
                await self._tables.commit("bare", [Replace(changed) if row else Insert(changed)])
            except Exception as error:  # noqa: BLE001 - RowExists at the first row
                if not isinstance(error, RowChanged) and row is not None:
                    raise
                continue
            return


class _Shared:
    """Reserves a call in two scopes and settles it."""

    def __init__(self, accounts: Accounts, workspace: str) -> None:
        self._accounts = accounts
        self._workspace = workspace

    async def once(self) -> None:
        ask = Ask(_intent(), Amounts(1, 1000, 1000), _LIMITS, _NOW + timedelta(hours=1))
        outcome = await self._accounts.change(self._workspace, None, ask)
        if outcome.hold is None:
            msg = "a reservation was refused"
            raise RuntimeError(msg)
        await self._accounts.change(self._workspace, Settled(outcome.hold, Amounts(1, 400, 400)), None)


async def _rate(workers: list[_Bare] | list[_Shared]) -> float:
    """Return how often a second all the workers together do it once."""
    end = time.perf_counter() + _SECONDS

    async def work(worker: _Bare | _Shared) -> int:
        count = 0
        while time.perf_counter() < end:
            await worker.once()
            count += 1
        return count

    started = time.perf_counter()
    done = sum(await asyncio.gather(*map(work, workers)))
    return done / (time.perf_counter() - started)


def _intent() -> Line:
    return Line(
        "bench",
        new_id(),
        1,
        1,
        _NOW,
        "bench",
        "s",
        "",
        "offline",
        "gpt-5-mini",
        Usage(600, output_tokens=400),
        1000,
        "",
        0,
    )


def _now() -> datetime:
    return datetime.now(UTC)
