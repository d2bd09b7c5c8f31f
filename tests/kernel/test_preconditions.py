"""Changes under a precondition, where a client repeats the commit whose answer was lost."""

from __future__ import annotations

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import EtagMismatch, NotFound
from kernel.preconditions import delete_row, put_row
from kernel.tables import Insert, Row, Write
from tests.lifecycle.doubles import RepeatingTables

PLACE = ("default", "thing")


def thing(text: str) -> Row:
    return Row(*PLACE, {"text": text})


async def test_a_change_that_took_effect_unnoticed_succeeds() -> None:
    """As new or as a replacement, with an ETag that its own first commit has made old; deleted, it is gone."""
    tables = RepeatingTables()
    tables.at = 1
    first, new = await put_row(tables, "things", thing("one"), None)
    tables.at = 2
    second, again = await put_row(tables, "things", thing("two"), first)
    tables.at = 3
    await delete_row(tables, "things", PLACE, second, NotFound())

    assert (new, again, tables.count) == (True, False, 3)
    assert await tables.get("things", *PLACE) is None


async def test_what_somebody_else_changed_is_not_changed() -> None:
    tables = MemoryTables()
    first, _ = await put_row(tables, "things", thing("one"), None)
    await put_row(tables, "things", thing("theirs"), first)

    with pytest.raises(EtagMismatch):
        await put_row(tables, "things", thing("mine"), first)
    with pytest.raises(EtagMismatch):
        await delete_row(tables, "things", PLACE, first, NotFound())
    row = await tables.get("things", *PLACE)

    assert row is not None
    assert row.text("text") == "theirs"


async def test_what_somebody_else_changes_in_between_is_replaced_or_refused() -> None:
    """Without an ETag the last one has its way; what goes beside is asked again for what is there then."""
    tables, asked = MemoryTables(), list[str]()

    async def late(stored: Row | None) -> list[Write]:
        asked.append(stored.text("text") if stored else "")
        if len(asked) == 1:
            await put_row(tables, "things", thing("theirs"), None)
        return [] if len(asked) == 1 else [Insert(Row("default", "beside", {}))]

    etag, new = await put_row(tables, "things", thing("mine"), None, late)
    asked.clear()
    with pytest.raises(EtagMismatch):
        await put_row(tables, "things", thing("mine again"), etag, late)

    assert not new
    assert await tables.get("things", "default", "beside") is not None


async def test_what_is_not_there_is_not_deleted() -> None:
    with pytest.raises(NotFound):
        await delete_row(MemoryTables(), "things", PLACE, None, NotFound())
