"""The registry's own metrics, from what is counted beside its records and from the latest look for drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lifecycle.measures.activity import Waiting
from lifecycle.registry.counts import LifecycleTotals
from llmops.metrics.definitions import Metric

AGENTS = Metric("agent.agents", "gauge", "Agents by the state of their record.", ("state",))
VERSIONS = Metric("agent.versions", "gauge", "Versions at providers that the registry holds.")
ACTIVE_AGE = Metric("agent.active_age", "gauge", "For how long active agents have been so, on average.", (), "seconds")
STEPS = Metric("agent.lifecycle.steps", "counter", "What happened to agents; docs/observability.md.", ("step",))
SESSIONS = Metric("agent.sessions.open", "gauge", "Sessions that were started and have not ended.")
APPROVALS = Metric("agent.approvals.pending", "gauge", "Approvals that wait for a decision; a thousand at most.")
LONGEST_APPROVAL = Metric(
    "agent.approvals.longest_wait", "gauge", "How long the first of them has waited.", (), "seconds"
)
WAITING = Metric("agent.runs.waiting", "gauge", "Runs that wait for a budget, or for an approval to go beyond one.")
LONGEST_WAIT = Metric("agent.runs.longest_wait", "gauge", "How long the first of them has waited.", (), "seconds")
PROVISIONED = Metric("agent.provisioned", "counter", "Times that making an agent came to an end, good or bad.")
PROVISIONING = Metric("agent.provisioning", "counter", "Time that making agents took.", (), "seconds")
DRIFT = Metric("agent.drift", "gauge", "Differences that the latest look for drift found.", ("kind",))

STORED = (
    *(AGENTS, VERSIONS, ACTIVE_AGE, STEPS, PROVISIONED, PROVISIONING, DRIFT),
    *(SESSIONS, WAITING, LONGEST_WAIT, APPROVALS, LONGEST_APPROVAL),
)
"""What is not counted by workers but read where it is stored."""


def samples(
    lifecycle: LifecycleTotals, drift: Mapping[str, int], sessions_open: int, waiting: Waiting, approvals: Waiting
) -> Iterator[tuple[Metric, tuple[str, ...], tuple[float, ...]]]:
    """Yield each metric with the values of its labels and its number."""
    for state, count in lifecycle.states.items():
        yield AGENTS, (state,), (count,)
    yield SESSIONS, (), (sessions_open,)
    yield APPROVALS, (), (approvals.count,)
    yield LONGEST_APPROVAL, (), (approvals.longest_s,)
    yield WAITING, (), (waiting.count,)
    yield LONGEST_WAIT, (), (waiting.longest_s,)
    yield VERSIONS, (), (lifecycle.versions,)
    yield ACTIVE_AGE, (), (lifecycle.active_age_s,)
    for step, count in lifecycle.steps.items():
        yield STEPS, (step,), (count,)
    yield PROVISIONED, (), (lifecycle.provisioned,)
    yield PROVISIONING, (), (lifecycle.provisioning_s,)
    for kind, count in drift.items():
        yield DRIFT, (kind,), (count,)
