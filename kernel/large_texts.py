"""Texts that may be longer than a row: short ones stay in the row, long ones are kept apart and named by it.

A stored kind declares such a field as `Text`, that is `str | LargeText`; `JsonCodec` writes a short text as a JSON
string, as it always did, and a long one as the object that says where it is. `Texts` turns one into the other.

Three implementations stand behind the seam, `adapters.azure_texts`, `adapters.memory_texts` and `adapters.file_texts`;
one contract suite runs over all. A long text is written before the row that names it, so that no row ever names what is
not there; what a crash in between leaves behind goes with its session, because keys begin with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from kernel.errors import InternalError, NotFound, TooLarge

ROW_UNITS = 64 * 1024
"""Longest text that stays in its row, in UTF-16 units of its JSON: a row of 1 MiB has room for several."""
MAX_TEXT_BYTES = 16 << 20
"""Longest text of all, in UTF-8; it is held in memory whole."""
START_CHARACTERS = 200
"""How much of a long text is kept in the row, for lists."""


class TextNotFound(NotFound):
    """The text is not there any more; its session was erased."""

    code = "text_not_found"


class LargeTexts(Protocol):
    """Texts by key. Every method raises `kernel.errors.Unavailable` when the store cannot be reached.

    Keys are parts of A-Z, a-z, 0-9, - and _ with slashes between them, at most 1,000 characters. What is under a key
    is never replaced by another text.
    """

    async def put(self, key: str, text: str) -> None:
        """Keep the text under the key; doing it again changes nothing.

        Raises:
            ValueError: The key breaks the rule above, or the text holds half a surrogate pair.
        """
        ...

    async def get(self, key: str) -> str:
        """Return the text under the key.

        Raises:
            TextNotFound: There is none.
        """
        ...

    async def delete(self, prefix: str) -> int:
        """Delete every text whose key begins with the prefix, and return how many there were.

        Raises:
            ValueError: The prefix is no key with a slash behind it; an empty one would delete everything.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


@dataclass(frozen=True, slots=True)
class Owner:
    """What a text belongs to, and goes with when it is erased.

    Attributes:
        workspace: The workspace.
        session: The id of the session.
        run: The id of the run.
    """

    workspace: str
    session: str
    run: str


@dataclass(frozen=True, slots=True)
class LargeText:
    """A text that is kept apart.

    Attributes:
        key: Where.
        characters: How long it is.
        start: Its first characters.
    """

    key: str
    characters: int
    start: str


Text = str | LargeText


class Texts:
    """Keeps texts of any length for rows."""

    def __init__(self, large: LargeTexts) -> None:
        self._large = large

    async def keep(self, owner: Owner, kind: str, text: str) -> Text:
        """Return what the owner's row is to hold for a text: itself, or where it is now kept.

        Call it before the row is written. The same text has the same key, so doing it again costs nothing but time.

        Args:
            owner: What it belongs to.
            kind: What it is to the owner, like `answer`: part of the key.
            text: The text.

        Raises:
            TooLarge: It is over 16 MiB.
            ValueError: It holds half a surrogate pair.
            Unavailable: It was too long for a row, and could not be kept apart.
        """
        if fits_in_row(text):
            return text
        data = text.encode()
        if len(data) > MAX_TEXT_BYTES:
            msg = f"A text is at most {MAX_TEXT_BYTES >> 20} MiB."
            raise TooLarge(msg)
        key = f"{_prefix(owner.workspace, owner.session)}{_part(owner.run)}/{kind}/{_digest(data)}"
        await self._large.put(key, text)
        return LargeText(key, len(text), text[:START_CHARACTERS])

    async def whole(self, text: Text) -> str:
        """Return the text that `keep` was given.

        Raises:
            TextNotFound: Its session was erased meanwhile.
            InternalError: What is kept is another text.
            Unavailable: The store cannot be reached.
        """
        if isinstance(text, str):
            return text
        found = await self._large.get(text.key)
        if _digest(found.encode()) != text.key.rpartition("/")[2]:
            msg = "A text was changed in the storage."
            raise InternalError(msg, code="text_changed")
        return found

    async def erase_kinds(self, owner: Owner, kinds: Sequence[str]) -> int:
        """Delete an owner's texts of these kinds and return how many there were; it can be done twice."""
        run = f"{_prefix(owner.workspace, owner.session)}{_part(owner.run)}/"
        return sum([await self._large.delete(f"{run}{kind}/") for kind in kinds])

    async def erase(self, workspace: str, session: str) -> int:
        """Delete the texts of a session, also those that no row names, and return how many there were.

        Call it once no run of the session can add any; it can be done twice.
        """
        return await self._large.delete(_prefix(workspace, session))


def fits_in_row(text: str) -> bool:
    """Return whether a text is kept in its row.

    Raises:
        ValueError: It holds half a surrogate pair, and its length is in doubt.
    """
    if 6 * len(text) <= ROW_UNITS:  # JSON writes no character in more than six
        return True
    written = json.dumps(text, ensure_ascii=False)
    return len(written.encode("utf-16-le")) // 2 - 2 <= ROW_UNITS


def shown(text: Text) -> str:
    """Return a text for a list: whole when it is in its row, else its start."""
    return text if isinstance(text, str) else text.start + "…"


def _prefix(workspace: str, session: str) -> str:
    return f"{_part(workspace)}/{_part(session)}/"


def _part(name: str) -> str:
    """Return the part of a key for a name: of one length whatever its characters, and not the name of a person."""
    return _digest(name.encode())[:32]


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
