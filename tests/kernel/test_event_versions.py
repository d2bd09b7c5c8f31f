"""What an event's name says of its version."""

from __future__ import annotations

import re

import pytest

from kernel.event_versions import schema_of, version_of
from lifecycle.events.catalogue import CATALOGUE


@pytest.mark.parametrize(
    ("name", "version", "schema"),
    [
        ("run.queued", 1, "urn:agent-lifecycle:event:run.queued:1"),
        ("run.queued.v2", 2, "urn:agent-lifecycle:event:run.queued:2"),
        ("run.queued.v10", 10, "urn:agent-lifecycle:event:run.queued:10"),
        ("run.queued.v1", 1, "urn:agent-lifecycle:event:run.queued.v1:1"),
    ],
)
def test_a_name_says_its_version(name: str, version: int, schema: str) -> None:
    """The first one without saying so; each has a schema of its own."""
    assert (version_of(name), schema_of(name)) == (version, schema)


def test_each_event_has_one_name_for_each_version() -> None:
    """A later one is there beside the earlier one, unless that was announced and is gone."""
    schemas = [schema_of(name) for name in CATALOGUE]

    assert len(set(schemas)) == len(CATALOGUE)
    assert not [name for name in CATALOGUE if re.search(r"\.v[01]$", name)]
