"""Starts sessions: entered in all indexes before they are stored, so that every stored session is found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING

from kernel.errors import Conflict
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.preferences import Preferences, preferring
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.session import EarlierMessage, Limits, Session, SessionTerms
from lifecycle.conversations.session_priority import Priority
from lifecycle.conversations.session_store import ConversationChange, StoredConversation, Turn
from lifecycle.conversations.session_updates import state_event
from lifecycle.registry.catalog import disabled

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex
    from lifecycle.configuration.user_preferences import UserPreferenceStore
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.conversations.version_pin_index import Pins
    from lifecycle.registry.catalog import Catalog


AdmitSession = Callable[["Session"], Awaitable[None]]
"""Checks whether a session may be started; raises TooManyRequests if not."""
NO_RUN = ""
"""Run id of history messages from before the session."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options of a new session.

    Attributes:
        user_id: Its user; None if not given.
        limits: Its limits.
        preferences: How the user likes to be answered in this session, where that differs from the user's usual
            preferences.
        pin_version: Whether its runs keep the agent as declared now.
        priority: The queue of its runs; None for normal, or for that of an existing session.
        history: Earlier messages; not added to an existing session.
    """

    user_id: str | None = None
    limits: Limits = field(default_factory=Limits)
    preferences: Preferences | None = None
    pin_version: bool = False
    priority: Priority | None = None
    history: tuple[EarlierMessage, ...] = ()


class SessionStart:
    """Starts sessions."""

    def __init__(
        self,
        catalog: Catalog,
        conversations: ConversationStore,
        directory: Directory,
        pins: Pins,
        due: DueIndex,
        users: UserPreferenceStore,
        *,
        idle_after: timedelta,
        clock: Clock,
        admit: AdmitSession | None = None,
    ) -> None:
        self._catalog = catalog
        self._conversations = conversations
        self._directory = directory
        self._pins = pins
        self._due = due
        self._users = users
        self._idle_after = idle_after
        self._clock = clock
        self._admit = admit

    async def start(
        self, workspace: str, agent_name: str, session_id: str | None = None, options: SessionOptions | None = None
    ) -> tuple[Session, bool]:
        """Start a session with the agent; return it and whether it is new.

        The same id again returns the existing session.

        Raises:
            NotFound: The agent does not exist, or the session is another user's.
            Conflict: The agent is disabled; or the session has another agent, other limits, preferences or priority, or
                has ended or was erased.
        """
        agent = await self._catalog.get(workspace, agent_name)
        if not agent.declaration.enabled:
            raise disabled(agent)
        options = options or SessionOptions()
        ident = session_id or new_id()
        now = self._clock()
        wanted = Session(
            workspace,
            ident,
            agent.name,
            options.user_id,
            now,
            now,
            terms=SessionTerms(
                options.limits,
                await self.preferred(workspace, options.user_id, options.preferences),
                agent.declaration.pin if options.pin_version else None,
                options.priority or Priority.NORMAL,
            ),
        )
        stored_before = (
            await self._conversations.load(workspace, ident) if session_id else StoredConversation(None, None)
        )
        if stored_before.session is None:
            await self.enter(wanted)
        new = False

        def decide(stored: StoredConversation) -> ConversationChange | None:
            nonlocal new
            new = stored.session is None
            if stored.session is None:
                turns = [
                    Turn(message.role, message.text, NO_RUN, now, tool_calls=message.tool_calls)
                    for message in options.history
                ]
                return ConversationChange(wanted, turns=turns, events=[state_event(wanted, now)])
            sessions.check_usable(stored.session, agent.name, options.user_id)
            _check_same(stored.session, options)
            return None

        stored = await self._conversations.update(workspace, ident, None, decide, known=stored_before)
        if stored.session is None:
            msg = "the session was not stored"
            raise RuntimeError(msg)
        return stored.session, new

    async def preferred(
        self, workspace: str, user_id: str | None, asked: Preferences | None = None
    ) -> Preferences | None:
        """Return the user's preferences for a new session: those given, else the usual ones; None for none."""
        nothing = Preferences()
        usual = (await self._users.find(workspace, user_id)).preferences if user_id else nothing
        wanted = preferring(usual, asked or nothing)
        return None if wanted == nothing else wanted

    async def enter(self, session: Session) -> None:
        """Enter a session in the indexes, before it is stored.

        Raises:
            TooManyRequests: The workspace has the maximum number of open sessions.
        """
        if self._admit is not None:
            await self._admit(session)
        due = sessions.next_look(session, session.created_at, self._idle_after)
        await asyncio.gather(
            self._directory.enter_session(session),
            self._pins.add(session),
            self._due.add(session.workspace, session.id, due, session.agent),
        )


def _check_same(session: Session, options: SessionOptions) -> None:
    other_limits = options.limits not in (Limits(), session.limits)
    held = session.preferences or Preferences()
    other_preferences = preferring(held, options.preferences or Preferences()) != held
    other_priority = options.priority not in (None, session.priority)
    if other_limits or other_preferences or other_priority:
        msg = f"Session {session.id!r} exists, with other limits, preferences or priority."
        raise Conflict(msg, code="session_differs")
