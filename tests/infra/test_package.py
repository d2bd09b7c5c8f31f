"""What is deployed: the files that .funcignore leaves, and requirements.txt alone, make a working app."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pathspec
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.bicep import ROOT

LARGEST_PACKAGE_BYTES = 1_500_000
"""Of our own files without bytecode, zipped; a deployment uploads this much, and about twice as much bytecode."""
LARGEST_INSTALLED_BYTES = 300_000_000
"""Of everything requirements.txt brings; it is loaded on every cold start's instance."""
ALWAYS_LEFT_OUT = (".git", ".azure", ".venv", "node_modules")
CODE = (
    "import json, function_app;"
    "print(json.dumps(sorted(function.get_function_name() for function in function_app.app.get_functions())))"
)
SETTINGS = {
    "ServiceBusConnection__fullyQualifiedNamespace": "none.servicebus.windows.net",
    "TablesConnection__endpoint": "https://none.table.core.windows.net",
}


@functools.cache
def files() -> list[str]:
    """Return every file of the checkout, by its path in it."""
    found: list[str] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ALWAYS_LEFT_OUT]
        found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in names]
    return sorted(found)


@functools.cache
def packaged_by_azd() -> list[str]:
    """Return what azd packages: .funcignore read with the rules of gitignore."""
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    return [name for name in files() if not ignored.match_file(name)]


def sources() -> list[str]:
    """Return what azd packages, less the bytecode that happens to be here."""
    return [name for name in packaged_by_azd() if "__pycache__" not in name]


def packaged_by_func() -> list[str]:
    """Return what Core Tools packages.

    It does not know gitignore: each line is a pattern for the beginning of a path, up to the end of a word, and what a
    line with `!` names is taken whatever the others say (GitIgnoreParser.cs of azure-functions-core-tools).
    """
    lines = [line.strip() for line in (ROOT / ".funcignore").read_text().splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    ignored = _beginning([line for line in patterns if not line.startswith("!")])
    taken = _beginning([line[1:] for line in patterns if line.startswith("!")])
    never = {".funcignore", ".gitignore", "local.settings.json"}
    return [name for name in files() if (taken.match(name) or not ignored.match(name)) and Path(name).name not in never]


def _beginning(patterns: list[str]) -> re.Pattern[str]:
    escaped = [
        re.escape(pattern.removeprefix("/")).replace(r"\*\*", "(.+)").replace(r"\*", "([^/]+)") for pattern in patterns
    ]
    return re.compile("|".join(rf"(?:{pattern})\b" for pattern in escaped), re.ASCII)


def test_both_tools_package_the_same() -> None:
    """`azd deploy` and `func azure functionapp publish` read .funcignore by different rules, with one outcome."""
    assert packaged_by_azd() == packaged_by_func()


def test_nothing_is_packaged_that_is_not_named() -> None:
    """Data of the local stack, settings and keys stay here, whatever new folder they are in."""
    tops = {name.partition("/")[0] for name in packaged_by_azd()}

    assert {"function_app.py", "host.json", "requirements.txt", "kernel", "triggers"} <= tops
    assert tops & {"devhost", "tests", "infra", "docs", "local.settings.json", "local.settings.example.json"} == set()
    assert tops & {"package.json", "pyproject.toml"} == set(), "the remote build would take the app for another kind"


def test_what_is_packaged_is_small() -> None:
    """A package that grows by itself has caught something that does not belong there."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name in sources():
            package.write(ROOT / name, name)

    assert len(buffer.getvalue()) < LARGEST_PACKAGE_BYTES


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the packaged files where they run, compiled as for an upload; their times are those of the unpacking."""
    folder = tmp_path_factory.mktemp("package") / "wwwroot"
    for name in sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    api = yaml.safe_load((ROOT / "azure.yaml").read_text())["services"]["api"]
    command = api["hooks"]["prepackage"]["posix"]["run"].split()
    assert command[0] == "python3"
    _run([sys.executable, *command[1:]], cwd=folder)
    for path in folder.rglob("*.py"):
        os.utime(path, (0, 0))
    return folder


@pytest.fixture(scope="module")
def required(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what requirements.txt names, as pip has installed it here, and nothing else."""
    folder = tmp_path_factory.mktemp("required")
    for one in requirements():
        found = distribution(one.name)
        assert one.specifier.contains(found.version), (
            f"{one} is wanted, {found.version} is installed: run scripts/setup"
        )
        for file in found.files or []:
            if ".." not in file.parts:
                (folder / file.parent).mkdir(parents=True, exist_ok=True)
                _link(Path(str(found.locate_file(file))), folder / file)
    return folder


def requirements() -> list[Requirement]:
    """Return the lines of requirements.txt that are for this interpreter."""
    lines = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines()]
    return [one for one in lines if one.marker is None or one.marker.evaluate()]


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # on another file system
        shutil.copy2(source, target)


def test_the_package_is_compiled_before_it_is_uploaded(package: Path) -> None:
    """An instance takes the bytecode of every module as it is, though unpacking has changed the files' times."""
    log = subprocess.run(
        [sys.executable, "-v", "-c", CODE],
        cwd=package,
        env={**os.environ, **SETTINGS, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    ours = [line for line in log.splitlines() if line.startswith(f"# code object from '{package}")]

    assert "function_app.cpython" in "".join(ours)
    assert [line for line in ours if "__pycache__" not in line] == []


def test_the_requirements_are_complete_and_agree() -> None:
    """Each package that a required one requires is required, too, in a version that both take."""
    named = {canonicalize_name(one.name): one for one in requirements()}
    left: list[str] = []
    for one in named.values():
        for line in distribution(one.name).requires or []:
            needed = Requirement(line)
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in one.extras or {""}):
                continue
            pinned = named.get(canonicalize_name(needed.name))
            if pinned is None or not needed.specifier.contains(distribution(needed.name).version, prereleases=True):
                left.append(f"{one.name} requires {needed}")

    assert left == []


def test_it_works_where_nothing_else_is(package: Path, required: Path) -> None:
    """With what requirements.txt names and no other package, the packaged files make the same functions as here."""
    alone = f"import sys; sys.path[:0] = ['.', {str(required)!r}]; {CODE}"

    there = _run([sys.executable, "-I", "-S", "-c", alone], cwd=package)

    assert json.loads(there) == json.loads(_run([sys.executable, "-c", CODE], cwd=ROOT))
    size = sum(path.stat().st_size for path in required.rglob("*") if path.suffix != ".pyc" and path.is_file())
    assert size < LARGEST_INSTALLED_BYTES


def _run(command: list[str], cwd: Path = ROOT) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={"PATH": os.environ["PATH"], **SETTINGS}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
