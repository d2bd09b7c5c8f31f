"""Composition of approvals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.notifications import NotificationServices
    from lifecycle.approvals.decisions import ApprovalDecisions
    from lifecycle.approvals.gate import ApprovalGate
    from lifecycle.approvals.links import ApprovalLinks
    from lifecycle.approvals.policy import PolicyStore
    from lifecycle.approvals.requests import ApprovalRequests
    from lifecycle.approvals.store import ApprovalStore


@dataclass(eq=False)
class ApprovalServices:
    """Builds approvals: policies, requests, decisions, links."""

    _core: Core
    _notifications: NotificationServices
    _conversations: ConversationServices

    @cached_property
    def policies(self) -> PolicyStore:
        """Stores the approval policies of workspaces."""
        from lifecycle.approvals.policy import PolicyStore

        return PolicyStore(self._core.tables, self._core.clock, self._core.budget_trust)

    @cached_property
    def decisions(self) -> ApprovalDecisions:
        """Decides approvals and resumes their runs."""
        from lifecycle.approvals.decisions import ApprovalDecisions

        return ApprovalDecisions(
            self.store,
            self.policies,
            self.requests,
            self._conversations.store,
            self._conversations.pause,
            self._core.due("approval"),
            self._core.clock,
        )

    @cached_property
    def gate(self) -> ApprovalGate:
        """Decides which tool calls of a run need an approval."""
        from lifecycle.approvals.gate import ApprovalGate

        return ApprovalGate(self.store, self.policies, self._core.clock)

    @cached_property
    def requests(self) -> ApprovalRequests:
        """Stores and announces requests for approval."""
        from lifecycle.approvals.requests import ApprovalRequests

        return ApprovalRequests(self.store, self._core.due("approval"), self._notifications.outbox, self._core.clock)

    @cached_property
    def store(self) -> ApprovalStore:
        """Stores pending and past approvals."""
        from lifecycle.approvals.store import ApprovalStore

        return ApprovalStore(self._core.tables)

    @cached_property
    def links(self) -> ApprovalLinks:
        """Links that decide approvals without signing in."""
        from lifecycle.approvals.links import ApprovalLinks

        core, settings = self._core, self._core.settings
        url = settings.public_url if settings.approval_links else ""
        return ApprovalLinks(core.tables, self.store, self.decisions, core.due("approvallink"), url, core.clock)
