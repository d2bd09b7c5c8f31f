"""The default alert rules of every workspace. docs/llmops.md shows the same table.

They are not stored: a stored rule of the same name replaces the default one, and deleting it restores the default.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmops.alerts.alert_rules import AlertRule

_HOUR = 3600
_DAY = 86400
_QUARTER = 900


def default_rules(*, latency_ms: int, enabled: bool = True) -> Mapping[str, AlertRule]:
    """Return the default rules by name.

    Args:
        latency_ms: The p95 latency that a run should keep, in ms, where the agent's spec sets none.
        enabled: Whether the rules are enabled.
    """

    def rule(description: str, **fields: object) -> AlertRule:
        values = {"window_s": _QUARTER, "cooldown_s": _HOUR, "enabled": enabled, "description": description}
        return AlertRule.model_validate(values | fields)

    return {
        "default-approvals": rule(
            "See GET approvals; runs wait for them, and those that nobody decides are rejected in time.",
            metric="approval_wait_s",
            condition="gt",
            threshold=_HOUR,
        ),
        "default-budget": rule(
            "See GET usage for which budget it is; runs wait when it is used up.",
            metric="budget_used_share",
            condition="gte",
            threshold=0.9,
            cooldown_s=_DAY,
        ),
        "default-cpu": rule(
            "See GET resources for which worker it is, and GET scaling/recommendation for how many there should be.",
            metric="cpu_share",
            condition="gte",
            threshold=0.85,
        ),
        "default-dead-letters": rule(
            "See GET dead-letters for why; redrive them once that is mended.",
            metric="dead_letters",
            condition="gt",
            threshold=0,
            severity="critical",
        ),
        "default-error-rate": rule(
            "See GET performance and the runs' error codes.",
            metric="error_rate",
            condition="gt",
            threshold=0.05,
            window_s=_HOUR,
            min_runs=20,
        ),
        "default-hit-rate": rule(
            "Workers find fewer agents ready than on the day before: see the insights of GET loader for why.",
            metric="cache_hit_rate_fall",
            condition="gt",
            threshold=0.2,
            window_s=_HOUR,
        ),
        "default-latency": rule(
            "See GET performance for which agent it is, and its insights for why.",
            metric="latency_p95_ms",
            condition="gt",
            threshold=latency_ms,
            min_runs=5,
        ),
        "default-memory": rule(
            "See GET resources for which worker it is; lower the concurrency of instances, or take larger ones.",
            metric="memory_share",
            condition="gte",
            threshold=0.9,
        ),
        "default-people": rule(
            "See GET inbox for which conversation it is; take it, or hand it over.",
            metric="person_wait_s",
            condition="gt",
            threshold=_HOUR,
        ),
        "default-pools": rule(
            "See GET resources for which pool it is; what finds no room in it waits, or is refused.",
            metric="pool_used_share",
            condition="gte",
            threshold=0.9,
        ),
        "default-timers": rule(
            "See GET status for which timer it is, and the logs for why.",
            metric="timers_failing",
            condition="gt",
            threshold=0,
            severity="critical",
        ),
        "default-unmetered": rule(
            "Their provider reported no usage, or an impossible one, so that they are booked at an estimate.",
            metric="unmetered_calls",
            condition="gt",
            threshold=0,
            window_s=_HOUR,
            cooldown_s=_DAY,
        ),
        "default-unpriced": rule(
            "Their costs are in no sum; set a rate with PUT prices/MODEL.",
            metric="unpriced_calls",
            condition="gt",
            threshold=0,
            window_s=_HOUR,
            cooldown_s=_DAY,
        ),
        "default-waiting": rule(
            "Raise the budget they wait for, or approve them.",
            metric="longest_wait_s",
            condition="gt",
            threshold=_HOUR,
        ),
    }
