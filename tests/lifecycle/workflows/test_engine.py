"""Workflow runs over the whole app: steps are runs, their ends take it on, and cancelling or erasing reaches all."""

from __future__ import annotations

from typing import cast

import pytest

from adapters.memory_texts import MemoryTexts
from kernel.errors import Conflict, NotFound
from kernel.ids import new_id, session_of_run
from lifecycle.retention.policy import LegalHold, parse_hold_scope
from lifecycle.workflows.workflow_run import WorkflowRun
from tests.lifecycle.doubles import CountingTables
from tests.lifecycle.workflows.world import FAN, PAIR, WS, World


def states(run: WorkflowRun) -> dict[str, str]:
    return {step.name: step.state.value for step in run.steps}


async def test_steps_are_runs_in_sessions_of_their_own() -> None:
    """Real workers and agents; costs and scores of the steps are the workflow run's."""
    world = await World.begun(FAN)
    run = await world.start("tea", user_id="ada", metadata={"ticket": "7"}, priority="high")
    await world.pump()

    run = await world.check_ended_once(run.id)
    runs = {one.id: one for one in await world.child_runs(run.id)}
    by = {step.name: runs[step.tries[0].run_id] for step in run.steps if step.tries}
    assert by["first"].query == "about tea"
    assert by["left"].query == f"left of {by['first'].answer}"
    assert by["both"].query == f"{by['left'].answer} and {by['right'].answer}"
    assert {(one.user_id, one.metadata["ticket"], one.priority.value) for one in runs.values()} == {
        ("ada", "7", "high")
    }
    assert (await world.answer(run), run.score) == (by["last"].answer, 100)
    assert run.spend.cost_micro_usd > 0


async def test_a_failing_agent_is_asked_again_and_then_its_fallback() -> None:
    world = await World.begun(PAIR)
    await world.agent("broken", simulate={"fail_first": 9, "fail_with": "rejected"})
    await world.put([{"name": "only", "agent": "broken", "retries": 1, "fallback": "bot"}])
    run = await world.start()
    await world.pump()
    run = await world.finish(run.id)

    assert [(one.agent, one.state, one.code) for one in run.step("only").tries] == [
        ("broken", "failed", "provider_rejected"),
        ("broken", "failed", "provider_rejected"),
        ("bot", "succeeded", ""),
    ]
    assert run.state == "succeeded"
    assert len(await world.child_runs(run.id)) == 3


async def test_an_agent_that_is_gone_or_switched_off_leaves_the_step_to_its_fallback() -> None:
    world = await World.begun(PAIR)
    await world.agent("off")
    await world.put([{"name": "only", "agent": "off", "retries": 2, "fallback": "bot"}])
    await world.app.services.agents.administration.switch(WS, "off", world.app.signals, enabled=False)
    run = await world.start()
    await world.pump()
    run = await world.finish(run.id)

    assert [(one.agent, one.code) for one in run.step("only").tries] == [("off", "agent_disabled"), ("bot", "")]


async def test_a_run_that_failed_for_good_is_told_though_its_message_is_refused() -> None:
    """Such a message goes to the dead letters, where the run waits to be redriven; the workflow has gone on."""
    world = await World.begun(PAIR)
    await world.agent("down", simulate={"fail_first": 99})
    await world.put([{"name": "only", "agent": "down", "on_failure": "continue"}, {"name": "next", "agent": "bot"}])
    run = await world.start()
    await world.pump()

    run = await world.get(run.id)
    assert states(run) == {"only": "failed", "next": "succeeded"}
    assert (run.state, run.step("only").code) == ("succeeded", "provider_unavailable")
    assert [one.dead for one in await world.child_runs(run.id)].count(True) == 1


async def test_a_step_that_takes_too_long_is_cancelled() -> None:
    world = await World.begun(PAIR)
    await world.put([{"name": "slow", "agent": "bot", "timeout_s": 60, "retries": 1}])
    run = await world.start()
    world.app.clock.move(seconds=59)
    await world.sweep()
    assert [one.state for one in await world.child_runs(run.id)] == ["queued"]
    world.app.clock.move(seconds=1)
    await world.sweep()
    await world.pump()
    run = await world.finish(run.id)

    assert [(one.state, one.code) for one in run.step("slow").tries] == [
        ("cancelled", "step_timeout"),
        ("succeeded", ""),
    ]


async def test_cancelling_cancels_every_step_under_way() -> None:
    world = await World.begun(FAN)
    run = await world.start()
    await world.deliver(world.app.queue.sent.pop(0))
    assert states(await world.get(run.id))["left"] == "running"
    cancelled = await world.engine().cancel(WS, run.id, world.app.signals, world.app.queue.send)
    await world.pump()
    again = await world.engine().cancel(WS, run.id, world.app.signals, world.app.queue.send)

    assert (cancelled.state, again.state, cancelled.code) == ("cancelled", "cancelled", "cancelled")
    assert states(again) == {
        "first": "succeeded",
        "left": "cancelled",
        "right": "cancelled",
        "both": "skipped",
        "last": "skipped",
    }
    assert sorted(one.state for one in await world.child_runs(run.id)) == ["cancelled", "cancelled", "succeeded"]
    names = [event.name for event in await world.events(run.id)]
    assert names.count("workflow.cancel_requested") == names.count("workflow.ended") == 1


async def test_the_same_request_again_is_the_same_workflow_run() -> None:
    world = await World.begun(PAIR, quick=True)
    ident = new_id()
    first = await world.start("tea", ident)
    again = await world.start("tea", ident)
    with pytest.raises(Conflict, match="idempotency key"):
        await world.start("coffee", ident)
    await world.put([{"name": "other", "agent": "bot"}])
    await world.pump()
    later = await world.start("tea", ident)

    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert (later.version, [step.name for step in later.steps]) == (1, ["first", "second"])
    await world.check_ended_once(ident)


async def test_a_run_keeps_the_version_that_it_began_with() -> None:
    """Also when the workflow is deleted meanwhile."""
    world = await World.begun(PAIR, quick=True)
    run = await world.start()
    await world.app.services.workflows.definitions.delete(WS, "flow")
    with pytest.raises(NotFound):
        await world.start()
    world.engine()._workflows._plans.clear()
    await world.pump()

    await world.check_ended_once(run.id)


async def test_runs_are_listed_newest_first_and_by_workflow() -> None:
    world = await World.begun(PAIR, quick=True)
    await world.put(PAIR, "flow-2")
    idents = []
    for number in range(5):
        world.app.clock.move(seconds=1)
        idents.append((await world.start(str(number))).id)
    found, more = await world.runs().page(WS, "flow", 3, None)
    rest, end = await world.runs().page(WS, "flow", 3, more)

    assert [run.id for run in (*found, *rest)] == idents[::-1]
    assert (end, await world.runs().page(WS, "flow-2", 3, None)) == (None, ([], None))


async def test_erasing_a_session_of_a_step_erases_what_was_asked_and_stops_the_rest() -> None:
    """A user's texts are nowhere afterwards; what it cost stays."""
    world = await World.begun(PAIR, quick=True)
    run = await world.start("my secret " * 20_000, user_id="ada")
    await world.deliver(world.app.queue.sent.pop(0))
    cost = (await world.get(run.id)).spend.cost_micro_usd
    await world.app.services.sessions.user_erasure.erase(WS, "ada")
    await world.finish(run.id)

    run = await world.get(run.id)
    assert (run.request.input, run.request.user_id, run.request.digest, run.finished) == ("", None, "", True)
    assert states(run)["second"] in ("cancelled", "failed"), "by which session was erased first"
    assert (await world.answer(run), run.spend.cost_micro_usd) == (None, cost)
    assert cost > 0
    assert "secret" not in repr([row.values for row in await world.rows("workflowruns")])
    assert cast("MemoryTexts", world.app.services.core.large_texts)._texts == {}


async def test_what_a_workflow_run_was_asked_stays_while_one_of_its_steps_is_held() -> None:
    """However the other steps' sessions are erased; it goes when the hold is released, without another call."""
    world = await World.begun(PAIR, quick=True)
    await world.agent("held")
    await world.put([{"name": "first", "agent": "bot"}, {"name": "second", "agent": "held", "prompt": "about {input}"}])
    run = await world.start("my secret", user_id="ada")
    await world.pump()
    await world.finish(run.id)
    sessions, scope = world.app.services.sessions, parse_hold_scope("agent:held")
    await sessions.retention.place(WS, LegalHold(scope, "case 7", world.app.clock.now))
    before = await world.get(run.id)
    await sessions.erasure.erase(WS, session_of_run(WS, before.step("first").tries[0].run_id))
    kept = await world.get(run.id)
    await sessions.user_erasure.erase(WS, "ada")
    await world.sweep()
    still = await world.get(run.id)
    await sessions.retention.release(WS, scope, None)
    await world.sweep()
    erased = await world.get(run.id)

    assert (before.request.input, before.request.user_id) == ("my secret", "ada")
    assert kept == still == before
    assert (erased.request.input, erased.request.user_id) == ("", None)
    assert not [row for row in await world.rows("due") if row.partition.startswith("workflow!")]


async def test_an_answer_that_was_erased_fails_the_step_that_needs_it() -> None:
    world = await World.begun([PAIR[0], {"name": "wait", "agent": "bot"}, PAIR[1]], quick=True)
    run = await world.start()
    await world.deliver(world.app.queue.sent.pop(0))
    first = (await world.get(run.id)).step("first").tries[0].run_id
    await world.app.services.conversations.store.clear(WS, session_of_run(WS, first))
    await world.pump()
    run = await world.finish(run.id)

    assert (run.state, run.failed_step, run.step("second").code) == ("failed", "second", "run_erased")


async def test_long_inputs_and_answers_are_kept_whole() -> None:
    world = await World.begun(PAIR, quick=True)
    text = "long " * 30_000
    run = await world.start(text)
    await world.pump()
    await world.check_ended_once(run.id)

    first = next(one for one in await world.child_runs(run.id) if one.query.startswith("about long"))
    assert first.query == f"about {text}"
    assert (await world.get(run.id)).request.input == text


async def test_a_prompt_that_comes_to_nothing_or_too_much_fails_its_step() -> None:
    world = await World.begun(PAIR, quick=True)
    skipped = {"name": "never", "agent": "bot", "when": "false"}
    await world.put(
        [
            skipped,
            {"name": "empty", "agent": "bot", "prompt": "{steps.never.answer}", "on_failure": "continue"},
            {"name": "huge", "agent": "bot", "prompt": "{input}" * 1000},
        ]
    )
    run = await world.start("x" * 2000)
    await world.pump()
    run = await world.finish(run.id)

    assert [(step.state.value, step.code) for step in run.steps] == [
        ("skipped", ""),
        ("failed", "empty_query"),
        ("failed", "query_too_large"),
    ]


async def test_what_a_step_costs_besides_its_run() -> None:
    """Two reads and writes of the workflow run and an append to the stream; the last one leaves the index, too."""
    tables = CountingTables()
    world = await World.begun(PAIR, tables)
    await world.start()
    await world.pump()
    await world.start()
    tables.reset()
    await world.deliver(world.app.queue.sent.pop(0))

    own = {name: count for name, count in tables.operations.items() if name.endswith("workflowruns")}
    assert own == {"get workflowruns": 1, "commit workflowruns": 2}
