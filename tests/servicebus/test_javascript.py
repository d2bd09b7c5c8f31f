"""The emulator under Microsoft's JavaScript SDK, whose settlements differ on the wire from those of the Python SDK."""

import subprocess
from pathlib import Path

import pytest

from tests.servicebus.support import EMULATOR

SUITES = sorted((EMULATOR.parent / "test" / "sdk").glob("*.test.js"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name.removesuffix(".test.js"))
def test_javascript_sdk_works(suite: Path) -> None:
    """The official client of another language settles, defers, schedules, holds sessions and reconnects."""
    result = subprocess.run(["node", "--test", str(suite)], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout
    assert "# pass 0" not in result.stdout
