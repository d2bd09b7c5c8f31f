"""The emulator's own tests of its rules, which need no network and no waiting."""

import subprocess
from pathlib import Path

from tests.servicebus.support import EMULATOR
from tests.waiting import QUIET_S


def test_rules_hold_without_a_network() -> None:
    """Queues, sessions, deadlines, journal, topology and message encoding keep their rules (node --test)."""
    files: list[Path] = sorted((EMULATOR.parent / "test").glob("*.test.js"))
    result = subprocess.run(
        ["node", "--test", *map(str, files)], capture_output=True, text=True, timeout=QUIET_S, check=False
    )

    assert files
    assert result.returncode == 0, result.stdout
