"""Texts of any size: short ones are stored in their row, long ones separately, with their location in the row.

A stored type declares such a field as `Text`, that is `str | LargeText`; `JsonCodec` writes a short text as a JSON
string, and a long one as an object with its location. `Texts` converts between them.

There are three implementations, `adapters.azure_texts`, `adapters.memory_texts` and `adapters.file_texts`, all tested
by one contract suite, with one rule for keys (`check_key`). A long text is written before the row that names it, so a
row never names a missing text; what a crash in between leaves is deleted with its session, whose id begins its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from kernel.errors import InternalError, NotFound, TooLarge
from kernel.lazy_dataclass import dataclass

ROW_UNITS = 64 * 1024
"""Longest text stored in its row, in UTF-16 units of its JSON: a row of 1 MiB has space for several."""
MAX_TEXT_BYTES = 16 << 20
"""Longest text, in bytes of UTF-8; it is held in memory."""
START_CHARACTERS = 200
"""Characters of a long text's beginning that are stored in the row, for lists."""


class TextNotFound(NotFound):
    """The text does not exist any more; its session was erased."""

    code = "text_not_found"


class LargeTexts(Protocol):
    """Stores texts by key. Every method raises `kernel.errors.Unavailable` if the store cannot be reached.

    Keys have parts of A-Z, a-z, 0-9, - and _, separated by slashes, and at most 1,000 characters. A key's text never
    changes.
    """

    async def put(self, key: str, text: str) -> None:
        """Store the text under the key. Idempotent.

        Raises:
            ValueError: The key is not valid, or the text has a lone surrogate.
        """
        ...

    async def get(self, key: str) -> str:
        """Return the text under the key.

        Raises:
            TextNotFound: It does not exist.
        """
        ...

    async def delete(self, prefix: str) -> int:
        """Delete every text whose key begins with the prefix, and return how many.

        Raises:
            ValueError: The prefix is not a key followed by a slash; an empty one would delete everything.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a text, with which it is erased.

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
    """A text that is stored separately.

    Attributes:
        key: Its key.
        characters: Its length, in characters.
        start: Its first characters.
    """

    key: str
    characters: int
    start: str


Text = str | LargeText


class Texts:
    """Stores texts of any length for rows."""

    def __init__(self, large: LargeTexts) -> None:
        self._large = large

    async def keep(self, owner: Owner, kind: str, text: str) -> Text:
        """Return what the owner's row should have for a text: the text itself, or its location after storing it.

        Call it before the row is written. Idempotent: the same text has the same key.

        Args:
            owner: The text's owner.
            kind: The text's role, like `answer`; part of the key.
            text: The text.

        Raises:
            TooLarge: It exceeds 16 MiB.
            ValueError: It has a lone surrogate.
            Unavailable: It is too long for a row, and could not be stored separately.
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
        """Return the full text of what `keep` returned.

        Raises:
            TextNotFound: Its session was erased meanwhile.
            InternalError: The stored text has another digest.
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
        """Delete a session's texts, including those that no row names, and return how many.

        Call it once no run of the session can add any. Idempotent.
        """
        return await self._large.delete(_prefix(workspace, session))


def fits_in_row(text: str) -> bool:
    """Return whether a text is stored in its row.

    Raises:
        ValueError: It has a lone surrogate, so that its length is uncertain.
    """
    if 6 * len(text) <= ROW_UNITS:  # JSON uses at most six for a character
        return True
    written = json.dumps(text, ensure_ascii=False)
    return len(written.encode("utf-16-le")) // 2 - 2 <= ROW_UNITS


def shown(text: Text) -> str:
    """Return a text for a list: whole if it is in its row, else its beginning."""
    return text if isinstance(text, str) else text.start + "…"


def _prefix(workspace: str, session: str) -> str:
    return f"{_part(workspace)}/{_part(session)}/"


def _part(name: str) -> str:
    """Return the part of a key for a name: a digest, of fixed length and without personal data."""
    return _digest(name.encode())[:32]


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


_KEY = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_MAX_CHARACTERS = 1000  # of the 1,024 characters of a blob's name


def check_key(key: str) -> None:
    """Raise ValueError if the key is not valid."""
    if len(key) > _MAX_CHARACTERS or not _KEY.fullmatch(key):
        msg = "a key is parts of A-Z, a-z, 0-9, - and _ with slashes between them, at most 1,000 characters"
        raise ValueError(msg)


def check_prefix(prefix: str) -> None:
    """Raise ValueError if the prefix does not end at a slash, or is not valid."""
    if not prefix.endswith("/"):
        msg = "a prefix ends with a slash"
        raise ValueError(msg)
    check_key(prefix.removesuffix("/"))
