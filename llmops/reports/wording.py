"""Formatting of amounts and reports for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmops.notifications.notification import Notification

if TYPE_CHECKING:
    from datetime import datetime

    from llmops.budgets.budget_usage import BudgetUsage
    from llmops.reports.report import Report


def usd(micro_usd: int) -> str:
    """Return an amount in dollars: from one on with two decimals, from a cent on with four, below with all six."""
    amount = micro_usd / 1_000_000
    decimals = 2 if abs(amount) >= 1 or amount == 0 else 4 if abs(amount) >= 0.01 else 6
    return f"${amount:,.{decimals}f}"


def signed_usd(micro_usd: int) -> str:
    """Return a change in dollars."""
    return ("−" if micro_usd < 0 else "+") + usd(abs(micro_usd))


def quantity(unit: str, amount: int) -> str:
    """Return an amount of a budget's unit, given in its smallest part."""
    match unit:
        case "usd":
            return usd(amount)
        case "seconds":
            return f"{amount / 1000:,.0f} s"
        case _:
            return f"{amount:,} {unit}"


def share(position: BudgetUsage) -> str:
    """Return the spent share of a budget, in percent."""
    return f"{100 * position.spent / position.limit:.0f} %" if position.limit else "–"


def announcement(report: Report, now: datetime) -> Notification:
    """Return the notification of a period that has ended; its id is the same for the same period.

    It is of now, not of when the report last changed: that may be days ago, and what is old is not sent any more.
    """
    period, total, before = report.period, report.total, report.previous
    facts = {
        "Spent": usd(total.cost_micro_usd),
        "Against the period before": signed_usd(total.cost_micro_usd - before.cost_micro_usd),
        "Model calls": f"{total.calls:,}",
    }
    if report.by_agent:
        name, spend = next(iter(report.by_agent.items()))
        facts["Dearest agent"] = f"{name}, {usd(spend.cost_micro_usd)}"
    if report.anomalies:
        facts["Stand out"] = ", ".join(f"{one.agent} on {one.day}" for one in report.anomalies[:3])
    if total.unpriced_calls:
        facts["Calls without a known price"] = f"{total.unpriced_calls:,}"
    if total.unmetered_calls:
        facts["Calls at an estimate, without a usable usage"] = f"{total.unmetered_calls:,}"
    return Notification(
        f"report.ready!{period.key}",
        report.workspace,
        "report.ready",
        "info",
        f"Costs of {period.kind} {period.key}: {usd(total.cost_micro_usd)}",
        f"The report of {period.key} is at /api/reports/{period.key}, as a page with ?format=html.",
        facts,
        at=now,
    )
