"""Batches: many runs as one, a few at a time, within a cost, each once whatever dies in between."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from kernel.errors import Conflict, InvalidInput, NotFound, TooLarge
from kernel.ids import new_id
from kernel.tables import Span, Upsert, every
from lifecycle.batches.batch_rules import (
    FIRST_SLICE,
    MAX_BYTES,
    MAX_LINES,
    WINDOW,
    Batch,
    BatchState,
    Item,
    Progress,
    item_run_id,
    parse_lines,
    room,
)
from lifecycle.batches.store import TABLE
from lifecycle.conversations.run_request import RunRequest
from tests.lifecycle.app import App, abandon
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, spec


def lines(*each: Any) -> bytes:
    return b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in each)


def items(count: int, agent: str = "bot") -> list[Item]:
    return list(parse_lines(lines(*({"query": f"Question {n}"} for n in range(count))), agent, 1000))


@pytest.fixture
async def app() -> App:
    app = App()
    await app.declare()
    return app


async def create(app: App, count: int, *, max_cost: int | None = None, agent: str = "bot") -> Batch:
    batch, new = await app.services.planned.batches.create("default", new_id(), items(count, agent), max_cost)
    assert new
    return batch


async def move_on(app: App, services: Any = None) -> int:
    app.clock.move(seconds=6)
    return await (services or app.services).planned.batches.run(app.signals, app.queue.send)


async def work(app: App) -> None:
    """Run what was queued."""
    while app.queue.sent:
        await app.process(app.queue.sent.pop(0), last=True)


async def get(app: App, batch: Batch) -> Batch:
    return await app.services.planned.batch_store.get("default", batch.id)


async def test_a_batch_runs_to_its_end_a_few_at_a_time(app: App) -> None:
    """No more than a window of its runs is ever on its way, and its results come in the order of its lines."""
    batch = await create(app, WINDOW + 20)
    first = await move_on(app)
    waiting = await move_on(app)
    await work(app)
    second = await move_on(app)
    await work(app)
    await move_on(app)
    done = await get(app, batch)
    results = await app.services.planned.batches.results("default", batch.id, 0, 200)

    assert (first, waiting, second) == (WINDOW, 0, 20)
    assert (done.state, done.progress.succeeded, done.progress.underway) == ("completed", WINDOW + 20, ())
    assert done.progress.cost_micro_usd == sum(each.run.spend.cost_micro_usd for each in results if each.run)
    assert [each.item.number for each in results] == list(range(WINDOW + 20))
    assert all(each.run and each.run.query == f"Question {each.item.number}" for each in results)


async def test_a_batch_is_read_with_the_runs_that_have_ended_since_it_went_on(app: App) -> None:
    """Reading changes nothing: the timer counts them, ends the batch and submits what is left."""
    batch = await create(app, 3)
    await move_on(app)
    await work(app)
    read, stored = await app.services.planned.batches.get("default", batch.id), await get(app, batch)
    await move_on(app)
    done = await app.services.planned.batches.get("default", batch.id)

    assert (read.state, read.progress.succeeded, read.progress.underway) == ("running", 3, ())
    assert (stored.progress.succeeded, len(stored.progress.underway)) == (0, 3)
    assert (done.state, done.progress) == ("completed", read.progress)


async def test_a_line_may_say_whom_it_asks_and_what_it_is_called(app: App) -> None:
    await app.declare("other")
    found = parse_lines(
        lines({"id": "a", "query": "1"}, {"agent": "other", "query": "2", "session_id": "s"}), "bot", 99
    )

    assert [(each.id, each.agent, each.request.session_id) for each in found] == [
        ("a", "bot", None),
        ("2", "other", "s"),
    ]


@pytest.mark.parametrize(
    ("body", "agent", "fields"),
    [
        (b"", "bot", {""}),
        (b"\n \n", "bot", {""}),
        (b"not json", "bot", {"/1"}),
        (b"[]", "bot", {"/1"}),
        (lines({"query": "a"}), None, {"/1/agent"}),
        (lines({"query": "a", "agent": "No Name"}), None, {"/1"}),
        (lines({"query": " "}, {"query": "x" * 1001}), "bot", {"/1/query", "/2/query"}),
        (lines({"question": "a"}), "bot", {"/1/query", "/1/question"}),
        (lines({"query": "a", "id": "x"}, {"query": "b", "id": "x"}), "bot", {"/2/id"}),
        (lines({"query": "a", "id": "2"}, {"query": "b"}), "bot", {"/2/id"}),
        (lines({"query": "a", "priority": "high"}), "bot", {"/1/priority"}),
        (lines({"query": "a", "callback": {"url": "https://a.example"}}), "bot", {"/1/callback"}),
        (lines({"query": "a", "session_id": "a!b"}), "bot", {"/1/session_id"}),
        (b'{"query": "\\ud800"}', "bot", {"/1"}),
    ],
)
def test_what_is_no_batch_is_refused_whole(body: bytes, agent: str | None, fields: set[str]) -> None:
    """Each wrong line is named, with what is wrong, and nothing of what it holds."""
    with pytest.raises(InvalidInput) as raised:
        parse_lines(body, agent, 1000)

    assert raised.value.code == "invalid_batch"
    assert set(raised.value.fields) == fields


def test_a_batch_has_limits() -> None:
    """Ten wrong lines are enough to tell."""
    with pytest.raises(TooLarge):
        parse_lines(b'{"query":"a"}\n' * (MAX_LINES + 1), "bot", 1000)
    with pytest.raises(TooLarge):
        parse_lines(b" " * (MAX_BYTES + 1), "bot", 1000)
    with pytest.raises(InvalidInput) as raised:
        parse_lines(b"x\n" * 1000, "bot", 1000)

    assert len(raised.value.fields) == 10


async def test_the_same_batch_again_is_the_same(app: App) -> None:
    """And another one under its id is refused."""
    ident = new_id()
    _, first = await app.services.planned.batches.create("default", ident, items(3), None)
    _, again = await app.services.planned.batches.create("default", ident, items(3), None)

    assert (first, again) == (True, False)
    with pytest.raises(Conflict):
        await app.services.planned.batches.create("default", ident, items(4), None)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_every_line_is_run_once_whatever_dies(after: bool) -> None:
    """A worker dies at any write of a round; those after it end with each run once and the batch complete."""
    number = 0
    for number in itertools.count(1):
        app = App()
        await app.declare()
        await app.ask()
        batch = await create(app, 3)
        fate = Fate(number, after)
        dying = app.worker(fate)
        with contextlib.suppress(Crash):
            await move_on(app, dying)
        await abandon(dying)
        for _ in range(3):
            await move_on(app)
            await work(app)
        await move_on(app)
        done = await get(app, batch)
        results = await app.services.planned.batches.results("default", batch.id, 0, 10)

        assert (done.state, done.progress.succeeded) == ("completed", 3), number
        assert [each.run.attempt for each in results if each.run] == [1, 1, 1]
        await app.aclose()
        if not fate.struck:
            break
    assert number > 6


async def test_a_batch_that_died_as_it_was_posted_leaves_nothing(app: App) -> None:
    """Nobody was told of it; what was written of it is removed."""
    dying = app.worker(Fate(3))
    with contextlib.suppress(Crash):
        await dying.planned.batches.create("default", new_id(), items(150), None)
    await abandon(dying)
    app.clock.move(minutes=11)
    await app.services.planned.batches.run(app.signals, app.queue.send)

    left = [row async for row in every(app.tables, TABLE, Span(" ", partition_before="~"))]
    assert [row for row in left if row.key.startswith("item!")] == []
    assert (await app.services.planned.batch_store.list("default", 10))[0] == []


async def test_a_cap_on_cost_holds_back_what_is_left(app: App) -> None:
    """A first slice says what a run costs; no more are submitted than the rest pays for."""
    run = await app.ask("Question 0")
    each = run.spend.cost_micro_usd
    batch = await create(app, 30, max_cost=each * 12 + each // 2)
    slices: list[int] = []
    for _ in range(6):
        slices.append(await move_on(app))
        await work(app)
    done = await get(app, batch)
    results = await app.services.planned.batches.results("default", batch.id, 0, 200)

    assert slices[0] == FIRST_SLICE
    assert (done.state, done.stopped_by) == ("stopped", "cost_cap")
    assert done.max_cost_micro_usd is not None
    assert done.progress.cost_micro_usd <= done.max_cost_micro_usd
    assert done.progress.submitted >= 10
    assert [each.run is None for each in results] == [n >= done.progress.submitted for n in range(30)]


async def test_lines_without_a_run_say_nothing_of_what_a_run_costs(app: App) -> None:
    """A cap holds though the first lines are refused; they take no room, so that a first slice follows them at once."""
    each = (await app.ask("Question 0")).spend.cost_micro_usd
    found = [*items(7, "nobody"), *items(90)]
    found = [Item(n, str(n), item.agent, item.request) for n, item in enumerate(found)]
    batch, _ = await app.services.planned.batches.create("default", new_id(), found, each * 12 + each // 2)
    slices: list[int] = []
    for _ in range(6):
        slices.append(await move_on(app))
        await work(app)
    done = await get(app, batch)

    assert slices[0] == 7 + FIRST_SLICE
    assert (done.stopped_by, done.progress.failed) == ("cost_cap", 7)
    assert done.max_cost_micro_usd is not None
    assert done.progress.cost_micro_usd <= done.max_cost_micro_usd
    assert done.progress.succeeded >= 10


async def test_erased_runs_say_nothing_of_what_a_run_costs(app: App) -> None:
    """Nor do they take any of the rest to be free: the first slice stays small until a run is known to have ended."""
    found = [Item(n, str(n), "bot", RunRequest(query="Hi", session_id=f"s{n}")) for n in range(60)]
    batch, _ = await app.services.planned.batches.create("default", new_id(), found, 10_000_000)
    await move_on(app)
    await work(app)
    for n in range(FIRST_SLICE):
        await app.services.sessions.erasure.erase("default", f"s{n}")
    second = await move_on(app)
    done = await get(app, batch)

    assert (second, done.progress.cancelled, done.progress.erased) == (FIRST_SLICE, FIRST_SLICE, FIRST_SLICE)


async def test_runs_that_fail_without_cost_say_nothing_of_what_a_run_costs(app: App) -> None:
    """Cancelled before it ran, a run was not free of charge."""
    batch = await create(app, 60, max_cost=10_000_000)
    await move_on(app)
    for number in range(FIRST_SLICE):
        await app.services.runs.queries.cancel("default", item_run_id("default", batch.id, number))
    second = await move_on(app)

    assert (second, (await get(app, batch)).progress.cancelled) == (FIRST_SLICE, FIRST_SLICE)


async def test_a_cap_without_a_price_stops(app: App) -> None:
    """What costs nobody knows what cannot be kept within anything."""
    await app.declare("odd", spec(model="nobody-knows-it"))
    batch = await create(app, 30, max_cost=10_000_000, agent="odd")
    for _ in range(3):
        await move_on(app)
        await work(app)
    done = await get(app, batch)

    assert (done.state, done.stopped_by, done.progress.submitted) == ("stopped", "cost_unknown", FIRST_SLICE)


async def test_a_cancelled_batch_submits_no_more(app: App) -> None:
    """What is on its way is cancelled, what has ended stays, and the rest is never submitted."""
    batch = await create(app, WINDOW + 5)
    await move_on(app)
    await app.process(app.queue.sent.pop(0))
    cancelling = await app.services.planned.batches.cancel("default", batch.id)
    await move_on(app)
    done = await app.services.planned.batches.cancel("default", batch.id)

    assert cancelling.state is BatchState.CANCELLING
    assert (done.state, done.progress.succeeded, done.progress.cancelled) == ("cancelled", 1, WINDOW - 1)
    assert done.progress.submitted == WINDOW
    with pytest.raises(NotFound):
        await app.services.planned.batches.cancel("default", new_id())


async def test_a_refused_line_is_told_and_the_others_go_on(app: App) -> None:
    """An agent that is not there is known only as its line is submitted."""
    found = parse_lines(lines({"query": "a"}, {"query": "b", "agent": "nobody"}, {"query": "c"}), "bot", 99)
    batch, _ = await app.services.planned.batches.create("default", new_id(), found, None)
    await move_on(app)
    await work(app)
    await move_on(app)
    done = await get(app, batch)
    results = await app.services.planned.batches.results("default", batch.id, 0, 10)

    assert (done.state, done.progress.succeeded, done.progress.failed) == ("completed", 2, 1)
    assert [each.refused for each in results] == ["", "agent_not_found", ""]


async def spoil(app: App, table: str, partition: str, key: str, value: str) -> None:
    """Let a value of the partition's rows whose keys begin so be one of a later release."""
    found = [row async for row in every(app.tables, table, Span(partition, key_from=key, key_before=f"{key}~"))]
    assert found
    for row in found:
        values = {**row.values, value: '{"v":999999,"value":{"user_id":"ada"}}'}
        await app.tables.commit(table, [Upsert(replace(row, values=values))])


async def test_a_line_that_cannot_be_read_fails_alone(app: App) -> None:
    batch = await create(app, 3)
    await spoil(app, TABLE, f"default!{batch.id}", "item!000001", "request")
    for _ in range(3):
        await move_on(app)
        await work(app)
    done = await get(app, batch)
    results = await app.services.planned.batches.results("default", batch.id, 0, 10)

    assert (done.state, done.progress.succeeded, done.progress.failed) == ("completed", 2, 1)
    assert [(each.refused, each.run is not None) for each in results] == [
        ("", True),
        ("unreadable_value", False),
        ("", True),
    ]


@pytest.mark.parametrize(("user", "count"), [("ada", 1), ("grace", 0)])
async def test_a_line_that_cannot_be_read_is_erased_with_the_user_it_names(app: App, user: str, count: int) -> None:
    found = parse_lines(lines({"query": "a", "user_id": "grete"}), "bot", 99)
    batch, _ = await app.services.planned.batches.create("default", new_id(), found, None)
    await spoil(app, TABLE, f"default!{batch.id}", "item!", "request")
    store = app.services.planned.batch_store

    assert sum([each async for each in store.forget_user("default", user)]) == count
    assert sum([each async for each in store.forget_user("default", user)]) == 0


async def test_a_run_that_cannot_be_read_holds_up_no_other(app: App) -> None:
    """It counts as under way until it can be read, or its session is erased."""
    batch = await create(app, 3)
    await move_on(app)
    await app.process(app.queue.sent.pop(0), last=True)
    await spoil(app, "conversations", f"default!{app.queue.sent[0].session_id}", "run!", "run")
    await app.process(app.queue.sent.pop(), last=True)
    await move_on(app)
    shown = await app.services.planned.batches.get("default", batch.id)
    results = await app.services.planned.batches.results("default", batch.id, 0, 10)

    assert (shown.state, shown.progress.succeeded, shown.progress.underway) == ("running", 2, (1,))
    assert [each.run is not None for each in results] == [True, False, True]
    await app.services.planned.batches.cancel("default", batch.id)


async def test_batches_go_once_they_are_old(app: App) -> None:
    """A month after it is over nothing of it is left but its runs."""
    await create(app, 2)
    for _ in range(3):
        await move_on(app)
        await work(app)
    app.clock.move(days=31)
    await move_on(app)
    await move_on(app)

    assert [row async for row in every(app.tables, TABLE, Span(" ", partition_before="~"))] == []


async def test_an_idle_round_is_one_query() -> None:
    tables = CountingTables()
    app = App(tables)
    await app.services.planned.batches.run(app.signals, app.queue.send)

    assert (dict(tables.operations), tables.rows_read) == ({"query due": 1}, 0)


@pytest.mark.parametrize(
    ("progress", "cap", "expected"),
    [
        (Progress(), None, WINDOW),
        (Progress(), 100, FIRST_SLICE),
        (Progress(5, (0, 1, 2)), 100, 2),
        (Progress(5, (), 5, cost_micro_usd=50), 100, 5),
        (Progress(8, (5, 6, 7), 5, cost_micro_usd=50), 100, 2),
        (Progress(10, (), 10, cost_micro_usd=100), 100, 0),
        (Progress(98, (), 98), None, 2),
        (Progress(5, (), 5), 100, 95),
        (Progress(50, (), 0, 50, unmeasured=50), 100, FIRST_SLICE),
        (Progress(52, (50, 51), 0, 40, 10, unmeasured=50, erased=10), 100, FIRST_SLICE - 2),
        (Progress(15, (), 5, 10, cost_micro_usd=50, unmeasured=10), 100, 5),
        (Progress(8, (), 5, cancelled=3, cost_micro_usd=50, unmeasured=3, erased=3), 100, 2),
    ],
)
def test_there_is_room_for_what_the_rest_pays_for(progress: Progress, cap: int | None, expected: int) -> None:
    assert room(Batch("b", 100, "", cap, NOW, progress=progress)) == expected
