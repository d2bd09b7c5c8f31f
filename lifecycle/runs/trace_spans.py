"""Trace spans of runs: one for each delivery, with stages as events, and the result."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace

from kernel.tracing import event, failed, resumed, span
from lifecycle.conversations.run import Run, RunState

if TYPE_CHECKING:
    from lifecycle.conversations.run_request import Submission


@contextmanager
def delivery(submission: Submission, known: Run | None) -> Generator[None]:
    """Record a delivery of a run as a span of the trace in which it was submitted.

    If the delivery is in another trace (e.g. after a redrive), the span is linked to that.

    Args:
        submission: The message.
        known: The stored run; None if it is not stored yet.
    """
    attributes = {
        "agent.workspace": submission.workspace,
        "agent.run.id": submission.run_id,
        "gen_ai.agent.name": submission.agent,
        "gen_ai.conversation.id": submission.session_id,
    }
    parent, links = resumed(known.dispatch.traceparent if known else None)
    with span(f"run {submission.agent}", attributes, parent=parent, links=links):
        yield


def claimed(run: Run) -> None:
    """Record that this worker has claimed the run."""
    trace.get_current_span().set_attribute("agent.run.attempt", run.attempt)
    _stage(run)


def settled(run: Run, *, here: bool = True) -> None:
    """Record the state of the run after the delivery.

    Args:
        run: The run now.
        here: Whether this delivery caused it; False for a duplicate, or if another worker took the run over.
    """
    current = trace.get_current_span()
    if not current.is_recording():
        return
    outcome = "retried" if run.state is RunState.QUEUED else run.state.value
    current.set_attribute("agent.run.outcome", outcome if here else "duplicate" if run.finished else "lost")
    if not here:
        return
    if run.version:
        current.set_attribute("gen_ai.agent.version", run.version)
    if run.error:
        failed(current, run.error.code)
    if run.finished:
        _stage(run)


def _stage(run: Run) -> None:
    event("run.stage", {"stage": run.stage.value if run.stage else None})
