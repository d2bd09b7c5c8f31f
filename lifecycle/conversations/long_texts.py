"""Texts of runs and messages that are too long for their rows: stored separately, and restored on reading.

A row holds texts that fit in it. For a longer text it holds an empty text, and in the property `long` the location and
the beginning of the text. `Session.long_texts` is set before the first such text is stored, so that erasing a session
looks for long texts only where there can be some.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec
from kernel.large_texts import LargeText, Owner, fits_in_row, shown
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import Run, RunState

if TYPE_CHECKING:
    from kernel.large_texts import Text, Texts

PROPERTY = "long"
"""Property of a row with the locations of its long texts."""
_MOST_REMEMBERED = 4_000_000
"""Most characters of long texts that a process caches, so that looking at a running run does not fetch them again."""
_WHERE: JsonCodec[dict[str, LargeText]] = JsonCodec(dict[str, LargeText])


@dataclass(frozen=True, slots=True)
class Field:
    """A text of a run that may be long: how to read it, and how to replace it."""

    get: Callable[[Run], str | None]
    put: Callable[[Run, str], Run]


FIELDS: Mapping[str, Field] = {
    "query": Field(lambda run: run.input.query, lambda run, text: replace(run, input=replace(run.input, query=text))),
    "context": Field(
        lambda run: run.input.context, lambda run, text: replace(run, input=replace(run.input, context=text))
    ),
    "answer": Field(
        lambda run: run.result.answer, lambda run, text: replace(run, result=replace(run.result, answer=text))
    ),
    "progress": Field(
        lambda run: run.costs.progress, lambda run, text: replace(run, costs=replace(run.costs, progress=text))
    ),
}
_OF_HISTORY = frozenset({"query", "answer"})
"""Texts that the messages of the history say, too, mostly under the same keys."""


def writable(text: str) -> str:
    """Return the text with lone surrogates, which cannot be encoded, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_long(text: str | None) -> bool:
    """Return whether the text is too long for its row."""
    return text is not None and not fits_in_row(writable(text))


def has_long(run: Run | None) -> bool:
    """Return whether any of the run's texts is too long for its row."""
    return run is not None and any(is_long(each.get(run)) for each in FIELDS.values())


class LongTexts:
    """Stores long texts separately from their rows, and restores them."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._known: OrderedDict[tuple[Owner, str, str], LargeText] = OrderedDict()

    async def packed(self, run: Run) -> tuple[Run, str | None]:
        """Return the run as its row holds it, and the locations of its long texts; None where it has none."""
        owner = Owner(run.workspace, run.session_id, run.id)
        where: dict[str, LargeText] = {}
        for kind, each in FIELDS.items():
            text = each.get(run)
            if text is not None and is_long(text):
                where[kind] = await self._kept(owner, kind, writable(text))
                run = each.put(run, "")
        return run, _WHERE.dump(where) if where else None

    async def whole(self, run: Run, where: str) -> Run:
        """Return the run with its long texts, from the locations that `packed` returned.

        Raises:
            TextNotFound: One is gone; the session was erased meanwhile.
        """
        if not where:
            return run
        found = _WHERE.load(where)
        owner = Owner(run.workspace, run.session_id, run.id)
        texts = await asyncio.gather(*(self._fetched(owner, kind, found[kind]) for kind in found))
        for kind, text in zip(found, texts, strict=True):
            run = FIELDS[kind].put(run, text)
        return run

    def begun(self, run: Run, where: str) -> Run:
        """Return the run with only the beginnings of its long texts."""
        for kind, large in _WHERE.load(where).items() if where else ():
            run = FIELDS[kind].put(run, shown(large))
        return run

    async def packed_text(self, owner: Owner, kind: str, text: str) -> tuple[str, str | None]:
        """Return a text as a row holds it, and its location if it is long."""
        if not is_long(text):
            return text, None
        return "", _WHERE.dump({kind: await self._kept(owner, kind, writable(text))})

    async def whole_text(self, owner: Owner, text: str, where: str) -> str:
        """Return the full text, from what `packed_text` returned.

        Raises:
            TextNotFound: It is gone; the session was erased meanwhile.
        """
        for kind, large in _WHERE.load(where).items() if where else ():
            return await self._fetched(owner, kind, large)
        return text

    async def erase(self, workspace: str, session_id: str) -> int:
        """Delete the session's long texts and return how many. Call it once none can be added any more."""
        for key in [key for key in self._known if (key[0].workspace, key[0].session) == (workspace, session_id)]:
            self._known.pop(key, None)
        return await self._texts.erase(workspace, session_id)

    async def erase_run(self, run: Run) -> None:
        """Delete the long texts that only the run has: an answered one's query and answer are the history's, too."""
        owner = Owner(run.workspace, run.session_id, run.id)
        own = [kind for kind in FIELDS if run.state is not RunState.SUCCEEDED or kind not in _OF_HISTORY]
        for key in [key for key in self._known if key[0] == owner and key[1] in own]:
            self._known.pop(key, None)
        await self._texts.erase_kinds(owner, own)

    async def _kept(self, owner: Owner, kind: str, text: str) -> LargeText:
        key = (owner, kind, text)
        large: Text | None = self._known.get(key)
        if large is None:
            large = await self._texts.keep(owner, kind, text)
        if isinstance(large, str):
            msg = "a long text was kept in its row"
            raise TypeError(msg)
        self._remember(key, large)
        return large

    async def _fetched(self, owner: Owner, kind: str, large: LargeText) -> str:
        for key, cached in self._known.items():
            if cached.key == large.key:
                self._remember(key, cached)
                return key[2]
        text = await self._texts.whole(large)
        self._remember((owner, kind, text), large)
        return text

    def _remember(self, key: tuple[Owner, str, str], large: LargeText) -> None:
        self._known[key] = large
        self._known.move_to_end(key)
        while sum(each.characters for each in self._known.values()) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
