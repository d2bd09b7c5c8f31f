"""CPU time of requests to the tables, compared with the same by the Table SDK."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure.data.tables.aio import TableClient

from adapters.azure_tables import AzureTables
from benchmarks.measure import Result, cpu_ms
from devhost.services import start_azurite
from kernel.tables import Row, Scalar, Span, Upsert

_TABLE = "bench"
_TIMES = 100
_VALUES: dict[str, Scalar] = {
    "state": "succeeded",
    "agent": "summary",
    "query": "What did we decide? " * 10,
    "answer": "To measure first. " * 40,
    "tokens": 1234,
    "quality": 97.5,
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    "done": True,
}

Work = Callable[[], Awaitable[object]]


async def measure_tables() -> list[Result]:
    """Return the CPU time of commits of 1, 2 and 6 rows, of reading a row, and of a page of 20."""
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as data, start_azurite(Path(data)) as azurite:
        ours = AzureTables.from_connection_string(azurite.connection_string)
        await ours.commit(_TABLE, [Upsert(row) for row in _rows(20)])
        async with TableClient.from_connection_string(
            azurite.connection_string, _TABLE, use_env_settings=False
        ) as theirs:
            results = [await _compared(what, *works) for what, works in _works(ours, theirs).items()]
        await ours.aclose()
    return results


async def _compared(what: str, ours: Work, theirs: Work) -> Result:
    mine, sdk = await cpu_ms(ours, _TIMES), await cpu_ms(theirs, _TIMES)
    return Result(f"CPU of {what}", f"{mine:.2f} ms", f"azure-data-tables {sdk:.2f} ms", f"{mine / sdk:.2f}×")


def _works(ours: AzureTables, theirs: TableClient) -> dict[str, tuple[Work, Work]]:
    one, two, six = (_rows(count) for count in (1, 2, 6))
    return {
        "a commit of 1 row": (
            lambda: ours.commit(_TABLE, [Upsert(row) for row in one]),
            lambda: theirs.upsert_entity(_entity(one[0]), mode="replace"),
        ),
        "a commit of 2 rows": (lambda: ours.commit(_TABLE, [Upsert(row) for row in two]), lambda: _batch(theirs, two)),
        "a commit of 6 rows": (lambda: ours.commit(_TABLE, [Upsert(row) for row in six]), lambda: _batch(theirs, six)),
        "reading a row": (lambda: ours.get(_TABLE, "p", "00"), lambda: theirs.get_entity("p", "00")),
        "a page of 20 rows": (lambda: ours.query(_TABLE, Span("p"), limit=20), lambda: _page(theirs)),
    }


async def _batch(client: TableClient, rows: Sequence[Row]) -> None:
    await client.submit_transaction([("upsert", _entity(row), {"mode": "replace"}) for row in rows])


async def _page(client: TableClient) -> None:
    found = client.query_entities("PartitionKey eq 'p'", results_per_page=20)
    _ = [entity async for entity in await anext(found.by_page())]


def _entity(row: Row) -> dict[str, Any]:
    values = {name: (value, "Edm.Int64") if type(value) is int else value for name, value in row.values.items()}
    return {"PartitionKey": row.partition, "RowKey": row.key, **values}


def _rows(count: int) -> list[Row]:
    return [Row("p", f"{number:02}", _VALUES) for number in range(count)]
