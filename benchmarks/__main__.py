"""Run the benchmarks and print them as a table."""

import asyncio

from rich.console import Console
from rich.table import Table

from benchmarks.aggregation import measure_aggregation
from benchmarks.budgets import measure_budgets
from benchmarks.events import measure_events
from benchmarks.imports import cold_start
from benchmarks.loader import measure_loader
from benchmarks.overhead import measure_overhead
from benchmarks.runs import measure_runs
from benchmarks.tables import measure_tables
from benchmarks.workers import measure_workers


def main() -> None:
    """Measure and print."""
    table = Table("Measured", "Figure", "Beside", "Ratio")
    for result in [
        *cold_start(),
        *asyncio.run(measure_tables()),
        *asyncio.run(measure_runs()),
        *asyncio.run(measure_overhead()),
        *asyncio.run(measure_budgets()),
        *asyncio.run(measure_events()),
        *asyncio.run(measure_aggregation()),
        *asyncio.run(measure_workers()),
        *measure_loader(),
    ]:
        table.add_row(result.what, result.figure, result.beside, result.ratio)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
