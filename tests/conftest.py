"""What every test run shares: a directory of its own inside the checkout, gone when the run ends."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


ONE_WORKER = ("fresh_stack", "foundry_stack", "running", "pool")
"""Fixtures that cost seconds and start processes: all tests that share one run in the same xdist worker."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests together that share something expensive, so that it is made once."""
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        for name in ONE_WORKER:
            if name in names:
                scope = "" if name == "fresh_stack" else f" of {item.path.stem}"
                item.add_marker(pytest.mark.xdist_group(f"{name}{scope}"))
                break


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put temporary directories where two runs at once cannot meet, and nothing outside the checkout is left."""
    if config.option.basetemp is not None:  # given by the user, or to an xdist worker by its controller
        return
    directory = ROOT / ".pytest_tmp" / uuid.uuid4().hex[:8]
    directory.parent.mkdir(exist_ok=True)
    config.option.basetemp = str(directory)
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
