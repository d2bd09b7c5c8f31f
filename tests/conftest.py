"""What every test run shares: a directory of its own inside the checkout, gone when the run ends, and clean modules."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadGroupScheduling

ROOT = Path(__file__).parents[1]
_LONGEST = tuple(f"tests/{name}/" for name in ("webapp", "chaos", "e2e", "devhost", "infra", "packaging", "servicebus"))

# No test is about how fast the machine is that it runs on.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put temporary directories where two runs at once cannot meet, and nothing outside the checkout is left."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the hundreds of processes that tests start compile nothing twice,
    sys.dont_write_bytecode = False  # and neither do the workers, which rewrite what all tests assert
    _name_one_authority()
    if config.option.basetemp is not None:  # given by the user, or to an xdist worker by its controller
        return
    directory = ROOT / ".pytest_tmp" / uuid.uuid4().hex[:8]
    directory.parent.mkdir(exist_ok=True)
    config.option.basetemp = str(directory)
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))


def _name_one_authority() -> None:
    """Let all processes know one authority instead of some hundred and forty, which take 60 ms of CPU time to read.

    aiohttp reads them twice when it is imported, httpx for every client, urllib for every opener, and no test calls
    anybody whose certificate one of them has signed.
    """
    one = ROOT / ".pytest_cache/authority.pem"
    if not one.exists():
        one.parent.mkdir(exist_ok=True)
        new = one.with_suffix(f".{os.getpid()}")
        everybody = Path(certifi.where()).read_text(encoding="ascii")
        new.write_text(everybody.partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
        new.replace(one)
    os.environ["SSL_CERT_FILE"] = str(one)


class ModulesTogether(LoadGroupScheduling):
    """Gives a module's tests to one worker, so that no second one starts the processes that they share."""

    def _split_scope(self, nodeid: str) -> str:
        group = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if group == nodeid else group


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ModulesTogether:
    """Spread the tests over the workers by module, and those marked with an `xdist_group` by that."""
    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return ModulesTogether(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest where there are several workers, so that none of them has it left in the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Look for no garbage while everything is imported: all of it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """Collect what a module has left, so that a socket or a stream left open fails that module and no later one.

    What lives on (imported modules, the stack of a session) is not looked at again by any later collection, which
    makes all of them quick.
    """
    yield
    gc.collect()
    gc.freeze()
