"""Applies workspaces' retention policies.

A round's cost is proportional to what is due, plus the sessions that are old enough but must stay: not ended, ended too
recently, or held. Every step is idempotent; what a round has no time for is left to the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from kernel.codec import if_readable
from kernel.errors import AppError
from kernel.ids import new_id, newest_first
from kernel.lazy_dataclass import dataclass
from lifecycle.retention.policy import OF_SESSIONS, DataRetentionPolicy, LegalHold, Part, Verdict, verdict
from lifecycle.retention.session_parts import PartRule, SessionParts
from lifecycle.retention.store import RetentionReceipt, RetentionStore

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.retention.fact_deletion import FactDays
    from lifecycle.sessions.erase import SessionErasure

log = logging.getLogger(__name__)

MOST_SHOWN = 1000
"""Most sessions that a dry run shows."""
_PAGE = 50
_AT_ONCE = 8
_MOST_SECONDS = 240.0
"""Seconds that a round may take for one workspace; some plans allow a function ten minutes."""


@dataclass(frozen=True, slots=True)
class RetentionPreview:
    """Result of a dry run.

    Attributes:
        verdicts: The decisions about sessions that are old enough, at most MOST_SHOWN.
        days: Days whose facts, tool calls or scores would be deleted, by part.
    """

    verdicts: Sequence[Verdict]
    days: Mapping[Part, Sequence[date]]


class RetentionRounds:
    """Applies policies."""

    def __init__(
        self,
        store: RetentionStore,
        conversations: ConversationStore,
        directory: Directory,
        erasure: SessionErasure,
        parts: SessionParts,
        days: FactDays,
        clock: Clock,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._directory = directory
        self._erasure = erasure
        self._parts = parts
        self._days = days
        self._clock = clock

    async def run(self) -> Sequence[RetentionReceipt]:
        """Apply every workspace's policy, and return the receipts of those where something was deleted."""
        done: list[RetentionReceipt] = []
        async for workspace in self._store.workspaces():
            try:
                receipt = await self.apply(workspace)
            except AppError as error:
                log.warning("retention of a workspace: %s", error.code, extra={"event": "retention.unfinished"})
                continue
            if receipt.deleted:
                done.append(receipt)
        return done

    async def preview(self, workspace: str) -> RetentionPreview:
        """Return what a round would do now; changes nothing."""
        policy, _ = await self._store.policy(workspace)
        holds, now = await self._store.holds(workspace), self._clock()
        verdicts: list[Verdict] = []
        async for found in self._all_verdicts(workspace, policy, holds, now):
            verdicts += found
            if len(verdicts) >= MOST_SHOWN:
                break
        days: dict[Part, list[date]] = {}
        async for part, day in self._days.due(workspace, policy, holds):
            days.setdefault(part, []).append(day)
        return RetentionPreview(verdicts[:MOST_SHOWN], days)

    async def _all_verdicts(
        self, workspace: str, policy: DataRetentionPolicy, holds: Sequence[LegalHold], now: datetime
    ) -> AsyncIterator[Sequence[Verdict]]:
        async for found in self._verdicts(workspace, policy, holds, now):
            yield found
        for part in OF_SESSIONS:
            if (keep_for := policy.keeps(part)) is not None:
                async for found in self._parts.preview(workspace, PartRule(part, keep_for, holds, now)):
                    yield found

    async def apply(self, workspace: str) -> RetentionReceipt:
        """Delete what is due, and return the receipt; it is stored if anything was deleted.

        What cannot be deleted, because its provider cannot be reached or its row cannot be read, is left to the next
        round, and is no reason to leave anything else.

        Raises:
            Unavailable: The storage cannot be reached; the next round continues.
        """
        policy, _ = await self._store.policy(workspace)
        holds, now = await self._store.holds(workspace), self._clock()
        receipt = RetentionReceipt(new_id(), now)
        loop = asyncio.get_running_loop()
        until = loop.time() + _MOST_SECONDS
        try:
            async for verdicts in self._verdicts(workspace, policy, holds, now):
                receipt = replace(receipt, held=receipt.held + sum(found.held for found in verdicts))
                due = [found.session_id for found in verdicts if found.erase]
                for start in range(0, len(due), _AT_ONCE):
                    receipt = await self._erased(workspace, due[start : start + _AT_ONCE], receipt)
                if loop.time() > until:
                    receipt = replace(receipt, complete=False)
                    break
            for part in OF_SESSIONS:
                if (keep_for := policy.keeps(part)) is not None and loop.time() <= until:
                    rule = PartRule(part, keep_for, holds, now)
                    async for done in self._parts.apply(workspace, rule, receipt, until):
                        receipt = done
            async for part, day in self._days.due(workspace, policy, holds):
                if loop.time() > until:
                    receipt = replace(receipt, complete=False)
                    break
                receipt = receipt.plus(part, await self._days.delete(workspace, part, day))
        except AppError:
            receipt = replace(receipt, complete=False)
            raise
        finally:
            if receipt.deleted:
                await self._store.add_receipt(workspace, receipt)
        return receipt

    async def _erased(self, workspace: str, due: Sequence[str], receipt: RetentionReceipt) -> RetentionReceipt:
        """Erase the sessions; one that fails, because of its provider perhaps, keeps no other from being erased."""
        erasures = (self._erasure.erase(workspace, session_id) for session_id in due)
        for done in await asyncio.gather(*erasures, return_exceptions=True):
            if isinstance(done, AppError):
                log.warning("a session is not erased yet: %s", done.code, extra={"event": "retention.postponed"})
                receipt = replace(receipt, complete=False)
                continue
            if isinstance(done, BaseException):
                raise done
            receipt = replace(
                receipt,
                sessions=receipt.sessions + 1,
                runs=receipt.runs + done.runs,
                messages=receipt.messages + done.messages,
            )
        return receipt

    async def _verdicts(
        self, workspace: str, policy: DataRetentionPolicy, holds: Sequence[LegalHold], now: datetime
    ) -> AsyncIterator[Sequence[Verdict]]:
        """Yield the decisions about sessions that started long enough ago, page by page."""
        if (keep_for := policy.keeps(Part.SESSIONS)) is None:
            return
        after: str | None = newest_first(now - keep_for, "")
        while after is not None:
            entries, after = await self._directory.sessions(
                workspace, agent=None, user_id=None, limit=_PAGE, after=after
            )
            stored = await asyncio.gather(
                *(
                    if_readable(self._conversations.load(workspace, each.session_id), "session", each.session_id)
                    for each in entries
                )
            )
            sessions = [each.session for each in stored if each is not None and each.session is not None]
            yield [verdict(session, keep_for, holds, now) for session in sessions]
