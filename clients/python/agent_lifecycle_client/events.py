"""Server-sent events, as the API sends them (html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """An event: its name, its data, and the id to continue after."""

    id: str
    name: str
    data: dict[str, Any]

    @property
    def version(self) -> int:
        """Which version of its meaning the data has; an event of another one has another name, as `run.queued.v2`."""
        return int(self.data.get("v", 1))


def parse(text: str) -> Iterator[Event]:
    """Yield the events of a response; one without a name only carries an id to continue after."""
    ident, name, data = "", "", ""
    for line in [*text.split("\n"), ""]:
        field, _, value = line.rstrip("\r").partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            ident = value
        elif field == "event":
            name = value
        elif field == "data":
            data += value
        elif not field and not value and (name or data or ident):
            yield Event(ident, name, json.loads(data) if data else {})
            ident, name, data = "", "", ""
