"""Make a release: make release VERSION=0.2.0.

On a clean checkout whose changelog has entries under *Unreleased*, it

1. runs all checks (unless --skip-checks),
2. sets the version in pyproject.toml and dates the changelog's section,
3. stores rows and the interface of this release for the tests of later ones (tests/upgrade/data),
4. builds the wheel and the notes in dist/,
5. commits and tags `vVERSION`, with the notes as the tag's text.

Nothing is pushed: it prints the commands for that.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_UNRELEASED = "## Unreleased\n"


def notes_of(changelog: str) -> str:
    """Return the changelog's entries under *Unreleased*.

    Raises:
        SystemExit: There is no such section, or it is empty.
    """
    _, found, rest = changelog.partition(_UNRELEASED)
    notes = rest.partition("\n## ")[0].strip()
    if not found or not notes:
        sys.exit("CHANGELOG.md has nothing under '## Unreleased'.")
    return notes


def dated(changelog: str, version: str, day: str) -> str:
    """Return the changelog with the unreleased entries under the version and the day."""
    return changelog.replace(_UNRELEASED, f"{_UNRELEASED}\n## {version} - {day}\n", 1)


def with_version(pyproject: str, version: str) -> str:
    """Return pyproject.toml with the version.

    Raises:
        SystemExit: Its present version is later.
    """
    found = re.search(r'^version = "([^"]+)"$', pyproject, re.MULTILINE)
    if found is None:
        sys.exit("pyproject.toml has no version.")
    if _numbers(version) < _numbers(found[1]):
        sys.exit(f"pyproject.toml is at {found[1]} already.")
    return pyproject[: found.start(1)] + version + pyproject[found.end(1) :]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def run(*command: str | Path) -> str:
    """Run a command in the checkout and return its output; exits if it fails."""
    done = subprocess.run(  # noqa: S603 - our own commands
        [str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return done.stdout.strip()


def release(version: str, *, checks: bool) -> None:
    """Make the release, or exit with the reason before anything is changed."""
    if not _VERSION.fullmatch(version):
        sys.exit("A version is three numbers, like 0.2.0.")
    if run("git", "status", "--porcelain"):
        sys.exit("The checkout has changes; commit them first.")
    if run("git", "tag", "--list", f"v{version}"):
        sys.exit(f"v{version} is released already.")
    changelog, pyproject = ROOT / "CHANGELOG.md", ROOT / "pyproject.toml"
    notes = notes_of(changelog.read_text(encoding="utf-8"))
    content = with_version(pyproject.read_text(encoding="utf-8"), version)
    if checks:
        print(run("make", "check"))

    day = datetime.now(UTC).date().isoformat()
    changelog.write_text(dated(changelog.read_text(encoding="utf-8"), version, day), encoding="utf-8")
    pyproject.write_text(content, encoding="utf-8")
    kept = run(sys.executable, "-m", "tests.upgrade", version)
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    text = dist / f"notes-{version}.md"
    text.write_text(f"# {version} ({day})\n\n{notes}\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "--wheel-dir", dist, ROOT)
    run("git", "add", "CHANGELOG.md", "pyproject.toml", "tests/upgrade/data")
    run("git", "commit", "--quiet", "--allow-empty", "-m", f"Release {version}")
    run("git", "tag", "--annotate", f"v{version}", "--cleanup=verbatim", "-F", text)
    print(f"Released {version}: {', '.join(sorted(each.name for each in dist.glob(f'*{version}*')))} in dist/, {kept}")
    print(f"To publish it:  git push origin HEAD v{version}   and upload the wheel to your package index.")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--skip-checks", action="store_true", help="when `make check` has just passed on this commit")
    arguments = parser.parse_args()
    release(arguments.version, checks=not arguments.skip_checks)


if __name__ == "__main__":
    main()
