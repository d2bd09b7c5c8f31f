"""Links that decide an approval without signing in: a one-time token each, of which only the hash is stored.

Table `approvals`, partition `{workspace}`: `link!{approval}!{SHA-256 of the secret}`, until the link expires. A token
is `{workspace and approval}.{secret}`. It is made when a notification is sent, one for each try at each channel, so
that no stored notification contains one. A link decides once: it is marked as used after the decision.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import JsonCodec, Unreadable, skip
from kernel.errors import Conflict, NotFound
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, Span, Tables, every
from lifecycle.approvals.approval import Approval, Person
from lifecycle.approvals.policy import TABLE
from lifecycle.approvals.requests import REQUESTED

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex
    from lifecycle.approvals.decisions import ApprovalDecisions, DecisionRequest
    from lifecycle.approvals.store import ApprovalStore, Record
    from lifecycle.conversations.run_request import Send
    from llmops.notifications.notification import Notification

_LONGEST = timedelta(days=7)
_PLACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?![0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9a-f]{16}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_UNKNOWN = "This link is not valid."


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is stored.

    Attributes:
        level: The level of approvers that it was sent to; it decides at no other.
        until: When it expires, aware UTC.
        used: Whether a decision was made with it.
    """

    level: int
    until: datetime
    used: bool = False


_LINK = JsonCodec(Link)


class ApprovalLinks:
    """Makes links, and finds the approvals that they decide."""

    def __init__(
        self,
        tables: Tables,
        approvals: ApprovalStore,
        decisions: ApprovalDecisions,
        due: DueIndex,
        url: str,
        clock: Clock,
    ) -> None:
        """Set the collaborators and the address that links point to.

        Args:
            tables: Where the hashes of links are stored.
            approvals: Storage of approvals.
            decisions: Decides approvals.
            due: Where approvals are entered whose links are to be deleted.
            url: The app's base URL, like `https://app.example.com/api`; empty for no links.
            clock: Gives the time.
        """
        self._tables = tables
        self._approvals = approvals
        self._decisions = decisions
        self._due = due
        self._url = url.rstrip("/")
        self._clock = clock

    async def completed(self, notification: Notification) -> Notification:
        """Return the notification; where its approval takes links, with a link that decides it."""
        ident = notification.facts.get("Approval")
        if notification.event != REQUESTED or ident is None or not self._url:
            return notification
        found = await self._approvals.find(notification.workspace, ident)
        if found is None or not found.approval.open or not found.approval.takes_links:
            return notification
        link = f"{self._url}/approval-links/{await self.issue(found.approval)}"
        return replace(notification, facts={**notification.facts, "Decide": link})

    async def issue(self, approval: Approval) -> str:
        """Return the token of a new link for an approval at its present level."""
        until = min(approval.due or approval.requested_at + _LONGEST, self._clock() + _LONGEST)
        workspace, secret = approval.place.workspace, secrets.token_urlsafe(32)
        await self._due.add(workspace, approval.id, until)
        row = Row(workspace, _key(approval.id, secret), {"link": _LINK.dump(Link(approval.level, until))})
        await self._tables.commit(TABLE, [Insert(row)])
        return f"{_encoded(f'{workspace}!{approval.id}')}.{secret}"

    async def find(self, token: str) -> tuple[Record, Person]:
        """Return the approval that a token is for, and the person that its holder counts as.

        Raises:
            NotFound: The token is unknown (code `link_not_found`).
            Conflict: It was used (code `link_used`), it has expired, or the approval went to the next level (code
                `link_expired`).
        """
        workspace, ident, secret = _read(token)
        row = await self._tables.get(TABLE, workspace, _key(ident, secret))
        record = await self._approvals.find(workspace, ident) if row is not None else None
        if row is None or record is None:
            raise NotFound(_UNKNOWN, code="link_not_found")
        link = _LINK.load(row.text("link"))
        if link.used:
            raise Conflict(f"This link was used; the approval is {record.approval.state.value}.", code="link_used")
        if link.until <= self._clock() or link.level != record.approval.level:
            raise Conflict("This link is no longer valid.", code="link_expired")
        return record, Person(link=True)

    async def decide(self, token: str, ruling: DecisionRequest, send: Send) -> Record:
        """Decide the approval that a token is for, mark the link as used, and return the approval.

        Raises:
            AppError: See `find` and `ApprovalDecisions.decide`; the link is then unchanged.
        """
        record, person = await self.find(token)
        approval = record.approval
        decided = await self._decisions.decide(approval.place.workspace, approval.id, person, ruling, send)
        await self._mark_used(token)
        return decided

    async def _mark_used(self, token: str) -> None:
        workspace, ident, secret = _read(token)
        row = await self._tables.get(TABLE, workspace, _key(ident, secret))
        if row is None:
            return  # it has expired and was deleted
        used = replace(_LINK.load(row.text("link")), used=True)
        try:
            await self._tables.commit(TABLE, [Replace(replace(row, values={"link": _LINK.dump(used)}))])
        except RowChanged:
            return  # another caller has used it at the same time

    async def sweep(self) -> int:
        """Delete expired links, and return how many."""
        count, now = 0, self._clock()
        async for entry in self._due.until(now):
            remains = False
            async for row in every(self._tables, TABLE, Span.prefix(entry.workspace, f"link!{entry.name}!")):
                try:
                    over = _LINK.load(row.text("link")).until <= now
                except Unreadable as error:  # perhaps of a later version: it stays, and so does the entry
                    skip(row, "approval link", error)
                    over = False
                if not over:
                    remains = True
                    continue
                try:
                    await self._tables.commit(TABLE, [Delete(row.partition, row.key)])
                    count += 1
                except RowChanged:
                    continue
            if not remains:
                await self._due.drop(entry.workspace, entry.name, entry.hour)
        return count


def _read(token: str) -> tuple[str, str, str]:
    """Return workspace, approval and secret of a token.

    Raises:
        NotFound: The token is malformed (code `link_not_found`).
    """
    place, _, secret = token.partition(".")
    try:
        text = base64.b64decode(place + "=" * (-len(place) % 4), b"-_", validate=True).decode("ascii")
        workspace, ident = text.split("!")
    except (ValueError, binascii.Error):
        raise NotFound(_UNKNOWN, code="link_not_found") from None
    if not _SECRET.fullmatch(secret) or not _PLACE.fullmatch(text):
        raise NotFound(_UNKNOWN, code="link_not_found")
    return workspace, ident, secret


def _key(ident: str, secret: str) -> str:
    return f"link!{ident}!{hashlib.sha256(secret.encode()).hexdigest()}"


def _encoded(value: str) -> str:
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")
