"""What commits promise: conditions, ETags, and all or nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernel.tables import (
    MAX_WRITES,
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Span,
    Tables,
    Upsert,
    Write,
    every,
)

NEVER = "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""


def row(key: str, n: int = 0, *, etag: str = "", partition: str = "p") -> Row:
    return Row(partition, key, {"n": n}, etag)


async def stored(tables: Tables, table: str, partition: str = "p") -> dict[str, int]:
    return {found.key: found.integer("n") async for found in every(tables, table, Span(partition))}


async def test_a_row_that_was_never_written_is_none(tables: Tables, table: str) -> None:
    """Neither a missing table nor a missing row is an error to a reader."""
    before = await tables.get(table, "p", "a")
    await tables.commit(table, [Insert(row("b"))])

    assert before is None
    assert await tables.get(table, "p", "a") is None
    assert await tables.get(table, "q", "b") is None


async def test_an_inserted_row_is_read_back_with_the_etag_of_its_insert(tables: Tables, table: str) -> None:
    """What was committed is what is read, by both ways of reading."""
    [etag] = await tables.commit(table, [Insert(row("a", 1))])

    assert await tables.get(table, "p", "a") == row("a", 1, etag=etag)
    assert (await tables.query(table, Span("p"))).rows == [row("a", 1, etag=etag)]


async def test_a_taken_key_cannot_be_inserted(tables: Tables, table: str) -> None:
    """The second insert fails and leaves the first as it was."""
    await tables.commit(table, [Insert(row("a", 1))])

    with pytest.raises(RowExists):
        await tables.commit(table, [Insert(row("a", 2))])

    assert await stored(tables, table) == {"a": 1}


async def test_a_deleted_key_can_be_inserted_again(tables: Tables, table: str) -> None:
    """A deleted row leaves nothing behind that takes its key."""
    [first] = await tables.commit(table, [Insert(row("a", 1))])
    await tables.commit(table, [Delete("p", "a")])
    [second] = await tables.commit(table, [Insert(row("a", 2))])

    assert first != second
    assert await stored(tables, table) == {"a": 2}


async def test_replace_writes_the_whole_row(tables: Tables, table: str) -> None:
    """Properties that the new row has not are gone."""
    [etag] = await tables.commit(table, [Insert(Row("p", "a", {"old": "x", "n": 1}))])
    await tables.commit(table, [Replace(row("a", 2, etag=etag))])
    found = await tables.get(table, "p", "a")

    assert found is not None
    assert found.values == {"n": 2}


async def test_upsert_writes_the_whole_row_whatever_is_there(tables: Tables, table: str) -> None:
    """It creates, it replaces, and it asks for no ETag."""
    [first] = await tables.commit(table, [Upsert(Row("p", "a", {"old": "x"}))])
    [second] = await tables.commit(table, [Upsert(row("a", 2, etag=NEVER))])

    assert first != second
    assert await tables.get(table, "p", "a") == row("a", 2, etag=second)


@pytest.mark.parametrize("stale", [NEVER, "W/\"datetime'x'\"", '"abc"', "*", "abc", 'W/"a"\r\nX-Header: 1'])
@pytest.mark.parametrize("write", [lambda etag: Replace(row("a", 9, etag=etag)), lambda etag: Delete("p", "a", etag)])
async def test_another_etag_changes_nothing(
    tables: Tables, table: str, stale: str, write: Callable[[str], Write]
) -> None:
    """Any ETag but the row's own fails: foreign ones, malformed ones, and the `*` that HTTP would match with any."""
    await tables.commit(table, [Insert(row("a", 1))])

    with pytest.raises(RowChanged):
        await tables.commit(table, [write(stale)])

    assert await stored(tables, table) == {"a": 1}


async def test_the_etag_of_a_write_is_good_for_one_more_write(tables: Tables, table: str) -> None:
    """Each write's ETag is the condition of the next one, and of no later one."""
    [etag] = await tables.commit(table, [Insert(row("a", 0))])
    seen = [etag]
    for n in range(1, 4):
        [etag] = await tables.commit(table, [Replace(row("a", n, etag=etag))])
        seen.append(etag)
    for stale in seen[:-1]:
        with pytest.raises(RowChanged):
            await tables.commit(table, [Replace(row("a", 9, etag=stale))])
    deleted = await tables.commit(table, [Delete("p", "a", etag)])

    assert len(set(seen)) == len(seen)
    assert deleted == [""]
    assert await stored(tables, table) == {}


async def test_etags_of_a_larger_commit_come_in_the_order_of_its_writes(tables: Tables, table: str) -> None:
    """Each is the ETag of its own row, empty for a delete, and good for the next write."""
    old = await tables.commit(table, [Insert(row("d")), Insert(row("b"))])
    etags = await tables.commit(
        table, [Insert(row("z")), Delete("p", "d", old[0]), Upsert(row("a")), Replace(row("b", 1, etag=old[1]))]
    )
    read = [await tables.get(table, "p", key) for key in ("z", "d", "a", "b")]
    await tables.commit(table, [Delete("p", "z", etags[0]), Delete("p", "a", etags[2]), Delete("p", "b", etags[3])])

    assert [found.etag if found else "" for found in read] == list(etags)
    assert await stored(tables, table) == {}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with others"])
@pytest.mark.parametrize(
    "write",
    [Replace(row("x", etag=NEVER)), Delete("p", "x"), Delete("p", "x", NEVER)],
    ids=["replace", "delete", "delete by etag"],
)
async def test_a_missing_row_cannot_be_replaced_or_deleted(
    tables: Tables, table: str, write: Write, *, alone: bool
) -> None:
    """Deleting what is not there is a conflict too: somebody else was faster."""
    with pytest.raises(RowChanged):
        await tables.commit(table, [write])
    await tables.commit(table, [Insert(row("a"))])

    with pytest.raises(RowChanged):
        await tables.commit(table, [write] if alone else [Upsert(row("b")), write])

    assert await stored(tables, table) == {"a": 0}


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (Insert(row("taken", 9)), RowExists),
        (Replace(row("taken", 9, etag=NEVER)), RowChanged),
        (Replace(row("missing", 9, etag=NEVER)), RowChanged),
        (Delete("p", "taken", NEVER), RowChanged),
        (Delete("p", "missing"), RowChanged),
    ],
    ids=["insert taken", "replace changed", "replace missing", "delete changed", "delete missing"],
)
async def test_a_failing_write_in_the_middle_leaves_nothing(
    tables: Tables, table: str, failing: Write, error: type[Exception]
) -> None:
    """No write of the commit takes effect, before or after the failing one, and the error says which kind it was."""
    etags = await tables.commit(table, [Insert(row("taken", 1)), Insert(row("old", 1)), Insert(row("gone", 1))])
    others = [Insert(row("new")), Replace(row("old", 2, etag=etags[1])), Delete("p", "gone", etags[2])]

    with pytest.raises(error):
        await tables.commit(table, [*others, failing, Insert(row("newer"))])

    assert await stored(tables, table) == {"gone": 1, "old": 1, "taken": 1}
    assert await tables.commit(table, others)


async def test_a_commit_holds_up_to_a_hundred_writes(tables: Tables, table: str) -> None:
    """All of them are there, in key order."""
    etags = await tables.commit(table, [Insert(row(f"{n:03}", n)) for n in reversed(range(MAX_WRITES))])

    assert len(set(etags)) > 1
    assert await stored(tables, table) == {f"{n:03}": n for n in range(MAX_WRITES)}


async def test_nothing_to_write_is_nothing(tables: Tables, table: str) -> None:
    """An empty commit succeeds."""
    assert await tables.commit(table, []) == []


async def test_tables_are_apart(tables: Tables, table: str) -> None:
    """The same keys in another table are other rows."""
    await tables.commit(table, [Insert(row("a", 1))])
    await tables.commit(f"{table}x", [Insert(row("a", 2))])

    assert await stored(tables, table) == {"a": 1}
    assert await stored(tables, f"{table}x") == {"a": 2}


async def test_what_was_read_is_the_readers_own(tables: Tables, table: str) -> None:
    """Changing the mapping that was written, or one that was read, changes nothing in the table."""
    values = {"n": 1}
    await tables.commit(table, [Insert(Row("p", "a", values))])
    values["n"] = 2
    for found in (await tables.get(table, "p", "a"), (await tables.query(table, Span("p"))).rows[0]):
        assert found is not None
        found.values["n"] = 3  # pyright: ignore[reportIndexIssue] - on purpose

    assert await stored(tables, table) == {"a": 1}


@pytest.mark.parametrize("at", [0, 1, 49, 98, 99])
@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (lambda key: Insert(row(key)), RowExists),
        (lambda key: Replace(row(key, 2, etag=NEVER)), RowChanged),
        (lambda key: Delete("p", key, NEVER), RowChanged),
        (lambda key: Replace(row(f"{key}-missing", 2, etag=NEVER)), RowChanged),
        (lambda key: Delete("p", f"{key}-missing"), RowChanged),
    ],
    ids=["taken", "replaced", "deleted", "replace missing", "delete missing"],
)
async def test_the_write_that_fails_decides_wherever_it_stands(
    tables: Tables, table: str, at: int, failing: Callable[[str], Write], error: type[Exception]
) -> None:
    """Among a hundred writes, first, last or between, it fails all of them, and as it would alone."""
    await tables.commit(table, [Insert(row(f"{at:02}", 1))])
    writes: list[Write] = [Upsert(row(f"{number:02}", 2)) for number in range(MAX_WRITES)]
    writes[at] = failing(f"{at:02}")

    with pytest.raises(error):
        await tables.commit(table, writes)

    assert await stored(tables, table) == {f"{at:02}": 1}


@pytest.mark.parametrize("key", ["o'brien", "''", "a b+c%20&=", "zoë😀", '"', "~!*()", "a:b@c", "$batch,'"])
async def test_any_key_is_the_same_key_alone_and_in_a_transaction(tables: Tables, table: str, key: str) -> None:
    """Quotes, blanks, percent signs and characters of any script are neither lost nor doubled on the way."""
    writes = [Insert(Row(key, key, {"n": 1})), Insert(Row(key, "other", {"n": 1}))]
    first, _ = await tables.commit(table, writes)
    [second] = await tables.commit(table, [Replace(Row(key, key, {"n": 2}, first))])
    await tables.commit(table, [Replace(Row(key, key, {"n": 3}, second)), Delete(key, "other")])
    found, page = await tables.get(table, key, key), await tables.query(table, Span(key, key_from=key))

    assert found is not None
    assert (found.partition, found.key, found.integer("n")) == (key, key, 3)
    assert [each.key for each in page.rows] == [key]
    await tables.commit(table, [Delete(key, key, found.etag)])
    assert await tables.get(table, key, key) is None
