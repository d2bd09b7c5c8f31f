"""A run whose tool calls wait for people: it keeps what it has done, and goes on as they decide."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from kernel.due_index import DueIndex
from kernel.errors import Conflict, Forbidden, NotFound
from lifecycle.approvals.approval import Person, State
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.approvals.policy import Policy, PolicyRule
from lifecycle.conversations.run import RunState
from lifecycle.conversations.session import SessionState
from tests.lifecycle.app import App, abandon
from tests.lifecycle.approvals.kit import ANN, APPROVE, BOB, REJECT, asking, decide, drained, records, told, waiting
from tests.lifecycle.doubles import Crash, Fate, spec

LONG = asking(when="size(expression) > 4")


async def app_of(declared: Any = None) -> App:
    app = App()
    await app.declare(declared=declared or asking())
    return app


@pytest.mark.parametrize("stream", [False, True])
async def test_an_approved_call_is_made_and_the_run_goes_on_from_it(*, stream: bool) -> None:
    """The model is not asked again for what it had asked for."""
    app = await app_of()
    run = await waiting(app, stream=stream)
    done = await decide(app, run)
    lines = await app.lines(run)

    assert done.state is RunState.SUCCEEDED
    assert "returned '5'" in (done.answer or "")
    assert [(line.attempt, line.call) for line in lines] == [(1, 1), (2, 1)]
    assert done.wasted.calls == 0
    assert await told(app, run) == ["approval.requested", "approval.decided"]
    await app.aclose()


async def test_an_approval_says_what_the_run_has_cost_so_far() -> None:
    """The model call that asks for it included; and the run says that it waits for a decision."""
    app = await app_of()
    run = await waiting(app)
    (record,) = await records(app, run)

    assert record.approval.cost_micro_usd == run.spend.cost_micro_usd > 0
    assert run.error is not None
    assert (run.error.code, run.error.detail) == (
        "approval_needed",
        "The run waits for a person's decision; its approvals say about what.",
    )
    await app.aclose()


async def test_a_rejected_call_is_not_made_and_the_model_is_told_why() -> None:
    """The run goes on without it."""
    app = await app_of()
    run = await waiting(app)
    done = await decide(app, run, REJECT)

    assert done.state is RunState.SUCCEEDED
    assert "it was rejected: too much" in (done.answer or "")
    assert (await records(app, run))[0].approval.execution is None
    await app.aclose()


async def test_amended_arguments_are_what_the_tool_is_called_with() -> None:
    """Both are in the record, with a hash of each."""
    app = await app_of()
    run = await waiting(app)
    done = await decide(app, run, DecisionRequest("amend", "less", {"expression": "20 + 1"}))
    (record,) = await records(app, run)
    decision = record.approval.decision

    assert "returned '21'" in (done.answer or "")
    assert (record.arguments, record.asked) == ('{"expression":"20 + 1"}', '{"expression":"2 + 3"}')
    assert decision is not None
    assert decision.arguments_hash != record.approval.subject.arguments_hash
    assert (decision.by, decision.reason) == ("ann@example.com", "less")
    await app.aclose()


async def test_a_condition_lets_pass_what_it_does_not_cover() -> None:
    app = await app_of(asking(when="size(expression) > 10"))
    free = await app.ask("2 + 3")
    held = await waiting(app, "1 + 2 + 3 + 4 + 5")

    assert free.state is RunState.SUCCEEDED
    assert await records(app, free) == []
    assert len(held.dispatch.awaits) == 1
    await app.aclose()


async def test_no_spec_weakens_the_workspace_s_policy() -> None:
    """The policy demands, the spec says nothing; and where both do, the policy says who decides."""
    app = await app_of(spec(tools=("calculator",), simulate={"call_tool": "calculator"}))
    rule = PolicyRule(tools=("calc*",), approvers=(("role:finance",),))
    await app.services.approvals.policies.put("default", Policy(rules=(rule,)), None)
    run = await waiting(app)
    await app.declare(declared=asking(approvers=[["user:bob@example.com"]]))
    later = await waiting(app)

    for each in (run, later):
        with pytest.raises(Forbidden):
            await decide(app, each, APPROVE, BOB)
        assert (await decide(app, each, APPROVE, ANN)).state is RunState.SUCCEEDED
    await app.aclose()


async def test_other_sessions_go_on_and_the_own_one_keeps_its_order() -> None:
    """What was submitted behind the waiting run runs after it."""
    app = await app_of(asking(when="expression == '2 + 3'"))
    run = await waiting(app)
    behind = (await app.submit("4 + 4", session_id=run.session_id)).run
    await app.process(app.queue.sent[-1])
    other = await app.ask("5 + 5")
    kept, session = await app.stored(behind)

    assert (other.state, kept.state) == (RunState.SUCCEEDED, RunState.WAITING)
    assert (session.state, session.pause_reason) == (SessionState.WAITING, "approval")
    since = len(app.queue.sent)
    await decide(app, run)
    await drained(app, run, since)
    assert [turn.run_id for turn in await app.turns(run)] == [run.id, run.id, behind.id, behind.id]
    await app.aclose()


async def test_resuming_without_a_decision_waits_again_and_tells_nothing_anew() -> None:
    app = await app_of()
    run = await waiting(app)
    await app.services.runs.resume.resume("default", run.id, app.queue.send)
    again = await app.process(app.queue.sent[-1])

    assert again.state is RunState.WAITING
    assert again.dispatch.awaits == run.dispatch.awaits
    assert (await decide(app, run)).state is RunState.SUCCEEDED
    assert (await told(app, run)).count("approval.requested") == 1
    await app.aclose()


async def test_200_decisions_on_20_approvals_decide_each_once() -> None:
    """Whoever decides the same as the first gets the record; whoever does not gets a conflict."""
    app = await app_of()
    runs = [await waiting(app, f"{n} + 1") for n in range(20)]
    decisions = app.services.approvals.decisions

    async def one(n: int) -> str:
        run, ruling = runs[n % 20], APPROVE if n // 20 % 2 else REJECT
        person = Person(f"p{n}", frozenset({f"p{n}"}))
        try:
            record = await decisions.decide("default", run.dispatch.awaits[0], person, ruling, app.queue.send)
        except Conflict as error:
            return error.code
        return f"{record.approval.decision and record.approval.decision.by}:{run.id}"

    answers = Counter(await asyncio.gather(*(one(n) for n in range(200))))
    for run in runs:
        await drained(app, run)

    assert len([name for name in answers if name != "approval_decided"]) == 20
    assert answers["approval_decided"] == 100
    for run in runs:
        (record,) = await records(app, run)
        assert await told(app, run) == ["approval.requested", "approval.decided"]
        assert record.approval.execution is None or record.approval.execution.times == 1
        assert (await app.stored(run))[0].state is RunState.SUCCEEDED
    await app.aclose()


async def test_the_same_decision_again_returns_the_record_and_another_is_a_conflict() -> None:
    app = await app_of()
    run = await waiting(app)
    await decide(app, run)
    decisions, ident = app.services.approvals.decisions, run.dispatch.awaits[0]
    again = await decisions.decide("default", ident, BOB, APPROVE, app.queue.send)

    assert again.approval.decision
    assert again.approval.decision.by == "ann@example.com"
    for other in (REJECT, DecisionRequest("amend", "", {"expression": "1"})):
        with pytest.raises(Conflict) as caught:
            await decisions.decide("default", ident, ANN, other, app.queue.send)
        assert caught.value.code == "approval_decided"
    await app.aclose()


async def test_another_workspace_s_approval_is_not_found() -> None:
    app = await app_of()
    run = await waiting(app)

    with pytest.raises(NotFound):
        await app.services.approvals.decisions.decide("other", run.dispatch.awaits[0], ANN, APPROVE, app.queue.send)
    await app.aclose()


async def test_what_nobody_decides_in_time_is_rejected_and_the_model_is_told() -> None:
    app = await app_of(asking(expires_s=60))
    run = await waiting(app)
    app.clock.move(seconds=61)
    with pytest.raises(Conflict) as caught:
        await app.services.approvals.decisions.decide("default", run.dispatch.awaits[0], ANN, APPROVE, app.queue.send)
    await app.services.approvals.decisions.sweep(app.queue.send)
    done = await drained(app, run)

    assert caught.value.code == "approval_expired"
    assert "nobody approved it in time" in (done.answer or "")
    assert await told(app, run) == ["approval.requested", "approval.expired"]
    await app.aclose()


async def test_an_escalated_approval_is_the_next_level_s_and_expires_after_the_last() -> None:
    app = await app_of(
        asking(expires_s=60, on_expiry="escalate", approvers=[["user:ann@example.com"], ["user:bob@example.com"]])
    )
    run, other = await waiting(app), await waiting(app, "4 + 4")
    app.clock.move(seconds=61)
    await app.services.approvals.decisions.sweep(app.queue.send)
    with pytest.raises(Forbidden):
        await decide(app, run, APPROVE, ANN)
    done = await decide(app, run, APPROVE, BOB)
    app.clock.move(seconds=61)
    await app.services.approvals.decisions.sweep(app.queue.send)

    assert done.state is RunState.SUCCEEDED
    assert (await records(app, other))[0].approval.state is State.EXPIRED
    await app.aclose()


async def test_an_approval_that_is_kept_waits_on() -> None:
    app = await app_of(asking(expires_s=60, on_expiry="keep"))
    run = await waiting(app)
    app.clock.now += timedelta(days=40)
    await app.services.approvals.decisions.sweep(app.queue.send)

    assert (await decide(app, run)).state is RunState.SUCCEEDED
    await app.aclose()


async def test_whoever_asked_may_not_decide_where_the_rule_says_so() -> None:
    """Nor anybody whom sign-in does not name."""
    app = await app_of(asking(not_requester=True))
    run = await waiting(app, user_id="bob@example.com")

    for person, code in ((BOB, "approver_is_requester"), (Person(), "approver_unknown")):
        with pytest.raises(Forbidden) as caught:
            await decide(app, run, APPROVE, person)
        assert caught.value.code == code
    assert (await decide(app, run, APPROVE, ANN)).state is RunState.SUCCEEDED
    await app.aclose()


async def test_a_cancelled_run_takes_its_approvals_with_it_and_lets_its_session_go_on() -> None:
    """In the same call: what was kept behind it is queued, and no timer is waited for."""
    app = await app_of(LONG)
    run = await waiting(app, session_id="s")
    behind = (await app.submit("1+1", session_id="s")).run
    await app.deliver(app.queue.sent[-1])
    sent = len(app.queue.sent)
    cancelled = await app.services.runs.cancel.cancel("default", run.id, app.queue.send)
    session = (await app.stored(run))[1]
    with pytest.raises(Conflict) as caught:
        await decide(app, run)
    after = await drained(app, behind, sent)

    assert cancelled.state is RunState.CANCELLED
    assert caught.value.code == "approval_withdrawn"
    assert (session.state, session.held) == (SessionState.STARTED, None)
    assert await told(app, run) == ["approval.requested", "approval.withdrawn"]
    assert after.state is RunState.SUCCEEDED
    await app.aclose()


async def test_cancelling_what_is_kept_behind_leaves_what_waits() -> None:
    """Only the run that the session waits for lets it go on."""
    app = await app_of(LONG)
    run = await waiting(app, session_id="s")
    behind = (await app.submit("1+1", session_id="s")).run
    await app.deliver(app.queue.sent[-1])
    await app.services.runs.cancel.cancel("default", behind.id, app.queue.send)
    kept, session = await app.stored(run)

    assert (kept.state, session.state) == (RunState.WAITING, SessionState.WAITING)
    assert (await decide(app, run)).state is RunState.SUCCEEDED
    await app.aclose()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_cancelled_run_lets_its_session_go_on_wherever_whoever_does_it_dies(*, after: bool) -> None:
    """The timer does what is left; the approval is withdrawn once."""
    number = 0
    for number in itertools.count(1):
        app = await app_of(LONG)
        run = await waiting(app, session_id="s")
        behind = (await app.submit("1+1", session_id="s")).run
        await app.deliver(app.queue.sent[-1])
        sent = len(app.queue.sent)
        fate = Fate(number, after=after)
        worker = app.worker(fate)
        with contextlib.suppress(Crash):
            await worker.runs.cancel.cancel("default", run.id, app.queue.send)
        await abandon(worker)
        app.clock.move(seconds=61)
        cancelled = await app.services.runs.cancel.cancel("default", run.id, app.queue.send)
        await app.services.approvals.decisions.sweep(app.queue.send)
        await app.services.conversations.pause.finish(app.queue.send)

        assert cancelled.state is RunState.CANCELLED, number
        assert (await drained(app, behind, sent)).state is RunState.SUCCEEDED, number
        assert (await told(app, run)).count("approval.withdrawn") == 1, number
        await app.aclose()
        if not fate.struck:
            break
    assert number > 3


async def test_a_standing_rule_lets_the_same_call_pass_until_the_version_ends() -> None:
    app = await app_of()
    run = await waiting(app)
    await decide(app, run, DecisionRequest("approve", always="call"))
    passed = await app.ask("2 + 3")
    held = await waiting(app, "7 + 7")
    await app.declare(declared=asking().model_copy(update={"instructions": "Be brief."}))
    renewed = await waiting(app, "2 + 3")

    assert passed.state is RunState.SUCCEEDED
    assert await records(app, passed) == []
    assert held.dispatch.awaits
    assert renewed.dispatch.awaits
    await app.aclose()


async def test_arguments_that_nobody_can_review_are_rejected() -> None:
    """A call with 300 KiB of arguments is not made, and the run says why."""
    app = await app_of()
    done = await app.ask(f"2 + {'3' * 300 * 1024}")

    assert done.state is RunState.SUCCEEDED
    assert "a person cannot review" in (done.answer or "")
    assert await records(app, done) == []
    await app.aclose()


async def test_erasing_removes_the_arguments_and_keeps_the_decision() -> None:
    app = await app_of()
    run = await waiting(app, user_id="bob@example.com")
    await decide(app, run)
    await app.services.sessions.erasure.erase("default", run.session_id)
    (record,) = await records(app, run)

    assert (record.arguments, record.excerpt, record.result, record.approval.place.user_id) == ("", "", None, "")
    assert record.approval.decision
    assert record.approval.decision.by == "ann@example.com"
    await app.aclose()


async def test_the_timer_looks_at_what_waits_by_the_hour_and_at_nothing_else() -> None:
    """A wait of days costs a look an hour; what is decided, or never came to wait, costs none."""
    app = await app_of(asking(expires_s=200_000))
    run = await waiting(app)
    due, decisions = DueIndex(app.tables, "approval"), app.services.approvals.decisions
    await due.add("default", "01900000-0000-7000-8000-000000000001", app.clock())  # its worker died before it asked
    looks = []
    for _ in range(3):
        looks.append(await decisions.sweep(app.queue.send))
        looks.append(len([entry async for entry in due.until(app.clock())]))
        app.clock.move(hours=2)
    await decide(app, run)
    await decisions.sweep(app.queue.send)

    assert looks == [2, 1, 2, 0, 1, 0]
    assert [entry async for entry in due.until(app.clock() + timedelta(days=9))] == []
    await app.aclose()
