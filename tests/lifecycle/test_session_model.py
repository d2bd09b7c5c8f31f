"""A session as a state machine: whatever is done to it, in whatever order, every accepted run is decided, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import Conflict
from lifecycle.conversations import message_delivery as admission
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations import session_updates as changes
from lifecycle.conversations.message_delivery import DispatchDecision
from lifecycle.conversations.run import Dispatch, Effort, Run, RunInput, Times
from lifecycle.conversations.run_transitions import Answer
from lifecycle.conversations.session import BY_REQUEST, IDLE_TIMEOUT, Limits, Pause, Session, SessionState, SessionTerms
from tests.lifecycle.doubles import NOW

IDLE = timedelta(hours=1)
FAILURE = Conflict("no", code="no")
STEPS = st.lists(
    st.sampled_from(
        [
            "submit",
            "deliver",
            "answer",
            "fail",
            "retry",
            "die",
            "due",
            "cancel",
            "pause",
            "resume",
            "queue kept",
            "wait",
            "end",
        ]
    ),
    max_size=40,
)
LIMITS = st.builds(
    Limits,
    max_turns=st.none() | st.integers(2, 8),
    max_duration_s=st.none() | st.integers(600, 7200),
    idle_timeout_s=st.none() | st.integers(600, 7200),
    max_failures=st.none() | st.integers(1, 3),
)


class Model:
    """One session with its runs and its queue, moved by the rules alone."""

    def __init__(self, limits: Limits) -> None:
        self.now = NOW
        self.session = Session("w", "s", "a", None, NOW, NOW, terms=SessionTerms(limits))
        self.runs: dict[int, Run] = {}
        self.queue: list[tuple[int, int]] = []
        self.scheduled: list[tuple[int, int]] = []
        self.answered: list[int] = []

    def take(self, change: changes.ConversationChange | None, number: int) -> None:
        if change is None:
            return
        if change.session is not None:
            self.session = change.session.counting(turns=len(change.turns))
        if change.run is not None:
            self.runs[number] = change.run

    def submit(self) -> None:
        try:
            sessions.check_usable(self.session, "a", None)
            sessions.check_room(self.session)
        except Conflict:
            return
        number = len(self.runs) + 1
        run = Run(str(number), "w", "s", "a", RunInput("?", 1), Times(self.now), Dispatch(number=number))
        if self.session.on_hold:
            run = runs.deferred(run)
        else:
            self.queue.append((number, 0))
        self.runs[number] = run
        self.session = sessions.replace(self.session.counting(runs=1, pending=1), last_activity=self.now)

    def deliver(self) -> None:
        if not self.queue or any(run.state == "running" for run in self.runs.values()):
            return
        number, call = self.queue.pop(0)
        run = self.runs[number]
        if run.finished:
            return
        match admission.decide(self.session, run, call, self.now):
            case DispatchDecision.RUN:
                claimed = runs.claimed(run, "me", self.now, IDLE, call)
                self.take(changes.outcome(self.session, run, claimed, (), (), self.now), number)
            case DispatchDecision.KEEP:
                self.take(admission.kept(self.session, run, self.now), number)
            case DispatchDecision.EXPIRE:
                self.take(admission.expired(self.session, run, self.now), number)
            case DispatchDecision.PAUSE:
                self.scheduled.append((number, run.resumption))
            case _:
                pass

    def finish(self, *, well: bool) -> None:
        for number, run in self.runs.items():
            if run.state == "running":
                after = (
                    runs.answered(run, Effort(), Answer("!", None, None, "1"), self.now)
                    if well
                    else runs.failed(run, FAILURE, self.now)
                )
                turns = [changes.Turn(role, "x", run.id, self.now) for role in ("user", "assistant") if well]
                self.take(changes.outcome(self.session, run, after, (), turns, self.now), number)
                if well:
                    self.answered.append(number)
                return

    def retry(self, *, dies: bool = False) -> None:
        """The attempt failed and is to be repeated; a worker that dies leaves its message to be delivered again."""
        for number, run in self.runs.items():
            if run.state == "running":
                after = runs.released(run, Effort(), FAILURE, self.now, self.now + timedelta(minutes=5))
                self.take(changes.outcome(self.session, run, after, (), (), self.now), number)
                if dies:
                    self.queue.insert(0, (number, run.resumption))
                else:
                    self.scheduled.append((number, after.resumption))
                return

    def due(self) -> None:
        self.now += timedelta(minutes=5)
        self.queue += self.scheduled
        self.scheduled = []

    def cancel(self) -> None:
        for number, run in self.runs.items():
            if run.state == "queued":
                after = runs.cancelled(run, self.now)
                self.take(changes.outcome(self.session, run, after, (), (), self.now), number)
                return

    def pause(self) -> None:
        if not self.session.over:
            self.session = sessions.paused(self.session, "operator")

    def resume(self) -> None:
        if self.session.state is SessionState.PAUSED:
            self.session = sessions.resumed(self.session, self.now)

    def queue_kept(self) -> None:
        if not self.session.resuming or self.session.retry is not None:
            return
        call = self.session.resumes
        for number, run in sorted(self.runs.items()):
            if run.state in ("waiting", "queued") and run.resumption < call:
                self.runs[number] = runs.resumed(run, call)
                self.queue.append((number, call))
        self.session = sessions.settled(self.session)

    def wait(self) -> None:
        self.now += timedelta(minutes=20)
        reason = sessions.overdue(self.session, self.now, IDLE)
        if reason and not (reason == IDLE_TIMEOUT and self.session.pending):
            self.session = sessions.ended(self.session, reason, self.now)

    def end(self) -> None:
        if not self.session.over and not self.session.pending:
            self.session = sessions.ended(self.session, BY_REQUEST, self.now)

    def check(self) -> None:
        session = self.session
        unfinished = [run for run in self.runs.values() if not run.finished]
        assert session.pending == len(unfinished) >= 0
        assert session.turns == 2 * len(self.answered)
        assert session.limits.max_turns is None or session.turns <= session.limits.max_turns
        assert (session.end_reason is not None) == session.over
        assert (session.pause_reason is not None) == (session.state is SessionState.PAUSED)
        assert sum(run.state == "running" for run in unfinished) <= 1
        assert self.answered == sorted(self.answered), "never out of order"
        queued = {number for number, _ in (*self.queue, *self.scheduled)}
        for number, run in self.runs.items():
            if run.state == "queued":
                assert number in queued or session.resuming, "a queued run has a message"


@given(LIMITS, STEPS)
@settings(max_examples=150, deadline=None)
def test_every_run_is_decided_in_order_whatever_happens(limits: Limits, steps: list[str]) -> None:
    """Counters hold after every step; and once the session goes on and all is delivered, nothing is left."""
    model = Model(limits)
    moves = {
        "submit": model.submit,
        "deliver": model.deliver,
        "answer": lambda: model.finish(well=True),
        "fail": lambda: model.finish(well=False),
        "retry": model.retry,
        "die": lambda: model.retry(dies=True),
        "due": model.due,
        "cancel": model.cancel,
        "pause": model.pause,
        "resume": model.resume,
        "queue kept": model.queue_kept,
        "wait": model.wait,
        "end": model.end,
    }
    for step in steps:
        moves[step]()
        model.check()
    for _ in range(len(model.runs) * 3 + 3):
        model.resume()
        model.queue_kept()
        model.due()
        while model.queue or any(run.state == "running" for run in model.runs.values()):
            model.finish(well=True)
            model.deliver()
        model.check()

    waiting = [run for run in model.runs.values() if not run.finished]
    assert not waiting or model.session.over, "kept runs of a session that has ended are the timer's"


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(lambda session: sessions.paused(session, "operator"), id="paused"),
        pytest.param(lambda session: sessions.retrying(session, "r", NOW), id="retrying"),
        pytest.param(lambda session: replace(session, pause=Pause(resumes=2, resuming=True)), id="resuming"),
        pytest.param(lambda session: session, id="open"),
    ],
)
def test_a_message_of_an_earlier_resumption_is_stale_whatever_the_session_waits_for(
    held: Callable[[Session], Session],
) -> None:
    """Its run has another one by now; kept because of this one, a run that is to be tried again would lose its turn."""
    session = held(replace(Session("w", "s", "a", None, NOW, NOW), pause=Pause(resumes=2)))
    run = Run("r", "w", "s", "a", RunInput("?", 1), Times(NOW), Dispatch(resumption=2))

    assert admission.decide(session, run, 1, NOW) is DispatchDecision.FORGET
