"""Metrics that are read from storage: of the registry, drift, routes, pools and teams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llmops.metrics.definitions import Metric

if TYPE_CHECKING:
    from lifecycle.metrics.current_activity import Current, Waiting
    from lifecycle.registry.agent_counts import LifecycleTotals
    from lifecycle.teams.team_metrics import TeamFigures
    from llmops.capacity.pool_usage import PoolUsage
    from llmops.routing.deployment_health import State
    from llmops.routing.status import RouteStatus

AGENTS = Metric("agent.agents", "gauge", "Agents by the state of their record.", ("state",))
VERSIONS = Metric("agent.versions", "gauge", "Versions at providers that the registry holds.")
ACTIVE_AGE = Metric("agent.active_age", "gauge", "For how long active agents have been so, on average.", (), "seconds")
STEPS = Metric("agent.lifecycle.steps", "counter", "What happened to agents; docs/observability.md.", ("step",))
SESSIONS = Metric("agent.sessions.open", "gauge", "Sessions that were started and have not ended.")
APPROVALS = Metric("agent.approvals.pending", "gauge", "Approvals that wait for a decision; a thousand at most.")
LONGEST_APPROVAL = Metric(
    "agent.approvals.longest_wait", "gauge", "How long the first of them has waited.", (), "seconds"
)
WAITING = Metric("agent.runs.waiting", "gauge", "Runs that wait: for budgets, decisions, people, their sessions.")
HELD = Metric("agent.runs.held", "gauge", "Of these, those that their session keeps: paused, or behind another run.")
LONGEST_WAIT = Metric("agent.runs.longest_wait", "gauge", "Longest wait for a budget, or to go beyond.", (), "seconds")
PROVISIONED = Metric("agent.provisioned", "counter", "Times that making an agent came to an end, good or bad.")
PROVISIONING = Metric("agent.provisioning", "counter", "Time that making agents took.", (), "seconds")
DRIFT = Metric("agent.drift", "gauge", "Differences that the latest look for drift found.", ("kind",))
HANDOFFS = Metric("agent.team.handoffs", "counter", "Handoffs, by who or what had them.", ("team", "by"))
WORKLOAD = Metric("agent.team.workload", "gauge", "Conversations that members hold open.", ("team", "member"))
TEAM_WAITING = Metric(
    "agent.team.waiting", "gauge", "Conversations that wait for a person or a free member.", ("team", "for")
)
TEAM_WAIT = Metric("agent.team.longest_wait", "gauge", "How long the first has, for a person.", ("team",), "seconds")
ANSWER_TIME = Metric(
    "agent.team.answer_time", "gauge", "Mean wait for people's answers of the last 7 days.", ("team",), "seconds"
)
_OF_DEPLOYMENT = ("route", "deployment")
ROUTE_AVAILABLE = Metric("agent.route.available", "gauge", "Whether a deployment takes calls: 1 or 0.", _OF_DEPLOYMENT)
ROUTE_BREAKER = Metric(
    "agent.route.breaker", "gauge", "A deployment's breaker: 0 closed, 1 half-open, 2 open.", _OF_DEPLOYMENT
)
ROUTE_SHARE = Metric(
    "agent.route.share", "gauge", "A deployment's share of its route's calls of five minutes, 0-1.", _OF_DEPLOYMENT
)
POOL_USED = Metric("agent.pool.used_share", "gauge", "The used share of a pool's limit, 0-1.", ("pool", "limit"))
POOL_WAITING = Metric("agent.pool.waiting", "gauge", "What waits for room in a pool.", ("pool",))
_BREAKERS: Mapping[State, int] = {"closed": 0, "half_open": 1, "open": 2}

STORED = (
    *(AGENTS, VERSIONS, ACTIVE_AGE, STEPS, PROVISIONED, PROVISIONING, DRIFT),
    *(SESSIONS, WAITING, HELD, LONGEST_WAIT, APPROVALS, LONGEST_APPROVAL),
    *(HANDOFFS, WORKLOAD, TEAM_WAITING, TEAM_WAIT, ANSWER_TIME),
    *(ROUTE_AVAILABLE, ROUTE_BREAKER, ROUTE_SHARE, POOL_USED, POOL_WAITING),
)
"""Metrics that are read from storage, not counted by workers."""


def samples(
    lifecycle: LifecycleTotals, drift: Mapping[str, int], current: Current, approvals: Waiting
) -> Iterator[tuple[Metric, tuple[str, ...], tuple[float, ...]]]:
    """Yield each metric with its labels' values and its numbers."""
    for state, count in lifecycle.states.items():
        yield AGENTS, (state,), (count,)
    yield SESSIONS, (), (current.sessions_open,)
    yield APPROVALS, (), (approvals.count,)
    yield LONGEST_APPROVAL, (), (approvals.longest_s,)
    yield WAITING, (), (current.waiting.count,)
    yield HELD, (), (current.held,)
    yield LONGEST_WAIT, (), (current.waiting.longest_s,)
    yield VERSIONS, (), (lifecycle.versions,)
    yield ACTIVE_AGE, (), (lifecycle.active_age_s,)
    for step, count in lifecycle.steps.items():
        yield STEPS, (step,), (count,)
    yield PROVISIONED, (), (lifecycle.provisioned,)
    yield PROVISIONING, (), (lifecycle.provisioning_s,)
    for kind, count in drift.items():
        yield DRIFT, (kind,), (count,)


def of_teams(
    teams: Sequence[TeamFigures], handoffs: Mapping[tuple[str, str], int]
) -> Iterator[tuple[Metric, tuple[str, ...], tuple[float, ...]]]:
    """Yield each metric of teams with its labels' values and its numbers.

    Args:
        teams: Figures of all teams, for 7 days.
        handoffs: Number of all handoffs so far, by team and cause.
    """
    for labels, count in handoffs.items():
        yield HANDOFFS, labels, (count,)
    for each in teams:
        for member, count in each.workload.items():
            yield WORKLOAD, (each.team, member), (count,)
        yield TEAM_WAITING, (each.team, "person"), (each.waits.conversations,)
        yield TEAM_WAITING, (each.team, "member"), (each.without_member,)
        yield TEAM_WAIT, (each.team,), (each.waits.longest_s,)
        if each.answer_s is not None:
            yield ANSWER_TIME, (each.team,), (each.answer_s,)


def capacity_samples(
    routes: Sequence[RouteStatus], pools: Sequence[PoolUsage]
) -> Iterator[tuple[Metric, tuple[str, ...], tuple[float, ...]]]:
    """Yield the health of routes' deployments and the usage of pools, like `samples`."""
    for route in routes:
        for one in route.deployments:
            labels = (route.name, one.deployment.name)
            yield ROUTE_AVAILABLE, labels, (int(one.available),)
            yield ROUTE_BREAKER, labels, (_BREAKERS[one.state],)
            if one.share is not None:
                yield ROUTE_SHARE, labels, (one.share,)
    for usage in pools:
        yield POOL_WAITING, (usage.pool.name,), (usage.waiting,)
        for limit in usage.limits:
            yield POOL_USED, (usage.pool.name, limit.name), (limit.share,)
