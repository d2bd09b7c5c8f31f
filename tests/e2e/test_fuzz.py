"""A fuzzer of another maker (schemathesis) holds the API to its own description."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import PATIENT, MemoryStack, Stack
from tests.waiting import QUIET_S

_OWN = Path(__file__).parents[2] / ".venv-fuzz" / "bin"
PROGRAM = os.environ.get("SCHEMATHESIS") or shutil.which("st", path=str(_OWN))
"""Schemathesis is of an environment of its own (requirements-fuzz.txt): it and the app pin one library differently."""
CONFIG = """
[checks.positive_data_acceptance]
# Names that exist nowhere, what is another workspace's, states that forbid it, and rules over several fields: no
# schema can say any of them.
expected-statuses = ["2xx", "400", "403", "404", "409", "412", "413", "503"]

[phases]
examples.enabled = false
stateful.enabled = false

[[operations]]
exclude-name = {thorough}
phases.coverage.enabled = false
"""
THOROUGH = (
    "GET /costs",
    "GET /runs",
    "POST /agents/{name}/runs",
    "PUT /budgets/{scope}",
    "PUT /retention",
    "PUT /routes/{name}",
)
"""Operations that get every value at the edge of every schema; of all operations that were some 7,000 requests."""


@pytest.fixture(scope="module")
def fuzzed(emulators: None) -> Iterator[Stack]:
    """Run a stack of its own: the runs that a fuzzer makes go on for minutes, and would keep others from theirs."""
    with (
        tempfile.TemporaryDirectory(prefix="e2e-") as directory,
        MemoryStack(Path(directory), **PATIENT) as running,
    ):
        yield running


@pytest.mark.skipif(PROGRAM is None and "CI" not in os.environ, reason="There is no .venv-fuzz: scripts/setup")
def test_a_fuzzer_finds_no_answer_that_is_not_as_described(fuzzed: Stack, tmp_path: Path) -> None:
    """All of its checks on every operation: a status, a type or a body that the document does not have fails."""
    config = CONFIG.replace("{thorough}", json.dumps(THOROUGH))
    (tmp_path / "schemathesis.toml").write_text(config)
    program = [PROGRAM or "", "--config-file", str(tmp_path / "schemathesis.toml"), "run"]
    done = subprocess.run(
        [
            *program,
            f"{fuzzed.host.url}/api/openapi.json",
            *("--url", f"{fuzzed.host.url}/api"),
            *("--header", f"X-Workspace: ws-{uuid.uuid4().hex[:12]}"),
            *("--checks", "all"),
            # Keys are the host's to ask for, and a local one does not.
            *("--exclude-checks", "ignored_auth", "--generation-with-security-parameters", "false"),
            *("--max-examples", "1"),
            *("--exclude-path-regex", "events$"),
            # Their bodies are of another protocol (JSON-RPC), or in lines, which the fuzzer cannot write.
            *("--exclude-name", "POST /mcp", "--exclude-name", "POST /a2a/{name}", "--exclude-name", "POST /batches"),
            *("--request-timeout", str(QUIET_S)),
            # The same requests each time: `--seed` has no effect beside it.
            *("--continue-on-failure", "--no-shrink", "--generation-deterministic"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-2000:]
    selected, tested = (int(number) for number in re.findall(r"(?:Selected|Tested): (\d+)", done.stdout))
    assert tested == selected > 100
    assert int(re.findall(r"(\d+) generated", done.stdout)[0]) > 2 * selected, "hardly anything of the edges was tried"
