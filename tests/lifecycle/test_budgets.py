"""Runs within budgets: they wait at a limit with their session, and the same run goes on when there is room."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from agent_framework import Message

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.errors import AppError, Conflict, Unavailable
from kernel.tables import Delete, Page, Row, Span, Write, every
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.run_request import Submission
from lifecycle.runs.stored_progress import MOST_BYTES, Progress, dumped, loaded
from llmops.budgets.budget_rules import Budget, CostAttribution, Limit, parse_scope
from llmops.spend.pricing import Rate
from llmops.spend.usage import Spend
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.app import TOOLED, App
from tests.lifecycle.doubles import Crash, Fate, ManualClock, quick_settings, spec
from tests.llmops.conftest import call
from tests.waiting import eventually


async def limit(app: App, scope: str, unit: Any, amount: int, period: Any = "total", **more: Any) -> None:
    budget = Budget(parse_scope(scope), (Limit(unit, period, amount, **more),))
    await app.services.budgets.store.put("default", budget, None)


async def deliver(app: App, since: int = 0) -> list[Run | None]:
    """Deliver the messages sent since, in order, as one session's receiver would."""
    return [await app.process(message) for message in app.queue.sent[since:]]


async def spent(app: App, counter: str = "workspace!total") -> tuple[int, int, int]:
    stored = (await app.services.budgets.counters.counters("default", [counter]))[counter]
    return stored.spent.calls, stored.spent.tokens, stored.reserved.tokens


def _blocked(row: Row) -> bool:
    return "budget.blocked" in str(row.values)


@pytest.fixture
async def app() -> Any:
    app = App(BUDGET_WAIT_S=0.05)
    yield app
    await app.aclose()


async def test_a_run_within_its_budgets_is_settled_to_the_token(app: App) -> None:
    """What is reserved is given back; what is counted is what the ledger has."""
    await app.declare(declared=TOOLED)
    await limit(app, "workspace", "tokens", 100_000)
    await limit(app, "agent:bot", "calls", 10, "day")
    run = await app.ask(user_id="ann")
    lines = await app.lines(run)
    tokens = sum(line.usage.input_tokens + line.usage.output_tokens for line in lines)

    assert await spent(app) == (2, tokens, 0)
    assert await spent(app, "agent:bot!2026-11-21") == (2, tokens, 0)
    assert [line.outcome for line in lines] == ["answered", "answered"]
    assert "run.stage CHECKING_BUDGET" in await app.event_names(run)
    assert [hold async for hold in app.services.budgets.counters.reservations("default")] == []


async def test_without_budgets_there_is_no_such_stage(app: App) -> None:
    """And the only trace of a call under way is its note in the ledger."""
    await app.declare()
    run = await app.ask()

    assert "run.stage CHECKING_BUDGET" not in await app.event_names(run)


async def test_at_a_limit_the_run_waits_and_the_same_run_goes_on(app: App) -> None:
    """It does not fail; what came after it waits its turn; raising the budget lets both go on, in order."""
    await app.declare()
    await limit(app, "workspace", "calls", 1)
    await app.ask("first", session_id="s")
    second = (await app.submit("second", session_id="s")).run
    third = (await app.submit("third", session_id="s")).run
    since = len(app.queue.sent) - 2
    await deliver(app, since)
    waiting, session = await app.stored(second)
    behind, _ = await app.stored(third)

    assert (waiting.state, session.state, session.pause_reason) == (RunState.WAITING, "waiting", "budget")
    assert waiting.error is not None
    assert (waiting.error.code, waiting.stage) == ("budget_exceeded", "CHECKING_BUDGET")
    assert "allows 1 calls per total: 1 are spent" in waiting.error.detail
    assert behind.state is RunState.WAITING
    assert await app.services.runs.resume.resume_in("default", app.queue.send) == 0, "there is no room yet"

    await limit(app, "workspace", "calls", 10)
    since = len(app.queue.sent)
    assert await app.services.runs.resume.resume_in("default", app.queue.send) == 1
    await deliver(app, since)
    turns = await app.turns(second)

    assert [turn.text for turn in turns if turn.role == "user"] == ["first", "second", "third"]
    assert (await app.stored(second))[0].state == (await app.stored(third))[0].state == RunState.SUCCEEDED
    assert (await app.stored(second))[1].state == "active"
    assert [wait async for wait in app.services.budgets.waits.every("default")] == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_stopped_in_the_middle_of_a_tool_loop_goes_on_from_there(stream: bool) -> None:
    """The second model call waits for room; the first one is not repeated, nor is the tool, and nothing is wasted."""
    app = App(BUDGET_WAIT_S=0.05)
    asked: list[str] = []

    def lookup(key: str = "x") -> str:
        """Look something up."""
        asked.append(key)
        return "found"

    app.services = Services(app.tables, quick_settings(BUDGET_WAIT_S=0.05), app.clock)
    app.services.extensions.__dict__["tools"] = {"lookup": lookup}
    app.signals = app.services.agents.local_signals()
    await app.declare(declared=spec(tools=("lookup",), simulate={"call_tool": "lookup"}))
    scope = "run:01900000-0000-7000-8000-000000000001"
    await limit(app, scope, "calls", 1, "run")
    accepted = await app.submit(run_id="01900000-0000-7000-8000-000000000001", stream=stream)
    await deliver(app)
    stopped, session = await app.stored(accepted.run)
    await limit(app, scope, "calls", 2, "run")
    since = len(app.queue.sent)
    await app.services.runs.resume.resume_in("default", app.queue.send)
    await deliver(app, since)
    done, _ = await app.stored(accepted.run)
    lines = await app.lines(done)
    await app.aclose()

    assert stopped.state is RunState.WAITING
    assert stopped.spend == session.spend == lines[0].spend
    assert (stopped.spend.calls, stopped.wasted) == (1, Spend())
    assert done.state is RunState.SUCCEEDED
    assert "found" in (done.answer or "")
    assert len(asked) == 1
    assert [(line.attempt, line.call) for line in lines] == [(1, 1), (2, 1)]
    assert (done.spend.calls, done.wasted, done.costs.progress) == (2, Spend(), None)


async def test_what_is_too_long_is_not_kept() -> None:
    assert dumped([Message("user", ["x" * MOST_BYTES])], None) is None
    assert dumped([], None) is None


async def test_what_is_kept_belongs_to_one_conversation() -> None:
    kept = dumped([Message("user", ["x"])], "conv_1")

    assert [message.text for message in loaded(kept, "conv_1").messages] == ["x"]
    assert loaded(kept, "conv_2") == loaded(kept, None) == loaded(None, None) == Progress()


async def test_a_period_that_is_over_lets_the_run_go_on(app: App) -> None:
    """Nobody has to do anything but the timer."""
    await app.declare()
    await limit(app, "user:ann", "calls", 1, "day")
    await app.ask("first", user_id="ann")
    run = (await app.submit("second", user_id="ann")).run
    await app.process(app.queue.sent[-1])
    assert await app.services.runs.resume.resume_all(app.queue.send) == 0

    told = [
        event for shard in range(4) for _, event in await app.services.events.journal.read("default", shard, 0, 1000)
    ]
    assert {"budget.threshold", "budget.blocked"} <= {event.name for event in told}
    assert "user:ann" not in str(told), "the stream of events names no user"
    [blocked] = [row async for row in every(app.tables, "outbox", Span("outbox", key_from="due!")) if _blocked(row)]
    assert "user:ann" not in str(blocked.values), "nor does what is told of a run, which may be erased"

    app.clock.move(days=1)
    assert await app.services.runs.resume.resume_all(app.queue.send) == 1
    await app.process(app.queue.sent[-1])
    assert (await app.stored(run))[0].state is RunState.SUCCEEDED


async def test_what_the_provider_holds_is_gone_on_with_after_a_wait_that_began_before_a_call() -> None:
    """Nothing was sent, so the conversation is as it was, and nothing is sent again."""
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint, BUDGET_WAIT_S=0.05)
        await app.declare(declared=spec(provider="foundry"))
        await limit(app, "workspace", "calls", 1)
        await app.ask("first", session_id="s")
        second = (await app.submit("second", session_id="s")).run
        await app.process(app.queue.sent[-1])
        assert (await app.stored(second))[0].state is RunState.WAITING
        await limit(app, "workspace", "calls", 2)
        await app.services.runs.resume.resume_all(app.queue.send)
        await app.process(app.queue.sent[-1])
        done, session = await app.stored(second)
        await app.aclose()
        await app.services.aclose()

    assert done.state is RunState.SUCCEEDED
    assert len(session.kept) == len(fake.project.conversations) == 1


@pytest.mark.parametrize("forgotten", [False, True])
async def test_at_foundry_a_stopped_run_goes_on_in_its_conversation(forgotten: bool) -> None:
    """It sends what the tool returned, and no more; where the conversation is gone, it begins again in another."""
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint, BUDGET_WAIT_S=0.05)
        await app.declare(declared=spec(provider="foundry", tools=("calculator",)))
        await limit(app, "workspace", "calls", 1)
        run = (await app.submit('/tool calculator {"expression": "2 + 3"}')).run
        await app.process(app.queue.sent[-1])
        stopped, _ = await app.stored(run)
        if forgotten:
            fake.project.conversations.clear()
        await limit(app, "workspace", "calls", 9)
        await app.services.runs.resume.resume_all(app.queue.send)
        await deliver_until_done(app)
        done, session = await app.stored(run)
        bodies = fake.bodies("create_response")
        await app.aclose()
        await app.services.aclose()

    assert (stopped.state, stopped.spend.calls, stopped.wasted) == (RunState.WAITING, 1, Spend())
    assert done.state is RunState.SUCCEEDED
    assert "5" in (done.answer or "")
    assert session.held is not None
    if forgotten:
        assert done.wasted.calls == 1
    else:
        assert (done.spend.calls, done.wasted) == (2, Spend())
        assert [item["type"] for item in bodies[-1]["input"]] == ["function_call_output"]
        assert bodies[-1]["conversation"] == bodies[0]["conversation"]


async def deliver_until_done(app: App) -> None:
    """Deliver the latest message until the run has ended, as the broker does."""
    for _ in range(6):
        with contextlib.suppress(Unavailable):
            run = await app.process(app.queue.sent[-1])
            if run is not None and run.finished:
                return


async def test_an_operator_resumes_a_run_and_a_finished_one_not(app: App) -> None:
    """Without room it waits again, and that costs it none of its attempts."""
    await app.declare()
    await limit(app, "workspace", "calls", 1)
    done = await app.ask("first")
    run = (await app.submit("second")).run
    await app.process(app.queue.sent[-1])
    for _ in range(7):
        resumed = await app.services.runs.resume.resume("default", run.id, app.queue.send)
        assert resumed.state is RunState.QUEUED
        waits = await app.process(app.queue.sent[-1])
        assert waits is not None
        assert waits.state is RunState.WAITING
    with pytest.raises(Conflict, match="succeeded"):
        await app.services.runs.resume.resume("default", done.id, app.queue.send)


async def test_what_waits_behind_a_cancelled_run_goes_on(app: App) -> None:
    """The one that was blocked is cancelled; the one behind it has a turn of its own."""
    await app.declare()
    await limit(app, "workspace", "calls", 1)
    await app.ask("first", session_id="s")
    second = (await app.submit("second", session_id="s")).run
    third = (await app.submit("third", session_id="s")).run
    await deliver(app, 1)
    await app.services.runs.queries.cancel("default", second.id)
    await limit(app, "workspace", "calls", 10)
    since = len(app.queue.sent)
    await app.services.runs.resume.resume_all(app.queue.send)
    await deliver(app, since)

    assert (await app.stored(second))[0].state is RunState.CANCELLED
    assert (await app.stored(third))[0].state is RunState.SUCCEEDED


async def test_what_waits_behind_a_cancelled_run_is_not_forgotten_when_the_broker_is_away(app: App) -> None:
    """The cancelled run is kept in mind until what is behind it goes on: nothing else would let it."""
    await app.declare()
    await limit(app, "workspace", "calls", 1)
    await app.ask("first", session_id="s")
    second = (await app.submit("second", session_id="s")).run
    third = (await app.submit("third", session_id="s")).run
    await deliver(app, 1)
    await app.services.runs.queries.cancel("default", second.id)
    await limit(app, "workspace", "calls", 10)
    fate = Fate(2, error=Unavailable)
    assert await app.worker(fate).runs.resume.resume_all(app.queue.send) == 0
    since = len(app.queue.sent)
    assert await app.services.runs.resume.resume_all(app.queue.send) == 1
    await deliver(app, since)

    assert (await app.stored(third))[0].state is RunState.SUCCEEDED


async def test_one_run_that_cannot_be_resumed_holds_up_no_other(app: App) -> None:
    """The broker takes every message but one."""
    await app.declare()
    await limit(app, "workspace", "calls", 1)
    await app.ask("first")
    blocked = [(await app.submit("next", session_id=name)).run for name in ("a", "b", "c")]
    await deliver(app, 1)
    await limit(app, "workspace", "calls", 10)
    refused = min(run.id for run in blocked)

    async def send(submission: Submission) -> None:
        if submission.run_id == refused:
            raise Unavailable(code="queue_unavailable")
        await app.queue.send(submission)

    assert await app.services.runs.resume.resume_all(send) == 2
    assert await app.services.conversations.pause.finish(app.queue.send) == 3, "the timer of sessions queues it"


class AwayAfterwards(MemoryTables):
    """Tables in which budgets cannot be looked up any more once a call is settled."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.away = False
        self._clock = clock

    async def query(self, table: str, span: Span, *, limit: int = 1000, token: str | None = None) -> Page:
        if self.away and table == "budgets":
            raise Unavailable
        return await super().query(table, span, limit=limit, token=token)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        if any(isinstance(write, Delete) and write.key.startswith("held!") for write in writes):
            self.away = True
            self._clock.move(seconds=2)  # what is known of the budgets is too old
        return await super().commit(table, writes)


async def test_an_answer_is_not_lost_because_its_budget_cannot_be_looked_up_after_it() -> None:
    """It is paid for, and settled."""
    app = App(AwayAfterwards(clock := ManualClock()), clock, BUDGET_TRUST_S=1)
    await app.declare()
    await limit(app, "workspace", "calls", 10)
    run = await app.ask()
    await app.aclose()

    assert (run.state, run.attempt, run.wasted) == (RunState.SUCCEEDED, 1, Spend())


async def test_a_model_without_a_price_is_not_run_on_a_budget_in_usd(app: App) -> None:
    """It waits until it has one."""
    await app.declare(declared=spec(model="home-grown"))
    await limit(app, "workspace", "usd", 1_000_000)
    run = (await app.submit()).run
    waits = await app.process(app.queue.sent[-1])
    assert waits is not None
    assert waits.error is not None
    assert waits.error.code == "model_unpriced"

    await app.services.budgets.rates.put("default", Rate("home-grown", Decimal(1), Decimal(2)), None)
    assert await app.services.runs.resume.resume_all(app.queue.send) == 1
    done = await app.process(app.queue.sent[-1])
    assert done is not None
    line = (await app.lines(run))[0]
    usage = line.usage
    assert line.cost_micro_usd == usage.input_tokens + 2 * usage.output_tokens
    assert line.rate.startswith("own rate of home-grown: $1/input MTok")


async def test_the_ladder_goes_to_a_cheaper_model_then_asks_then_stops(app: App) -> None:
    """Each step is told once; an approval goes past `ask` and not past `stop`."""
    ladder = [
        {"at": 20, "do": "warn"},
        {"at": 40, "do": "cheaper_model", "model": "gpt-4.1-nano"},
        {"at": 60, "do": "ask"},
        {"at": 80, "do": "stop"},
    ]
    await app.declare(declared=spec(ladder=ladder))
    await limit(app, "agent:bot", "calls", 5, soft=(50,))
    models = [(await app.ask(f"q{n}")).model for n in range(3)]
    run = (await app.submit("asks")).run
    waits = await app.process(app.queue.sent[-1])
    assert waits is not None
    assert waits.error is not None
    assert models == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4.1-nano"]
    assert waits.error.code == "budget_approval_needed"
    assert await app.services.runs.resume.resume_all(app.queue.send) == 0

    await app.services.runs.resume.resume("default", run.id, app.queue.send)
    done = await app.process(app.queue.sent[-1])
    assert done is not None
    assert done.state is RunState.SUCCEEDED
    stopped = (await app.submit("stops")).run
    await app.process(app.queue.sent[-1])
    await app.services.runs.resume.resume("default", stopped.id, app.queue.send)
    waits = await app.process(app.queue.sent[-1])
    assert waits is not None
    assert (waits.state, waits.error and waits.error.code) == (RunState.WAITING, "budget_exceeded")
    told = [
        event.name
        for shard in range(4)
        for _, event in await app.services.events.journal.read("default", shard, 0, 1000)
    ]
    assert {"budget.degraded", "budget.threshold", "budget.blocked"} <= set(told)


async def test_a_call_whose_worker_died_is_in_the_ledger_once(app: App) -> None:
    """Wherever it died: within budgets or without any; and the budget has counted what the ledger has."""
    for within, after in itertools.product((False, True), (False, True)):
        number = 0
        for number in itertools.count(1):
            app = App(BUDGET_WAIT_S=0.05)
            await app.declare()
            if within:
                await limit(app, "workspace", "tokens", 1_000_000)
            accepted = await app.submit()
            worker = app.worker(fate := Fate(number, after), model=Fate())
            with contextlib.suppress(Crash):
                await app.process(app.queue.sent[-1], worker=worker)
            if not fate.dead:
                break
            app.clock.move(seconds=61)
            await app.process(app.queue.sent[-1])
            run, _ = await app.stored(accepted.run)
            app.clock.move(hours=1)
            await app.services.budgets.maintenance.run()
            lines = await app.lines(run)
            assert len({(line.attempt, line.call) for line in lines}) == len(lines)
            assert run.spend == sum((line.spend for line in lines), Spend())
            if within:
                calls, tokens, reserved = await spent(app)
                assert (calls, reserved) == (len(lines), 0)
                assert tokens == run.spend.input_tokens + run.spend.output_tokens
        assert number > 4


async def test_a_run_cancelled_while_its_model_works_is_charged_what_it_may_have_cost(app: App) -> None:
    """Nobody learns what it used; its estimate stands, and says that it is one."""
    await app.declare(declared=spec(simulate={"latency_ms": 60_000}))
    await limit(app, "workspace", "tokens", 1_000_000)
    accepted = await app.submit()
    working = asyncio.create_task(app.process(app.queue.sent[-1]))

    async def reserved() -> bool:
        return [hold async for hold in app.services.budgets.counters.reservations("default")] != []

    await eventually(reserved)
    await asyncio.sleep(0.02)
    await app.services.runs.queries.cancel("default", accepted.run.id)
    run = await working
    assert run is not None
    lines = await app.lines(run)

    assert (run.state, run.wasted.unsettled_calls) == (RunState.CANCELLED, 1)
    assert [line.outcome for line in lines] == ["unsettled"]
    assert (await spent(app))[1:] == (run.spend.input_tokens + run.spend.output_tokens, 0)


async def test_wall_time_cuts_a_call_and_the_run_waits(app: App) -> None:
    """Two seconds are left; the model would take a minute."""
    await app.declare(declared=spec(simulate={"latency_ms": 60_000}))
    await limit(app, "agent:bot", "seconds", 1200, "day")
    run = (await app.submit()).run
    waits = await app.process(app.queue.sent[-1])

    assert waits is not None
    assert (waits.state, waits.error and waits.error.code) == (RunState.WAITING, "budget_exceeded")
    assert waits.id == run.id


@pytest.mark.parametrize("further", [False, True])
async def test_wall_time_is_that_of_calls_and_of_the_tools_after_them(app: App, *, further: bool) -> None:
    """Until the next call, or the attempt's end: a run of slow tools does not go on for ever."""
    await limit(app, "workspace", "seconds", 600_000)
    budget = app.services.budgets.service.of(CostAttribution("default", "bot", "chat", "run-1"), 1)
    await budget.begin(call(1))
    budget.record(call(1))
    await asyncio.sleep(0.1)  # a tool
    if further:
        await budget.begin(call(2))
        budget.record(call(2))
    await budget.close()

    [counter] = (await app.services.budgets.counters.counters("default", ["workspace!total"])).values()
    assert counter.spent.ms >= 100


async def test_64_runs_at_once_by_workers_that_die_stay_below_the_cap() -> None:
    """Each worker is a process of its own; what the ledger has in the end is what was really called."""
    app = App(BUDGET_WAIT_S=0.3, RUN_LOOK_EVERY_S=0.2)
    await app.declare(declared=spec(max_output_tokens=50))
    await limit(app, "workspace", "tokens", 900)
    runs = [(await app.submit(f"q {n}")).run for n in range(64)]
    messages = dict(zip((run.id for run in runs), app.queue.sent, strict=True))

    async def work(number: int, run: Run) -> None:
        worker = app.worker(Fate(3 + number % 9, number % 2 == 0)) if number % 3 == 0 else app.worker()
        with contextlib.suppress(Crash, AppError):
            await app.process(messages[run.id], worker=worker)

    await asyncio.gather(*(work(number, run) for number, run in enumerate(runs)))
    app.clock.move(seconds=61)
    for run in runs:
        with contextlib.suppress(AppError):
            await app.process(messages[run.id])
    app.clock.move(hours=1)
    await app.services.budgets.maintenance.run()
    stored = [(await app.stored(run))[0] for run in runs]
    lines = [line for run in stored for line in await app.lines(run)]
    tokens = sum(line.spend.input_tokens + line.spend.output_tokens for line in lines)

    assert {run.state for run in stored} == {RunState.SUCCEEDED, RunState.WAITING}
    assert await spent(app) == (len(lines), tokens, 0)
    assert 500 < tokens <= 900


@pytest.mark.parametrize("again", [True, False], ids=["tried again", "never again"])
@pytest.mark.parametrize("within", [True, False], ids=["within a budget", "without"])
async def test_a_call_under_way_when_its_worker_dies_is_charged_its_estimate(within: bool, again: bool) -> None:
    """By the next attempt, or by the timer where there is none; once, and the budget has the same."""
    app = App(BUDGET_WAIT_S=0.05)
    await app.declare(declared=spec(simulate={"latency_ms": 1500}))
    if within:
        await limit(app, "workspace", "tokens", 1_000_000)
    accepted, fate = await app.submit(), Fate()
    working = asyncio.create_task(app.process(app.queue.sent[-1], worker=app.worker(fate, model=Fate())))

    async def calling() -> bool:
        return (await app.stored(accepted.run))[0].last.open is not None

    await eventually(calling)
    fate.dead = True
    with pytest.raises(Crash):
        await working
    app.clock.move(seconds=61)
    if again:
        run = await app.process(app.queue.sent[-1])
        assert run is not None
        assert (run.attempt, run.wasted.unsettled_calls) == (2, 1)
    else:
        app.queue.bury(app.queue.sent[-1])
    app.clock.move(hours=1)
    for _ in range(2):
        await app.services.budgets.maintenance.run()
        await app.services.runs.dead_letters(app.queue).account()
    lines = await app.lines(accepted.run)

    assert [line.outcome for line in lines] == ["unsettled", "answered"][: 2 if again else 1]
    assert (lines[0].usage.output_tokens, lines[0].spend.calls) == (4096, 1)
    if within:
        tokens = sum(line.usage.input_tokens + line.usage.output_tokens for line in lines)
        assert await spent(app) == (len(lines), tokens, 0)
