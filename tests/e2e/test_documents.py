"""What the documents tell a reader to paste works as pasted."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.register import register
from tests.e2e.support import Stack

ROOT = Path(__file__).parents[2]


def commands(document: str, kind: str) -> str:
    """Return the document's code blocks of a kind, one after the other."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return "\n".join(re.findall(rf"^ *```{kind}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def address(stack: Stack) -> str:
    """Return the address of an app with the example agents, as `make start` leaves it."""
    asyncio.run(register(stack.host.url))
    return stack.host.url


@pytest.mark.parametrize(
    ("document", "shows"),
    [
        ("README.md", '"name":"helper"'),
        ("docs/quickstart.md", '"name":"opening_hours"'),
        ("docs/tutorial.md", '"decision":"approve"'),
        ("docs/troubleshooting.md", '"cache_performance"'),
        ("docs/migration.md", '"versions_created":1'),
        ("docs/approvals.md", '"state":"rejected"'),
        ("docs/async.md", '"state":"delivered"'),
        ("docs/api.md", '"state":"succeeded"'),
        ("docs/capacity.md", '"at_a_time"'),
        ("docs/configuration-framework.md", '"state":"succeeded"'),
        ("docs/doors.md", '"state":"TASK_STATE_COMPLETED"'),
        ("docs/events.md", '"state": "ended"'),
        ("docs/llmops.md", '"kind":"month"'),
        ("docs/loader.md", '"cache_performance"'),
        ("docs/observability.md", "# TYPE agent_runs_total counter"),
        ("docs/retention.md", "workspace.jsonl"),
        ("docs/routes.md", '"last_failure":"provider_unavailable"'),
        ("docs/savings.md", '"kind":"pool"'),
        ("docs/sessions.md", '"state":"succeeded"'),
        ("docs/teams.md", '"author":"ann@example.com"'),
        ("docs/tools.md", '"name":"order_status"'),
        ("docs/workflows.md", '"state":"succeeded"'),
    ],
)
def test_every_command_of_a_document_succeeds(address: str, tmp_path: Path, document: str, shows: str) -> None:
    """Run in order, with a failure of any curl ending it; what commands write stays out of the project."""
    script = commands(document, "sh").replace("http://127.0.0.1:7071", address)
    script = re.sub(r"^make .*$", "", script, flags=re.MULTILINE).replace("curl -s ", "curl -s --fail-with-body ")

    own_python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": own_python},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert shows in done.stdout


RUN_BLOCKS = """
import ast, asyncio, inspect, sys
from types import FunctionType

names = {"__name__": "__main__"}
code = compile(sys.stdin.read(), "the document", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
asyncio.run(FunctionType(code, names)())
"""
"""Runs a program as a notebook would, with `await` outside of functions."""


@pytest.mark.parametrize(
    ("document", "shows"),
    [
        ("README.md", "[offline] No model was called."),
        ("docs/library.md", "2 versions created, 1 runs reused one"),
    ],
)
def test_every_program_of_a_document_runs(tmp_path: Path, document: str, shows: str) -> None:
    """As a notebook would run its blocks, one after another, where nothing was started."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_BLOCKS],
        input=commands(document, "python"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert shows in done.stdout


def test_the_clients_of_the_document_on_protocols_are_answered(stack: Stack) -> None:
    """OpenAI's SDK and that of MCP, as they are written there."""
    call = f"curl -s -X PUT {stack.host.url}/api/agents/guide -H Content-Type:application/json -d"
    subprocess.run([*call.split(), '{"model": "m", "simulate": {"reply": "Left."}}'], check=True, capture_output=True)
    code = commands("docs/doors.md", "python").replace("http://127.0.0.1:7071", stack.host.url)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.count("Left.")) == (0, 3), done.stdout + done.stderr


def test_the_library_example_runs_without_anything_started() -> None:
    """It prints answers and that the agent was reused."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.in_memory"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "3 runs, 1 agent created, reused 2 times" in done.stdout, done.stderr


def test_the_quickstarts_tool_is_the_one_that_its_commands_use() -> None:
    """The local settings load the same file."""
    tool = (ROOT / "examples/extensions/opening_hours.py").read_text(encoding="utf-8")

    assert tool in commands("docs/quickstart.md", "python")


def test_every_code_that_troubleshooting_explains_is_one_of_the_apps() -> None:
    """A code that was renamed is renamed there, too."""
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[a-z]+(?:_[a-z]+)+`(?:, )?)+) \|", page, re.MULTILINE)
    codes = {code for row in rows for code in re.findall(r"`(\w+)`", row) if not code.endswith("_ms")}
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for package in ("kernel", "llmops", "lifecycle", "adapters", "bootstrap", "triggers")
        for path in (ROOT / package).rglob("*.py")
    )

    assert len(codes) > 15
    assert {code for code in codes if f'"{code}"' not in sources} == set()


def test_every_page_is_in_the_index() -> None:
    """docs/README.md leads to each page of the folder."""
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}

    assert {page for page in pages if f"({page}" not in index} == set()


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_between_documents_lead_somewhere() -> None:
    """Relative links in the documents name files that there are, and headings that these have."""
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    broken: list[str] = []
    for path in documents:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text(encoding="utf-8")):
            name, _, anchor = target.partition("#")
            file = path.parent / name if name else path
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
                broken.append(f"{path.relative_to(ROOT)}: {target}")

    assert broken == []
