"""What a trace says of a run: one span per delivery, its stages as events, and how it ended."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import trace

from kernel.tracing import event, failed, resumed, span
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.submission import Submission


@contextmanager
def delivery(submission: Submission, known: Run | None) -> Generator[None]:
    """Record the delivery of a run as a span of the trace that the run was submitted in.

    A delivery that comes in another trace (redriven, say) is linked to that one.

    Args:
        submission: What the message says.
        known: The run as it is stored; None when it is not yet.
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
    """Note that this worker has the run."""
    trace.get_current_span().set_attribute("agent.run.attempt", run.attempt)
    _stage(run)


def settled(run: Run, *, here: bool = True) -> None:
    """Note how the delivery left the run.

    Args:
        run: The run as it is now.
        here: False when that is not this delivery's doing: it is a duplicate, or another worker took the run over.
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
