"""The command line of a running app: `python -m lifecycle --help`."""

from __future__ import annotations

import sys

from lifecycle.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
