"""The command line of a running app: `python -m lifecycle --help`."""

from __future__ import annotations

import sys
from pathlib import Path

from lifecycle.cli.main import main

# The Python client that belongs to this checkout, whether or not one is installed; in a wheel it is inside `lifecycle`.
_CLIENT = Path(__file__).parents[1] / "clients/python"

if __name__ == "__main__":
    if (_CLIENT / "agent_lifecycle_client").is_dir():
        sys.path.insert(0, str(_CLIENT))
    sys.exit(main(sys.argv[1:]))
