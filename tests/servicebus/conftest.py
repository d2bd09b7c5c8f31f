"""Fixtures: one emulator for all tests, on queues of their own; and emulators that a test may kill."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.servicebus.support import QUEUE_PROFILES, Bus, Emulator, shorten_sdk_polls

QUEUES_PER_PROFILE = 160


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Run an emulator with many queues of each profile."""
    queues = {
        f"{profile}-{number}": properties
        for profile, properties in QUEUE_PROFILES.items()
        for number in range(1, QUEUES_PER_PROFILE + 1)
    }
    with Emulator(tmp_path_factory.mktemp("emulator"), queues) as running:
        yield running


@pytest.fixture(autouse=True)
def _impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_sdk_polls(monkeypatch)


@pytest.fixture
def connect() -> Iterator[Callable[[Emulator], Bus]]:
    """Make SDK clients of an emulator, for as long as the test runs."""
    with ExitStack() as stack:

        def make(emulator: Emulator) -> Bus:
            bus = Bus(emulator)
            stack.callback(bus.close)
            return bus

        yield make


@pytest.fixture
def bus(connect: Callable[[Emulator], Bus], emulator: Emulator) -> Bus:
    """Give SDK clients of the shared emulator."""
    return connect(emulator)


@pytest.fixture(scope="session")
def _used_queues() -> Counter[str]:
    return Counter()


@pytest.fixture
def queue(_used_queues: Counter[str]) -> Callable[[str], str]:
    """Give the name of a queue of a profile that no other test uses."""

    def take(profile: str) -> str:
        _used_queues[profile] += 1
        assert _used_queues[profile] <= QUEUES_PER_PROFILE, f"make more queues of profile {profile}"
        return f"{profile}-{_used_queues[profile]}"

    return take


@pytest.fixture
def start_emulator(tmp_path: Path) -> Iterator[Callable[..., Emulator]]:
    """Start emulators that belong to one test; all work on the same data directory."""
    with ExitStack() as stack:

        def start(**queues: dict[str, Any]) -> Emulator:
            return stack.enter_context(Emulator(tmp_path, queues))

        yield start
