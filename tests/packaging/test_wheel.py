"""The wheel: one package, whose names clash with nobody's, and which does what the checkout does."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Released

pytestmark = pytest.mark.xdist_group("packaging")
NEIGHBOURS = ("adapters", "agent_lifecycle_client", "bootstrap", "kernel", "llmops", "triggers", "extensions")
EXTENSION = """
from lifecycle.extensions import check, tool

@check
def polite(response: str) -> float:
    return 1.0 if "please" in response else 0.25

@tool
def greet(name: str) -> str:
    'Greet somebody.'
    return f"Hello, {name}"
"""
PROGRAM = """
import asyncio, json, sys
import adapters, bootstrap, kernel, llmops
from lifecycle import ProductionAgent
from lifecycle.configuration.kinds import Kind
from lifecycle.configuration.store import preset_names

async def main():
    spec = {"model": "x", "tools": ["greet"], "evaluation": {"checks": ["polite"]}, "simulate": {"call_tool": "greet"}}
    async with ProductionAgent("helper", storage=sys.argv[1], **spec) as agent:
        run = await agent.run("Hello?")
    tops = {name.partition(".")[0] for name in sys.modules}
    print(json.dumps({
        "state": run.state, "theirs": [kernel.THEIRS, adapters.THEIRS, bootstrap.THEIRS, llmops.THEIRS],
        "from": sys.modules["lifecycle"].__file__, "loaded": sorted(tops & set(sys.argv[2:])),
        "score": run.score and dict(run.score.parts), "presets": list(preset_names(Kind.TEMPLATE)),
    }))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def installed(released: Released, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel's files, as pip would put them, beside packages of others."""
    [wheel] = (released.place / "dist").glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as package:
        package.extractall(site)
    for name in NEIGHBOURS:
        (site / f"{name}.py").write_text("THEIRS = True\n")
    return site


def test_the_wheel_has_one_package(installed: Path) -> None:
    """Everything of ours is inside `lifecycle`, but for what pip reads."""
    ours = {path.name for path in installed.iterdir()} - {f"{name}.py" for name in NEIGHBOURS}

    assert sorted(name for name in ours if not name.endswith(".dist-info")) == ["lifecycle"]


def test_every_module_of_the_wheel_imports_only_modules_of_the_wheel(installed: Path) -> None:
    """No import of the checkout's names is left, in functions neither."""
    left: list[str] = []
    for path in (installed / "lifecycle").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            left += [f"{path.name}: {name}" for name in names if name.partition(".")[0] in NEIGHBOURS]

    assert left == []


def test_an_installed_library_works_beside_packages_of_the_same_names(installed: Path, tmp_path: Path) -> None:
    """Its agents answer, its checks' process and its presets are found, and the others' packages are untouched."""
    (tmp_path / "my_extension.py").write_text(EXTENSION)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "EXTENSIONS": "my_extension"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "agents.db", *NEIGHBOURS],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)

    assert (said["state"], said["theirs"]) == ("succeeded", [True] * 4)
    assert said["from"].startswith(str(installed))
    assert said["score"]["polite"] == 25
    assert "tech_advisor" in said["presets"]
    assert said["loaded"] == ["adapters", "bootstrap", "kernel", "llmops"]  # the program's own imports


def test_the_installed_command_line_has_its_client(installed: Path, tmp_path: Path) -> None:
    """Inside the wheel, whatever else is called `agent_lifecycle_client` in that environment."""
    done = subprocess.run(
        [sys.executable, "-m", "lifecycle", "status", "--url", "http://127.0.0.1:9"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == "error: The app at http://127.0.0.1:9 cannot be reached: ConnectError.\n"
    assert done.returncode == 1
