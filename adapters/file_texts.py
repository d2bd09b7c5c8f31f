"""Large texts in the SQLite file of the tables: for library use."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from adapters.database_file import DatabaseFile
from kernel.large_texts import LargeTexts, TextNotFound, check_key, check_prefix


class FileTexts(LargeTexts):
    """Texts in a SQLite file, on the disk when a call returns."""

    def __init__(self, path: Path) -> None:
        self._file = DatabaseFile(path)

    async def put(self, key: str, text: str) -> None:
        """Store the text under the key; repeating it changes nothing."""
        check_key(key)
        data = text.encode()
        await self._file.run(
            lambda connection: connection.execute("INSERT OR IGNORE INTO stored_texts VALUES (?, ?)", (key, data))
        )

    async def get(self, key: str) -> str:
        """Return the text under the key."""
        check_key(key)

        def read(connection: sqlite3.Connection) -> bytes | None:
            found = connection.execute("SELECT content FROM stored_texts WHERE key = ?", (key,)).fetchone()
            return found and found[0]

        data = await self._file.run(read)
        if data is None:
            raise TextNotFound
        return data.decode()

    async def delete(self, prefix: str) -> int:
        """Delete every text whose key begins with the prefix, and return their number."""
        check_prefix(prefix)
        end = (
            prefix.removesuffix("/") + "0"
        )  # the character after the slash: an upper bound of the keys with the prefix
        return await self._file.run(
            lambda connection: (
                connection.execute("DELETE FROM stored_texts WHERE key >= ? AND key < ?", (prefix, end)).rowcount
            )
        )

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()
