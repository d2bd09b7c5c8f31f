"""The list of all metrics, from which OpenTelemetry's instruments and the Prometheus text are made."""

from __future__ import annotations

from typing import Literal

from kernel.lazy_dataclass import dataclass

_DURATIONS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_SCORES = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: OpenTelemetry name; the Prometheus name has `_` for `.` and a suffix for unit and kind.
        kind: A counter, a gauge, or a histogram.
        help: One sentence.
        labels: Names of its labels.
        unit: As Prometheus spells it: `seconds`, `usd`; empty for a plain number.
        buckets: Upper bounds of a histogram's buckets, ascending; the last bucket has none.
        scale: Factor from recorded values to the unit; values are recorded as whole numbers where possible.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    scale: float = 1

    @property
    def prometheus_name(self) -> str:
        """The name of the metric family in the Prometheus text; counters get `_total` in addition."""
        name = self.name.replace(".", "_")
        return f"{name}_{self.unit}" if self.unit else name


def _duration(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "histogram", text, labels, "seconds", _DURATIONS)


RUNS = Metric("agent.runs", "counter", "Runs that ended, by how.", ("agent", "outcome"))
RUN_DURATION = _duration("agent.run.duration", "Time from a run's submission to its end.", "agent")
QUEUE_TIME = _duration("agent.run.queue_time", "Time from a run's submission until a worker first had it.")
QUALITY = Metric("agent.run.quality", "histogram", "Scores of answers, 0-100.", ("agent",), buckets=_SCORES)
MODEL_CALLS = _duration("agent.model.call_duration", "Time a model call took.", "model")
TOKENS = Metric("agent.model.tokens", "counter", "Tokens; cached ones are part of the input.", ("model", "type"))
COST = Metric("agent.model.cost", "counter", "Cost of priced model calls.", ("agent",), "usd", scale=1e-6)
UNPRICED = Metric("agent.model.unpriced_calls", "counter", "Model calls without a known price.", ("model",))
UNMETERED = Metric(
    "agent.model.unmetered_calls", "counter", "Model calls answered without a usable usage; at an estimate.", ("model",)
)
LOOKUPS = Metric("agent.cache.lookups", "counter", "Look-ups of agents ready to run: hit or miss.", ("result",))
STRATEGY_LOOKUPS = Metric(
    "agent.cache.strategy_lookups",
    "counter",
    "Look-ups of agents by the strategy of their worker, where strategies are compared.",
    ("strategy", "result"),
)
CAPACITY = Metric("agent.cache.capacity", "gauge", "Agents that workers may hold ready to run, summed up.")
LOADS = Metric("agent.cache.loads", "counter", "Agents opened: for a run, or preloaded.", ("cause",))
REMOVALS = Metric("agent.cache.removals", "counter", "Agents let go: evicted, or dropped after a change.", ("cause",))
PRELOADS = Metric(
    "agent.cache.preloads", "counter", "What became of preloaded agents: used, wasted or failed.", ("result",)
)
ROUTED = Metric(
    "agent.route.calls",
    "counter",
    "Tries of model calls at deployments of routes: answered, throttled, failed, denied or dropped.",
    ("route", "deployment", "outcome"),
)
BLOCKED = Metric("agent.budget.blocks", "counter", "Runs that a budget made wait.", ("agent",))
APPROVALS_REQUESTED = Metric("agent.approvals.requested", "counter", "Decisions that runs came to need.", ("agent",))
APPROVALS_CLOSED = Metric("agent.approvals.closed", "counter", "Decisions that runs need no more.", ("agent",))

RUNNING = Metric("agent.runs.running", "gauge", "Runs that run, by agent.", ("agent",))

MEMORY = Metric("agent.worker.memory", "gauge", "Memory that workers' processes hold.", (), "bytes")
MEMORY_LIMIT = Metric("agent.worker.memory_limit", "gauge", "Memory that there is for them.", (), "bytes")
CPU = Metric("agent.worker.cpu", "gauge", "Share of the cores of their instances that workers used, summed up.")
CPU_TIME = Metric(
    "agent.run.cpu_time",
    "counter",
    "CPU time of workers that carried out runs, shared out by how long each of these went on.",
    ("agent",),
    "seconds",
)

COUNTED = (
    RUNS,
    RUN_DURATION,
    QUEUE_TIME,
    QUALITY,
    MODEL_CALLS,
    TOKENS,
    COST,
    UNPRICED,
    UNMETERED,
    LOOKUPS,
    STRATEGY_LOOKUPS,
    CAPACITY,
    LOADS,
    REMOVALS,
    PRELOADS,
    ROUTED,
    BLOCKED,
    RUNNING,
    APPROVALS_REQUESTED,
    APPROVALS_CLOSED,
    MEMORY,
    MEMORY_LIMIT,
    CPU,
    CPU_TIME,
)
"""Metrics counted in each worker's memory and shared by `llmops.metrics.shared`."""

BY_NAME = {metric.name: metric for metric in COUNTED}
