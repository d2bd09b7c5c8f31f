"""Keys of any text over tables that forbid some."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from kernel.key_encoding import AnyKeys, decoded, encoded
from kernel.tables import Delete, Insert, Replace, Row, Span, every

texts = st.text(st.sampled_from("ab=/\\#?%!~23F é😀") | st.characters(categories=["L", "P"]), max_size=20)


@given(texts)
def test_a_key_comes_back_and_holds_nothing_forbidden(key: str) -> None:
    """So that no two keys become one."""
    assert decoded(encoded(key)) == key
    assert not set(encoded(key)) & set("/\\#?%")


@given(texts, texts)
def test_a_prefix_stays_a_prefix(prefix: str, rest: str) -> None:
    """Ranges of keys by prefix hold what they held."""
    assert encoded(prefix + rest).startswith(encoded(prefix))


async def test_rows_are_written_read_listed_and_deleted_under_any_key() -> None:
    """By every kind of write, and the callers see their own keys only."""
    tables = AnyKeys(MemoryTables())
    keys = ["user!a/b", "user!a=2Fb", "user!a%2Fb", "user!o'brien#EXT#@x", "user!zoë", "user!zoe\u0308"]
    for key in keys:
        await tables.commit("things", [Insert(Row("w?!p", key, {"text": key}))])
    found = [row async for row in every(tables, "things", Span.prefix("w?!p", "user!"))]
    first = await tables.get("things", "w?!p", keys[0])

    assert {row.key: row.text("text") for row in found} == {key: key for key in keys}
    assert {row.partition for row in found} == {"w?!p"}
    assert first is not None
    await tables.commit("things", [Replace(Row("w?!p", keys[0], {"text": "new"}, first.etag))])
    await tables.commit("things", [Delete("w?!p", key) for key in keys[1:]])
    left = [row async for row in every(tables, "things", Span("w?!p"))]
    assert [(row.key, row.text("text")) for row in left] == [(keys[0], "new")]
