"""Keep what this release stores: python -m tests.upgrade VERSION."""

import sys

from tests.upgrade.fixture import write

print(write(sys.argv[1]))
