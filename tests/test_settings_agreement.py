"""Settings, their example and their documentation name the same settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

from kernel.settings import Settings

ROOT = Path(__file__).parents[1]
PLATFORM = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}
"""What the Functions host itself needs in the file."""


def _example() -> dict[str, str]:
    return json.loads((ROOT / "local.settings.example.json").read_text(encoding="utf-8"))["Values"]


def _documented() -> list[str]:
    """Return the name in backticks in the first column of every table row of docs/configuration.md."""
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    return re.findall(r"^\|\s*`([^`]+)`\s*\|", text, re.MULTILINE)


def test_every_setting_has_an_example_and_a_description() -> None:
    """No setting is missing anywhere, none is named that there is not, none twice."""
    names = sorted(Settings.names())
    documented = sorted(set(_documented()) - PLATFORM)

    assert sorted(set(_example()) - PLATFORM) == names
    assert documented == names
    assert len(_documented()) == len(set(_documented()))


def test_the_example_can_be_started_with() -> None:
    """Every value of the example is valid, is text as the host wants it, and holds no key but the emulators' own."""
    example = _example()
    settings = Settings.from_environment(example)
    shown = repr(settings)

    assert set(example) >= PLATFORM
    assert all(isinstance(value, str) for value in example.values())
    assert settings.openai_api_key.get_secret_value() == ""
    assert "AccountKey" not in shown
    assert "SharedAccessKey" not in shown
