"""The chaos run needs the emulators."""

from __future__ import annotations

import os

import pytest

from devhost.errors import StartupError
from devhost.services import node


@pytest.fixture(scope="session")
def emulators() -> None:
    """Skip without the emulators at home; fail without them in CI."""
    try:
        node()
    except StartupError as missing:
        pytest.fail(str(missing)) if os.environ.get("CI") else pytest.skip(str(missing))
