"""Writing what attempts at runs did, one fact each (`llmops.facts`).

It is done after the run's end is written and whoever waits for it was told, so that nobody waits for it. A worker that
dies before is made up for by who finds it: the message's next delivery, the next attempt, or who accounts for the dead
letter. They make the fact from the run as it is stored and the notes of its calls (`llmops.spend.ledger`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kernel.clock import Clock
from kernel.errors import AppError
from lifecycle.runs.notices import Notices
from lifecycle.runs.rules import Run, RunState
from llmops.budgets.purse import Treasury
from llmops.facts.model import AttemptFact, Attribution, Call, Continuation, Ending, Timing
from llmops.facts.store import Facts
from llmops.spend.ledger import Line

log = logging.getLogger(__name__)

WORKER_LOST = "worker_lost"

_ENDINGS = {
    RunState.SUCCEEDED: Ending.SUCCEEDED,
    RunState.FAILED: Ending.FAILED,
    RunState.CANCELLED: Ending.CANCELLED,
    RunState.QUEUED: Ending.RETRIED,
    RunState.WAITING: Ending.PAUSED,
}


@dataclass(frozen=True, slots=True)
class Effort:
    """What an attempt was made with.

    Attributes:
        version: The agent's version at the provider; empty when it did not come as far.
        lines: Its model calls.
        went_on: Whether it went on from where an earlier attempt was stopped.
    """

    version: str
    lines: Sequence[Line] = ()
    went_on: bool = False


class Endings:
    """Writes facts of attempts."""

    def __init__(self, facts: Facts, treasury: Treasury, notices: Notices, clock: Clock) -> None:
        self._facts = facts
        self._treasury = treasury
        self._notices = notices
        self._clock = clock

    async def ended(self, before: Run, after: Run, effort: Effort, error: AppError | None = None) -> None:
        """Wake who waits for the run, and write what the attempt at it did.

        Args:
            before: The run as the attempt had it.
            after: The run as the attempt's end was written.
            effort: What the attempt was made with.
            error: Why it gave no answer; None if it did.

        Raises:
            Unavailable: The fact cannot be written. The run has ended, well or badly; its message is to be delivered
                again, so that the fact is.
        """
        self._notices.finished(after.id)
        dead = error is not None and error.retriable and after.state is RunState.FAILED
        carried = before.carried.cost_micro_usd
        continues = after.state is RunState.WAITING and after.progress is not None
        how = Continuation(carried, went_on=effort.went_on, continues=continues)
        at = after.finished_at or self._clock()
        fact = _fact(after, effort, error.code if error else "", how, at, dead=dead)
        if fact is not None:
            await self._write(after, fact, made_good=after.attempt > 1)

    async def found(self, run: Run) -> None:
        """Write the facts that are missing of a run that was found ended; none may be."""
        if run.finished and not await self._complete(run):
            await self._make_good(run, dead=False)

    async def lost(self, run: Run) -> None:
        """Write the facts of a run that no worker ended: its message is a dead letter."""
        await self._make_good(run, dead=run.state is RunState.FAILED)

    async def _write(self, run: Run, fact: AttemptFact, *, made_good: bool) -> None:
        try:
            await self._facts.record(fact)
            if made_good:
                await self._earlier(run, before=run.attempt)
        except AppError as failure:
            log.warning("fact of run %s not written: %s", run.id, failure.code, extra={"event": "fact.not_written"})
            raise

    async def _make_good(self, run: Run, *, dead: bool) -> None:
        try:
            lines = await self._earlier(run, before=run.attempt + 1)
            mine = [line for line in lines if line.attempt == run.attempt and line.attempt > 0]
            known = await self._attempts(run)
            went_on = run.carried.calls > 0 and run.state is RunState.SUCCEEDED
            carried = Continuation(run.carried.cost_micro_usd, went_on=went_on)
            code = run.error.code if run.error else ""
            effort = Effort(run.version or "", mine)
            fact = _fact(run, effort, code, carried, run.finished_at or self._clock(), dead=dead)
            if fact is not None and run.attempt not in known:
                await self._facts.record(fact)
        except AppError as failure:
            log.warning("fact of run %s not written: %s", run.id, failure.code, extra={"event": "fact.not_written"})

    async def _earlier(self, run: Run, before: int) -> Sequence[Line]:
        """Write the facts of the run's attempts whose workers died, and return the notes of all its calls."""
        treasury, who, first = self._treasury, (run.workspace, run.id), (run.started_at or run.created_at).date()
        today = self._clock().date()
        await treasury.ledger.give_up(*who, before, first, today)
        await treasury.free(*who, before)
        lines = await treasury.ledger.lines(*who, first, today)
        lost = {line.attempt for line in lines if 0 < line.attempt < run.attempt}
        for attempt in sorted(lost - (await self._attempts(run) if lost else set())):
            mine = [line for line in lines if line.attempt == attempt]
            began, ended = min(line.at for line in mine), max(line.at for line in mine)
            await self._facts.record(
                AttemptFact(
                    _who(run, ""),
                    attempt,
                    Timing(run.created_at, run.started_at, began, ended),
                    Ending.RETRIED,
                    calls_of(mine),
                    code=WORKER_LOST,
                )
            )
        return lines

    async def _complete(self, run: Run) -> bool:
        try:
            return await self._attempts(run) >= set(range(1, run.attempt + 1)) | {run.attempt}
        except AppError as failure:
            log.warning("facts of run %s not read: %s", run.id, failure.code, extra={"event": "fact.not_written"})
            return False

    async def _attempts(self, run: Run) -> set[int]:
        last = run.finished_at or self._clock()
        found = await self._facts.of_run(run.workspace, run.agent, run.id, run.created_at, last)
        return {kept.fact.attempt for kept in found if not kept.fact.judge}


def calls_of(lines: Sequence[Line]) -> tuple[Call, ...]:
    """Return the calls that the notes are of."""
    return tuple(
        Call(
            line.call,
            line.at,
            line.provider,
            line.model,
            line.usage,
            line.cost_micro_usd,
            line.rate,
            line.latency_ms,
            line.outcome,
            line.tool_micro_usd,
        )
        for line in lines
    )


def _who(run: Run, version: str) -> Attribution:
    return Attribution(run.workspace, run.agent, run.session_id, run.id, run.user_id or "", version)


def _fact(run: Run, effort: Effort, code: str, how: Continuation, at: datetime, *, dead: bool) -> AttemptFact | None:
    ending = _ENDINGS.get(run.state)
    if ending is None:
        return None
    return AttemptFact(
        _who(run, effort.version),
        run.attempt,
        Timing(run.created_at, run.started_at, run.started_at, at),
        ending,
        calls_of(effort.lines),
        code=code,
        dead=dead,
        score=run.score if ending is Ending.SUCCEEDED else None,
        continuation=how,
    )
