"""Scores of answers: pending judges, the changes that judges make, and lists of scores by answer and by day.

The rows are those of `llmops.facts.fact_store`; an answer's fact holds its current score.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from kernel.codec import all_readable
from kernel.errors import Unavailable
from kernel.ids import newest_first
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Tables, every
from llmops.evaluation.combined_score import Part, Score, with_parts
from llmops.facts.attempt_fact import Call
from llmops.facts.fact_store import (
    NOTED_CALLS,
    SHARDS,
    TABLE,
    StoredFact,
    days,
    kept_of,
    kept_row,
    noted_calls,
    partition,
    shard,
)
from llmops.facts.sum_reader import FactSums
from llmops.facts.summing import DAY_SUM, FactAggregation, score_change_row, scores_home
from llmops.facts.sums import DaySum, added, changes

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.evaluation.score_distribution import ScoreDistribution

_CURSOR = re.compile(r"\d{4}-\d{2}-\d{2}![0-9a-f]{12}![0-9a-f-]{36}!\d{4}")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A scored answer.

    Attributes:
        workspace: Workspace of the agent.
        agent: The agent that answered.
        version: Its version at the provider.
        run_id: The run.
        session_id: The run's session.
        attempt: The attempt that gave the answer.
        at: When the answer was given, aware UTC.
        score: The score, including the judges' parts so far.
        judged: Judges whose results have come, or that were given up.
        model: The model that answered; empty when unknown.
        judged_at: When the last judge's result came, aware UTC; None before.
        erased: Whether the run was erased; reasons, which may quote the answer, are then not kept.
        accepted_at: When the run was accepted, aware UTC.
    """

    workspace: str
    agent: str
    version: str
    run_id: str
    session_id: str
    attempt: int
    at: datetime
    score: Score
    judged: tuple[str, ...]
    model: str
    judged_at: datetime | None
    erased: bool
    accepted_at: datetime

    @property
    def cursor(self) -> str:
        """The cursor after which a list continues."""
        return f"{self.at.date().isoformat()}!{newest_first(self.accepted_at, self.run_id)}!{self.attempt:04d}"


@dataclass(frozen=True, slots=True)
class PendingEvaluation:
    """A judge to be asked about an answer.

    Attributes:
        judge: The judge.
        workspace: Workspace of the agent.
        agent: The agent that gave the answer.
        tries: How often it was claimed; each try claims it first.
        claimed_until: Until when it is claimed by a worker; None when it is free.
        calls: The noted model calls of the last try; the last one may be under way.
        row: Its row.
    """

    judge: str
    workspace: str
    agent: str
    tries: int
    claimed_until: datetime | None
    calls: tuple[Call, ...]
    row: Row

    @property
    def answer_key(self) -> str:
        """The key of the row that keeps the answer's fact."""
        return f"fact!{self.row.key.removeprefix('judge!').rpartition('!')[0]}"


class Evaluations:
    """Reads scores, and adds the results of judges."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._figures = FactSums(tables)
        self._folding = FactAggregation(tables)

    async def waiting(self, limit: int, free_at: datetime) -> Mapping[tuple[str, str], Sequence[PendingEvaluation]]:
        """Return, by workspace and agent, up to `limit` pending evaluations of each agent.

        Those claimed at the time `free_at` are left out.
        """
        today = self._clock().date()
        found: dict[tuple[str, str], list[PendingEvaluation]] = {}
        for day in days(await self._folding.first_open_day(today), today):
            for number in range(SHARDS):
                rows = every(self._tables, TABLE, Span.prefix(partition(day, number), "judge!"))
                async for waits in all_readable(rows, _waiting, "row of facts"):
                    free = waits.claimed_until is None or waits.claimed_until <= free_at
                    of_agent = found.setdefault((waits.workspace, waits.agent), [])
                    if free and len(of_agent) < limit:
                        of_agent.append(waits)
        return found

    async def claim(self, waiting: PendingEvaluation, until: datetime) -> PendingEvaluation | None:
        """Claim the evaluation for this worker until then, and return it; None when another worker has it."""
        return await self._replaced(replace(waiting, tries=waiting.tries + 1, claimed_until=until, calls=()))

    async def note(self, waiting: PendingEvaluation, calls: Sequence[Call]) -> PendingEvaluation:
        """Store the judge's model calls, the last of which is about to be made; return the claimed evaluation.

        Raises:
            Unavailable: The claim has expired, and another worker has it.
        """
        noted = await self._replaced(replace(waiting, calls=tuple(calls)))
        if noted is None:
            msg = "Another worker asks the judge."
            raise Unavailable(msg, code="judge_claimed")
        return noted

    async def release(self, waiting: PendingEvaluation) -> None:
        """Release the claim: the judge could not be asked this time, and is asked again.

        Its noted calls stay, in case their fact could not be written.
        """
        await self._replaced(replace(waiting, claimed_until=None))  # or another worker has it

    async def of(self, waiting: PendingEvaluation) -> Evaluation | None:
        """Return the evaluation that the judge adds to; None when it no longer exists."""
        row = await self._tables.get(TABLE, waiting.row.partition, waiting.answer_key)
        kept = kept_of(row) if row else None
        return evaluation_of(kept) if kept else None

    async def judged(
        self, waiting: PendingEvaluation, parts: Sequence[Part], weights: Mapping[str, float], now: datetime
    ) -> Evaluation | None:
        """Add a judge's result to the evaluation and return it; None when it no longer exists.

        A judge counts once: its later results change nothing.
        """

        def add(before: Score) -> Score:
            after = with_parts(before, parts, weights)
            return replace(after, pending=tuple(each for each in before.pending if each != waiting.judge))

        return await self.change(waiting.row.partition, waiting.answer_key, waiting.judge, add, now)

    async def change(
        self, home: str, key: str, judge: str, add: Callable[[Score], Score], now: datetime
    ) -> Evaluation | None:
        """Change an answer's score and return the evaluation; None when it no longer exists.

        Args:
            home: Partition of the answer's fact.
            key: Key of the row of the fact.
            judge: Name of the source. It counts once: later results under the same name change nothing.
            add: Returns the score with the result added.
            now: The time, aware UTC.
        """
        while True:
            row = await self._tables.get(TABLE, home, key)
            stored = kept_of(row) if row else None
            if row is None or stored is None or stored.fact.score is None:
                return None
            if judge in stored.judged:
                return evaluation_of(stored)
            fact = stored.fact
            before = stored.fact.score
            after = add(before)
            if stored.erased:
                after = replace(after, reasons={})
            heard = replace(stored, fact=replace(fact, score=after), judged=(*stored.judged, judge), judged_at=now)
            change = DaySum(fact.who.version, fact.timing.ended_at.date(), changes(before, after))
            writes = [
                Replace(kept_row(row.partition, heard, row.etag)),
                Insert(score_change_row(fact, judge, change)),
            ]
            try:
                await self._tables.commit(TABLE, writes)
            except (RowChanged, RowExists):
                continue
            return evaluation_of(heard)

    async def settle(self, waiting: PendingEvaluation) -> None:
        """Note that the judge is done."""
        try:
            await self._tables.commit(TABLE, [Delete(waiting.row.partition, waiting.row.key)])
        except RowChanged:
            return  # it was noted before

    async def list(
        self, workspace: str, agent: str, limit: int, *, after: str | None = None, version: str | None = None
    ) -> tuple[Sequence[Evaluation], str | None]:
        """Return up to `limit` evaluations, latest day first, and the cursor of the next page; None at the end."""
        last, _, key = (after or "").partition("!")
        where: dict[str, str | int | bool] = {"scored": True}
        if version is not None:
            where["version"] = version
        found: list[Evaluation] = []
        for day in sorted({one.day for one in await self.sums(workspace, agent, version)}, reverse=True):
            if last and day.isoformat() > last:
                continue
            home, prefix = partition(day, shard(workspace, agent)), f"fact!{workspace}!{agent}!"
            start = prefix + key if day.isoformat() == last else None
            span = replace(Span.prefix(home, prefix, after=start), where=where)
            rows = every(self._tables, TABLE, span, page=min(limit + 1, 1000))
            async for kept in all_readable(rows, kept_of, "row of facts"):
                if (one := evaluation_of(kept)) is None:
                    continue
                if len(found) == limit:
                    return found, found[-1].cursor
                found.append(one)
        return found, None

    async def sums(self, workspace: str, agent: str, version: str | None = None) -> Sequence[DaySum]:
        """Return the sums of scores by version and day, of all versions or one, including facts not in the sums yet."""
        today = self._clock().date()
        first_open = await self._folding.first_open_day(today)
        published = every(self._tables, TABLE, Span(scores_home(workspace, agent)))
        closed = [
            one async for one in all_readable(published, lambda row: DAY_SUM.load(row.text("sum")), "sum of facts")
        ]
        opened = await self._figures.scores(workspace, agent, list(days(first_open, today)))
        found: dict[tuple[str, date], DaySum] = {}
        for one in [*(each for each in closed if each.day < first_open), *opened]:
            if version in (None, one.version):
                key = one.version, one.day
                found[key] = found[key] + one if key in found else one
        return list(found.values())

    async def _replaced(self, waiting: PendingEvaluation) -> PendingEvaluation | None:
        row = replace(waiting.row, values=_values(waiting))
        try:
            [etag] = await self._tables.commit(TABLE, [Replace(row)])
        except RowChanged:
            return None
        return replace(waiting, row=replace(row, etag=etag))


def evaluation_of(kept: StoredFact) -> Evaluation | None:
    """Return the fact as a scored answer; None when it has no score."""
    fact = kept.fact
    if fact.score is None or fact.judge:
        return None
    who = fact.who
    return Evaluation(
        who.workspace,
        who.agent,
        who.version,
        who.run_id,
        who.session_id,
        fact.attempt,
        fact.timing.ended_at,
        fact.score,
        kept.judged,
        fact.model,
        kept.judged_at,
        kept.erased,
        fact.timing.accepted_at,
    )


def cursor(text: str) -> str:
    """Return the text if it is a valid cursor.

    Raises:
        ValueError: It is not.
    """
    if not _CURSOR.fullmatch(text):
        msg = "no cursor of evaluations"
        raise ValueError(msg)
    return text


def by_version(sums: Sequence[DaySum]) -> dict[str, dict[str, ScoreDistribution]]:
    """Return the sums over all days by version and part."""
    found: dict[str, dict[str, ScoreDistribution]] = {}
    for one in sums:
        found[one.version] = added(found.get(one.version, {}), one.parts)
    return found


def _values(waiting: PendingEvaluation) -> dict[str, Any]:
    calls = NOTED_CALLS.dump(waiting.calls) if waiting.calls else None
    return {"tries": waiting.tries, "claimed_until": waiting.claimed_until, "calls": calls}


def _waiting(row: Row) -> PendingEvaluation:
    _, workspace, agent, *_, judge = row.key.split("!")
    return PendingEvaluation(
        judge, workspace, agent, row.integer("tries"), row.moment("claimed_until"), noted_calls(row), row
    )
