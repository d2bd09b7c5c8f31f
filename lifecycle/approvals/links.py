"""Links that decide an approval without signing in.

A link's token says which approval it is for, at which level, and until when, and is signed. It is stored nowhere: not
in the record, not in a notification that waits to be sent. It decides once, because the approval is decided once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import timedelta

from kernel.clock import Clock
from kernel.errors import Conflict, NotFound
from lifecycle.approvals.model import Approval, Person
from lifecycle.approvals.requests import REQUESTED
from lifecycle.approvals.store import ApprovalStore, Record
from llmops.notifications.notification import Notification

_LONGEST = timedelta(days=7)
_UNKNOWN = "This link is not valid."


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """How links are made.

    Attributes:
        key: What they are signed with; empty for no links.
        url: Where the app is reached, like `https://app.example.com/api`; empty for no links.
    """

    key: str
    url: str

    @property
    def on(self) -> bool:
        """Whether there are links."""
        return bool(self.key and self.url)


class ApprovalLinks:
    """Makes links and finds what they are for."""

    def __init__(self, approvals: ApprovalStore, policy: LinkPolicy, clock: Clock) -> None:
        self._approvals = approvals
        self._policy = policy
        self._clock = clock

    async def completed(self, notification: Notification) -> Notification:
        """Return the notification with the link that decides, where it asks for a decision and a link may decide it."""
        ident = notification.facts.get("Approval")
        if notification.event != REQUESTED or ident is None or not self._policy.on:
            return notification
        found = await self._approvals.find(notification.workspace, ident)
        if found is None or not found.approval.open or not found.approval.takes_links:
            return notification
        link = f"{self._policy.url.rstrip('/')}/approval-links/{self.token(found.approval)}"
        return replace(notification, facts={**notification.facts, "Decide": link})

    def token(self, approval: Approval) -> str:
        """Return the token of an approval at its present level."""
        until = min(approval.due or approval.requested_at + _LONGEST, self._clock() + _LONGEST)
        said = f"{approval.place.workspace}!{approval.id}!{approval.level}!{int(until.timestamp())}"
        return f"{_encoded(said.encode())}.{_encoded(self._signature(said))}"

    async def find(self, token: str) -> tuple[Record, Person]:
        """Return the approval that a token is for, and who whoever has it is.

        Raises:
            NotFound: It is none of ours (code `link_not_found`).
            Conflict: Its time is over, or the approval went to the next level (code `link_expired`).
        """
        workspace, ident, level, until = self._read(token)
        record = await self._approvals.find(workspace, ident)
        if record is None:
            raise NotFound(_UNKNOWN, code="link_not_found")
        over = until <= self._clock().timestamp() or level != record.approval.level
        if record.approval.open and over:
            raise Conflict("This link is no longer valid.", code="link_expired")
        return record, Person(link=True)

    def _read(self, token: str) -> tuple[str, str, int, int]:
        try:
            said, _, signature = token.partition(".")
            text = base64.b64decode(said + "=" * (-len(said) % 4), b"-_", validate=True).decode("ascii")
            given = base64.b64decode(signature + "=" * (-len(signature) % 4), b"-_", validate=True)
            workspace, ident, level, until = text.split("!")
            numbers = int(level), int(until)
        except (ValueError, binascii.Error):
            raise NotFound(_UNKNOWN, code="link_not_found") from None
        if not self._policy.on or not hmac.compare_digest(given, self._signature(text)):
            raise NotFound(_UNKNOWN, code="link_not_found")
        return workspace, ident, *numbers

    def _signature(self, said: str) -> bytes:
        return hmac.new(self._policy.key.encode(), f"approval-link\n{said}".encode(), hashlib.sha256).digest()


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
