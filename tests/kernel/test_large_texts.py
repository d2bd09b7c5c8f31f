"""Which texts stay in a row, how the others are named, and that they come back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from adapters.memory_texts import MemoryTexts
from kernel.codec import JsonCodec
from kernel.errors import InternalError, TooLarge
from kernel.large_texts import ROW_UNITS, LargeText, Owner, Text, TextNotFound, Texts, fits_in_row, shown
from kernel.tables import Insert, Row

OWNER = Owner("default", "session", "run")


@dataclass(frozen=True)
class Turn:
    query: Text
    answer: Text = ""


CODEC = JsonCodec(Turn)


@pytest.mark.parametrize("character", ["x", "é", "日", "😀", '"', "\n", "\x01", "\\", "\x7f"])
async def test_a_text_is_whole_on_both_sides_of_the_limit(character: str) -> None:
    """Counted as the row counts it: in UTF-16, escapes included."""
    texts = Texts(MemoryTexts())
    longest = character * 200_000
    low, high = 0, len(longest)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits_in_row(character * middle) else (low, middle - 1)
    last, first = (
        await texts.keep(OWNER, "answer", character * low),
        await texts.keep(OWNER, "answer", character * (low + 1)),
    )

    assert ROW_UNITS // 6 <= low <= ROW_UNITS
    assert last == character * low
    assert isinstance(first, LargeText)
    assert (first.characters, first.start) == (low + 1, character * 200)
    assert await texts.whole(first) == character * (low + 1)
    assert shown("short") == "short"
    assert shown(first) == character * 200 + "…"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_a_row_holds_is_read_as_what_it_was(query: str, start: str) -> None:
    """A text is a text even if it looks like the name of one; a name stays a name; older rows hold texts only."""
    name = LargeText("a/b", 1, start)
    for turn in (Turn(query, name), Turn(CODEC.dump(Turn(name)), query)):
        assert CODEC.load(CODEC.dump(turn)) == turn
    assert CODEC.load('{"query":"older"}') == Turn("older")


async def test_rows_with_the_longest_texts_can_be_stored() -> None:
    """Three of the longest that stay in a row, in the most room that characters take, and the names of three others."""
    texts, tables = Texts(MemoryTexts()), MemoryTables()
    worst = "\x01" * (ROW_UNITS // 6)
    values = {f"text{number}": CODEC.dump(Turn(worst, worst[:100])) for number in range(3)}
    names = [await texts.keep(OWNER, kind, "x" * 10_000_000) for kind in ("query", "answer", "context")]
    values |= {f"name{number}": CODEC.dump(Turn(name)) for number, name in enumerate(names)}
    await tables.commit("table", [Insert(Row("p", "a", cast("dict[str, str | None]", values)))])
    row = await tables.get("table", "p", "a")

    assert row is not None
    assert await texts.whole(CODEC.load(row.text("name1")).query) == "x" * 10_000_000


async def test_the_same_text_has_the_same_name_and_another_another() -> None:
    """A repetition after a crash finds what the first attempt kept; owners and kinds are apart."""
    texts = Texts(MemoryTexts())
    text = "x" * 100_000
    name = await texts.keep(OWNER, "answer", text)
    others = [
        await texts.keep(OWNER, "query", text),
        await texts.keep(OWNER, "answer", text + "y"),
        await texts.keep(replace(OWNER, run="other"), "answer", text),
        await texts.keep(replace(OWNER, session="other"), "answer", text),
        await texts.keep(replace(OWNER, workspace="other"), "answer", text),
    ]

    assert await texts.keep(OWNER, "answer", text) == name
    assert len({cast("LargeText", each).key for each in [name, *others]}) == 6


@pytest.mark.parametrize("name", ["", "o'brien@x.y", "a/b", "../..", "zoë", "19:x@thread.v2", "😀" * 500, "a#EXT#@b"])
async def test_any_name_makes_a_key_that_shows_nothing_of_it(name: str) -> None:
    """Ids that are people's addresses stay out of URLs and logs."""
    texts = Texts(MemoryTexts())
    kept = await texts.keep(Owner(name, name, name), "answer", "x" * 100_000)

    assert isinstance(kept, LargeText)
    assert len(kept.key) < 200
    assert len(name) < 3 or name not in kept.key
    assert len(await texts.whole(kept)) == 100_000


async def test_erasing_a_session_takes_its_texts_also_those_no_row_names() -> None:
    """A text that was kept for a row that a crash prevented goes too; other sessions keep theirs."""
    texts = Texts(MemoryTexts())
    text = "x" * 100_000
    named = await texts.keep(OWNER, "answer", text)
    await texts.keep(replace(OWNER, run="that crashed"), "answer", text)
    other = await texts.keep(replace(OWNER, session="session2"), "answer", text)
    elsewhere = await texts.keep(replace(OWNER, workspace="other"), "answer", text)
    counts = [await texts.erase("default", "session"), await texts.erase("default", "session")]

    assert counts == [2, 0]
    with pytest.raises(TextNotFound):
        await texts.whole(named)
    assert [await texts.whole(each) for each in (other, elsewhere)] == [text, text]


async def test_what_was_changed_in_the_storage_is_not_taken_for_the_text() -> None:
    """The name holds the text's digest."""
    large = MemoryTexts()
    texts = Texts(large)
    name = await texts.keep(OWNER, "answer", "x" * 100_000)
    assert isinstance(name, LargeText)
    await large.delete(name.key.rpartition("/")[0] + "/")
    await large.put(name.key, "y" * 100_000)

    with pytest.raises(InternalError) as caught:
        await texts.whole(name)
    assert caught.value.code == "text_changed"


async def test_there_is_a_longest_text() -> None:
    """Beyond it nothing is kept, and the caller is told so."""
    large = MemoryTexts()
    with pytest.raises(TooLarge):
        await Texts(large).keep(OWNER, "answer", "é" * (8 << 20) + "x")
    assert isinstance(await Texts(large).keep(OWNER, "answer", "é" * (8 << 20)), LargeText)
