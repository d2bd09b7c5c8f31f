"""Publishing what happens at a budget: as events in the workspace's stream, and as notifications."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from kernel.journal import Event
from llmops.budgets.budget_rules import percent, shown
from llmops.notifications.notification import Notification

if TYPE_CHECKING:
    from kernel.journal import Journal
    from llmops.budgets.budget_rules import AppliedLimit, BudgetBlocked, CostAttribution, Counter
    from llmops.notifications.outbox import Outbox

log = logging.getLogger(__name__)

_REMEMBERED_AT_MOST = 10_000


class BudgetEvents:
    """Publishes each event once: equal events have equal keys, so publishing one again changes nothing."""

    def __init__(self, journal: Journal, outbox: Outbox) -> None:
        self._journal = journal
        self._outbox = outbox
        self._published: set[str] = set()

    async def thresholds(
        self, workspace: str, limits: Sequence[AppliedLimit], counters: Mapping[str, Counter], now: datetime
    ) -> None:
        """Publish every soft threshold that the spent amount has reached, once per period and amount of the limit."""
        for each in limits:
            reached = percent(each, counters)
            for soft in each.limit.soft:
                if soft <= reached:
                    await self._threshold(workspace, each, soft, counters[each.counter], now)

    async def blocked(self, who: CostAttribution, attempt: int, error: BudgetBlocked, now: datetime) -> None:
        """Publish that a run waits for a budget."""
        data = {"run_id": who.run_id, "session_id": who.session_id, "agent": who.agent, "code": error.code}
        # The stored session leads to the user until it is erased; the event stays, so it names no user.
        detail = _without(who, error.detail)
        scopes = {"scopes": [_nameless(refusal.scope) for refusal in error.refusals]}
        log.warning("run %s waits: %s", who.run_id, error.code, extra={"event": "budget.blocked"})
        notification = Notification(
            f"budget.blocked/{who.run_id}/{attempt}",
            who.workspace,
            "budget.blocked",
            "critical",
            f"A run of {who.agent} waits: {error.code}",
            detail,
            {"run": who.run_id, "session": who.session_id, "agent": who.agent},
            at=now,
        )
        await self._publish(notification, data | scopes | {"detail": detail})

    async def degraded(
        self, who: CostAttribution, step: str, percent_spent: int, model: str | None, now: datetime
    ) -> None:
        """Publish that a run moved to a degradation step of its agent."""
        data = {"run_id": who.run_id, "agent": who.agent, "step": step, "percent": percent_spent, "model": model}
        notification = Notification(
            f"budget.degraded/{who.run_id}/{step}/{model or ''}",
            who.workspace,
            "budget.degraded",
            "info",
            f"{who.agent}: {step} at {percent_spent} % of a budget",
            f"Run {who.run_id} goes on with {model}." if model else f"Run {who.run_id} takes the step {step!r}.",
            {"run": who.run_id, "agent": who.agent},
            at=now,
        )
        await self._publish(notification, data)

    async def _threshold(self, workspace: str, each: AppliedLimit, soft: int, counter: Counter, now: datetime) -> None:
        unit, period = each.limit.unit, each.limit.period
        spent, limit = shown(unit, counter.spent.of(unit)), shown(unit, each.limit.amount)
        ident = f"budget.threshold/{each.scope}/{each.counter}/{unit}/{each.limit.amount}/{soft}"
        data = {
            "scope": _nameless(each.scope),
            "unit": unit,
            "period": period,
            "percent": soft,
            "spent": spent,
            "limit": limit,
        }
        notification = Notification(
            ident,
            workspace,
            "budget.threshold",
            "critical" if soft >= 100 else "warning",
            f"{soft} % of the budget of {each.scope} are spent",
            f"{spent:g} of {limit:g} {unit} per {period}.",
            {"scope": each.scope, "unit": unit, "period": period},
            at=now,
        )
        await self._publish(notification, data)

    async def _publish(self, notification: Notification, data: Mapping[str, object]) -> None:
        """Publish a notification and its event, unless this process already has; a failure is only logged.

        Whoever meets the same event next publishes it then.
        """
        if notification.id in self._published:
            return
        event = Event(notification.event, dict(data), notification.at)
        try:
            await self._journal.record(notification.workspace, notification.id, event)
            await self._outbox.put(notification)
        except Unavailable as error:
            log.warning("%s not published: %s", notification.event, error.code, extra={"event": "budget.unpublished"})
            return
        if len(self._published) >= _REMEMBERED_AT_MOST:
            self._published.clear()
        self._published.add(notification.id)


def _nameless(scope: str) -> str:
    """Return the scope without the user's id, as the event stream has it."""
    return "user" if scope.startswith("user:") else scope


def _without(who: CostAttribution, text: str) -> str:
    return text.replace(f"user:{who.user_id}", "user") if who.user_id else text
