"""Storage of users' preferences; a session takes a copy when it starts.

Table `configuration`, partition `{workspace}!preferences`, row = the user's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kernel.codec import stored_model
from kernel.errors import NotFound
from kernel.lazy_dataclass import dataclass
from kernel.preconditions import change_row, check_match, delete_row
from kernel.tables import Row, Tables, Write, put
from lifecycle.configuration.preferences import Preferences
from lifecycle.configuration.store import TABLE


@dataclass(frozen=True, slots=True)
class UserPreferences:
    """A user's preferences, and their version: how often they were changed, 0 for never."""

    user_id: str
    preferences: Preferences
    version: int = 0
    row_etag: str = ""

    @property
    def etag(self) -> str:
        """The version, as an HTTP entity tag."""
        return _tag(self.version)


class UserPreferenceStore:
    """Stores users' preferences."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, workspace: str, user_id: str) -> UserPreferences:
        """Return the user's preferences; empty ones at version 0 if none are stored."""
        return _read(user_id, await self._tables.get(TABLE, _partition(workspace), user_id))

    async def get(self, workspace: str, user_id: str) -> UserPreferences:
        """Return the user's preferences.

        Raises:
            NotFound: None are stored (code `preferences_not_found`).
        """
        found = await self.find(workspace, user_id)
        if not found.row_etag:
            raise _unknown()
        return found

    async def put(
        self, workspace: str, user_id: str, preferences: Preferences, if_match: str | None = None
    ) -> tuple[UserPreferences, bool]:
        """Store the user's preferences, and return them and whether they are new. Storing equal ones changes nothing.

        Raises:
            EtagMismatch: `if_match` is given and they were changed since.
        """

        async def decide(stored: Row | None) -> tuple[tuple[UserPreferences, bool], Sequence[Write]]:
            current = _read(user_id, stored)
            check_match(if_match, current.etag if stored else None)
            if stored is not None and current.preferences == preferences:
                return (current, False), ()
            values = {"content": preferences.model_dump_json(), "version": current.version + 1}
            row = Row(_partition(workspace), user_id, values, current.row_etag)
            return (UserPreferences(user_id, preferences, current.version + 1), stored is None), [put(row)]

        (changed, new), etag = await change_row(self._tables, TABLE, (_partition(workspace), user_id), decide)
        return replace(changed, row_etag=etag), new

    async def delete(self, workspace: str, user_id: str, if_match: str | None = None) -> None:
        """Delete the user's preferences; sessions that have started keep their copy.

        Raises:
            NotFound: None are stored (code `preferences_not_found`).
            EtagMismatch: `if_match` is given and they were changed since.
        """
        place = (_partition(workspace), user_id)
        await delete_row(self._tables, TABLE, place, if_match, _unknown(), etag_of=_etag)


def _read(user_id: str, row: Row | None) -> UserPreferences:
    if row is None:
        return UserPreferences(user_id, Preferences())
    content = stored_model(Preferences, row.text("content"), "preferences of the user")
    return UserPreferences(user_id, content, row.integer("version"), row.etag)


def _etag(row: Row) -> str:
    """Return the entity tag of a row, whose content may be unreadable."""
    return _tag(row.integer("version"))


def _tag(version: int) -> str:
    return f'"{version}"'


def _unknown() -> NotFound:
    return NotFound("No preferences of this user are known.", code="preferences_not_found")


def _partition(workspace: str) -> str:
    return f"{workspace}!preferences"
