"""Transitions of a run from one state to the next, as pure rules; `lifecycle.conversations.run` has the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations import attempt_costs as accounting
from lifecycle.conversations.client_tool_values import TOOL_CALLS, ClientCall, described, results_text
from lifecycle.conversations.run import (
    APPROVAL_NEEDED,
    Attempt,
    Effort,
    Lease,
    Result,
    Run,
    RunError,
    RunState,
    Stage,
)
from llmops.evaluation.combined_score import Score
from llmops.facts.attempt_fact import Call, Ending, ToolCall

if TYPE_CHECKING:
    from kernel.errors import AppError
    from lifecycle.conversations.team_assignment import TeamRun

WORKER_LOST = "worker_lost"
"""Error code of an attempt whose worker died without recording the reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of an attempt: its text, score, model and agent version.

    Instead of a text it may have calls of client tools.
    """

    text: str
    score: Score | None
    model: str | None
    version: str
    calls: tuple[ClientCall, ...] = ()


def user_message(run: Run) -> str:
    """Return the user message for the model and the history: the query with its context."""
    return run.query if run.input.context is None else f"{run.query}\n\n<context>\n{run.input.context}\n</context>"


def given_texts(run: Run) -> tuple[str, ...]:
    """Return all texts that a run gives to the model: the message, the client tools, and the results of their calls."""
    given = run.input.client_tools
    return (user_message(run),) if given is None else (user_message(run), described(given), results_text(given))


def agents_of(run: Run) -> tuple[str, ...]:
    """Return the agents that have had the run, the present one last."""
    hops = run.team.hops if run.team else ()
    return tuple(dict.fromkeys([*(hop.agent for hop in hops if hop.agent), run.agent]))


def busy_until(run: Run, now: datetime) -> datetime | None:
    """Return until when another worker's lease keeps the run from being claimed; None if it can be claimed."""
    if run.state is RunState.RUNNING and run.lease is not None and run.lease.until > now:
        return run.lease.until
    return None


def claimed(
    run: Run, worker: str, now: datetime, lease: timedelta, resumption: int = 0, first: Call | None = None
) -> Run:
    """Return the run, claimed by the worker, with a new attempt.

    Args:
        run: The run; if its last attempt's worker died, that attempt becomes `lost` and its estimated costs are
            counted.
        worker: The claiming worker's id.
        now: The time.
        lease: How long the worker may hold it.
        resumption: Number of the resumption that sent the message; 0 for a submission.
        first: The model call that the attempt is about to make, at its estimate; None to store that later.
    """
    lost = None
    if run.state is RunState.RUNNING:
        run = _with_attempt_ended(run, run.last.noted, Ending.RETRIED, now, WORKER_LOST)
        lost = run.last
    return replace(
        run,
        state=RunState.RUNNING,
        stage=Stage.INITIALIZING,
        last=Attempt(run.last.number + 1, now, open=first, carried_micro_usd=run.costs.carried.cost_micro_usd),
        lost=lost,
        lease=Lease(worker, now + lease),
        times=replace(run.times, started=run.times.started or now),
        result=replace(run.result, error=None),
        dispatch=replace(run.dispatch, resumption=max(run.resumption, resumption), not_before=None),
    )


def renewed(run: Run, now: datetime, lease: timedelta) -> Run:
    """Return the run with its lease extended to `lease` from now."""
    return run if run.lease is None else replace(run, lease=replace(run.lease, until=now + lease))


def calling(run: Run, calls: Sequence[Call], following: Call | None, tools: Sequence[ToolCall] = ()) -> Run:
    """Return the run with its attempt's calls so far, and the model call that is about to be made, if one is."""
    effort = replace(run.last.effort, calls=tuple(calls), tools=tuple(tools))
    return replace(run, last=replace(run.last, effort=effort, open=following))


def answered(run: Run, effort: Effort, answer: Answer, now: datetime) -> Run:
    """Return the run with its answer."""
    done = _finished(_with_attempt_ended(run, effort, Ending.SUCCEEDED, now), RunState.SUCCEEDED, Stage.COMPLETED, now)
    reason = TOOL_CALLS if answer.calls else effort.finish_reason or None
    result = Result(answer.text, answer.model, answer.version, answer.score, reason, calls=answer.calls)
    return replace(done, result=result)


def failed(run: Run, error: AppError, now: datetime, effort: Effort | None = None, *, dead: bool = False) -> Run:
    """Return the run as failed for good.

    Args:
        run: The run.
        error: The reason.
        now: The time.
        effort: What its attempt did; None to use what is stored, or without an attempt.
        dead: Whether it might succeed when redriven.
    """
    run = _ended(run, effort, Ending.FAILED, now, error.code, dead=dead)
    done = _finished(run, RunState.FAILED, Stage.FAILED, now)
    return replace(done, result=replace(done.result, error=RunError(error.code, error.detail)))


def cancelled(run: Run, now: datetime, effort: Effort | None = None) -> Run:
    """Return the run as cancelled."""
    run = _ended(run, effort, Ending.CANCELLED, now, "cancelled")
    return replace(_finished(run, RunState.CANCELLED, Stage.FAILED, now), cancel_requested=True)


def lost(run: Run, error: AppError, now: datetime, *, dead: bool = False) -> Run:
    """Return the run as failed because its worker is lost; as cancelled if that was requested before."""
    return cancelled(run, now) if run.cancel_requested else failed(run, error, now, dead=dead)


def released(run: Run, effort: Effort, error: AppError, now: datetime, not_before: datetime | None = None) -> Run:
    """Return the run as queued for its next attempt, with the error of this one and the time of the next."""
    run = _with_attempt_ended(run, effort, Ending.RETRIED, now, error.code)
    return replace(
        run,
        state=RunState.QUEUED,
        lease=None,
        result=replace(run.result, error=RunError(error.code, error.detail)),
        dispatch=replace(run.dispatch, not_before=not_before, team=_failed_once_more(run)),
    )


def postponed(
    run: Run, effort: Effort, error: AppError, progress: str | None, now: datetime, not_before: datetime | None
) -> Run:
    """Return the run as queued to continue once there is capacity; its attempt does not count as failed."""
    run = _with_attempt_ended(run, effort, Ending.PAUSED, now, error.code, progress)
    return replace(
        run,
        state=RunState.QUEUED,
        lease=None,
        result=replace(run.result, error=RunError(error.code, error.detail)),
        dispatch=replace(run.dispatch, uncounted=run.dispatch.uncounted + 1, not_before=not_before),
    )


def deferred(run: Run) -> Run:
    """Return the run as waiting until its session is resumed."""
    return replace(run, state=RunState.WAITING, lease=None, result=replace(run.result, error=None))


def blocked(
    run: Run, effort: Effort, error: AppError, progress: str | None, now: datetime, awaits: Sequence[str] = ()
) -> Run:
    """Return the run as waiting because a budget or an approval stopped it; its session waits too.

    Args:
        run: The run.
        effort: What its attempt did.
        error: Why it was stopped.
        progress: Its progress, to continue from.
        now: The time.
        awaits: Ids of the approvals that it waits for; empty if it waits for its budgets.
    """
    held = run.stage if error.code == APPROVAL_NEEDED else Stage.CHECKING_BUDGET
    run = _with_attempt_ended(run, effort, Ending.PAUSED, now, error.code, progress)
    return replace(
        run,
        state=RunState.WAITING,
        stage=held,
        lease=None,
        result=replace(run.result, error=RunError(error.code, error.detail)),
        dispatch=replace(
            run.dispatch, uncounted=run.dispatch.uncounted + 1, awaits=tuple(awaits), for_approvals=bool(awaits)
        ),
    )


def handed_over(run: Run, effort: Effort, now: datetime, *, waits: bool = False, failed: str = "") -> Run:
    """Return the run after an attempt that handed it over, queued for the next agent.

    Args:
        run: The run.
        effort: What the attempt did.
        now: The time.
        waits: Whether it goes to a person instead, and waits.
        failed: Error code, if it was handed over because the attempt failed; else empty.
    """
    ending = Ending.RETRIED if failed else Ending.HANDED_OVER
    run = _with_attempt_ended(run, effort, ending, now, failed or ending.value)
    return replace(
        run,
        state=RunState.WAITING if waits else RunState.QUEUED,
        lease=None,
        result=replace(run.result, error=None),
        dispatch=replace(run.dispatch, uncounted=run.dispatch.uncounted + 1, awaits=(), for_approvals=False),
    )


def goes_on(run: Run) -> bool:
    """Return whether the run was just handed over to another agent, which is to answer it at once."""
    handed = run.last.ending in (Ending.HANDED_OVER, Ending.RETRIED) and run.error is None
    return run.state is RunState.QUEUED and run.team is not None and handed


def assigned(run: Run, agent: str) -> Run:
    """Return the run, assigned to the agent as it is declared now; earlier attempts keep their agent.

    It starts from the beginning: another agent's progress and tool calls cannot be continued.
    """
    if run.agent == agent:
        return run
    own = {"agent": run.agent}
    last = run.last if run.last.agent or not run.last.number else replace(run.last, **own)
    lost = run.lost if run.lost is None or run.lost.agent else replace(run.lost, **own)
    costs = replace(run.costs, progress=None)
    return replace(run, agent=agent, input=replace(run.input, revision=0), last=last, lost=lost, costs=costs)


def answered_by_person(run: Run, text: str, now: datetime) -> Run:
    """Return a waiting run as answered by a person."""
    done = _finished(run, RunState.SUCCEEDED, Stage.COMPLETED, now)
    return replace(done, result=Result(text), dispatch=replace(done.dispatch, awaits=(), for_approvals=False))


def decided(run: Run, approval_id: str) -> Run:
    """Return the run without the approval among those that it waits for."""
    remaining = tuple(ident for ident in run.dispatch.awaits if ident != approval_id)
    return replace(run, dispatch=replace(run.dispatch, awaits=remaining))


def resumed(run: Run, resumption: int) -> Run:
    """Return the run as queued by the session's resumption of that number; unchanged if a worker has claimed it."""
    state = RunState.QUEUED if run.state is RunState.WAITING else run.state
    return replace(run, dispatch=replace(run.dispatch, resumption=resumption), state=state)


def requeued(run: Run, redriven: int) -> Run:
    """Return a failed run as queued again; `redriven` is how often in all. The count of attempts continues."""
    return replace(
        run,
        state=RunState.QUEUED,
        stage=None,
        last=run.last if run.last.number else Attempt(),
        result=replace(run.result, error=None),
        times=replace(run.times, finished=None),
        dispatch=replace(run.dispatch, redriven=redriven, not_before=None),
    )


def needs_message(run: Run) -> bool:
    """Return whether the run's message may be missing: it is queued, and no worker has claimed it."""
    return run.state is RunState.QUEUED and run.attempt == 0 and run.resumption == 0


def sending(run: Run) -> Run:
    """Return the run with one more request that begins to send its message."""
    return replace(run, dispatch=replace(run.dispatch, sends=run.dispatch.sends + 1))


def unsent(run: Run) -> Run:
    """Return the run with one more request that failed to send its message."""
    return replace(run, dispatch=replace(run.dispatch, unsent=run.dispatch.unsent + 1))


def scored(run: Run, score: Score) -> Run:
    """Return the run with a new score of its answer."""
    return replace(run, result=replace(run.result, score=score))


def approved(run: Run) -> Run:
    """Return the run, allowed to pass its agent's degradation steps that ask for approval."""
    return replace(run, dispatch=replace(run.dispatch, approved=True))


def _failed_once_more(run: Run) -> TeamRun | None:
    team = run.team
    return None if team is None else replace(team, failures=team.failures + 1)


def _ended(run: Run, effort: Effort | None, ending: Ending, now: datetime, code: str, *, dead: bool = False) -> Run:
    """Return the run with its attempt ended; without an attempt, only with the ending."""
    if run.state is RunState.RUNNING:
        return _with_attempt_ended(run, effort or run.last.noted, ending, now, code, dead=dead)
    if run.last.number == 0:
        return replace(run, last=Attempt(ending=ending, ended_at=now, code=code, dead=dead))
    return replace(run, last=replace(run.last, dead=dead))


def _with_attempt_ended(
    run: Run,
    effort: Effort,
    ending: Ending,
    now: datetime,
    code: str = "",
    progress: str | None = None,
    *,
    dead: bool = False,
) -> Run:
    last = replace(
        run.last,
        effort=effort,
        open=None,
        ending=ending,
        ended_at=now,
        code=code,
        dead=dead,
        continues=progress is not None,
    )
    return replace(
        run, last=last, costs=accounting.after(run.costs, effort.spend, ending, progress, went_on=effort.went_on)
    )


def _finished(run: Run, state: RunState, stage: Stage, now: datetime) -> Run:
    return replace(
        run,
        state=state,
        stage=stage,
        lease=None,
        times=replace(run.times, finished=now),
        costs=replace(run.costs, progress=None),
    )
