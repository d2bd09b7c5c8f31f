"""Every model call is in the ledger, streamed or not, answered or not; and nothing is counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from agent_framework import Content, Message
from httpx2 import Request, Response
from openai import APITimeoutError, RateLimitError

from kernel.errors import ProviderRejected, Unavailable
from kernel.tables import Write
from lifecycle.conversations.run import RunState
from lifecycle.runs.call_costs import refused
from lifecycle.runs.call_estimates import sent
from llmops.spend.usage import Spend
from tests.lifecycle.app import TOOLED, App
from tests.lifecycle.doubles import CountingTables, spec
from tests.lifecycle.test_budgets import limit
from tests.waiting import eventually

REQUEST = Request("POST", "http://127.0.0.1/")


async def test_streamed_runs_are_in_the_ledger_as_others_are() -> None:
    """A tool loop of two calls, each priced by itself, with its tokens from the stream's last update."""
    app = App()
    await app.declare(declared=TOOLED)
    plain = [line.usage for line in await app.lines(await app.ask())]
    run = await app.ask(stream=True)
    lines = await app.lines(run)

    assert [line.usage for line in lines] == plain
    assert [(line.call, line.outcome, line.model) for line in lines] == [
        (1, "answered", "gpt-4o-mini"),
        (2, "answered", "gpt-4o-mini"),
    ]
    assert run.spend == sum((line.spend for line in lines), Spend())
    await app.aclose()


class PricesAway(CountingTables):
    """Tables of which prices cannot be written."""

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        if table == "prices":
            raise Unavailable
        return await super().commit(table, writes)


async def test_an_answer_is_not_lost_because_its_missing_price_cannot_be_noted() -> None:
    """It is paid for: the run is answered by its first attempt."""
    app = App(PricesAway())
    await app.declare(declared=spec(model="nobody-knows-its-price"))
    run = await app.ask()

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert run.spend.unpriced_calls == 1
    await app.aclose()


async def test_a_stream_that_is_left_in_the_middle_is_charged_its_estimate() -> None:
    """The run is cancelled between two updates."""
    app = App(RUN_LOOK_EVERY_S=0.02)
    await app.declare(declared=spec(simulate={"latency_ms": 600_000}))
    accepted = await app.submit(stream=True)
    working = asyncio.create_task(app.process(app.queue.sent[-1]))

    async def calling() -> bool:
        return (await app.stored(accepted.run))[0].last.open is not None

    await eventually(calling)
    await app.services.runs.queries.cancel("default", accepted.run.id)
    run = await working
    assert run is not None
    lines = await app.lines(run)

    assert run.state is RunState.CANCELLED
    assert [line.outcome for line in lines] == ["unsettled"]
    assert run.spend.unsettled_calls == 1
    await app.aclose()


async def test_a_refused_call_is_in_the_ledger_and_costs_nothing() -> None:
    """The provider said that it will not: the line shows that it was asked."""
    app = App()
    await app.declare(declared=spec(simulate={"fail_first": 1, "fail_with": "throttled"}))
    run = await app.ask()
    lines = await app.lines(run)

    assert [(line.attempt, line.outcome, line.spend.calls) for line in lines] == [(1, "refused", 0), (2, "answered", 1)]
    assert run.wasted == Spend()
    await app.aclose()


@pytest.mark.parametrize("budget", [False, True])
async def test_what_a_call_writes(budget: bool) -> None:
    """One write for each after the first, and two more within budgets, whatever their number; nothing is read."""
    tables = CountingTables()
    app = App(tables, BUDGET_TRUST_S=1000, RUN_LOOK_EVERY_S=5)
    await app.declare(declared=TOOLED)
    if budget:
        await limit(app, "workspace", "tokens", 1_000_000)
        await limit(app, "agent:bot", "usd", 1_000_000_000)
    await app.ask()
    tables.reset()
    await app.ask()

    assert tables.operations["commit facts"] == 1
    assert tables.operations["commit conversations"] == (5 if budget else 4), "submitted, claimed, calls, answered"
    assert tables.operations["commit budgets"] == (3 if budget else 0)
    assert tables.operations["query budgets"] + tables.operations["query prices"] == 0
    assert tables.operations["get budgets"] == 0
    await app.aclose()


def test_what_an_answer_with_a_status_says_is_a_refusal() -> None:
    """A timeout leaves open what the model has done."""
    wrapped = RuntimeError("in the framework's own")
    wrapped.__cause__ = RateLimitError("no", response=Response(429, request=REQUEST), body=None)

    assert refused(wrapped)
    assert refused(ProviderRejected())
    assert not refused(APITimeoutError(REQUEST))
    assert not refused(asyncio.CancelledError())
    assert not refused(GeneratorExit())


def test_an_estimate_is_never_below_what_byte_pair_tokenizers_make() -> None:
    """Bytes bound tokens, for any script; tools, instructions and a kept conversation count too."""
    text = "Ünïcode 漢字 🙂 " * 20
    found = sent([Message("user", [text])], {}, "Be brief.", held=100)
    called = Message("assistant", [Content.from_function_call("c1", "search", arguments={"q": "x" * 500})])

    assert found.at_most() >= len(text.encode()) + len("Be brief.") + 100
    assert sent([called], {}, "", held=0).at_most() >= 500
