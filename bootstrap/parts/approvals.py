"""The parts of approvals."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.budgets import BudgetParts

if TYPE_CHECKING:
    from lifecycle.approvals.decisions import ApprovalDecisions
    from lifecycle.approvals.gate import ApprovalGate
    from lifecycle.approvals.policy import PolicyStore
    from lifecycle.approvals.requests import ApprovalRequests


class ApprovalParts(BudgetParts):
    """Makes what lets people decide."""

    @cached_property
    def approval_policies(self) -> PolicyStore:
        """What workspaces demand approvals for."""
        from lifecycle.approvals.policy import PolicyStore

        return PolicyStore(self.tables, self.clock, self._budget_trust)

    @cached_property
    def approval_decisions(self) -> ApprovalDecisions:
        """Decides approvals."""
        from lifecycle.approvals.decisions import ApprovalDecisions

        return ApprovalDecisions(
            self.approvals,
            self.approval_policies,
            self._approval_requests,
            self.conversations,
            self.session_pause,
            self._due("approval"),
            self.clock,
        )

    @cached_property
    def _approval_gate(self) -> ApprovalGate:
        from lifecycle.approvals.gate import ApprovalGate

        return ApprovalGate(self.approvals, self.approval_policies, self.clock)

    @cached_property
    def _approval_requests(self) -> ApprovalRequests:
        from lifecycle.approvals.requests import ApprovalRequests

        return ApprovalRequests(self.approvals, self._due("approval"), self.outbox, self.clock)
