"""A session: one conversation with one agent, and the rules of who may use it and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from lifecycle.configuration.preferences import Preferences
from lifecycle.conversations.client_tools import ClientCall
from lifecycle.conversations.priority import Priority
from lifecycle.conversations.team import Served
from lifecycle.registry.declarations import Pin
from llmops.spend.usage import Spend


class SessionState(StrEnum):
    """Where a conversation is in its life."""

    STARTED = "started"  # created, nothing answered yet
    ACTIVE = "active"  # at least one run was answered
    PAUSED = "paused"  # keeps the runs that come for when it is resumed; `pause_reason` says why
    WAITING = "waiting"  # likewise, until a budget or an approval lets it go on
    ENDED = "ended"  # takes no more runs; `end_reason` says why
    ERASED = "erased"  # nothing of it is left but that it was here, so that no late message brings it back


IDLE_TIMEOUT = "idle_timeout"
MAX_DURATION = "max_duration"
MAX_TURNS = "max_turns"
BY_REQUEST = "ended_by_request"
FAILING = "failing"
"""Why a session was paused by its own limit of failures."""
BUDGET = "budget"
"""Why a session waits whose run a budget has stopped."""
APPROVAL = "approval"
"""Why a session waits whose run's tool calls wait for a decision."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends or pauses a session by itself, and how much of it a model is told; None is no limit of its own.

    Attributes:
        max_turns: Most messages of the history; a run adds two.
        max_duration_s: Seconds from its creation after which it ends.
        idle_timeout_s: Seconds without a run after which it ends, instead of `SESSION_IDLE_AFTER_S`.
        max_history_tokens: Most tokens of the history that a model is told, instead of `HISTORY_TOKENS`.
        max_failures: Runs failed in a row after which it is paused.
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
        requested_at: When that was first asked for.
        completed_at: When nothing was left; None while it goes on.
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
    """The conversation at the provider that holds a session's history.

    Attributes:
        id: The provider's name of it (`lifecycle.registry.providers.AgentProvider.conversation`).
        turns: How many of the session's turns it holds, the first ones.
        tokens: How many tokens these come to, by the estimate that history is limited by.
    """

    id: str
    turns: int
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class RetainedConversation:
    """A conversation that was made at a provider for a session, and may hold what was said in it."""

    provider: str
    id: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A run that is to be attempted again, and when; those after it wait for it."""

    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Counters:
    """How much of what there is in a session.

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
    """What a session was started with, and how it goes on.

    Attributes:
        limits: Its own limits.
        preferences: How the user likes to be answered; the model is told. None once it is erased.
        pin: The declaration of the agent that its runs use; None for the current one.
        priority: Which queue its runs travel on, for all its life.
        served: The team that serves it, and who of it has it now; None where it is with one agent.
    """

    limits: Limits = field(default_factory=Limits)
    preferences: Preferences | None = None
    pin: Pin | None = None
    priority: Priority = Priority.NORMAL
    served: Served | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Why the runs of a session wait, and how they go on.

    Attributes:
        reason: Why it is paused or waits; None while it is neither.
        resumes: How often it was resumed: runs queued by a resumption carry its number.
        resuming: Whether the last resumption has not queued yet all the runs that have waited.
        retry: The run that it waits for to be attempted again; None for none.
    """

    reason: str | None = None
    resumes: int = 0
    resuming: bool = False
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What was said in a conversation before it came here.

    Attributes:
        role: `user` or `assistant`; `tool` for what came of calls (`client_tools.results_text`).
        text: The words.
        tool_calls: The calls of the caller's tools that the assistant asked for.
    """

    role: str
    text: str
    tool_calls: tuple[ClientCall, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """Why a session ended (`ended_by_request`, `idle_timeout`, …; None where it was erased), and when."""

    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class ProviderConversations:
    """A session's conversations at its agent's provider.

    Attributes:
        held: The one that holds the history; None where nothing is known to hold it.
        kept: All that were made for it, those given up included.
    """

    held: ProviderConversation | None = None
    kept: tuple[RetainedConversation, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation.

    Attributes:
        workspace: Workspace it belongs to.
        id: Unique in the workspace; a UUIDv7 unless the caller chose one.
        agent: The agent it is with; for all its life, unless a team serves it.
        user_id: Whose it is; None when nobody in particular.
        created_at: Aware UTC.
        last_activity: When a run was last submitted or finished.
        state: See SessionState.
        counters: How much of what there is in it.
        spend: Of all its runs' model calls.
        terms: What it was started with.
        pause: Why its runs wait.
        at_provider: Its conversations at the provider.
        end: Why and when it ended; None while it has not.
        receipt: What was erased; None unless erased.
        long_texts: Whether texts of it are, or may be, kept apart from their rows.
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
        """Runs that failed since one was last answered."""
        return self.counters.failures

    @property
    def limits(self) -> Limits:
        """Its own limits."""
        return self.terms.limits

    @property
    def served(self) -> Served | None:
        """The team that serves it, and who of it has it now."""
        return self.terms.served

    @property
    def preferences(self) -> Preferences | None:
        """How the user likes to be answered."""
        return self.terms.preferences

    @property
    def pin(self) -> Pin | None:
        """The declaration of the agent that its runs use; None for the current one."""
        return self.terms.pin

    @property
    def priority(self) -> Priority:
        """Which queue its runs travel on."""
        return self.terms.priority

    @property
    def pause_reason(self) -> str | None:
        """Why it is paused or waits."""
        return self.pause.reason

    @property
    def resumes(self) -> int:
        """How often it was resumed."""
        return self.pause.resumes

    @property
    def resuming(self) -> bool:
        """Whether a resumption is still queueing what has waited."""
        return self.pause.resuming

    @property
    def retry(self) -> Retry | None:
        """The run that it waits for to be attempted again."""
        return self.pause.retry

    @property
    def held(self) -> ProviderConversation | None:
        """The conversation at the provider that holds the history."""
        return self.at_provider.held

    @property
    def kept(self) -> tuple[RetainedConversation, ...]:
        """The conversations made for it at providers."""
        return self.at_provider.kept

    @property
    def end_reason(self) -> str | None:
        """Why it ended; None while it has not."""
        return self.end.reason if self.end else None

    @property
    def ended_at(self) -> datetime | None:
        """When it ended; None while it has not."""
        return self.end.at if self.end else None

    def counting(self, *, runs: int = 0, pending: int = 0, turns: int = 0, events: int = 0) -> Session:
        """Return the session with so many more of each."""
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
        """Whether it takes no more runs, ever."""
        return self.state in (SessionState.ENDED, SessionState.ERASED)

    @property
    def on_hold(self) -> bool:
        """Whether runs are left waiting: it is paused, waits for a retry, or has yet to queue what waited before."""
        return self.stopped or self.resuming or self.retry is not None

    @property
    def stopped(self) -> bool:
        """Whether it is paused, or waits for a budget or an approval."""
        return self.state in (SessionState.PAUSED, SessionState.WAITING)
