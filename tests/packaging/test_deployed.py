"""What is deployed, and what `func start` finds: the entries of .funcignore, and a team's extensions beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOL = '''
from lifecycle.extensions import tool


@tool
def parcel(number: str) -> str:
    """Look up where a parcel is."""
    return f"{number} is on its way"
'''
LOOKS = """
import asyncio, json, logging
logging.disable()
import function_app
from bootstrap.services import Services
from kernel.settings import Settings

loaded = Services.in_memory(Settings()).extensions.loaded
print(json.dumps({
    "functions": len(function_app.app.get_functions()),
    "tools": sorted(loaded.tools),
    "problems": [problem.where for problem in loaded.problems],
}))
"""


def deployed(place: Path) -> Path:
    """Lay out what is deployed, by the names in .funcignore."""
    kept = [line[2:].strip("/") for line in (ROOT / ".funcignore").read_text().splitlines() if line.startswith("!/")]
    for name in kept:
        if name != "extensions":
            (place / name).symlink_to(ROOT / name)
    assert "extensions" in kept
    return place


def test_the_folder_of_extensions_is_deployed_and_loaded(tmp_path: Path) -> None:
    """Without any setting. A module in it that cannot be imported is named, and the app and the others are there."""
    place = deployed(tmp_path)
    folder = place / "extensions"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "parcels.py").write_text(TOOL, encoding="utf-8")
    (folder / "broken.py").write_text("import json\nimport not_installed\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("EXTENSIONS", "PYTHONPATH")}
    bus = "Endpoint=sb://127.0.0.1;SharedAccessKeyName=a;SharedAccessKey=b"
    environment |= {"TablesConnection": "UseDevelopmentStorage=true", "ServiceBusConnection": bus}

    done = subprocess.run(
        [sys.executable, "-c", LOOKS], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])

    assert found["functions"] > 100
    assert (found["tools"], found["problems"]) == (["parcel"], ["broken.py:2"])


def test_the_command_line_of_a_checkout_needs_no_installed_client(tmp_path: Path) -> None:
    """It finds the checkout's own, where nothing but requirements.txt is installed, and in what is deployed."""
    broken = tmp_path / "site/agent_lifecycle_client"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('one that was installed')\n")
    place = tmp_path / "app"
    place.mkdir()

    done = subprocess.run(
        [sys.executable, "-m", "lifecycle", "status", "--url", "http://127.0.0.1:9"],
        cwd=deployed(place),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(broken.parent)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == "error: The app at http://127.0.0.1:9 cannot be reached: ConnectError.\n"
