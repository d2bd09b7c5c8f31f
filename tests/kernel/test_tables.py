"""The pure parts of the Tables seam."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from kernel.tables import Page, Row, Span, Tables, Write, every, ordinal

keys = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"], exclude_characters="/\\#?"), max_size=6
)


def holds(span: Span, key: str) -> bool:
    return (span.key_from is None or ordinal(key) >= ordinal(span.key_from)) and (
        span.key_before is None or ordinal(key) < ordinal(span.key_before)
    )


@given(prefix=keys, rest=keys, other=keys)
def test_a_prefix_holds_exactly_the_keys_that_start_with_it(prefix: str, rest: str, other: str) -> None:
    """Whatever follows it, and whatever characters it is of."""
    span = Span.prefix("p", prefix)

    assert holds(span, prefix + rest)
    assert holds(span, other) == other.startswith(prefix)


@given(prefix=keys, after=keys, rest=keys)
def test_a_prefix_after_a_key_holds_the_greater_ones(prefix: str, after: str, rest: str) -> None:
    """Of those with the prefix, the very next one included, and none else even when `after` has another prefix."""
    for start in (after, prefix + after):
        span = Span.prefix("p", prefix, after=start)

        assert not holds(span, start)
        assert holds(span, prefix + rest) == (ordinal(prefix + rest) > ordinal(start))
        assert holds(span, start + " ") == (start + " ").startswith(prefix)


@given(keys=st.lists(keys, unique=True))
def test_ordinal_order_is_that_of_utf_16(keys: list[str]) -> None:
    """As .NET and JavaScript compare strings."""
    by_units = sorted(keys, key=lambda key: [bytes(unit) for unit in zip(*[iter(ordinal(key))] * 2, strict=True)])

    assert sorted(keys, key=ordinal) == by_units


class Paged(Tables):
    """Pages as a service may cut them: short, or empty although more follow."""

    def __init__(self, pages: Sequence[Sequence[str]]) -> None:
        self.pages = pages
        self.asked: list[tuple[int, str | None]] = []

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        raise NotImplementedError

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        self.asked.append((limit, token))
        at = int(token or 0)
        following = str(at + 1) if at + 1 < len(self.pages) else None
        return Page([Row("p", key, {}) for key in self.pages[at]], following)


@given(pages=st.lists(st.lists(keys, max_size=3), min_size=1, max_size=6))
async def test_every_goes_on_until_there_is_no_token(pages: list[list[str]]) -> None:
    """Through short and empty pages, each asked for once."""
    tables = Paged(pages)
    found = [row.key async for row in every(tables, "table", Span("p"), page=3)]

    assert found == [key for page in pages for key in page]
    assert tables.asked == [(3, str(n) if n else None) for n in range(len(pages))]


async def test_every_asks_for_no_page_before_it_is_needed() -> None:
    """A reader who stops early leaves the rest unread."""
    tables = Paged([["a"], ["b"], ["c"]])
    async for row in every(tables, "table", Span("p")):
        if row.key == "b":
            break

    assert len(tables.asked) == 2


def test_a_row_gives_its_values_by_type() -> None:
    """An absent one, or one of another type, is the default."""
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    row = Row("p", "k", {"text": "x", "n": 3, "at": moment, "none": None})

    assert (row.text("text"), row.text("absent"), row.text("none", "-"), row.text("n")) == ("x", "", "-", "3")
    assert (row.integer("n"), row.integer("absent"), row.integer("text", 7)) == (3, 0, 7)
    assert (row.moment("at"), row.moment("absent"), row.moment("text")) == (moment, None, None)
