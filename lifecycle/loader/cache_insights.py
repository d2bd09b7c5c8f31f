"""Insights into the workers' caches: each names a cause and what to do about it.

Thresholds are here, but for those of a fall of the hit rate (`hit_rates`). A rule with too little data gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.loader.hit_rates import HitRateWindow
from lifecycle.loader.loader_statistics import LoaderMetrics
from lifecycle.loader.strategy_comparison import Compared
from llmops.performance.insights import Insight

if TYPE_CHECKING:
    from llmops.notifications.notification import Severity

FELL = 0.15
"""Fall of the hit rate compared with the day before, as a share of 1."""
MIN_LOOKUPS = 200
"""Fewest look-ups for a rule."""
FULL, LOW, EVICTED = 0.95, 0.8, 0.1
"""Least share of used places, highest hit rate, and least share of look-ups with an eviction for a crowded cache."""
FEW = 100
"""Average look-ups of a worker below which it mostly opens agents for the first time."""
MIN_PRELOADS, WASTED = 20, 0.5
"""Fewest preloaded agents with an outcome, and least share of them that were unused."""
FAILED = 0.2
"""Least share of preloads that failed."""


@dataclass(frozen=True, slots=True)
class LoaderFigures:
    """Input of the rules.

    Attributes:
        total: Sum over all workers that reported lately, since their start.
        workers: Number of these workers.
        recent: Look-ups of the last hour, and of the day before it.
        strategies: Results of the strategies that are being compared.
    """

    total: LoaderMetrics
    workers: int
    recent: HitRateWindow
    strategies: Sequence[Compared] = ()


def insights_of(figures: LoaderFigures) -> Sequence[Insight]:
    """Return the insights, the most severe first."""
    found = [insight for rule in _RULES for insight in rule(figures)]
    order: Sequence[Severity] = ("critical", "warning", "info")
    return sorted(found, key=lambda insight: order.index(insight.severity))


def _fell(figures: LoaderFigures) -> Iterator[Insight]:
    fall, now, before = figures.recent.fall, figures.recent.during.hit_rate, figures.recent.before.hit_rate
    if fall is not None and now is not None and before is not None and fall >= FELL:
        yield Insight(
            "hit_rate_fell",
            "warning",
            f"{now:.0%} of the last hour's look-ups found their agent ready; {before:.0%} did the day before.",
            "See GET loader/activity for agents that are new, and GET scaling for workers that are: both begin cold.",
            {"hit_rate": now, "hit_rate_before": before},
        )


def _crowded(figures: LoaderFigures) -> Iterator[Insight]:
    total = figures.total
    rate, asked = total.hit_rate, total.hits + total.misses
    if rate is None or asked < MIN_LOOKUPS:
        return
    if total.utilization >= FULL and rate < LOW and total.evictions >= EVICTED * asked:
        yield Insight(
            "cache_too_small",
            "warning",
            f"The caches are full, {total.evictions / asked:.0%} of the look-ups evict an agent, and {rate:.0%} hit.",
            "Replay what was asked with GET loader/what-if; raise AGENT_CACHE_SIZE, or set AGENT_CACHE_MAX_SIZE.",
            {"utilization": total.utilization, "evictions": float(total.evictions), "hit_rate": rate},
        )


def _short_lived(figures: LoaderFigures) -> Iterator[Insight]:
    total = figures.total
    rate, asked = total.hit_rate, total.hits + total.misses
    if rate is None or asked < MIN_LOOKUPS or not figures.workers or total.utilization >= FULL:
        return
    each = asked / figures.workers
    if each < FEW and rate < LOW:
        yield Insight(
            "workers_begin_cold",
            "info",
            f"{figures.workers} workers have looked up {each:.0f} agents each, and {rate:.0%} were ready.",
            "Keep instances (alwaysReady), or have each take more runs, so that fewer of them begin cold.",
            {"lookups_a_worker": each, "hit_rate": rate},
        )


def _wasted(figures: LoaderFigures) -> Iterator[Insight]:
    total = figures.total
    ended = total.preloads_used + total.preloads_wasted
    if ended >= MIN_PRELOADS and total.preloads_wasted >= WASTED * ended:
        share = total.preloads_wasted / ended
        yield Insight(
            "preloads_wasted",
            "info",
            f"{share:.0%} of the agents that were preloaded went without a use.",
            "Workers preload fewer by themselves; raise PRELOAD_THRESHOLD, or lower PRELOAD_SHARE, to open fewer.",
            {"used": float(total.preloads_used), "wasted": float(total.preloads_wasted)},
        )


def _failing(figures: LoaderFigures) -> Iterator[Insight]:
    total = figures.total
    tried = total.preloaded + total.preload_failures
    if tried >= MIN_PRELOADS and total.preload_failures >= FAILED * tried:
        yield Insight(
            "preloads_fail",
            "warning",
            f"{total.preload_failures} of {tried} tries to preload an agent failed.",
            "Look for loader.preload_failed in the log: it has the code of each.",
            {"failed": float(total.preload_failures), "tried": float(tried)},
        )


def _better(figures: LoaderFigures) -> Iterator[Insight]:
    if len(figures.strategies) < 2:
        return
    best, worst = figures.strategies[0], figures.strategies[-1]
    enough = all(one.hits + one.misses >= MIN_LOOKUPS for one in (best, worst))
    if enough and best.least > worst.most:
        yield Insight(
            "strategy_better",
            "info",
            f"Workers with {best.strategy} hit {best.hit_rate:.1%}, those with {worst.strategy} {worst.hit_rate:.1%}.",
            f"Leave {worst.strategy} out of LOADER_STRATEGIES, or end the comparison with the better one.",
            {"best": best.hit_rate, "worst": worst.hit_rate},
        )


_RULES = (_fell, _crowded, _short_lived, _wasted, _failing, _better)
