"""What the documents tell a reader to paste works as pasted."""

from __future__ import annotations

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
    return "\n".join(re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    ("document", "shows"),
    [
        ("README.md", '"name":"helper"'),
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
        ("docs/routes.md", '"last_failure":"provider_unavailable"'),
        ("docs/savings.md", '"kind":"pool"'),
        ("docs/sessions.md", '"state":"succeeded"'),
        ("docs/teams.md", '"author":"ann@example.com"'),
        ("docs/tools.md", '"name":"order_status"'),
        ("docs/workflows.md", '"state":"succeeded"'),
    ],
)
def test_every_command_of_a_document_succeeds(stack: Stack, tmp_path: Path, document: str, shows: str) -> None:
    """Run in order, with a failure of any curl ending it; what commands write stays out of the project."""
    register(stack.host.url)
    script = commands(document, "sh").replace("http://127.0.0.1:7071", stack.host.url)
    script = re.sub(r"^make .*$", "", script, flags=re.MULTILINE).replace("curl -s ", "curl -s --fail-with-body ")

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert shows in done.stdout


def test_the_clients_of_the_document_on_protocols_are_answered(stack: Stack) -> None:
    """OpenAI's SDK and that of MCP, as they are written there."""
    call = f"curl -s -X PUT {stack.host.url}/api/agents/guide -H Content-Type:application/json -d"
    subprocess.run([*call.split(), '{"model": "m", "simulate": {"reply": "Left."}}'], check=True, capture_output=True)
    code = commands("docs/doors.md", "python").replace("http://127.0.0.1:7071", stack.host.url)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout.count("Left.")) == (0, 3), done.stdout + done.stderr


def test_the_library_example_runs_without_anything_started() -> None:
    """It prints answers and that the agent was reused."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.in_memory"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert "3 runs, 1 agent created, reused 2 times" in done.stdout, done.stderr


def test_links_between_documents_lead_somewhere() -> None:
    """Relative links in the documents name files that there are."""
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in documents
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]

    assert broken == []
