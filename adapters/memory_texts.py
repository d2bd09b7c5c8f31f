"""Large texts in memory: for use as a library and for fast tests."""

from __future__ import annotations

import asyncio

from kernel.large_texts import LargeTexts, TextNotFound, check_key, check_prefix


class MemoryTexts(LargeTexts):
    """Texts in this process's memory. Every call first yields to other tasks, as a network call would."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}

    async def put(self, key: str, text: str) -> None:
        """Store the text under the key; repeating it changes nothing."""
        check_key(key)
        data = text.encode()
        await asyncio.sleep(0)
        self._texts.setdefault(key, data)

    async def get(self, key: str) -> str:
        """Return the text under the key."""
        check_key(key)
        await asyncio.sleep(0)
        if key not in self._texts:
            raise TextNotFound
        return self._texts[key].decode()

    async def delete(self, prefix: str) -> int:
        """Delete every text whose key begins with the prefix, and return their number."""
        check_prefix(prefix)
        await asyncio.sleep(0)
        found = [key for key in self._texts if key.startswith(prefix)]
        for key in found:
            del self._texts[key]
        return len(found)

    async def aclose(self) -> None:
        """Do nothing."""
