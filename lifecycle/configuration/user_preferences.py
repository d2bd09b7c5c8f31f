"""Storage of users' preferences; a session takes a copy when it starts.

Table `configuration`, partition `{workspace}!preferences`, row = the user's id.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.errors import NotFound
from kernel.preconditions import check_match
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Tables
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
        return f'"{self.version}"'


class UserPreferenceStore:
    """Stores users' preferences."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, workspace: str, user_id: str) -> UserPreferences:
        """Return the user's preferences; empty ones at version 0 if none are stored."""
        row = await self._tables.get(TABLE, _partition(workspace), user_id)
        if row is None:
            return UserPreferences(user_id, Preferences())
        content = Preferences.model_validate_json(row.text("content"))
        return UserPreferences(user_id, content, row.integer("version"), row.etag)

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
        while True:
            current = await self.find(workspace, user_id)
            if current.row_etag and current.preferences == preferences:
                return current, False
            _check(current, if_match)
            version = current.version + 1
            values = {"content": preferences.model_dump_json(), "version": version}
            row = Row(_partition(workspace), user_id, values, current.row_etag)
            try:
                etags = await self._tables.commit(TABLE, [Replace(row) if current.row_etag else Insert(row)])
            except (RowChanged, RowExists):
                continue  # stored by another caller, or by this write with its response lost: read again
            return UserPreferences(user_id, preferences, version, etags[0]), not current.row_etag

    async def delete(self, workspace: str, user_id: str, if_match: str | None = None) -> None:
        """Delete the user's preferences; sessions that have started keep their copy.

        Raises:
            NotFound: None are stored (code `preferences_not_found`).
            EtagMismatch: `if_match` is given and they were changed since.
        """
        tried = False
        while True:
            current = await self.find(workspace, user_id)
            if tried and not current.row_etag:
                return
            if not current.row_etag:
                raise _unknown()
            _check(current, if_match)
            try:
                await self._tables.commit(TABLE, [Delete(_partition(workspace), user_id, current.row_etag)])
            except RowChanged:
                tried = True
                continue
            return


def _unknown() -> NotFound:
    return NotFound("No preferences of this user are known.", code="preferences_not_found")


def _check(current: UserPreferences, if_match: str | None) -> None:
    check_match(if_match, current.etag if current.row_etag else None)


def _partition(workspace: str) -> str:
    return f"{workspace}!preferences"
