"""Run the benchmarks and print them as a table: `python -m benchmarks [NAME …]`, all of them unless some are named."""

import argparse
import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.aggregation import measure_aggregation
from benchmarks.budgets import measure_budgets
from benchmarks.events import measure_events
from benchmarks.imports import cold_start
from benchmarks.loader import measure_loader
from benchmarks.measure import Result
from benchmarks.overhead import measure_overhead
from benchmarks.runs import measure_runs
from benchmarks.tables import measure_tables
from benchmarks.workers import measure_workers

BENCHMARKS: Mapping[str, Callable[[], Iterable[Result]]] = {
    "imports": cold_start,
    "tables": lambda: asyncio.run(measure_tables()),
    "runs": lambda: asyncio.run(measure_runs()),
    "overhead": lambda: asyncio.run(measure_overhead()),
    "budgets": lambda: asyncio.run(measure_budgets()),
    "events": lambda: asyncio.run(measure_events()),
    "aggregation": lambda: asyncio.run(measure_aggregation()),
    "workers": lambda: asyncio.run(measure_workers()),
    "loader": measure_loader,
}


def parse(argv: Sequence[str] | None = None) -> Sequence[str]:
    """Return the names of the benchmarks to run, in order; exits if one is unknown."""
    known = ", ".join(BENCHMARKS)
    parser = argparse.ArgumentParser("python -m benchmarks", description="Run the benchmarks and print them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{known} (default: all)")
    names: list[str] = parser.parse_args(argv).names
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are: {known}")
    return [name for name in BENCHMARKS if name in names or not names]


def main() -> None:
    """Measure and print."""
    names = parse()
    table = Table("Measured", "Figure", "Beside", "Ratio")
    for name in names:
        for result in BENCHMARKS[name]():
            table.add_row(result.what, result.figure, result.beside, result.ratio)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
