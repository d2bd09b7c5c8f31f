"""The terms that the API, events and tables use are those of the glossary."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lifecycle.events.catalogue import CATALOGUE
from triggers.app import RESOURCES

ROOT = Path(__file__).parents[2]
_DOCUMENTS = frozenset({"openapi.json", "docs", "start"})
"""Paths that are about the API itself."""


def found_as() -> set[str]:
    """Return the names in the last column of the glossary."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    glossary = text.split("## Terms", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|") for line in glossary.splitlines() if line.startswith("| ")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[3])}


def test_every_resource_of_the_api_is_a_term() -> None:
    """The first part of each path."""
    resources = {endpoint.path.split("/")[0] for package in RESOURCES for endpoint in package.ENDPOINTS} - _DOCUMENTS

    assert resources - found_as() == set()


def test_every_subject_of_events_is_a_term() -> None:
    """What stands before the dot; `events.expired` is about the stream itself."""
    subjects = {name.split(".")[0] for name in CATALOGUE}

    assert subjects - found_as() == set()


def test_every_table_is_a_term() -> None:
    """Those that the deployment makes."""
    tables = set(json.loads((ROOT / "infra" / "app" / "tables.json").read_text(encoding="utf-8")))

    assert tables - found_as() == set()
