"""What every implementation refuses before it does anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kernel.tables import Delete, Insert, Replace, Row, RowTooLarge, Span, Tables, Upsert, Write

BAD_KEYS = ["a/b", "a\\b", "a#b", "a?b", "a\tb", "\x00", "a\x7f", "a\x9f", "k" * 513, "😀" * 257, "\ud83d"]
GOOD_KEYS = [
    "it's", "a b", "a%20b", "50%", "%27", "x%2Fy", "a+b", "é", "日本", "😀", "a&b=c", "a:b@c;d,e", "(x)", "''", "~",
    "!", "$", "|", "<x>", '"q"', "", " ", " a", "a ", "[1]", "{}", "^`", "k" * 512, "😀" * 256,
]  # fmt: skip
LARGE = "x" * 300_000


@pytest.mark.parametrize("key", GOOD_KEYS, ids=lambda key: ascii(key)[:20])
async def test_every_other_key_is_kept_as_it_is(tables: Tables, table: str, key: str) -> None:
    """Quotes, percent signs, spaces and non-ASCII survive in both keys, alone, in transactions and in spans."""
    [etag] = await tables.commit(table, [Insert(Row(key, key, {}))])
    [etag, _] = await tables.commit(table, [Replace(Row(key, key, {"n": 1}, etag)), Insert(Row(key, "other", {}))])
    got = await tables.get(table, key, key)
    asked = await tables.query(table, Span(key, key_from=key, key_before=key + " "))
    await tables.commit(table, [Delete(key, key, etag)])

    assert got == Row(key, key, {"n": 1}, etag)
    assert asked.rows == [got]
    assert await tables.get(table, key, key) is None


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:20])
async def test_keys_that_the_service_forbids_are_refused(tables: Tables, table: str, key: str) -> None:
    """In either place, in every kind of write and in reads."""
    for partition, row_key in ((key, "k"), ("p", key)):
        bad = Row(partition, row_key, {}, 'W/"1"')
        for write in (Insert(bad), Replace(bad), Upsert(bad), Delete(partition, row_key)):
            with pytest.raises(ValueError, match=r"key|surrogate"):
                await tables.commit(table, [write])
        with pytest.raises(ValueError, match=r"key|surrogate"):
            await tables.get(table, partition, row_key)


@pytest.mark.parametrize(
    "writes",
    [
        [Insert(Row("p", f"{n:03}", {})) for n in range(101)],
        [Insert(Row("p", "a", {})), Insert(Row("q", "b", {}))],
        [Insert(Row("p", "a", {})), Delete("q", "b")],
        [Insert(Row("p", "a", {})), Upsert(Row("p", "a", {}))],
        [Delete("p", "a"), Insert(Row("p", "a", {}))],
        [Replace(Row("p", "a", {}))],
    ],
    ids=["101 writes", "two partitions", "delete elsewhere", "a key twice", "delete and insert", "replace unread"],
)
async def test_commits_that_break_the_rules_are_refused(tables: Tables, table: str, writes: list[Write]) -> None:
    """Nothing of them is written."""
    with pytest.raises(ValueError, match=r"commit|ETag"):
        await tables.commit(table, writes)

    assert (await tables.query(table, Span("p"))).rows == []


@pytest.mark.parametrize(
    "values",
    [
        {"n": 1 << 63},
        {"n": -(1 << 63) - 1},
        {"at": datetime(2026, 1, 1)},  # noqa: DTZ001 - the naive datetime is the point
        {"at": datetime(1600, 12, 31, tzinfo=UTC)},
        {"x": [1]},
        {"x": {"a": 1}},
        {"x": b"a" * 10, "y": bytearray(b"a")},
        {"x": "\ud83d"},
        {"": 1},
        {"a-b": 1},
        {"a b": 1},
        {"1a": 1},
        {"é": 1},
        {"a" * 241: 1},
        {"text__1": "the second part of a long text is stored so"},
        {"PartitionKey": "q"},
        {"RowKey": "q"},
        {"Timestamp": datetime(2026, 1, 1, tzinfo=UTC)},
        {f"p{n}": n for n in range(253)},
    ],
    ids=lambda values: ascii(values)[:40],
)
async def test_values_that_cannot_be_stored_are_refused(tables: Tables, table: str, values: dict[str, Any]) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match=r"stored|property|properties|surrogate"):
        await tables.commit(table, [Insert(Row("p", "a", {})), Insert(Row("p", "b", values))])

    assert await tables.get(table, "p", "a") is None


@pytest.mark.parametrize("name", ["", "ab", "1abc", "a_b", "a" * 64, "tables", "Tables", "tablé", "a/b", "abc\n"])
async def test_table_names_that_the_service_forbids_are_refused(tables: Tables, name: str) -> None:
    """In every method."""
    for call in (tables.get(name, "p", "k"), tables.query(name, Span("p")), tables.commit(name, [Delete("p", "k")])):
        with pytest.raises(ValueError, match="table name"):
            await call


async def test_a_row_of_a_mebibyte_is_the_largest(tables: Tables, table: str) -> None:
    """A text counts two bytes a UTF-16 unit, so half a million characters fit and one row over 1 MiB does not."""
    fits = 1 << 19
    await tables.commit(table, [Insert(Row("p", "a", {"text": "x" * (fits - 300)}))])

    with pytest.raises(RowTooLarge):
        await tables.commit(table, [Insert(Row("p", "b", {})), Insert(Row("p", "c", {"text": "x" * fits}))])
    with pytest.raises(RowTooLarge):
        await tables.commit(table, [Insert(Row("p", "d", {"text": "é" * fits}))])
    with pytest.raises(RowTooLarge):
        await tables.commit(table, [Insert(Row("p", "e", {"data": b"x" * (1 << 20)}))])
    with pytest.raises(RowTooLarge):
        await tables.commit(table, [Insert(Row("p", "f", {f"t{n}": LARGE for n in range(2)}))])

    assert [row.key for row in (await tables.query(table, Span("p"))).rows] == ["a"]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp would rather be given a file
async def test_a_commit_of_four_mebibytes_is_the_largest(tables: Tables, table: str) -> None:
    """What counts is its length on the wire, where other characters than ASCII's take six bytes."""
    await tables.commit(table, [Insert(Row("p", f"a{n}", {"text": LARGE})) for n in range(13)])

    with pytest.raises(RowTooLarge):
        await tables.commit(table, [Insert(Row("q", f"{n}", {"text": LARGE})) for n in range(14)])
    with pytest.raises(RowTooLarge):
        await tables.commit(table, [Insert(Row("q", f"{n}", {"text": "日" * 150_000})) for n in range(5)])
    with pytest.raises(RowTooLarge):
        await tables.commit(table, [Insert(Row("q", f"{n}", {"data": b"x" * 800_000})) for n in range(4)])

    assert (await tables.query(table, Span("q"))).rows == []


@pytest.mark.parametrize(
    ("span", "limit", "token"),
    [
        (Span("p"), 0, None),
        (Span("p"), 1001, None),
        (Span("p"), 1, "not a token"),
        (Span("p"), 1, "e30"),
        (Span("p"), 1, "WzEsMl0"),
        (Span("p"), 1, "é"),
        (Span("p" * 514), 1, None),
        (Span("p", key_before="\udc00"), 1, None),
        (Span("p", where={"a b": 1}), 1, None),
        (Span("p", where={"a eq 1 or a": 1}), 1, None),
        (Span("p", where={"PartitionKey": "q"}), 1, None),
        (Span("p", where={"a": 1 << 63}), 1, None),
        (Span("p", where={"a": "x" * 1025}), 1, None),
        (Span("p", where={f"a{n}": n for n in range(12)}), 1, None),
    ],
    ids=lambda value: ascii(value)[:60],
)
async def test_queries_that_cannot_be_asked_are_refused(
    tables: Tables, table: str, span: Span, limit: int, token: str | None
) -> None:
    """Limits, bounds, filters and tokens are checked before the store is asked."""
    with pytest.raises(ValueError, match=r"limit|token|bound|surrogate|property|stored|filter"):
        await tables.query(table, span, limit=limit, token=token)
