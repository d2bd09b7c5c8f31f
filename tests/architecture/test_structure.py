"""The shape of the code, held by machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kernel import errors

ROOT = Path(__file__).parents[2]
PACKAGES = ("kernel", "llmops", "lifecycle", "adapters", "bootstrap", "triggers", "devhost")
DOMAIN = ("kernel", "llmops", "lifecycle")
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.AppError)}
SETTINGS = {
    "TablesConnection": "UseDevelopmentStorage=true",
    "ServiceBusConnection": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=x;SharedAccessKey=y",
}


def modules(packages: tuple[str, ...]) -> Iterator[Path]:
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_importing_the_app_imports_nothing_it_may_not_need() -> None:
    """A cold start pays for what it imports; the SDKs of models and data come with their first use."""
    heavy = (
        "agent_framework",
        "openai",
        "azure.ai",
        "azure.monitor",
        "azure.identity",
        "azure.data",
        "azure.servicebus",
        "jsonschema_rs",
        "pydantic",
    )
    code = (
        f"import function_app, sys; print([m for m in sys.modules if m.startswith({heavy!r}) or m == 'genai_prices'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=SETTINGS, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_importing_the_app_loads_what_indexing_needs_and_no_more() -> None:
    """What a function does is loaded when one runs; each of these would bring many more."""
    later = (
        "lifecycle.registry.actor",
        "lifecycle.registry.actor_operations",
        "lifecycle.runs.worker",
        "llmops.budgets.call_budget",
    )
    code = f"import function_app, sys; print([name for name in {later!r} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=SETTINGS, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_the_layers_hold() -> None:
    """Imports point one way, and the domain knows no SDK (.importlinter)."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_every_package_has_a_place_in_the_layers() -> None:
    """A new top-level package must be put somewhere on purpose."""
    outside = {"tests", "benchmarks", "examples", "scripts", "docs", "infra", "node_modules", "dashboard"}
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - outside
    declared = (ROOT / ".importlinter").read_text(encoding="utf-8")

    assert found == set(PACKAGES)
    assert all(re.search(rf"^    {name}$", declared, re.MULTILINE) for name in found)


def test_values_are_made_at_little_cost() -> None:
    """Frozen dataclasses come from `kernel.lazy_dataclass`, but those of the local host, which no worker imports."""
    compiled_at_once = [
        str(path.relative_to(ROOT))
        for path in modules(tuple(name for name in PACKAGES if name != "devhost"))
        if "\n@dataclass(frozen=True, slots=True)" in (text := path.read_text(encoding="utf-8"))
        and "from kernel.lazy_dataclass import dataclass" not in text
    ]

    assert compiled_at_once == []


def test_a_module_is_short_enough_to_read() -> None:
    """At most 400 lines."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(PACKAGES)}

    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > 400} == {}


TELLS_THE_TIME = ROOT / "lifecycle/loader/library.py"
"""A library on its own, which nobody composes: it takes the wall clock unless it is given another one."""
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}


def test_the_domain_is_told_the_time() -> None:
    """No rule reads the wall clock: time is an argument, or comes from the Clock that is passed in."""
    reading: list[str] = []
    for path in {*modules(DOMAIN)} - {TELLS_THE_TIME}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if (owner, name) in CLOCKS:
                    reading.append(f"{path.relative_to(ROOT)}:{node.lineno}")
                case _:
                    pass

    assert sorted(reading) == []


def test_a_run_and_its_session_can_be_taken_in_at_a_look() -> None:
    """At most 15 fields each; what belongs together is one value."""
    from dataclasses import fields  # noqa: PLC0415

    from lifecycle.conversations.run import Attempt, Run  # noqa: PLC0415
    from lifecycle.conversations.session import Session  # noqa: PLC0415

    assert {kind.__name__: len(fields(kind)) for kind in (Run, Session, Attempt) if len(fields(kind)) > 15} == {}


def test_what_carries_out_a_run_has_few_collaborators() -> None:
    """At most 7 for each class of `lifecycle/runs`."""
    found: dict[str, int] = {}
    for path in modules(("lifecycle/runs",)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                inits = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
                for init in inits:
                    found[node.name] = len(init.args.args) - 1 + len(init.args.kwonlyargs)

    assert found["RunWorker"] <= 7
    assert {name: count for name, count in found.items() if count > 7} == {}


def test_the_docstring_of_an_error_says_what_has_happened() -> None:
    """Its first line is what callers read as `detail` (kernel/errors.py): not when it is raised, nor what it is for."""
    docstrings = {
        f"{path.relative_to(ROOT)}: {node.name}": (ast.get_docstring(node) or "").partition("\n")[0]
        for path in modules(PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in ERRORS for base in node.bases)
    }

    assert docstrings
    assert {name for name, text in docstrings.items() if text.startswith(("Raised", "Raises"))} == set()


def test_decisions_are_numbered_once() -> None:
    """docs/decisions holds one decision a number."""
    numbers = [path.name[:4] for path in (ROOT / "docs/decisions").glob("*.md")]

    assert sorted(numbers) == sorted(set(numbers))
    assert all(number.isdigit() for number in numbers)


def test_the_architecture_page_names_modules_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[a-z_]+\.py\b", page))
    there = {path.name for path in (*modules((*PACKAGES, "tests")), *ROOT.glob("*.py"))}

    assert len(named) > 6
    assert named - there == set()
