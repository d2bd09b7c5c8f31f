"""A session: one conversation with one agent or team. Values; the rules are in `session_rules`."""

from __future__ import annotations

from dataclasses import field, replace
from datetime import datetime
from enum import StrEnum

from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.preferences import Preferences
from lifecycle.conversations.client_tool_values import ClientCall
from lifecycle.conversations.session_priority import Priority
from lifecycle.conversations.team_assignment import TeamAssignment
from lifecycle.registry.declarations import Pin
from llmops.spend.usage import Spend


class SessionState(StrEnum):
    """State of a session."""

    STARTED = "started"  # created, nothing answered yet
    ACTIVE = "active"  # at least one run was answered
    PAUSED = "paused"  # keeps new runs until it is resumed; see `pause_reason`
    WAITING = "waiting"  # likewise, until a budget or an approval allows it to continue
    ENDED = "ended"  # accepts no more runs; see `end_reason`
    ERASED = "erased"  # a tombstone, so that no late message can create it again


IDLE_TIMEOUT = "idle_timeout"
MAX_DURATION = "max_duration"
MAX_TURNS = "max_turns"
BY_REQUEST = "ended_by_request"
FAILING = "failing"
"""Reason of a pause by the session's own limit of failures."""
BUDGET = "budget"
"""Reason of a wait for a budget."""
APPROVAL = "approval"
"""Reason of a wait for an approval of a tool call."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends or pauses a session automatically, and how much history a model gets; None for the default.

    Attributes:
        max_turns: Most messages of the history; a run adds two.
        max_duration_s: Seconds from its creation after which it ends.
        idle_timeout_s: Seconds without a run after which it ends; None for `SESSION_IDLE_AFTER_S`.
        max_history_tokens: Most tokens of the history sent to a model; None for `HISTORY_TOKENS`.
        max_failures: Failed runs in a row after which it is paused.
    """

    max_turns: int | None = None
    max_duration_s: float | None = None
    idle_timeout_s: float | None = None
    max_history_tokens: int | None = None
    max_failures: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased of a session.

    Attributes:
        requested_at: When erasing was first requested, aware UTC.
        completed_at: When it was completed, aware UTC; None before.
        runs: Runs removed, with their queries and answers.
        messages: Messages of the history removed.
        events: Events removed.
        conversations: Conversations deleted at the provider.
        ledger_lines: Lines of the ledger that keep their amounts and no longer name the user.
        unreadable: Whether the session's own row could not be read: then a provider may keep a conversation of it that
            nothing names any more.
    """

    requested_at: datetime
    completed_at: datetime | None = None
    runs: int = 0
    messages: int = 0
    events: int = 0
    conversations: int = 0
    ledger_lines: int = 0
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class ProviderConversation:
    """The provider's conversation that holds a session's history.

    Attributes:
        id: Its id at the provider (`lifecycle.registry.providers.AgentProvider.conversation`).
        turns: How many of the session's messages it holds, from the first.
        tokens: Their tokens, by the estimate that limits history.
    """

    id: str
    turns: int
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class RetainedConversation:
    """A conversation at a provider that was created for a session and may hold its messages."""

    provider: str
    id: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A run that will be attempted again, and when; later runs of the session wait for it."""

    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts of a session's runs, messages and events.

    Attributes:
        runs: Runs submitted.
        pending: Of these, not yet finished.
        turns: Messages in the history; also the sequence number of the next one.
        events: Events recorded; also the sequence number of the next one.
        failures: Runs that failed since one was last answered.
    """

    runs: int = 0
    pending: int = 0
    turns: int = 0
    events: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """Settings of a session, and its team.

    Attributes:
        limits: The session's own limits.
        preferences: How the user likes to be answered; sent to the model. None if not set or erased.
        pin: The agent's declaration that its runs use; None for the current one.
        priority: The queue of its runs; never changes.
        assignment: Its team and the member that has it; None with a single agent.
    """

    limits: Limits = field(default_factory=Limits)
    preferences: Preferences | None = None
    pin: Pin | None = None
    priority: Priority = Priority.NORMAL
    assignment: TeamAssignment | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Why the runs of a session wait, and the state of its resumption.

    Attributes:
        reason: Why it is paused or waits; None otherwise.
        resumes: How often it was resumed: runs queued by a resumption have its number.
        resuming: Whether the last resumption has not yet queued all waiting runs.
        retry: The run whose next attempt it waits for; None for none.
    """

    reason: str | None = None
    resumes: int = 0
    resuming: bool = False
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class EarlierMessage:
    """A message said before the session was started here, given by the caller.

    Attributes:
        role: `user`, `assistant`, or `tool` for results of tool calls (`client_tools.results_text`).
        text: The message's text.
        tool_calls: The calls of client tools that the assistant asked for.
    """

    role: str
    text: str
    tool_calls: tuple[ClientCall, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """Why a session ended (`ended_by_request`, `idle_timeout`, …; None if erased), and when, aware UTC."""

    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class ProviderConversations:
    """A session's conversations at its agent's provider.

    Attributes:
        held: The one that holds the history; None if none does for certain.
        kept: All that were created for it, including abandoned ones.
    """

    held: ProviderConversation | None = None
    kept: tuple[RetainedConversation, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation.

    Attributes:
        workspace: Workspace it belongs to.
        id: Unique in the workspace; a UUIDv7 unless the caller chose one.
        agent: Its agent; changes only if a team serves it.
        user_id: Its user; None if not given.
        created_at: When it was created, aware UTC.
        last_activity: When a run was last submitted or finished, aware UTC.
        state: See `SessionState`.
        counters: Counts of runs, messages and events.
        spend: Sum of all its runs' model calls.
        terms: Its settings and team.
        pause: Why its runs wait.
        at_provider: Its conversations at the provider.
        end: Why and when it ended; None before.
        receipt: What was erased; None unless erased.
        long_texts: Whether some of its texts may be stored outside its rows.
    """

    workspace: str
    id: str
    agent: str
    user_id: str | None
    created_at: datetime
    last_activity: datetime
    state: SessionState = SessionState.STARTED
    counters: Counters = field(default_factory=Counters)
    spend: Spend = field(default_factory=Spend)
    terms: SessionTerms = field(default_factory=SessionTerms)
    pause: Pause = field(default_factory=Pause)
    at_provider: ProviderConversations = field(default_factory=ProviderConversations)
    end: End | None = None
    receipt: Receipt | None = None
    long_texts: bool = False

    @property
    def runs(self) -> int:
        """Runs submitted."""
        return self.counters.runs

    @property
    def pending(self) -> int:
        """Runs that are not finished yet."""
        return self.counters.pending

    @property
    def turns(self) -> int:
        """Messages in the history."""
        return self.counters.turns

    @property
    def events(self) -> int:
        """Events recorded."""
        return self.counters.events

    @property
    def failures(self) -> int:
        """Runs that failed since the last success."""
        return self.counters.failures

    @property
    def limits(self) -> Limits:
        """Its own limits."""
        return self.terms.limits

    @property
    def assignment(self) -> TeamAssignment | None:
        """Its team and the member that has it; None with a single agent."""
        return self.terms.assignment

    @property
    def preferences(self) -> Preferences | None:
        """How the user likes to be answered; None if not set or erased."""
        return self.terms.preferences

    @property
    def pin(self) -> Pin | None:
        """The agent's declaration that its runs use; None for the current one."""
        return self.terms.pin

    @property
    def priority(self) -> Priority:
        """The queue of its runs."""
        return self.terms.priority

    @property
    def pause_reason(self) -> str | None:
        """Why it is paused or waits; None otherwise."""
        return self.pause.reason

    @property
    def resumes(self) -> int:
        """How often it was resumed."""
        return self.pause.resumes

    @property
    def resuming(self) -> bool:
        """Whether the last resumption has not yet queued all waiting runs."""
        return self.pause.resuming

    @property
    def retry(self) -> Retry | None:
        """The run whose next attempt it waits for; None for none."""
        return self.pause.retry

    @property
    def held(self) -> ProviderConversation | None:
        """The provider's conversation that holds the history; None if none does for certain."""
        return self.at_provider.held

    @property
    def kept(self) -> tuple[RetainedConversation, ...]:
        """All conversations created for it at providers."""
        return self.at_provider.kept

    @property
    def end_reason(self) -> str | None:
        """Why it ended; None before, and if erased."""
        return self.end.reason if self.end else None

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, aware UTC; None before."""
        return self.end.at if self.end else None

    def counting(self, *, runs: int = 0, pending: int = 0, turns: int = 0, events: int = 0) -> Session:
        """Return the session with these numbers added to its counters."""
        old = self.counters
        counters = replace(
            old,
            runs=old.runs + runs,
            pending=old.pending + pending,
            turns=old.turns + turns,
            events=old.events + events,
        )
        return replace(self, counters=counters)

    @property
    def over(self) -> bool:
        """Whether it accepts no more runs: ended or erased."""
        return self.state in (SessionState.ENDED, SessionState.ERASED)

    @property
    def on_hold(self) -> bool:
        """Whether new runs are kept waiting: it is stopped, waits for a retry, or is still queueing waiting runs."""
        return self.stopped or self.resuming or self.retry is not None

    @property
    def stopped(self) -> bool:
        """Whether it is paused, or waits for a budget or an approval."""
        return self.state in (SessionState.PAUSED, SessionState.WAITING)
