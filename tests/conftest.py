"""What every test run shares: a directory of its own inside the checkout, gone when the run ends, and clean modules."""

from __future__ import annotations

import gc
import os
import shutil
import uuid
from collections.abc import Iterator
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
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the hundreds of processes that tests start compile nothing twice
    os.environ["PYTHONPYCACHEPREFIX"] = str(ROOT / ".pytest_cache/bytecode")
    if config.option.basetemp is not None:  # given by the user, or to an xdist worker by its controller
        return
    directory = ROOT / ".pytest_tmp" / uuid.uuid4().hex[:8]
    directory.parent.mkdir(exist_ok=True)
    config.option.basetemp = str(directory)
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """Collect what a module has left, so that a socket or a stream left open fails that module and no later one.

    What lives on (imported modules, the stack of a session) is not looked at again by any later collection, which
    makes all of them quick.
    """
    yield
    gc.collect()
    gc.freeze()
