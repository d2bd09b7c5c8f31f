"""Texts of runs and messages that are too long for their rows: kept apart, named by the row, and whole when read.

A row holds the texts that fit as it always did. Of one that does not it holds an empty text, and where the text is in
the property `long`. The session says that there are such texts (`Session.long_texts`) before the first is kept, so
that erasing it deletes them, and erasing any other costs no request.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec
from kernel.large_texts import LargeText, Owner, fits_in_row, shown
from lifecycle.conversations.run import Run, RunState

if TYPE_CHECKING:
    from kernel.large_texts import Text, Texts

PROPERTY = "long"
"""The property of a row that says where its long texts are."""
_MOST_REMEMBERED = 4_000_000
"""Characters of long texts that a process remembers, so that looking at a run while it is running fetches none."""
_WHERE: JsonCodec[dict[str, LargeText]] = JsonCodec(dict[str, LargeText])


@dataclass(frozen=True, slots=True)
class Field:
    """A text of a run that may be long: how to get it, and the run with another in its place."""

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
    """Return the text with half a surrogate pair, which is no text, as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_long(text: str | None) -> bool:
    """Return whether the text is kept apart from its row."""
    return text is not None and not fits_in_row(writable(text))


def has_long(run: Run | None) -> bool:
    """Return whether any of the run's texts is kept apart from its row."""
    return run is not None and any(is_long(each.get(run)) for each in FIELDS.values())


class LongTexts:
    """Keeps long texts apart from their rows, and brings them back."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._known: OrderedDict[tuple[Owner, str, str], LargeText] = OrderedDict()

    async def packed(self, run: Run) -> tuple[Run, str | None]:
        """Return the run as its row holds it, and where its long texts are; None where there are none."""
        owner = Owner(run.workspace, run.session_id, run.id)
        where: dict[str, LargeText] = {}
        for kind, each in FIELDS.items():
            text = each.get(run)
            if text is not None and is_long(text):
                where[kind] = await self._kept(owner, kind, writable(text))
                run = each.put(run, "")
        return run, _WHERE.dump(where) if where else None

    async def whole(self, run: Run, where: str) -> Run:
        """Return the run with its long texts, from what `packed` said of them.

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
        """Return the run with the beginnings of its long texts, which its row holds."""
        for kind, large in _WHERE.load(where).items() if where else ():
            run = FIELDS[kind].put(run, shown(large))
        return run

    async def packed_text(self, owner: Owner, kind: str, text: str) -> tuple[str, str | None]:
        """Return a text as a row holds it, and where it is if it is long."""
        if not is_long(text):
            return text, None
        return "", _WHERE.dump({kind: await self._kept(owner, kind, writable(text))})

    async def whole_text(self, owner: Owner, text: str, where: str) -> str:
        """Return the text that `packed_text` was given.

        Raises:
            TextNotFound: It is gone; the session was erased meanwhile.
        """
        for kind, large in _WHERE.load(where).items() if where else ():
            return await self._fetched(owner, kind, large)
        return text

    async def erase(self, workspace: str, session_id: str) -> int:
        """Delete the session's long texts and return how many there were; call it once nothing can add any."""
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
        for key, known in self._known.items():
            if known.key == large.key:
                self._remember(key, known)
                return key[2]
        text = await self._texts.whole(large)
        self._remember((owner, kind, text), large)
        return text

    def _remember(self, key: tuple[Owner, str, str], large: LargeText) -> None:
        self._known[key] = large
        self._known.move_to_end(key)
        while sum(each.characters for each in self._known.values()) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
