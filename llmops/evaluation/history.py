"""The scores of an agent's answers, one by one and summed by version and day.

Table `evaluations`, partition `{workspace}!{agent}`. Rows:
`line!{newest first}!{attempt}`  a scored answer, kept; the key is of its time and run;
`new!{run}!{attempt}!{step}`     what the score adds to the sums, until it is folded in;
`wait!{judge}!{run}!{attempt}`   a judge to be heard of an answer; deleted once it was;
`sum!{version}!{day}`            what the scores of a version's answers of a UTC day came to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from urllib.parse import quote, unquote

from kernel.codec import JsonCodec
from kernel.folding import NEW, Sums, fold
from kernel.ids import newest_first
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, Span, Tables, every
from llmops.evaluation.moments import Moments
from llmops.evaluation.scoring import Part, Score, with_parts

TABLE = "evaluations"
_CLOCKS_DIFFER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A scored answer.

    Attributes:
        workspace: Workspace of the agent.
        agent: Who answered.
        version: Its version at the provider.
        run_id: The run.
        session_id: The run's session.
        attempt: The attempt that gave the answer.
        at: When it was scored, aware UTC.
        score: The score; parts that judges add later are in it once they are there.
        judged: Judges that have been heard, or given up.
        model: The model that answered; empty when unknown.
        judged_at: When a judge was heard last; None before.
        erased: Whether the run was erased: reasons, which may tell of the answer, are not kept.
    """

    workspace: str
    agent: str
    version: str
    run_id: str
    session_id: str
    attempt: int
    at: datetime
    score: Score
    judged: tuple[str, ...] = ()
    model: str = ""
    judged_at: datetime | None = None
    erased: bool = False

    @property
    def key(self) -> str:
        """The key of its row."""
        return f"line!{newest_first(self.at, self.run_id)}!{self.attempt:04d}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A judge to be asked about an answer.

    Attributes:
        judge: The judge.
        evaluation: The answer's evaluation.
        tries: How often it was claimed, which is before each time it is asked.
        etag: The row's ETag.
        claimed_until: Until when one worker alone may ask it; None when none may.
    """

    judge: str
    evaluation: Evaluation
    tries: int = 0
    etag: str = ""
    claimed_until: datetime | None = None


Parts = Mapping[str, Moments]
_KEY = re.compile(r"line![0-9a-f]{12}![0-9a-f-]{36}!\d{4}")
_EVALUATION = JsonCodec(Evaluation)
OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class DaySum:
    """What the answers of a version on a day were scored, by part (`overall` among them)."""

    version: str
    day: date
    parts: Parts = field(default_factory=dict[str, Moments])


class Evaluations:
    """Writes, sums and reads scores."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, evaluation: Evaluation, judges: Sequence[str] = ()) -> None:
        """Write the evaluation, and that these judges are to be heard; writing the same again changes nothing."""
        parts = {name: Moments.of(value) for name, value in _values(evaluation.score).items()}
        writes = [
            Insert(_row(evaluation)),
            Insert(_news(evaluation, "answer", parts)),
            *(Insert(_wait_row(Waiting(judge, evaluation))) for judge in judges),
        ]
        try:
            await self._tables.commit(TABLE, writes)
        except RowExists:
            return  # our own earlier try took effect although its response was lost

    async def waiting(
        self, workspace: str, agent: str, limit: int, *, free_at: datetime | None = None
    ) -> Sequence[Waiting]:
        """Return up to `limit` (1-1000) judges that are to be asked about answers of the agent.

        Args:
            workspace: The agent's workspace.
            agent: The agent.
            limit: How many at most.
            free_at: Leaves out those that are claimed at that time.
        """
        span = Span.prefix(_home(workspace, agent), "wait!")
        found: list[Waiting] = []
        async for row in every(self._tables, TABLE, span, page=limit):
            waiting = _waiting(row)
            if free_at is None or waiting.claimed_until is None or waiting.claimed_until <= free_at:
                found.append(waiting)
            if len(found) == limit:
                break
        return found

    async def claim(self, waiting: Waiting, until: datetime) -> Waiting | None:
        """Note that one worker alone asks the judge until then, and return what it claimed; None when another did."""
        claimed = replace(waiting, tries=waiting.tries + 1, claimed_until=until)
        try:
            [etag] = await self._tables.commit(TABLE, [Replace(_wait_row(claimed))])
        except RowChanged:
            return None
        return replace(claimed, etag=etag)

    async def put_off(self, waiting: Waiting) -> None:
        """Give up the claim: the judge could not be asked this time, and can be again."""
        try:
            await self._tables.commit(TABLE, [Replace(_wait_row(replace(waiting, claimed_until=None)))])
        except RowChanged:
            return  # the claim was over, and somebody else has it

    async def judged(
        self, waiting: Waiting, parts: Sequence[Part], weights: Mapping[str, float], now: datetime
    ) -> Evaluation | None:
        """Add what a judge found to the evaluation and return it; None when it is gone.

        A judge is heard once: later findings of it change nothing.
        """
        judge, home = waiting.judge, _home(waiting.evaluation.workspace, waiting.evaluation.agent)
        while True:
            row = await self._tables.get(TABLE, home, waiting.evaluation.key)
            if row is None:
                return None
            stored = _EVALUATION.load(row.text("evaluation"))
            if judge in stored.judged:
                return stored
            score = with_parts(stored.score, parts, weights)
            if stored.erased:
                score = replace(score, reasons={})
            judged = replace(stored, score=score, judged=(*stored.judged, judge), judged_at=now)
            before, after = _values(stored.score), _values(score)
            changes = {
                name: (Moments.of(after[name]) if name in after else Moments())
                + (-Moments.of(before[name]) if name in before else Moments())
                for name in before.keys() | after.keys()
                if before.get(name) != after.get(name)
            }
            writes = [
                Replace(_row(judged, row.etag)),
                Insert(_news(judged, judge, changes)),
            ]
            try:
                await self._tables.commit(TABLE, writes)
            except (RowChanged, RowExists):
                continue
            return judged

    async def settle(self, waiting: Waiting) -> None:
        """Note that nothing more is to be done about the judge."""
        row = _wait_row(waiting)
        try:
            await self._tables.commit(TABLE, [Delete(row.partition, row.key)])
        except RowChanged:
            return  # it was noted before

    async def erase(self, workspace: str, agent: str, run_id: str, first: datetime, last: datetime) -> datetime | None:
        """Remove the reasons of the run's scores for good, and return when a judge was heard of it last, if ever.

        The run began and ended at `first` and `last`.
        """
        home = _home(workspace, agent)
        begin, end = (newest_first(at, "") for at in (last + _CLOCKS_DIFFER, first - _CLOCKS_DIFFER))
        span = Span(home, key_from=f"line!{begin}", key_before=f"line!{end}", where={"run": run_id})
        keys = [row.key async for row in every(self._tables, TABLE, span)]
        return max(filter(None, [await self._erase(home, key) for key in keys]), default=None)

    async def _erase(self, home: str, key: str) -> datetime | None:
        while row := await self._tables.get(TABLE, home, key):
            stored = _EVALUATION.load(row.text("evaluation"))
            erased = replace(stored, score=replace(stored.score, reasons={}), erased=True)
            try:
                await self._tables.commit(TABLE, [Replace(_row(erased, row.etag))])
            except RowChanged:
                continue
            return erased.judged_at
        return None

    async def get(self, workspace: str, agent: str, key: str) -> Evaluation | None:
        """Return the evaluation with that key, or None."""
        row = await self._tables.get(TABLE, _home(workspace, agent), key)
        return _EVALUATION.load(row.text("evaluation")) if row else None

    async def list(
        self, workspace: str, agent: str, limit: int, *, after: str | None = None, version: str | None = None
    ) -> tuple[Sequence[Evaluation], str | None]:
        """Return up to `limit` evaluations, newest first, and the key to continue after; None at the end."""
        where = {} if version is None else {"version": version}
        span = replace(Span.prefix(_home(workspace, agent), "line!", after=after), where=where)
        found: list[Evaluation] = []
        async for row in every(self._tables, TABLE, span, page=limit + 1):
            if len(found) == limit:
                return found, found[-1].key
            found.append(_EVALUATION.load(row.text("evaluation")))
        return found, None

    async def sums(self, workspace: str, agent: str, version: str | None = None) -> Sequence[DaySum]:
        """Return the sums of every version and day, or of one version, after adding what is new."""
        home = _home(workspace, agent)
        await self.fold(workspace, agent)
        prefix = "sum!" if version is None else f"sum!{quote(version, safe='')}!"
        return [_day_sum(row) async for row in every(self._tables, TABLE, Span.prefix(home, prefix))]

    async def fold(self, workspace: str, agent: str) -> int:
        """Add new scores of the agent's answers to its sums and return how many there were."""
        return await fold(self._tables, _SUMS, _home(workspace, agent))


def after_key(text: str) -> str:
    """Return the text if it can be the key of an evaluation.

    Raises:
        ValueError: It cannot.
    """
    if not _KEY.fullmatch(text):
        msg = "no key of an evaluation"
        raise ValueError(msg)
    return text


def by_version(sums: Sequence[DaySum]) -> dict[str, dict[str, Moments]]:
    """Return the sums of all days by version and part."""
    found: dict[str, dict[str, Moments]] = {}
    for one in sums:
        found[one.version] = _add(found.get(one.version, {}), one.parts)
    return found


def _values(score: Score) -> dict[str, int]:
    return {**score.parts, OVERALL: score.overall}


def _home(workspace: str, agent: str) -> str:
    return f"{workspace}!{agent}"


def _row(evaluation: Evaluation, etag: str = "") -> Row:
    values = {"evaluation": _EVALUATION.dump(evaluation), "version": evaluation.version, "run": evaluation.run_id}
    return Row(_home(evaluation.workspace, evaluation.agent), evaluation.key, values, etag)


def _wait_row(waiting: Waiting) -> Row:
    evaluation = waiting.evaluation
    key = f"wait!{waiting.judge}!{evaluation.run_id}!{evaluation.attempt:04d}"
    values = {
        "judge": waiting.judge,
        "evaluation": _EVALUATION.dump(evaluation),
        "tries": waiting.tries,
        "claimed_until": waiting.claimed_until,
    }
    return Row(_home(evaluation.workspace, evaluation.agent), key, values, waiting.etag)


def _waiting(row: Row) -> Waiting:
    evaluation = _EVALUATION.load(row.text("evaluation"))
    return Waiting(row.text("judge"), evaluation, row.integer("tries"), row.etag, row.moment("claimed_until"))


def _news(evaluation: Evaluation, step: str, parts: Parts) -> Row:
    key = f"{NEW}{evaluation.run_id}!{evaluation.attempt:04d}!{step}"
    values = {"parts": _dump(parts), "sum": f"sum!{quote(evaluation.version, safe='')}!{evaluation.at:%Y-%m-%d}"}
    return Row(_home(evaluation.workspace, evaluation.agent), key, values)


def _day_sum(row: Row) -> DaySum:
    _, version, day = row.key.split("!")
    return DaySum(unquote(version), date.fromisoformat(day), _load(row))


def _dump(parts: Parts) -> str:
    return json.dumps({name: [value.count, value.total, value.squares] for name, value in parts.items()})


def _load(row: Row) -> dict[str, Moments]:
    return {name: Moments(*values) for name, values in json.loads(row.text("parts")).items()}


def _add(first: Parts, second: Parts) -> dict[str, Moments]:
    return {name: first.get(name, Moments()) + second.get(name, Moments()) for name in first.keys() | second.keys()}


_SUMS: Sums[Parts] = Sums(
    TABLE,
    parts=lambda row: [(row.text("sum"), _load(row))],
    load=_load,
    dump=lambda parts: {"parts": _dump(parts)},
    add=_add,
)
