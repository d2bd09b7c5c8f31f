"""A report as CSV (RFC 4180), for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmops.reports.report import Report
    from llmops.spend.usage import Spend

COLUMNS = (
    "period",
    "breakdown",
    "name",
    "calls",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced_calls",
    "unmetered_calls",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(report: Report) -> str:
    """Return the report as one table: the total, then a row for each day, agent, model and user.

    A name that a spreadsheet would take for a formula gets an apostrophe in front
    (owasp.org/www-community/attacks/CSV_Injection).
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for breakdown, name, spend in _rows(report):
        safe = f"'{name}" if name.startswith(_FORMULA) else name
        writer.writerow((report.period.key, breakdown, safe, *_amounts(spend)))
    return out.getvalue()


def _rows(report: Report) -> Iterator[tuple[str, str, Spend]]:
    yield "total", "", report.total
    for day, spend in report.by_day.items():
        yield "day", day.isoformat(), spend
    tables: tuple[tuple[str, Mapping[str, Spend]], ...] = (
        ("agent", report.by_agent),
        ("model", report.by_model),
        ("user", report.by_user),
    )
    for breakdown, sums in tables:
        for name, spend in sums.items():
            yield breakdown, name, spend


def _amounts(spend: Spend) -> tuple[str, ...]:
    counts = (spend.calls, spend.input_tokens, spend.cached_tokens, spend.output_tokens)
    cost = f"{spend.cost_micro_usd / 1_000_000:.6f}"
    return (*map(str, counts), cost, str(spend.unpriced_calls), str(spend.unmetered_calls))
