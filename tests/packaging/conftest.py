"""A checkout of what is here, and a release made of it: once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = "9.8.7"
_NAMES = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_CHANGELOG = "# Changelog\n\n## Unreleased\n\n### Added\n\n- Something new.\n\n## 0.0.1 - 2026-01-01\n\n- The first.\n"
_LEFT_OUT = ("docs/images", "webapp/vendor")


def git(place: Path, *words: str) -> str:
    """Run git and return what it prints."""
    environment = {**os.environ, **_NAMES}
    done = subprocess.run(["git", *words], cwd=place, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def release(place: Path, version: str = VERSION) -> subprocess.CompletedProcess[str]:
    """Make a release of a checkout, without its checks."""
    return subprocess.run(
        [sys.executable, "scripts/release.py", version, "--skip-checks"],
        cwd=place,
        env={**os.environ, **_NAMES, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout of what is here, uncommitted changes included, with one commit; leave it as it is."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    place = tmp_path_factory.mktemp("packaging") / "checkout"
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file() and not name.startswith(_LEFT_OUT):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    (place / "CHANGELOG.md").write_text(_CHANGELOG)
    git(place, "init", "--quiet")
    git(place, "add", "-A")
    git(place, "commit", "--quiet", "-m", "All")
    return place


@dataclass(frozen=True)
class Released:
    """A checkout that was released, and what the command said."""

    place: Path
    said: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def released(checkout: Path) -> Released:
    """Return a checkout after its release."""
    place = checkout.with_name("released")
    git(checkout, "clone", "--quiet", str(checkout), str(place))
    return Released(place, release(place))
