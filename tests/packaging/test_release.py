"""A release is made whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = {f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
TEMPLATE = "# Changelog\n\n## Unreleased\n\n### Added\n\n- Something new.\n\n## 0.0.1 - 2026-01-01\n\n- The first.\n"


def git(place: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=place, env={**os.environ, **NAMES}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout of what is here, uncommitted changes included, with one commit; a test leaves it as it was."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    place = tmp_path_factory.mktemp("release") / "checkout"
    for name in listed.stdout.decode().splitlines():
        if not (ROOT / name).is_file() or name.startswith(("docs/images", "webapp/vendor")):
            continue
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    (place / "CHANGELOG.md").write_text(TEMPLATE)
    git(place, "init", "--quiet")
    git(place, "add", "-A")
    git(place, "commit", "--quiet", "-m", "All")
    return place


def release(place: Path, version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/release.py", version, "--skip-checks"],
        cwd=place,
        env={**os.environ, **NAMES, "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("wrong", ["a change", "no notes", "no version"])
def test_a_release_that_cannot_be_made_changes_nothing(checkout: Path, wrong: str) -> None:
    """It says why."""
    version = "v9" if wrong == "no version" else "9.8.7"
    if wrong == "no notes":
        (checkout / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 0.0.1 - 2026-01-01\n\n- x\n")
        git(checkout, "commit", "-qam", "Nothing")
    if wrong == "a change":
        (checkout / "README.md").write_text("Changed.")
    before = git(checkout, "status", "--porcelain")
    done = release(checkout, version)
    after = git(checkout, "status", "--porcelain")
    git(checkout, "reset", "--quiet", "--hard", git(checkout, "rev-list", "--max-parents=0", "HEAD"))

    assert done.returncode == 1
    assert done.stderr.strip()
    assert after == before
    assert git(checkout, "tag") == ""


def test_a_release_is_built_tagged_and_noted(checkout: Path) -> None:
    """With its rows kept for later releases; a second time it is refused, and so is an earlier version."""
    done = release(checkout, "9.8.7")
    again, earlier = release(checkout, "9.8.7"), release(checkout, "0.0.2")

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (checkout / "dist").iterdir()) == [
        "agent_lifecycle-9.8.7-py3-none-any.whl",
        "notes-9.8.7.md",
    ]
    assert git(checkout, "tag", "-l", "--format=%(contents)").splitlines()[2:] == ["### Added", "", "- Something new."]
    assert git(checkout, "status", "--porcelain") == ""
    assert "tests/upgrade/data/9.8.7.json" in git(checkout, "show", "--stat", "--format=%s")
    changelog = (checkout / "CHANGELOG.md").read_text()
    assert changelog.startswith("# Changelog\n\n## Unreleased\n\n## 9.8.7 - ")
    assert [each.returncode for each in (again, earlier)] == [1, 1]
    assert "nothing under" in again.stderr or "released already" in again.stderr
