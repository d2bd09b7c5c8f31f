"""The rule of a workflow run: whatever happens in whatever order, each step's run is begun once and all of it ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lifecycle.conversations.session_priority import Priority
from lifecycle.specs.workflow import Plan, WorkflowSpec, plan_of
from lifecycle.workflows import workflow_rules as rules
from lifecycle.workflows.workflow_rules import CancelRequested, EffectsDone, Input, RunEnded, RunRefused, TimePassed
from lifecycle.workflows.workflow_run import (
    EffectKind,
    StepState,
    StoredRequest,
    WorkflowRun,
    WorkflowState,
    step_run_id,
)
from llmops.spend.usage import Spend

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ASKED = StoredRequest("who?", "ada", {}, Priority.NORMAL, "digest")

BRANCHED: dict[str, Any] = {
    "steps": [
        {"name": "research", "agent": "a", "prompt": "find: {input}"},
        {
            "name": "views",
            "parallel": [
                {"name": "pro", "agent": "b", "prompt": "{steps.research.answer}"},
                {"name": "con", "agent": "c", "prompt": "{steps.research.answer}", "on_failure": "continue"},
            ],
            "aggregator": {"agent": "d", "prompt": "{steps.pro.answer} {steps.con.answer}"},
        },
        {"name": "publish", "agent": "e", "prompt": "{steps.views.answer}", "when": "steps.views.score >= 50"},
    ]
}


def plan(**spec: Any) -> Plan:
    return plan_of(WorkflowSpec.model_validate(spec))


def begun(steps: Plan) -> WorkflowRun:
    return rules.begin(WorkflowRun("ws", "w1", "flow", 1, ASKED, (), NOW), steps, NOW)


def take(
    run: WorkflowRun, steps: Plan, received: Input, answers: dict[str, str] | None = None, *, at: int = 0
) -> WorkflowRun:
    return rules.advance(run, steps, received, answers or {}, NOW + timedelta(seconds=at))


def succeeded(run: WorkflowRun, step: str, score: int | None = 80) -> RunEnded:
    return RunEnded(run.step(step).tries[-1].run_id, StepState.SUCCEEDED, "", Spend(calls=1, cost_micro_usd=10), score)


def failed(run: WorkflowRun, step: str, code: str = "provider_rejected") -> RunEnded:
    return RunEnded(run.step(step).tries[-1].run_id, StepState.FAILED, code, Spend(calls=1, cost_micro_usd=10))


def states(run: WorkflowRun) -> dict[str, str]:
    return {step.name: step.state.value for step in run.steps}


def published(run: WorkflowRun) -> list[str]:
    return [effect.event.name for effect in run.outbox if effect.event]


def todo(run: WorkflowRun, kind: EffectKind) -> list[str]:
    return [effect.step for effect in run.outbox if effect.kind is kind]


def test_steps_follow_one_another_and_branches_run_side_by_side() -> None:
    steps = plan(**BRANCHED)
    run = begun(steps)
    assert states(run) == {
        "research": "running",
        "pro": "pending",
        "con": "pending",
        "views": "pending",
        "publish": "pending",
    }
    run = take(run, steps, succeeded(run, "research"))
    assert (states(run)["pro"], states(run)["con"]) == ("running", "running")
    run = take(run, steps, succeeded(run, "con", 60))
    assert states(run)["views"] == "pending"
    run = take(run, steps, succeeded(run, "pro", 70))
    assert states(run)["views"] == "running"
    run = take(run, steps, succeeded(run, "views", 90))
    run = take(run, steps, succeeded(run, "publish", 100))

    assert run.state is WorkflowState.SUCCEEDED
    assert set(states(run).values()) == {"succeeded"}
    assert todo(run, EffectKind.START) == ["research", "pro", "con", "views", "publish"]
    assert (run.spend.cost_micro_usd, run.score) == (50, 80)
    assert rules.last_answer(run, steps) == "publish"
    assert (published(run)[0], published(run)[-1]) == ("workflow.started", "workflow.ended")
    assert Counter(published(run)[1:-1]) == {"workflow.step_started": 5, "workflow.step_ended": 5}


def test_a_step_whose_condition_does_not_hold_is_skipped() -> None:
    steps = plan(**BRANCHED)
    run = begun(steps)
    for step, score in (("research", 80), ("pro", 80), ("con", 80), ("views", 49)):
        run = take(run, steps, succeeded(run, step, score))

    assert states(run)["publish"] == "skipped"
    assert run.state is WorkflowState.SUCCEEDED
    assert rules.last_answer(run, steps) == "views"


def test_a_condition_that_cannot_be_decided_fails_its_step() -> None:
    """There is no score, and nobody guesses."""
    steps = plan(**BRANCHED)
    run = begun(steps)
    for step in ("research", "pro", "con", "views"):
        run = take(run, steps, succeeded(run, step, None))

    assert (run.state, run.failed_step, run.step("publish").code) == ("failed", "publish", "condition_undecided")


def test_conditions_see_answers_states_and_the_input() -> None:
    steps = plan(
        steps=[
            {"name": "triage", "agent": "a"},
            {"name": "urgent", "agent": "b", "when": "steps.triage.answer.contains('URGENT') && input == 'who?'"},
            {"name": "usual", "agent": "c", "when": "steps.urgent.state == 'skipped' && steps.urgent.answer == ''"},
        ]
    )
    run = begun(steps)
    assert rules.answers_needed(run, steps) == {"triage", "urgent"}
    run = take(run, steps, succeeded(run, "triage"), {"triage": "all calm"})

    assert states(run) == {"triage": "succeeded", "urgent": "skipped", "usual": "running"}


def test_a_step_that_fails_ends_the_workflow_and_its_siblings() -> None:
    steps = plan(**BRANCHED)
    run = begun(steps)
    run = take(run, steps, succeeded(run, "research"))
    run = take(run, steps, failed(run, "pro"))

    assert run.state is WorkflowState.RUNNING, "the sibling is being cancelled"
    assert todo(run, EffectKind.CANCEL) == ["con"]
    run = take(run, steps, RunEnded(run.step("con").tries[-1].run_id, StepState.CANCELLED, "cancelled"))
    assert (run.state, run.code, run.failed_step) == ("failed", "step_failed", "pro")
    assert states(run) == {
        "research": "succeeded",
        "pro": "failed",
        "con": "cancelled",
        "views": "skipped",
        "publish": "skipped",
    }


def test_a_step_that_may_fail_does_not() -> None:
    steps = plan(**BRANCHED)
    run = begun(steps)
    run = take(run, steps, succeeded(run, "research"))
    run = take(run, steps, failed(run, "con"))
    run = take(run, steps, succeeded(run, "pro"))

    assert states(run)["views"] == "running"
    task = steps["views"].task
    assert task is not None
    assert rules.prompt_of(run, steps, task, {"pro": "yes"}) == "yes "


def test_a_parallel_step_without_an_aggregator_joins_its_answers() -> None:
    both = [{"name": "x", "agent": "a"}, {"name": "y", "agent": "b", "on_failure": "continue"}]
    steps = plan(steps=[{"name": "both", "parallel": both}])
    run = begun(steps)
    run = take(run, steps, succeeded(run, "x"))
    done = take(run, steps, succeeded(run, "y"))
    part = take(run, steps, failed(run, "y"))

    assert (done.state, part.state) == ("succeeded", "succeeded")
    assert rules.answering(steps, "both") == ("x", "y")
    assert rules.joined(steps, "both", {"x": "1", "y": "2"}) == "## x\n\n1\n\n## y\n\n2"
    assert rules.joined(steps, "both", {"x": "1"}) == "## x\n\n1"


def test_a_parallel_step_none_of_whose_branches_answered_fails() -> None:
    both = [{"name": n, "agent": "a", "on_failure": "continue"} for n in ("x", "y")]
    steps = plan(steps=[{"name": "both", "parallel": both, "aggregator": {"agent": "a"}}])
    run = begun(steps)
    for name in ("x", "y"):
        run = take(run, steps, failed(run, name))

    assert (run.state, run.failed_step) == ("failed", "both")


def test_a_parallel_step_is_skipped_as_a_whole() -> None:
    both = [{"name": n, "agent": "a"} for n in ("x", "y")]
    block = {"name": "both", "parallel": both, "aggregator": {"agent": "a"}, "when": "input == 'never'"}
    steps = plan(steps=[{"name": "first", "agent": "a"}, block])
    run = begun(steps)
    run = take(run, steps, succeeded(run, "first"))

    assert run.state is WorkflowState.SUCCEEDED
    assert {states(run)[name] for name in ("x", "y", "both")} == {"skipped"}


RETRIED = {"steps": [{"name": "s", "agent": "a", "retries": 2, "fallback": "z", "timeout_s": 60}]}


def test_a_failed_step_is_asked_again_and_then_its_fallback() -> None:
    steps = plan(**RETRIED)
    run = begun(steps)
    for _ in range(4):
        assert run.state is WorkflowState.RUNNING
        run = take(run, steps, failed(run, "s"))

    assert [one.agent for one in run.step("s").tries] == ["a", "a", "a", "z"]
    assert len({one.run_id for one in run.step("s").tries}) == 4
    assert (run.state, run.step("s").code, run.spend.cost_micro_usd) == ("failed", "provider_rejected", 40)


def test_an_agent_that_cannot_be_asked_is_not_asked_again() -> None:
    """Its fallback is asked at once."""
    steps = plan(**RETRIED)
    run = begun(steps)
    run = take(run, steps, RunRefused(run.step("s").tries[-1].run_id, "agent_disabled"))

    assert [(one.agent, one.code) for one in run.step("s").tries] == [("a", "agent_disabled"), ("z", "")]
    run = take(run, steps, RunRefused(run.step("s").tries[-1].run_id, "agent_not_found"))
    assert (run.state, run.step("s").code) == ("failed", "agent_not_found")
    assert (run.request.input, run.request.user_id) == ("", None), "no session has it, so that nobody could erase it"


def test_a_run_that_takes_too_long_is_cancelled_before_the_next_begins() -> None:
    """So that a step never has two runs under way."""
    steps = plan(**RETRIED)
    run = begun(steps)
    run = take(run, steps, TimePassed(), at=59)
    assert todo(run, EffectKind.CANCEL) == []
    run = take(run, steps, TimePassed(), at=60)
    run = take(run, steps, TimePassed(), at=61)
    assert (todo(run, EffectKind.CANCEL), len(run.step("s").tries)) == (["s"], 1)
    first = run.step("s").tries[0].run_id
    run = take(run, steps, RunEnded(first, StepState.CANCELLED, "cancelled"), at=62)

    assert [one.code for one in run.step("s").tries] == ["step_timeout", ""]
    late = take(run, steps, RunEnded(first, StepState.SUCCEEDED), at=63)
    assert late == run


def test_an_answer_that_comes_just_in_spite_of_the_time_out_counts() -> None:
    steps = plan(**RETRIED)
    run = begun(steps)
    run = take(run, steps, TimePassed(), at=60)
    run = take(run, steps, succeeded(run, "s"), at=61)

    assert (run.state, len(run.step("s").tries)) == ("succeeded", 1)


def test_a_step_that_somebody_cancels_is_not_asked_again() -> None:
    steps = plan(**RETRIED)
    run = begun(steps)
    run = take(run, steps, RunEnded(run.step("s").tries[-1].run_id, StepState.CANCELLED, "cancelled"))

    assert (run.state, run.step("s").code, len(run.step("s").tries)) == ("failed", "cancelled", 1)


def test_cancelling_cancels_what_is_under_way_and_begins_nothing() -> None:
    steps = plan(**BRANCHED)
    run = begun(steps)
    run = take(run, steps, succeeded(run, "research"))
    run = take(run, steps, CancelRequested())
    assert take(run, steps, CancelRequested()) == run
    assert sorted(todo(run, EffectKind.CANCEL)) == ["con", "pro"]
    run = take(run, steps, succeeded(run, "pro"))
    assert run.state is WorkflowState.RUNNING, "one is not known to be over"
    run = take(run, steps, RunEnded(run.step("con").tries[-1].run_id, StepState.CANCELLED, "cancelled"))

    assert (run.state, run.code, run.finished_at) == ("cancelled", "cancelled", NOW)
    assert states(run)["publish"] == "skipped"


def test_what_is_done_leaves_the_outbox_and_nothing_else_does() -> None:
    steps = plan(**BRANCHED)
    run = begun(steps)
    numbers = [effect.number for effect in run.outbox]
    run = take(run, steps, EffectsDone(frozenset(numbers[1:])))

    assert numbers == list(range(len(numbers)))
    assert [effect.number for effect in run.outbox] == numbers[:1]
    assert take(run, steps, EffectsDone(frozenset({99}))) == run


def test_a_prompt_takes_in_no_more_than_it_names() -> None:
    """Answers are put in as they are: what looks like a placeholder in one stays what it is."""
    steps = plan(
        steps=[
            {"name": "a", "agent": "a"},
            {"name": "b", "agent": "b", "prompt": "{{{input}}} {steps.a.answer}{steps.a.state}"},
        ]
    )
    run = begun(steps)
    run = take(run, steps, succeeded(run, "a"))
    task = steps["b"].task
    assert task is not None

    said = rules.prompt_of(run, steps, task, {"a": "{input} {steps.b.answer} {0.__class__}"})
    assert said == "{who?} {input} {steps.b.answer} {0.__class__}succeeded"
    with pytest.raises(KeyError):
        rules.prompt_of(run, steps, task, {})


@dataclass
class World:
    """Runs as they would be, and a workflow run that hears of them late, twice or not at all."""

    steps: Plan
    outcomes: dict[str, StepState]
    submitted: dict[str, int] = field(default_factory=dict[str, int])
    ended: dict[str, RunEnded] = field(default_factory=dict[str, RunEnded])
    run: WorkflowRun = field(init=False)
    seconds: int = 0

    def __post_init__(self) -> None:
        self.run = begun(self.steps)

    def take(self, received: Input) -> None:
        before = self.run
        answers = {step.name: "yes" for step in before.steps}
        self.run = take(before, self.steps, received, answers, at=self.seconds)
        assert [s for s in before.steps if s.over] == [self.run.step(s.name) for s in before.steps if s.over]
        assert not before.finished or (self.run.state, self.run.steps) == (before.state, before.steps)
        open_tries = [sum(one.open for one in step.tries) for step in self.run.steps]
        assert max(open_tries) <= 1

    def do(self, number: int) -> None:
        """Carry out one effect of the outbox, which may have been done before."""
        effect = self.run.outbox[number % len(self.run.outbox)]
        if effect.kind is EffectKind.START:
            self.submitted.setdefault(effect.run_id, effect.number)
        if effect.kind is EffectKind.CANCEL and effect.run_id in self.submitted:
            self.end(effect.run_id, StepState.CANCELLED)

    def end(self, run_id: str, state: StepState | None = None) -> None:
        how = state or self.outcomes.get(run_id, StepState.SUCCEEDED)
        code = "" if how is StepState.SUCCEEDED else "x"
        self.ended.setdefault(run_id, RunEnded(run_id, how, code, Spend(cost_micro_usd=1), 90))

    def finish(self) -> None:
        """Do what the timer would: everything that is left, in order."""
        for _ in range(400):
            if self.run.finished and not self.run.outbox:
                return
            self.seconds += 100
            for number in range(len(self.run.outbox)):
                self.do(number)
            self.take(EffectsDone(frozenset(effect.number for effect in self.run.outbox)))
            self.take(TimePassed())
            for run_id in list(self.submitted):
                self.end(run_id)
                self.take(self.ended[run_id])
        raise AssertionError(states(self.run))


ANY_STEP = st.fixed_dictionaries(
    {"agent": st.just("a")},
    optional={
        "retries": st.integers(0, 2),
        "fallback": st.just("z"),
        "timeout_s": st.just(60),
        "on_failure": st.sampled_from(["fail", "continue"]),
        "when": st.sampled_from(["true", "input == ''", "input > 1"]),
    },
)


@st.composite
def specs(draw: st.DrawFn) -> WorkflowSpec:
    """Draw a workflow of a few steps, some of them parallel."""
    found: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            step = {**draw(ANY_STEP), "name": f"s{index}"}
            found.append(step)
        else:
            branches = [{**draw(ANY_STEP), "name": f"b{index}_{n}"} for n in range(draw(st.integers(1, 3)))]
            block: dict[str, Any] = {"name": f"p{index}", "parallel": branches}
            if draw(st.booleans()):
                block["aggregator"] = {"agent": "a"}
            found.append(block)
    return WorkflowSpec.model_validate({"steps": found})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    specs(),
    st.dictionaries(st.integers(0, 8), st.sampled_from([StepState.FAILED, StepState.CANCELLED]), max_size=6),
    st.lists(
        st.tuples(
            st.sampled_from(["do", "done", "end", "tell", "late", "time", "cancel", "refuse"]), st.integers(0, 30)
        ),
        max_size=40,
    ),
)
def test_each_step_runs_once_and_all_of_it_ends(
    spec: WorkflowSpec, bad: dict[int, StepState], happenings: list[tuple[str, int]]
) -> None:
    """Input are lost, repeated and out of order; the timer's rounds then bring any workflow run to its one end."""
    steps = plan_of(spec)
    asks = [name for name, node in steps.items() if node.task]
    ids = [step_run_id("ws", "w1", name, number) for name in asks for number in (1, 2, 3, 4)]
    world = World(steps, {ids[n % len(ids)]: state for n, state in bad.items()})
    cancelled = False
    for what, n in happenings:
        world.seconds += n
        outbox, runs = world.run.outbox, list(world.submitted)
        match what:
            case "do" if outbox:
                world.do(n)
            case "done" if outbox:
                world.do(n)
                world.take(EffectsDone(frozenset({outbox[n % len(outbox)].number})))
            case "end" if runs:
                world.end(runs[n % len(runs)])
            case "tell" | "late" if world.ended:
                world.take(list(world.ended.values())[n % len(world.ended)])
            case "refuse" if outbox and (effect := outbox[n % len(outbox)]).kind is EffectKind.START:
                if effect.run_id not in world.submitted:
                    world.ended.setdefault(effect.run_id, RunEnded(effect.run_id, StepState.FAILED, "x"))
                    world.take(RunRefused(effect.run_id, "agent_not_found"))
            case "time":
                world.take(TimePassed())
            case "cancel" if n < 3:
                cancelled = cancelled or not world.run.finished
                world.take(CancelRequested())
            case _:
                pass
    world.finish()

    run = world.run
    assert run.finished
    assert all(step.over for step in run.steps)
    assert (run.state is WorkflowState.CANCELLED) == cancelled
    for step in run.steps:
        node = steps[step.name]
        most = node.task.retries + 1 + bool(node.task.fallback) if node.task else 0
        assert len(step.tries) <= most
        assert [one.run_id for one in step.tries] == [
            step_run_id("ws", "w1", step.name, number + 1) for number in range(len(step.tries))
        ]
        for one in step.tries:
            heard = world.ended[one.run_id]
            assert one.state is heard.state, "what is kept is what came of the run"
