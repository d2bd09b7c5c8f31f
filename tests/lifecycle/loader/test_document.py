"""docs/loader.md works as pasted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_library_example_of_the_document_runs(tmp_path: Path) -> None:
    """It answers, and says that the agent was opened once."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/loader.md").read_text(), re.MULTILINE | re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, script], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["0 1 1", "legal 1 1.0"]
