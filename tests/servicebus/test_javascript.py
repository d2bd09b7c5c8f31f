"""The emulator under Microsoft's JavaScript SDK, whose settlements differ on the wire from those of the Python SDK."""

import re
import subprocess

from tests.servicebus.support import EMULATOR

SUITES = sorted((EMULATOR.parent / "test" / "sdk").glob("*.test.js"))
_LOAD = """
import { describe } from 'node:test';
describe('all', { concurrency: true }, async () => {
  for (const suite of process.argv.slice(1)) await import(suite);
});
"""


def test_javascript_sdk_works() -> None:
    """The official client of another language settles, defers, schedules, holds sessions and reconnects.

    All suites run at once, for they mostly wait, each with an emulator of its own; and in one process, since loading
    the SDK takes longer than most of them.
    """
    command = ["node", "--input-type=module", "-e", _LOAD, *(suite.as_uri() for suite in SUITES)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    passed = re.search(r"^(?:#|\u2139) pass (\d+)$", result.stdout, re.MULTILINE)
    assert passed is not None, result.stdout
    assert int(passed[1]) == sum(suite.read_text().count("\n  it('") for suite in SUITES)
