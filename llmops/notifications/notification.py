"""Notifications, and the events that channels can subscribe to, with their meaning: those that are meant for people.

docs/llmops.md shows the same table. The event stream has more events (docs/events.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from kernel.codec import JsonCodec
from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to people or other systems about an event.

    Attributes:
        id: Unique in the workspace; the same id is the same notification and is sent once.
        workspace: The workspace whose channels receive it.
        event: An event of `llmops.notifications.notification`, to which channels subscribe.
        severity: Severity.
        title: One line.
        text: One or a few sentences, without prompts, answers or secrets.
        facts: Names and values shown beside the text.
        at: When the event happened, aware UTC.
    """

    id: str
    workspace: str
    event: str
    severity: Severity
    title: str
    text: str
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    at: datetime = field(kw_only=True)

    @property
    def digest(self) -> str:
        """Identifies it in storage and to receivers: 32 hex digits of a SHA-256 of workspace and id."""
        return hashlib.sha256(f"{self.workspace}\n{self.id}".encode()).hexdigest()[:32]


NOTIFICATION = JsonCodec(Notification)


EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "alert.fired": "An alert rule's condition holds",
        "alert.resolved": "It does not any more, or the rule was switched off or removed",
        "budget.threshold": "A share of a budget is spent",
        "budget.blocked": "A run waits because a budget is used up",
        "budget.degraded": "A run goes on with less, because much of a budget is used up",
        "approval.requested": "A tool call, or a step of a budget, waits for a decision",
        "conversation.waiting": "A conversation of a team waits for a person",
        "conversation.escalated": "A conversation has waited too long for a person",
        "report.ready": "A day, week or month has ended and its report is complete",
        "channel.test": "Somebody asked for a test of the channel",
    }
)
STREAMED = frozenset(EVENTS) - {"report.ready", "channel.test", "conversation.waiting", "conversation.escalated"}
"""Events that are also in the workspace's event stream, from which channels of CloudEvents receive them."""
MAX_PATTERNS = 50
_PATTERN = re.compile(r"\*|[a-z0-9_]+(?:\.[a-z0-9_]+)*(?:\.\*)?")
_NEAR = 3


def matches(pattern: str, event: str) -> bool:
    """Return whether a channel's pattern matches the event: `*` all, `budget.*` a prefix, else the exact name."""
    return pattern in ("*", event) or (pattern.endswith(".*") and event.startswith(pattern[:-1]))


def check_patterns(patterns: Sequence[str], more: Collection[str] = ()) -> None:
    """Check the patterns: at least one, not too many, each matching an existing event or one of `more`.

    Raises:
        InvalidInput: `invalid_events`: not a pattern; `unknown_event`: matches nothing.
    """
    if not 1 <= len(patterns) <= MAX_PATTERNS or not all(_PATTERN.fullmatch(pattern) for pattern in patterns):
        rule = f"1 to {MAX_PATTERNS} patterns like 'budget.*', 'alert.fired' or '*'"
        raise InvalidInput(f"events holds {rule}.", code="invalid_events", fields={"/events": rule})
    unknown = {
        f"/events/{number}": _instead(pattern)
        for number, pattern in enumerate(patterns)
        if not any(matches(pattern, event) for event in (*EVENTS, *more))
    }
    if unknown:
        msg = "No notification has such an event."
        raise InvalidInput(msg, code="unknown_event", fields=unknown)


def _instead(pattern: str) -> str:
    """Return a suggestion: the closest spelling, or else all events."""
    families = sorted({f"{event.split('.')[0]}.*" for event in EVENTS})
    near = get_close_matches(pattern, [*EVENTS, *families], _NEAR, 0.6)
    return f"matches no event; did you mean {' or '.join(near)}?" if near else f"matches none of {', '.join(EVENTS)}"
