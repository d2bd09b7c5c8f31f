"""What values look like after they were stored."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum

import pytest

from adapters.table_entities import to_entity, to_row
from adapters.table_sizes import PART_BYTES, PART_UNITS, units
from kernel.tables import Insert, Replace, Row, Scalar, Span, Tables, Upsert


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


async def round_trip(tables: Tables, table: str, values: dict[str, Scalar | None]) -> dict[str, Scalar | None]:
    """Write a row alone and in a transaction, read it singly and by query, and return what all four agree on."""
    await tables.commit(table, [Upsert(Row("p", "a", values))])
    await tables.commit(table, [Upsert(Row("p", "b", values)), Upsert(Row("p", "c", {}))])
    rows = [*(await tables.query(table, Span("p", key_before="c"))).rows, await tables.get(table, "p", "a")]
    first, *others = (dict(row.values) if row else None for row in rows)

    assert first is not None
    assert len(rows) == 3
    assert [repr(other) for other in others] == [repr(first)] * 2
    return first


@pytest.mark.parametrize(
    "value",
    [
        "", "text", "it's", 'a "quoted" \\ one', "line\nline\r\n\ttab", "\x00\x01\x7f", "é日本😀\u2028", "true", "5L",
        "{}", "PUT http://x/y HTTP/1.1\r\nIf-Match: *\r\n\r\n{}", "--changeset_1\r\n--batch_1--",
        "2026-01-01T00:00:00Z", 0, 1, -1, 1 << 31, (1 << 63) - 1, -(1 << 63), True, False,
        0.0, 1.0, -1.5, 1e300, 5e-324, 1e17, math.inf, -math.inf, b"", b"\x00\xff" * 9,
        datetime(1601, 1, 1, tzinfo=UTC), datetime(2026, 11, 21, 8, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 11, 21, 8, 9, 10, 123456, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
async def test_a_value_comes_back_as_the_same_value_of_the_same_type(tables: Tables, table: str, value: Scalar) -> None:
    """Texts keep every character, integers 64 bits, datetimes their microseconds; a float stays a float."""
    found = await round_trip(tables, table, {"value": value, "_second": value})

    assert found == {"value": value, "_second": value}
    assert {type(back) for back in found.values()} == {type(value)}


async def test_not_a_number_comes_back(tables: Tables, table: str) -> None:
    """NaN is a float like any other, though it equals nothing."""
    found = await round_trip(tables, table, {"value": math.nan})

    assert isinstance(found["value"], float)
    assert math.isnan(found["value"])


async def test_none_is_not_stored(tables: Tables, table: str) -> None:
    """A property without a value is absent, and one set to None by a replacement is gone."""
    [etag] = await tables.commit(table, [Insert(Row("p", "a", {"kept": 1, "dropped": 2, "never": None}))])
    before = await tables.get(table, "p", "a")
    await tables.commit(table, [Replace(Row("p", "a", {"kept": 1, "dropped": None}, etag))])
    after = await tables.get(table, "p", "a")

    assert before is not None
    assert before.values == {"kept": 1, "dropped": 2}
    assert after is not None
    assert after.values == {"kept": 1}


async def test_datetimes_come_back_aware_and_in_utc(tables: Tables, table: str) -> None:
    """The moment is kept, the zone it was written in is not."""
    local = datetime(2026, 11, 21, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    [found] = (await round_trip(tables, table, {"at": local})).values()

    assert found == local
    assert repr(found) == repr(datetime(2026, 11, 20, 19, 45, tzinfo=UTC))


async def test_members_of_enums_are_stored_as_their_values(tables: Tables, table: str) -> None:
    """A row read back holds builtins only, and a filter may name the member."""
    found = await round_trip(tables, table, {"colour": Colour.RED, "level": Level.HIGH})
    asked = await tables.query(table, Span("p", where={"colour": Colour.RED, "level": Level.HIGH}))

    assert repr(found) == repr({"colour": "red", "level": 3})
    assert [row.key for row in asked.rows] == ["a", "b"]


@pytest.mark.parametrize("shift", range(4))
async def test_half_a_million_characters_with_emoji_on_every_split_come_back(
    tables: Tables, table: str, shift: int
) -> None:
    """A text is split between characters only, wherever the pairs of its surrogates fall."""
    block = "x" * (PART_UNITS - 4) + "😀" * 2
    text = "y" * shift + (block * 16)[: 500_000 - shift]
    found = await round_trip(tables, table, {"text": text, "n": 1})

    assert len(text) == 500_000
    assert found == {"text": text, "n": 1}


@pytest.mark.parametrize(
    "text",
    ["x" * PART_UNITS, "x" * (PART_UNITS + 1), "😀" * (PART_UNITS // 2), "😀" * (PART_UNITS // 2 + 1), "é" * 32_769],
    ids=["a part", "a part and one", "a part of pairs", "a pair more", "beyond 64 KiB"],
)
async def test_texts_at_the_border_of_a_split_come_back(tables: Tables, table: str, text: str) -> None:
    """Exactly one part, one unit more, and text that is longer in UTF-16 than in characters."""
    assert await round_trip(tables, table, {"a": text, "b": text[:10]}) == {"a": text, "b": text[:10]}


@pytest.mark.parametrize("length", [PART_BYTES, PART_BYTES + 1, 600_000])
async def test_long_bytes_come_back(tables: Tables, table: str, length: int) -> None:
    """Bytes are split like texts."""
    data = bytes(range(256)) * (length // 256 + 1)

    assert await round_trip(tables, table, {"data": data[:length]}) == {"data": data[:length]}


async def test_a_shorter_text_leaves_nothing_of_a_longer_one(tables: Tables, table: str) -> None:
    """A replacement drops the further parts of what it replaces."""
    [etag] = await tables.commit(table, [Insert(Row("p", "a", {"text": "x" * 200_000}))])
    [etag] = await tables.commit(table, [Replace(Row("p", "a", {"text": "short"}, etag))])
    replaced = await tables.get(table, "p", "a")
    await tables.commit(table, [Upsert(Row("p", "a", {"other": 1}))])
    upserted = await tables.get(table, "p", "a")

    assert replaced == Row("p", "a", {"text": "short"}, etag)
    assert upserted is not None
    assert upserted.values == {"other": 1}


def test_units_are_those_of_utf_16() -> None:
    """A character outside the basic plane counts two."""
    assert [units("abc"), units("é日"), units("😀")] == [3, 2, 2]


def test_parts_are_joined_in_their_own_order() -> None:
    """The service promises none, and by name the tenth part comes before the second."""
    text = "".join(chr(ord("a") + n) * PART_UNITS for n in range(12))
    entity = to_entity(Row("p", "k", {"text": text}))

    assert to_row(dict(sorted(entity.items())), "") == Row("p", "k", {"text": text})
    assert to_row(dict(reversed(entity.items())), "") == Row("p", "k", {"text": text})
