"""A report as one HTML document, without scripts or external resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from llmops.reports.wording import quantity, share, signed_usd, usd

if TYPE_CHECKING:
    from llmops.reports.report import Report
    from llmops.spend.usage import Spend

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #2f6fde; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; padding: 0; list-style: none; }
.figures li { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; min-width: 9rem; }
.figures b { display: block; font-size: 1.4rem; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); }
th { text-align: left; font-weight: 600; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { width: 30%; } .bar i { display: block; height: .7rem; border-radius: .2rem; background: var(--bar); }
.note { color: #8a5a00; } footer { margin-top: 2rem; opacity: .7; font-size: .85rem; }
"""


def to_html(report: Report) -> str:
    """Return the report as an HTML document; every name in it is escaped."""
    title = f"{report.period.kind.capitalize()} {report.period.key}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Workspace {escape(report.workspace)}{'' if report.complete else ', so far'}</p>",
        _figures(report),
        _notes(report),
        _table("By day", "Day", {day.isoformat(): spend for day, spend in report.by_day.items()}),
        _table("By agent", "Agent", report.by_agent),
        _table("By model", "Model", report.by_model),
        _table("By user", "User", {name or "(nobody in particular)": spend for name, spend in report.by_user.items()}),
        _rows(
            "What changed most",
            ("Agent", "Before", "Now", "Change"),
            [(mover.name, usd(mover.before), usd(mover.now), signed_usd(mover.change)) for mover in report.movers],
        ),
        _rows(
            "What stands out",
            ("Agent", "Day", "Cost", "Usually"),
            [
                (one.agent, one.day.isoformat(), usd(one.cost_micro_usd), usd(one.usual_micro_usd))
                for one in report.anomalies
            ],
        ),
        _rows(
            "Budgets",
            ("Budget", "Period", "Spent", "Limit", "Share"),
            [
                (
                    one.scope,
                    f"per {one.period}",
                    quantity(one.unit, one.spent),
                    quantity(one.unit, one.limit),
                    share(one),
                )
                for one in report.budgets
            ],
        ),
        f"<p>{report.budgets_left_out:,} budgets more are in GET usage.</p>" if report.budgets_left_out else "",
        f"<footer>As of {report.updated_at:%Y-%m-%d %H:%M} UTC, from the ledger of model calls.</footer>",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _figures(report: Report) -> str:
    total = report.total
    figures = [
        ("Spent", usd(total.cost_micro_usd)),
        ("Period before", usd(report.previous.cost_micro_usd)),
        ("Model calls", f"{total.calls:,}"),
        ("Input tokens", f"{total.input_tokens:,}"),
        ("Output tokens", f"{total.output_tokens:,}"),
    ]
    if report.forecast is not None:
        foreseen = report.forecast
        figures.append(("Month end", f"{usd(foreseen.expected)}"))
        figures.append(("Likely between", f"{usd(foreseen.low)} – {usd(foreseen.high)}"))
    items = "".join(f"<li>{escape(label)}<b>{escape(value)}</b></li>" for label, value in figures)
    return f'<ul class="figures">{items}</ul>'


def _notes(report: Report) -> str:
    unpriced, unmetered = report.total.unpriced_calls, report.total.unmetered_calls
    notes: list[str] = []
    if unpriced:
        notes.append(f"{unpriced:,} calls are of models without a known price; what they cost is in no sum.")
    if unmetered:
        notes.append(f"{unmetered:,} calls were answered without a usable usage and stand at an estimate.")
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def _table(title: str, label: str, sums: Mapping[str, Spend]) -> str:
    most = max((spend.cost_micro_usd for spend in sums.values()), default=0)
    rows = [
        f"<tr><td>{escape(name)}</td>{_numbers((f'{spend.calls:,}', usd(spend.cost_micro_usd)))}"
        f'<td class="bar"><i style="width:{100 * spend.cost_micro_usd / most if most else 0:.1f}%"></i></td></tr>'
        for name, spend in sums.items()
    ]
    head = f'<tr><th>{escape(label)}</th><th class="n">Calls</th><th class="n">Cost</th><th></th></tr>'
    return f"<h2>{escape(title)}</h2>\n<table>{head}{''.join(rows)}</table>" if rows else ""


def _rows(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    first, *others = head
    names = "".join(f'<th class="n">{escape(name)}</th>' for name in others)
    top = f"<tr><th>{escape(first)}</th>{names}</tr>"
    body = "".join(f"<tr><td>{escape(row[0])}</td>{_numbers(row[1:])}</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2>\n<table>{top}{body}</table>"


def _numbers(values: Iterable[str]) -> str:
    return "".join(f'<td class="n">{escape(value)}</td>' for value in values)
