"""No event is told that the catalogue does not know, and docs/events.md shows the catalogue as it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.errors import InvalidInput
from lifecycle.events.catalogue import CATALOGUE, chosen_names, in_workspace_stream
from lifecycle.registry.audit import AuditStep

ROOT = Path(__file__).parents[2]
NAMED_ELSEWHERE = {
    "lifecycle/runs/run_lease.py": "by those who call `note`, which are looked at",
    "lifecycle/registry/audit.py": "after the steps of the audit trail, which are looked at",
    "llmops/budgets/budget_events.py": "after its notifications, which are looked at",
    "llmops/alerts/alert_evaluation.py": "after its notifications, which are looked at",
}


def calls(*packages: str) -> Iterator[tuple[str, ast.Call]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield str(path.relative_to(ROOT)), node


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    return call.args[place] if len(call.args) > place else named.get(name)


def test_every_event_that_is_told_is_in_the_catalogue() -> None:
    """By name, and with no data that is not described there."""
    told: set[str] = set()
    for path, call in calls("kernel", "llmops", "lifecycle", "triggers", "bootstrap"):
        if ast.unparse(call.func) == "Event":
            name, data = text(argument(call, 0, "name")), argument(call, 1, "data")
            assert name or path in NAMED_ELSEWHERE, f"{path}:{call.lineno} names an event with an expression"
            if name is None:
                continue
        elif called(call) == "note" and ast.unparse(call.func).endswith("lease.note"):
            name, data = text(argument(call, 0, "name")), argument(call, 1, "data")
        elif called(call) == "Notification" and path in NAMED_ELSEWHERE:
            name, data = text(argument(call, 2, "event")), None
        else:
            continue
        assert name is not None, f"{path}:{call.lineno} names an event with an expression"
        assert name in CATALOGUE, f"{path}:{call.lineno}: {name}"
        told.add(name)
        if isinstance(data, ast.Dict):
            keys = {key for key in map(text, data.keys) if key}
            assert keys <= CATALOGUE[name].data.keys(), f"{path}:{call.lineno}: {keys}"

    told |= {f"agent.{step}" for step in AuditStep}
    assert told == set(CATALOGUE), "an event that nobody tells"


def test_the_document_shows_the_catalogue() -> None:
    """Each event in a row of its own, with what it says and its data."""
    document = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (.*) \| (.*) \|$", document, re.MULTILINE)

    assert rows == [
        (name, kind.says, ", ".join(f"`{field}` {meaning}" for field, meaning in kind.data.items()))
        for name, kind in CATALOGUE.items()
    ]


def test_names_are_chosen_one_by_one_or_by_what_they_are_about() -> None:
    """And what chooses nothing is refused."""
    assert chosen_names("run.stage, alert.*") == {"run.stage", "alert.fired", "alert.resolved"}
    for wrong in ("", "run", "run.stages", "*", "run.stage,", "run.sta*", "x.*"):
        with pytest.raises(InvalidInput) as refused:
            chosen_names(wrong)
        assert refused.value.code == "invalid_event_name"


def test_texts_are_in_sessions_only() -> None:
    """What a model says is not for everybody who follows the workspace."""
    assert [name for name in CATALOGUE if not in_workspace_stream(name)] == ["run.delta"]
