"""The parts of metrics."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.foundation import Foundation

if TYPE_CHECKING:
    from lifecycle.measures.workers import Measures
    from lifecycle.registry.counts import LifecycleCounts
    from llmops.metrics.shared import SharedMetrics


class MetricParts(Foundation):
    """Makes metrics."""

    @cached_property
    def metrics(self) -> SharedMetrics:
        """What the workers count."""
        from llmops.metrics.push import Instruments
        from llmops.metrics.shared import SharedMetrics

        interval = timedelta(seconds=self.settings.metrics_every)
        longest = timedelta(seconds=self.settings.run_timeout) + interval  # no run of a worker that died goes on
        return SharedMetrics(self.tables, self.clock, interval, Instruments().push, gauges_last=longest)

    @cached_property
    def measures(self) -> Measures:
        """Turns what happens into metrics."""
        from lifecycle.measures.workers import Measures

        return Measures(self.metrics, self.clock, timedelta(seconds=self.settings.run_timeout))

    @cached_property
    def lifecycle_counts(self) -> LifecycleCounts:
        """How many agents there are, and what happened to them."""
        from lifecycle.registry.counts import LifecycleCounts

        return LifecycleCounts(self.tables)
