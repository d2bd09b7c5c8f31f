"""Composition of metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.core import Core
    from lifecycle.loader.hit_rates import HitRates
    from lifecycle.metrics.worker_counters import Measures
    from lifecycle.registry.agent_counts import LifecycleCounts
    from llmops.capacity.worker_resources import RunTimes
    from llmops.metrics.shared import SharedMetrics


@dataclass(eq=False)
class MetricServices:
    """Builds the metrics of workers."""

    _core: Core

    @cached_property
    def workers(self) -> SharedMetrics:
        """Metrics shared between workers."""
        from adapters.process import ProcessSampler
        from llmops.capacity.worker_resources import ProcessMeasure
        from llmops.metrics.instruments import Instruments
        from llmops.metrics.shared import SharedMetrics

        interval = timedelta(seconds=self._core.settings.metrics_every)
        longest = timedelta(seconds=self._core.settings.run_timeout) + interval  # no run of a dead worker is under way
        shared = SharedMetrics(self._core.tables, self._core.clock, interval, Instruments().push, gauges_last=longest)
        shared.add_source(ProcessMeasure(shared, ProcessSampler(), self.run_times).collect)
        return self._core.closes(shared)

    @cached_property
    def run_times(self) -> RunTimes:
        """How long this process has carried out runs."""
        from llmops.capacity.worker_resources import RunTimes

        return RunTimes()

    @cached_property
    def measures(self) -> Measures:
        """Records metrics from events."""
        from lifecycle.metrics.worker_counters import Measures

        timeout = timedelta(seconds=self._core.settings.run_timeout)
        return Measures(self.workers, self._core.clock, timeout, self.run_times)

    @cached_property
    def hit_rates(self) -> HitRates:
        """Shares of agent look-ups that took no I/O."""
        from lifecycle.loader.hit_rates import HitRates

        return HitRates(self._core.tables, self.workers, self._core.clock)

    @cached_property
    def lifecycle_counts(self) -> LifecycleCounts:
        """Counts of agents and of the steps in their life cycle."""
        from lifecycle.registry.agent_counts import LifecycleCounts

        return LifecycleCounts(self._core.tables)
