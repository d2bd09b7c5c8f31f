"""The only place where the command line reads environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping


def environment() -> Mapping[str, str]:
    """Return the process's environment variables."""
    return os.environ
