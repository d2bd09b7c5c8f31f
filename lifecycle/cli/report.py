"""Plans as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from lifecycle.cli.planned_changes import Change, ChangeKind

if TYPE_CHECKING:
    from lifecycle.cli.drift_plans import RegistryPlan

_SIGNS = {
    "create": "+",
    "adopt": "+",
    "recreate": "+",
    "update": "~",
    "changed": "!",
    "orphan": "-",
    "duplicate": "-",
    "delete": "-",
}


def show(out: TextIO, directory: str, changes: Sequence[Change], plan: RegistryPlan) -> None:
    """Write the differences line by line, and a summary."""
    pending = [change for change in changes if change.kind is not ChangeKind.UNCHANGED]
    rows = [row for change in pending for row in _rows_of(change)]
    _table(out, f"Declared in {directory}", rows or [("", "", "", "as in the workspace")])
    lines = [
        (
            _SIGNS[line["kind"]],
            line["agent"],
            line["kind"],
            f"{line['why']} {line['would']}{_marked(line['destructive'])}",
        )
        for line in plan.lines
    ]
    _table(out, "At the providers", lines or [("", "", "", "as declared")])
    out.writelines(
        f"  The provider {provider!r} was not looked at ({code}); its agents are left out.\n\n"
        for provider, code in plan.unseen.items()
    )
    kinds = Counter(change.kind.value for change in pending)
    found = Counter(line["kind"] for line in plan.lines)
    out.write(f"Declarations: {_counted(kinds)}. Providers: {_counted(found)}; {plan.unchanged} agents unchanged.\n")


def show_outcome(out: TextIO, plan: RegistryPlan) -> None:
    """Write the outcome of an applied plan: every line that is not done, and a summary."""
    rows = [
        (_SIGNS[line["kind"]], line["agent"], line["outcome"], line["detail"] or line["why"])
        for line in plan.lines
        if line["outcome"] != "done"
    ]
    if rows:
        _table(out, "Not done", rows)
    out.write(f"Applied: {_counted(plan.outcomes)}.\n")


def _rows_of(change: Change) -> Iterable[tuple[str, str, str, str]]:
    details = change.details or [""]
    if change.kind is ChangeKind.DELETE:
        details = [f"its file is gone{_marked(destructive=True)}"]
    name = change.name if change.resource == "agents" else f"{change.resource[:-1]} {change.name}"
    yield _SIGNS[change.kind.value], name, change.kind.value, details[0]
    for more in details[1:]:
        yield "", "", "", more


def _table(out: TextIO, title: str, rows: Sequence[tuple[str, str, str, str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    out.write(f"{title}\n\n")
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False) if width]
        out.write(f"  {'  '.join([*cells, row[3]])}".rstrip() + "\n")
    out.write("\n")


def _marked(destructive: bool) -> str:
    return " (destructive)" if destructive else ""


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "nothing"
