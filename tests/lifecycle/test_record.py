"""What attempts do is recorded: one fact each, with what they took, whatever dies in between."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import AppError, Unavailable
from kernel.tables import Span, Write, every
from lifecycle.conversations.run import Run
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from llmops.facts.attempt_fact import AttemptFact
from llmops.facts.fact_store import kept_of
from llmops.spend.usage import Spend
from tests.lifecycle.app import TOOLED, App, abandon
from tests.lifecycle.doubles import CountingTables, Crash, Fate, spec


async def outcomes(app: App) -> list[AttemptFact]:
    rows = every(app.tables, "facts", Span("0", partition_before=":"))
    found = [kept_of(row).fact async for row in rows if row.key.startswith("fact!")]
    return sorted(found, key=lambda each: each.attempt)


async def performed(app: App, declared: object = None) -> Run:
    await app.declare(declared=declared)  # pyright: ignore[reportArgumentType] - a spec or None
    return await app.ask()


async def test_an_answered_run() -> None:
    """Version, model, time, money and quality of its one attempt."""
    app = App()
    await app.declare(declared=TOOLED)
    await app.submit()
    app.clock.move(seconds=2)
    run = await app.process(app.queue.sent[-1])
    (outcome,) = await outcomes(app)

    assert (outcome.ending, outcome.code, outcome.dead, outcome.attempt) == ("succeeded", "", False, 1)
    assert (outcome.who.agent, outcome.who.version, outcome.model) == ("bot", run.version, run.model)
    assert (outcome.timing.queue_ms, outcome.timing.total_ms) == (2000, 2000)
    assert (outcome.spend, outcome.wasted_micro_usd) == (run.spend, 0)
    assert outcome.spend.calls == 2
    assert run.score is not None
    assert outcome.score == run.score
    await app.aclose()


async def test_attempts_that_fail_add_up_to_the_run() -> None:
    """Each has its own; the spends of all are the run's."""
    app = App()
    run = await performed(app, spec(simulate={"fail_first": 2, "fail_with": "throttled"}))
    found = await outcomes(app)

    assert [(each.attempt, each.ending, each.code) for each in found] == [
        (1, "retried", "provider_throttled"),
        (2, "retried", "provider_throttled"),
        (3, "succeeded", ""),
    ]
    assert sum((each.spend for each in found), Spend()) == run.spend
    assert sum(each.wasted_micro_usd for each in found) == run.wasted.cost_micro_usd
    await app.aclose()


@pytest.mark.parametrize(("failure", "attempts", "dead"), [("rejected", 1, False), ("unavailable", 2, True)])
async def test_a_run_that_fails_for_good(failure: str, attempts: int, dead: bool) -> None:
    """What might have helped to try again is a dead letter."""
    app = App(RUN_MAX_ATTEMPTS=2)
    await performed(app, spec(simulate={"fail_first": 9, "fail_with": failure}))
    found = await outcomes(app)

    assert len(found) == attempts
    assert (found[-1].ending, found[-1].dead, found[-1].code) == ("failed", dead, f"provider_{failure}")
    assert found[-1].who.version
    await app.aclose()


async def test_a_cancelled_run_is_no_failure() -> None:
    """Nor is it noted twice when its message comes."""
    app = App()
    await app.declare()
    accepted = await app.submit()
    await app.services.runs.queries.cancel("default", accepted.run.id)
    for _ in range(2):
        await app.process(app.queue.sent[-1])

    assert [(each.ending, each.attempt) for each in await outcomes(app)] == [("cancelled", 0)]
    await app.aclose()


async def test_a_run_that_a_budget_stops() -> None:
    """It is no failure; what was spent until then is its outcome's, not the next one's."""
    app = App(BUDGET_WAIT_S=0.05)
    await app.declare(declared=TOOLED)
    await app.services.budgets.store.put(
        "default", Budget(parse_scope("workspace"), (Limit("calls", "total", 1),)), None
    )
    accepted = await app.submit()
    run = await app.process(app.queue.sent[-1])
    (outcome,) = await outcomes(app)

    assert run is not None
    assert (run.id, run.state) == (accepted.run.id, "waiting")
    assert (outcome.ending, outcome.code, outcome.final) == ("paused", "budget_exceeded", False)
    assert outcome.spend == run.spend
    assert outcome.spend.calls == 1

    await app.services.budgets.store.put(
        "default", Budget(parse_scope("workspace"), (Limit("calls", "total", 9),)), None
    )
    await app.services.runs.resume.resume_in("default", app.queue.send)
    ended = await app.process(app.queue.sent[-1])
    found = await outcomes(app)
    assert ended is not None
    assert [each.ending for each in found] == ["paused", "succeeded"]
    assert sum((each.spend for each in found), Spend()) == ended.spend
    assert sum(each.wasted_micro_usd for each in found) == ended.wasted.cost_micro_usd
    await app.aclose()


async def test_a_run_whose_workers_died() -> None:
    """Who accounts for the dead letter notes it."""
    app = App()
    await app.declare()
    await app.submit()
    app.queue.bury(app.queue.sent[-1])
    app.clock.move(minutes=5)
    for _ in range(2):
        await app.services.runs.dead_letters(app.queue).account()
    (outcome,) = await outcomes(app)

    assert (outcome.ending, outcome.code, outcome.dead) == ("failed", "worker_lost", True)


@pytest.mark.parametrize("after", [False, True])
async def test_dying_anywhere_an_answered_run_is_noted_once(after: bool) -> None:
    """The message's next delivery makes up for what was not noted."""
    struck = True
    number = 0
    while struck:
        number += 1
        app = App()
        await app.declare()
        await app.ask("warm up")
        await app.submit()
        submission, fate = app.queue.sent[-1], Fate(number, after)
        worker = app.worker(fate)
        with contextlib.suppress(Crash):
            await app.process(submission, worker=worker)
        await abandon(worker)
        struck = fate.struck
        app.clock.move(minutes=5)
        for _ in range(2):
            with contextlib.suppress(AppError):
                await app.process(submission)
        found = [each for each in await outcomes(app) if each.who.run_id == submission.run_id]

        assert [(each.ending, each.code) for each in found][-1:] == [("succeeded", "")], number
        assert {(each.ending, each.code) for each in found[:-1]} <= {("retried", "worker_lost")}, number
        run = await app.services.runs.queries.get("default", submission.run_id)
        assert sum((each.spend for each in found), Spend()) == run.spend
        await app.aclose()


class NoFacts(MemoryTables):
    """Memory tables that cannot take facts for a while."""

    away = True

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        if table == "facts" and self.away:
            raise Unavailable
        return await super().commit(table, writes)


async def test_an_answer_whose_fact_cannot_be_written_is_delivered_again_until_it_is() -> None:
    """The run is answered, and is not run again: what it cost stands with it until it is recorded."""
    tables = NoFacts()
    app = App(tables)
    await app.declare()
    accepted = await app.submit()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await app.process(app.queue.sent[-1])
    answered, _ = await app.stored(accepted.run)
    tables.away = False
    await app.process(app.queue.sent[-1])
    (fact,) = await outcomes(app)

    assert (answered.state, answered.attempt) == ("succeeded", 1)
    assert fact.spend == answered.spend
    assert fact.spend.calls == 1
    await app.check_answered_once(accepted.run)
    await app.aclose()


async def test_it_takes_one_request_an_attempt() -> None:
    """And none that reads."""
    tables = CountingTables()
    app = App(tables)
    await performed(app)

    assert {name: count for name, count in tables.operations.items() if "facts" in name} == {"commit facts": 1}
    await app.aclose()
