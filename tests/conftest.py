"""What every test run shares: a directory of its own inside the checkout, gone when the run ends."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]

# No test is about how fast the machine is that it runs on.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put temporary directories where two runs at once cannot meet, and nothing outside the checkout is left."""
    if config.option.basetemp is not None:  # given by the user, or to an xdist worker by its controller
        return
    directory = ROOT / ".pytest_tmp" / uuid.uuid4().hex[:8]
    directory.parent.mkdir(exist_ok=True)
    config.option.basetemp = str(directory)
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
