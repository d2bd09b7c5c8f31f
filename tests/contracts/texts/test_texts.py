"""What a place for large texts promises, whichever it is."""

from __future__ import annotations

import asyncio

import pytest

from kernel.large_texts import LargeTexts, TextNotFound


@pytest.mark.parametrize(
    "text",
    ["", "short", "é日本😀\u2028\x00\r\n", "\ufeffmark", "x" * 5_000_000, "日" * 300_000, "é" * 300_000],
    ids=["empty", "short", "any character", "byte order mark", "5 million", "three bytes", "two bytes"],
)
async def test_a_text_comes_back_whole(large: LargeTexts, place: str, text: str) -> None:
    """Every character of it, however many there are; line ends and marks are not touched."""
    await large.put(f"{place}/a", text)

    assert await large.get(f"{place}/a") == text


async def test_what_was_never_kept_is_not_found(large: LargeTexts, place: str) -> None:
    """Before anything was, and beside what was."""
    with pytest.raises(TextNotFound):
        await large.get(f"{place}/a")
    await large.put(f"{place}/a", "text")
    with pytest.raises(TextNotFound):
        await large.get(f"{place}/b")


async def test_keeping_a_text_again_changes_nothing(large: LargeTexts, place: str) -> None:
    """A repetition is no error, one after another or at once, and what is there stays."""
    await large.put(f"{place}/a", "first")
    await large.put(f"{place}/a", "first")
    await asyncio.gather(*(large.put(f"{place}/b", "second") for _ in range(8)))
    await large.put(f"{place}/a", "other")

    assert [await large.get(f"{place}/{key}") for key in "ab"] == ["first", "second"]


async def test_deleting_a_prefix_deletes_what_is_under_it_and_nothing_beside(large: LargeTexts, place: str) -> None:
    """More than are deleted at once, at any depth; a part that merely begins alike is another."""
    kept = [f"{place}/s", f"{place}/s2/a", f"{place}/t/a", f"{place}2/s/a"]
    gone = [f"{place}/s/{number}" for number in range(35)] + [f"{place}/s/deep/er/a"]
    await asyncio.gather(*(large.put(key, key) for key in kept + gone))
    counts = [
        await large.delete(f"{place}/s/"),
        await large.delete(f"{place}/s/"),
        await large.delete(f"{place}/none/"),
    ]

    assert counts == [36, 0, 0]
    assert [await large.get(key) for key in kept] == kept
    for key in gone[::17]:
        with pytest.raises(TextNotFound):
            await large.get(key)


async def test_a_deleted_key_can_be_used_again(large: LargeTexts, place: str) -> None:
    """It leaves nothing behind."""
    await large.put(f"{place}/s/a", "old")
    await large.delete(f"{place}/s/")
    await large.put(f"{place}/s/a", "new")

    assert await large.get(f"{place}/s/a") == "new"


async def test_what_two_delete_at_once_is_deleted_once(large: LargeTexts, place: str) -> None:
    """Neither stumbles over the other, and together they count what there was, each text once."""
    await asyncio.gather(*(large.put(f"{place}/s/{number}", "x") for number in range(20)))
    counts = await asyncio.gather(large.delete(f"{place}/s/"), large.delete(f"{place}/s/"))

    assert sum(counts) == 20


@pytest.mark.parametrize("key", ["", "/", "a/", "/a", "a//b", "a b", "é", "a\\b", "a?b", "..", "a" * 1001, "a\n"])
async def test_what_is_no_key_is_refused(large: LargeTexts, key: str) -> None:
    """By every method alike; above all, nothing deletes everything."""
    for call in (large.put(key, "x"), large.get(key), large.delete(key + "/"), large.delete(f"{key}x")):
        with pytest.raises(ValueError, match=r"a key|a prefix"):
            await call


async def test_half_a_surrogate_pair_is_refused(large: LargeTexts, place: str) -> None:
    """No encoding can carry it, and nothing is kept."""
    with pytest.raises(ValueError, match="surrogate"):
        await large.put(f"{place}/a", "\ud83d")
    with pytest.raises(TextNotFound):
        await large.get(f"{place}/a")
