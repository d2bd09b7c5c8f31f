"""The parts of sessions."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.foundation import Foundation

if TYPE_CHECKING:
    from lifecycle.sessions.conversations import Conversations
    from lifecycle.sessions.directory import Directory
    from lifecycle.sessions.expiry import SessionEnd


class SessionParts(Foundation):
    """Makes sessions."""

    @cached_property
    def conversations(self) -> Conversations:
        """Sessions with their runs, turns and events."""
        from lifecycle.sessions.conversations import Conversations

        return Conversations(self.tables)

    @cached_property
    def directory(self) -> Directory:
        """Where runs and sessions are found."""
        from lifecycle.sessions.directory import Directory

        return Directory(self.tables)

    @cached_property
    def session_end(self) -> SessionEnd:
        """Ends sessions."""
        from lifecycle.sessions.expiry import SessionEnd

        due, idle_after = self._due("session"), self._session_idle_after
        return SessionEnd(self.conversations, self.directory, due, idle_after=idle_after, clock=self.clock)

    @property
    def _session_idle_after(self) -> timedelta:
        return timedelta(seconds=self.settings.session_idle_after)
