"""Which version of an event's meaning its name says: `run.queued` is the first, `run.queued.v2` the second.

Otherwise an event changes only by addition (docs/upgrade.md), so that the name alone says how its data is to be read,
whichever release wrote it.
"""

from __future__ import annotations

import re

_LATER = re.compile(r"(.+)\.v([2-9]|[1-9][0-9]+)")


def version_of(name: str) -> int:
    """Return the version, from 1."""
    later = _LATER.fullmatch(name)
    return int(later[2]) if later else 1


def schema_of(name: str) -> str:
    """Return the URI that stands for the form of the event's data, another one for each version: `dataschema`."""
    later = _LATER.fullmatch(name)
    return f"urn:agent-lifecycle:event:{later[1] if later else name}:{version_of(name)}"
