"""A release's data and interface, kept from then on: rows, what the API answered over them, and what there was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.file_tables import plain, scalar
from adapters.memory_tables import MemoryTables
from kernel.tables import Row, Span, Upsert, every
from lifecycle.events.catalogue import CATALOGUE
from tests.lifecycle.doubles import ManualClock
from tests.upgrade.world import READ, World, live
from triggers.app import RESOURCES

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
NOT_STORED = {"loader", "metrics", "offeredtools", "plans"}
"""Tables of what is counted or compared again all the time: nothing is lost with them."""


@dataclass(frozen=True)
class Fixture:
    """What is kept of a release.

    Attributes:
        version: The release.
        at: The time at which it was read.
        rows: Every row: table, partition, key, values.
        answers: What the API answered, by path.
        operations: The API's operations, like `GET agents/{name}`.
        events: The fields of each event.
    """

    version: str
    at: datetime
    rows: Sequence[tuple[str, str, str, Mapping[str, Any]]]
    answers: Mapping[str, Any]
    operations: Sequence[str]
    events: Mapping[str, list[str]]

    async def world(self) -> World:
        """Return today's app over the release's rows, at the time they were read."""
        tables, clock = MemoryTables(), ManualClock()
        clock.now = self.at
        for table, partition, key, values in self.rows:
            row = Row(partition, key, {name: scalar(value) for name, value in values.items()})
            await tables.commit(table, [Upsert(row)])
        return World(tables, clock)


def tables() -> list[str]:
    """Return the names of all tables."""
    return json.loads((ROOT / "infra/app/tables.json").read_text(encoding="utf-8"))


def operations() -> list[str]:
    """Return the operations that the API has now."""
    return sorted(f"{each.method} {each.path}" for package in RESOURCES for each in package.ENDPOINTS)


def load(path: Path) -> Fixture:
    """Return the fixture of a file."""
    text = json.loads(path.read_text(encoding="utf-8"))
    return Fixture(**text | {"at": datetime.fromisoformat(text["at"]), "rows": [tuple(row) for row in text["rows"]]})


async def _made(version: str) -> Fixture:
    world = World(MemoryTables(), ManualClock())
    paths = [*READ, *await live(world)]
    answers = await world.read(paths)
    rows = [
        (table, row.partition, row.key, {name: plain(value) for name, value in row.values.items()})
        for table in tables()
        async for row in every(world.tables, table, Span(" ", partition_before="~"))
    ]
    await world.aclose()
    if empty := set(tables()) - {table for table, *_ in rows} - NOT_STORED:
        msg = f"tests/upgrade/world.py stores nothing in {', '.join(sorted(empty))}"
        raise AssertionError(msg)
    events = {name: sorted(kind.data) for name, kind in CATALOGUE.items()}
    return Fixture(version, world.clock.now, rows, answers, operations(), events)


def write(version: str) -> Path:
    """Write the fixture of a release, and return its file."""
    made = asyncio.run(_made(version))
    path = DATA / f"{version}.json"
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in made.rows)
    answers = ",\n".join(f"{json.dumps(name)}: {json.dumps(answer)}" for name, answer in made.answers.items())
    rest = {"version": version, "at": made.at.isoformat(), "operations": made.operations, "events": made.events}
    head = json.dumps(rest, indent=1)[:-2]
    path.write_text(f'{head},\n"rows": [\n{rows}\n],\n"answers": {{\n{answers}\n}}}}\n', encoding="utf-8")
    return path
