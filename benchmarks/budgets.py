"""Reservations per second of a budget, compared with bare updates of one row by ETag."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.azure_tables import AzureTables
from benchmarks.measure import Result
from devhost.services import start_azurite
from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.tables import Insert, Replace, Row, RowChanged, RowExists, Tables
from llmops.budgets.budget_rules import Amounts, AppliedLimit, CostAttribution, Limit
from llmops.budgets.counters import BudgetCounters
from llmops.budgets.reservations import Intent, ReservationRequest, ReservationResult, Settlement
from llmops.facts.attempt_fact import Call
from llmops.spend.usage import Usage

_WORKERS = (1, 8, 64)
_SECONDS = 3.0
_NOW = datetime.now(UTC)
_LIMITS = [
    AppliedLimit(scope, Limit("tokens", "month", 10**12), f"{scope}!2026-11", None)
    for scope in ("workspace", "agent:bench")
]


async def measure_budgets() -> list[Result]:
    """Return reservations per second, each reserved and settled in two scopes, and bare updates of one row."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as data, start_azurite(Path(data)) as azurite:
        tables = AzureTables.from_connection_string(azurite.connection_string)
        for workers in _WORKERS:
            bare = await _rate([_Bare(tables, f"bare{workers}")] * workers)
            shared = _Reserving(BudgetCounters(tables, _now), f"one{workers}")
            one = await _rate([shared] * workers)
            own = await _rate([_Reserving(BudgetCounters(tables, _now), f"own{workers}") for _ in range(workers)])
            beside = f"two bare ETag updates of one row: {bare:.0f}/s"
            results += [
                Result(f"reserve + settle/s, {workers} in one process", f"{one:.0f}", beside, f"{one / bare:.2f}×"),
                Result(f"reserve + settle/s, {workers} processes", f"{own:.0f}", beside, f"{own / bare:.2f}×"),
            ]
        await tables.aclose()
    return results


class _Bare:
    """Reads a row and replaces it, retrying on conflicts; two rounds, because a reservation is two writes."""

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
            except (RowChanged, RowExists):
                continue
            return


class _Reserving:
    """Reserves a call in two scopes and settles it."""

    def __init__(self, accounts: BudgetCounters, workspace: str) -> None:
        self._accounts = accounts
        self._workspace = workspace

    async def once(self) -> None:
        ask = ReservationRequest(_intent(), Amounts(1, 1000, 1000), _LIMITS, _NOW + timedelta(hours=1))
        hold = (await self._change(None, ask)).hold
        if hold is None:
            msg = "a reservation was refused"
            raise RuntimeError(msg)
        await self._change(Settlement(hold, Amounts(1, 400, 400)), None)

    async def _change(self, settled: Settlement | None, ask: ReservationRequest | None) -> ReservationResult:
        while True:
            try:
                return await self._accounts.change(self._workspace, settled, ask)
            except Unavailable:  # too many at once; the app retries the run
                continue


async def _rate(workers: Sequence[_Bare | _Reserving]) -> float:
    """Return how often per second all workers together complete one; work under way at the end does not count."""
    done = 0

    async def work(worker: _Bare | _Reserving) -> None:
        nonlocal done
        while True:
            await worker.once()
            done += 1

    tasks = [asyncio.create_task(work(worker)) for worker in workers]
    failed, _ = await asyncio.wait(tasks, timeout=_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()
    return done / _SECONDS


def _intent() -> Intent:
    call = Call(1, _NOW, "offline", "gpt-5-mini", Usage(600, output_tokens=400), 1000)
    return Intent(CostAttribution("bench", "bench", "s", new_id()), 1, call)


def _now() -> datetime:
    return datetime.now(UTC)
