"""Counts runs, model calls and look-ups in metrics, when they are stored.

A run's end is counted by the process that commits it, and only then: a duplicate message of an ended run counts
nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lifecycle.conversations.run import Run, RunState, Stage
from llmops.metrics import definitions as metrics

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.capacity.worker_resources import RunTimes
    from llmops.facts.attempt_fact import AttemptFact, Attribution, Call
    from llmops.metrics.shared import SharedMetrics


class Measures:
    """Updates metrics on changes."""

    def __init__(self, shared: SharedMetrics, clock: Clock, run_timeout: timedelta, times: RunTimes) -> None:
        self._shared = shared
        self._count = shared.count
        self._clock = clock
        self._run_timeout = run_timeout
        self._times = times
        self._running: dict[str, tuple[str, str, datetime]] = {}

    def run_changed(self, before: Run | None, after: Run) -> None:
        """Count a committed change of a run; `before` is None for a new run."""
        waited = after.state is RunState.WAITING and (before is None or before.state is not RunState.WAITING)
        if waited and after.stage is Stage.CHECKING_BUDGET:
            self._count(after.workspace, metrics.BLOCKED, 1, after.agent)
        self._runs_here(after)
        old, new = set(before.dispatch.awaits if before else ()), set(after.dispatch.awaits)
        if asked := len(new - old):
            self._count(after.workspace, metrics.APPROVALS_REQUESTED, asked, after.agent)
        if closed := len(old - new):
            self._count(after.workspace, metrics.APPROVALS_CLOSED, closed, after.agent)
        if after.finished and not (before and before.finished):
            self._run_ended(after)

    def attempt_recorded(self, fact: AttemptFact) -> None:
        """Count the model calls of an attempt whose fact was written; a refused call cost nothing."""
        for call in fact.calls:
            if call.outcome != "refused":
                self._called(fact.who, call)

    def _called(self, who: Attribution, call: Call) -> None:
        self._count(who.workspace, metrics.MODEL_CALLS, call.latency_ms / 1000, call.model)
        usage = call.usage
        counts = (("input", usage.input_tokens), ("cached", usage.cached_tokens), ("output", usage.output_tokens))
        for kind, tokens in counts:
            if tokens:
                self._count(who.workspace, metrics.TOKENS, tokens, call.model, kind)
        if call.outcome == "unmetered":
            self._count(who.workspace, metrics.UNMETERED, 1, call.model)
        if call.cost_micro_usd is None:
            self._count(who.workspace, metrics.UNPRICED, 1, call.model)
        elif call.cost_micro_usd:
            self._count(who.workspace, metrics.COST, call.cost_micro_usd, who.agent)

    def soon(self) -> None:
        """Store the counts a little later."""
        self._shared.soon()

    def looked_up(self, workspace: str, count: int, *, hit: bool) -> None:
        """Count look-ups of agents for runs; `hit`: whether this worker had them in its cache."""
        self._count(workspace, metrics.LOOKUPS, count, "hit" if hit else "miss")

    def compared(self, workspace: str, strategy: str, count: int, *, hit: bool) -> None:
        """Count look-ups of a worker with one of several compared strategies."""
        self._count(workspace, metrics.STRATEGY_LOOKUPS, count, strategy, "hit" if hit else "miss")

    def sized(self, workspace: str, capacity: int) -> None:
        """Set the capacity of this worker's cache."""
        self._shared.gauge(workspace, metrics.CAPACITY, capacity)

    def loaded(self, workspace: str, cause: str) -> None:
        """Count an opened agent; `cause` is `run` or `preload`."""
        self._count(workspace, metrics.LOADS, 1, cause)

    def removed(self, workspace: str, cause: str) -> None:
        """Count an agent that left the cache; `cause` is `evicted` or `dropped`."""
        self._count(workspace, metrics.REMOVALS, 1, cause)

    def preloaded(self, workspace: str, result: str) -> None:
        """Count the outcome of a preload: `used`, `wasted` or `failed`."""
        self._count(workspace, metrics.PRELOADS, 1, result)

    def routed(self, workspace: str, route: str, deployment: str, outcome: str) -> None:
        """Count a try of a model call at a route's deployment, by outcome."""
        self._count(workspace, metrics.ROUTED, 1, route, deployment, outcome)

    def _runs_here(self, run: Run) -> None:
        """Track the runs that this process runs; one that another process took over is removed after a time."""
        now = self._clock()
        if run.state is RunState.RUNNING:
            if run.id not in self._running:
                self._count(run.workspace, metrics.RUNNING, 1, run.agent)
                self._times.begin(run.id, run.workspace, run.agent)
            self._running[run.id] = (run.workspace, run.agent, now)
        over = [name for name, (_, _, seen) in self._running.items() if seen + self._run_timeout < now]
        over += [run.id] if run.state is not RunState.RUNNING and run.id in self._running else []
        for name in set(over):
            workspace, agent, _ = self._running.pop(name)
            self._times.end(name)
            self._count(workspace, metrics.RUNNING, -1, agent)

    def _run_ended(self, run: Run) -> None:
        self._count(run.workspace, metrics.RUNS, 1, run.agent, run.state.value)
        if run.finished_at is not None:
            took = (run.finished_at - run.created_at).total_seconds()
            self._count(run.workspace, metrics.RUN_DURATION, max(0.0, took), run.agent)
        if run.started_at is not None:
            waited = (run.started_at - run.created_at).total_seconds()
            self._count(run.workspace, metrics.QUEUE_TIME, max(0.0, waited))
        if run.score is not None:
            self._count(run.workspace, metrics.QUALITY, run.score.overall, run.agent)
