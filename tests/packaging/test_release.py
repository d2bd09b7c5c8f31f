"""A release is made whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.conftest import VERSION, Released, git, release

pytestmark = pytest.mark.xdist_group("packaging")


def test_a_release_is_built_tagged_and_noted(released: Released) -> None:
    """With its rows kept for later releases, and nothing left uncommitted."""
    place = released.place

    assert released.said.returncode == 0, released.said.stderr
    assert sorted(path.name for path in (place / "dist").iterdir()) == [
        f"agent_lifecycle-{VERSION}-py3-none-any.whl",
        f"notes-{VERSION}.md",
    ]
    assert git(place, "tag", "-l", "--format=%(contents)").splitlines()[2:] == ["### Added", "", "- Something new."]
    assert git(place, "status", "--porcelain") == ""
    assert f"tests/upgrade/data/{VERSION}.json" in git(place, "show", "--stat", "--format=%s")
    assert (place / "CHANGELOG.md").read_text().startswith(f"# Changelog\n\n## Unreleased\n\n## {VERSION} - ")


@pytest.mark.parametrize(
    ("version", "notes", "why"),
    [(VERSION, False, "nothing under"), (VERSION, True, "released already"), ("0.0.2", True, f"at {VERSION} already")],
)
def test_nothing_is_released_twice_nor_backwards(
    released: Released, tmp_path: Path, version: str, notes: bool, why: str
) -> None:
    """The tag and the version say so."""
    place = tmp_path / "again"
    git(released.place, "clone", "--quiet", str(released.place), str(place))
    if notes:
        changelog = (place / "CHANGELOG.md").read_text()
        (place / "CHANGELOG.md").write_text(changelog.replace("## Unreleased\n", "## Unreleased\n\n- More.\n"))
        git(place, "commit", "--quiet", "-am", "More")
    else:
        git(place, "tag", "--delete", f"v{VERSION}")

    assert why in release(place, version).stderr
    assert git(place, "status", "--porcelain") == ""


@pytest.mark.parametrize("wrong", ["a change", "no version"])
def test_a_release_that_cannot_be_made_changes_nothing(checkout: Path, tmp_path: Path, wrong: str) -> None:
    """It says why."""
    place = tmp_path / "wrong"
    git(checkout, "clone", "--quiet", str(checkout), str(place))
    if wrong == "a change":
        (place / "README.md").write_text("Changed.")
    before = git(place, "status", "--porcelain")
    done = release(place, "v9" if wrong == "no version" else VERSION)

    assert done.returncode == 1
    assert done.stderr.strip()
    assert git(place, "status", "--porcelain") == before
    assert git(place, "tag") == ""
