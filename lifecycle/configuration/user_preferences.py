"""What users usually prefer: taken into each session of theirs when it starts.

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
    """What a user usually prefers, and how often that was changed; version 0 for never."""

    user_id: str
    preferences: Preferences
    version: int = 0
    row_etag: str = ""

    @property
    def etag(self) -> str:
        """The version, as an HTTP entity tag."""
        return f'"{self.version}"'


class UserPreferenceStore:
    """Keeps what users prefer."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, workspace: str, user_id: str) -> UserPreferences:
        """Return what the user prefers; nothing at version 0 when that was never said."""
        row = await self._tables.get(TABLE, _partition(workspace), user_id)
        if row is None:
            return UserPreferences(user_id, Preferences())
        content = Preferences.model_validate_json(row.text("content"))
        return UserPreferences(user_id, content, row.integer("version"), row.etag)

    async def get(self, workspace: str, user_id: str) -> UserPreferences:
        """Return what the user prefers.

        Raises:
            NotFound: That was never said (code `preferences_not_found`).
        """
        found = await self.find(workspace, user_id)
        if not found.row_etag:
            raise _unknown()
        return found

    async def put(
        self, workspace: str, user_id: str, preferences: Preferences, if_match: str | None = None
    ) -> tuple[UserPreferences, bool]:
        """Make this what the user prefers, and return it and whether it is new. The same again changes nothing.

        Raises:
            EtagMismatch: `if_match` is given and something else was preferred.
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
                continue  # somebody else was faster, or this very write was answered too late: then it is found now
            return UserPreferences(user_id, preferences, version, etags[0]), not current.row_etag

    async def delete(self, workspace: str, user_id: str, if_match: str | None = None) -> None:
        """Forget what the user prefers; sessions that have started keep it.

        Raises:
            NotFound: Nothing is known of the user (code `preferences_not_found`).
            EtagMismatch: `if_match` is given and something else is preferred.
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
