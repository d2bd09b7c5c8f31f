"""The sum of a number of attempts, and the performance figures computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kernel.lazy_dataclass import dataclass
from llmops.facts.attempt_fact import AttemptFact, Ending
from llmops.facts.quantile_sketch import Sketch
from llmops.spend.usage import Spend


@dataclass(frozen=True, slots=True)
class PerformanceSummary:
    """The sum of a number of attempts.

    Attributes:
        succeeded: Runs answered.
        failed: Runs that failed permanently.
        cancelled: Runs cancelled.
        retried: Attempts that failed and were retried.
        paused: Attempts that a budget stopped while the run waits.
        dead: Failed runs that are dead letters.
        spend: What was spent.
        wasted: The part of it that produced no answer, in micro-USD.
        scored: Answers with a score.
        quality_sum: Sum of the scores.
        latency: Time from acceptance to answer of answered runs, in ms.
        model: Total time of model calls of attempts that made any, in ms.
        queue: Time from acceptance to first claim of ended runs, in ms.
        codes: Number of failed attempts by error code.
    """

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    paused: int = 0
    dead: int = 0
    spend: Spend = field(default_factory=Spend)
    wasted: int = 0
    scored: int = 0
    quality_sum: int = 0
    latency: Sketch = field(default_factory=Sketch)
    model: Sketch = field(default_factory=Sketch)
    queue: Sketch = field(default_factory=Sketch)
    codes: Mapping[str, int] = field(default_factory=dict[str, int])

    def __add__(self, other: PerformanceSummary) -> PerformanceSummary:
        codes = dict(self.codes)
        for code, count in other.codes.items():
            codes[code] = codes.get(code, 0) + count
        return PerformanceSummary(
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.retried + other.retried,
            self.paused + other.paused,
            self.dead + other.dead,
            self.spend + other.spend,
            self.wasted + other.wasted,
            self.scored + other.scored,
            self.quality_sum + other.quality_sum,
            self.latency + other.latency,
            self.model + other.model,
            self.queue + other.queue,
            codes,
        )

    @property
    def runs(self) -> int:
        """Number of runs answered or failed; cancelled ones say nothing about the agent."""
        return self.succeeded + self.failed

    @property
    def attempts(self) -> int:
        """Number of attempts that ended."""
        return self.runs + self.retried

    @property
    def availability(self) -> float | None:
        """Share of runs answered, 0-1; None without runs."""
        return self.succeeded / self.runs if self.runs else None

    @property
    def error_rate(self) -> float | None:
        """Share of runs failed, 0-1; None without runs."""
        return self.failed / self.runs if self.runs else None

    @property
    def retry_rate(self) -> float | None:
        """Share of attempts that were retried, 0-1; None without attempts."""
        return self.retried / self.attempts if self.attempts else None

    @property
    def quality(self) -> float | None:
        """The mean score, 0-100; None without scores."""
        return self.quality_sum / self.scored if self.scored else None

    @property
    def cost_per_run(self) -> float | None:
        """Cost per run in micro-USD; None without runs, or when a call has no known price."""
        return self.spend.cost_micro_usd / self.runs if self.runs and not self.spend.unpriced_calls else None

    @property
    def wasted_share(self) -> float | None:
        """Share of the spend that produced no answer, 0-1; None when nothing was spent."""
        return self.wasted / self.spend.cost_micro_usd if self.spend.cost_micro_usd else None

    @property
    def cached_share(self) -> float | None:
        """Share of input tokens read from the provider's cache, 0-1; None without input tokens."""
        return self.spend.cached_tokens / self.spend.input_tokens if self.spend.input_tokens else None

    @property
    def tokens(self) -> int:
        """Number of input and output tokens."""
        return self.spend.input_tokens + self.spend.output_tokens


def summary_of(fact: AttemptFact) -> PerformanceSummary:
    """Return the summary of one attempt."""
    ending = fact.ending
    failed = ending in (Ending.FAILED, Ending.RETRIED)
    scored = fact.score is not None and ending is Ending.SUCCEEDED
    return PerformanceSummary(
        succeeded=int(ending is Ending.SUCCEEDED),
        failed=int(ending is Ending.FAILED),
        cancelled=int(ending is Ending.CANCELLED),
        retried=int(ending is Ending.RETRIED),
        paused=int(ending is Ending.PAUSED),
        dead=int(fact.dead),
        spend=fact.spend,
        wasted=fact.wasted_micro_usd,
        scored=int(scored),
        quality_sum=fact.score.overall if fact.score is not None and scored else 0,
        latency=Sketch.of([fact.timing.total_ms] if ending is Ending.SUCCEEDED else []),
        model=Sketch.of([fact.model_ms] if fact.model_ms else []),
        queue=Sketch.of([fact.timing.queue_ms] if fact.final else []),
        codes={fact.code: 1} if failed and fact.code else {},
    )
