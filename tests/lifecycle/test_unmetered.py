"""Calls whose usage nobody says, and calls that did not end: what they are charged, and how it shows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from agent_framework import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.conversations.run import RunState
from lifecycle.runs.call_estimates import SentInput, charge_of_answer, charge_of_unfinished, sent
from llmops.spend.costs import costs_of
from llmops.spend.pricing import Rate
from llmops.spend.tokens import count_tokens
from llmops.spend.usage import Usage
from tests.fakes.openai_server import FakeOpenAI
from tests.lifecycle.app import App, Line
from tests.lifecycle.doubles import spec
from tests.lifecycle.test_budgets import limit, spent

MODEL = "gpt-4o-mini"
ANSWER = "heard 2 messages (system, user), the last: '2 + 3'"


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    """Provide an endpoint."""
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def app(fake: FakeOpenAI) -> AsyncIterator[App]:
    """Provide an app with an agent at the endpoint."""
    made = App(OPENAI_BASE_URL=fake.base_url, OPENAI_API_KEY="key-1", RUN_LOOK_EVERY_S=0.02)
    await made.declare(declared=spec(provider="openai", instructions="Be brief."))
    yield made
    await made.aclose()
    await made.services.aclose()


async def _only_line(app: App, **more: Any) -> Line:
    run = await app.ask(**more)
    assert run.state is RunState.SUCCEEDED
    (line,) = await app.lines(run)
    return line


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", ["absent", "null", "fraction", "negative", "cached_over_prompt", "zeros"])
async def test_an_answer_without_a_usable_usage_is_unmetered_and_not_free(
    app: App, fake: FakeOpenAI, shape: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is booked at an estimate, priced, said to be one, warned of, and taken from budgets."""
    await limit(app, "workspace", "tokens", 1_000_000)
    fake.answer_next(f"usage:{shape}")
    with caplog.at_level(logging.WARNING):
        line = await _only_line(app, stream=stream)

    assert line.outcome == "unmetered"
    assert line.usage.output_tokens == count_tokens([ANSWER], MODEL)
    assert 2 * 8 < line.usage.input_tokens < 60
    assert line.cost_micro_usd
    assert (line.spend.calls, line.spend.unmetered_calls, line.spend.unsettled_calls) == (1, 1, 0)
    assert await spent(app) == (1, line.usage.input_tokens + line.usage.output_tokens, 0)
    assert "usage.unmetered" in [getattr(record, "event", "") for record in caplog.records]


async def test_unmetered_calls_show_apart_in_costs_and_status(app: App, fake: FakeOpenAI) -> None:
    """A reader sees how much of a sum is estimated."""
    fake.answer_next("usage:null")
    await app.ask()
    await app.ask()
    today = app.clock().date()
    sums = await app.services.spend.daily_costs.sums("default", today, today, today)
    total = costs_of(sums, today, today, "agent").total

    assert (total.calls, total.unmetered_calls) == (2, 1)


async def test_fractions_break_nothing_that_is_read_later(app: App, fake: FakeOpenAI) -> None:
    """The run, its session and the sums can be read after a provider sent 20.5 tokens."""
    fake.answer_next("usage:fraction")
    run = await app.ask()
    stored, session = await app.stored(run)

    assert stored.spend == session.spend
    assert all(isinstance(amount, int) for amount in stored.spend.amounts)


async def test_cache_writes_behind_a_gateway_are_priced_as_such(app: App, fake: FakeOpenAI) -> None:
    """Of 98,805 input tokens 66,360 were read from a cache and 32,435 written to it."""
    fake.served_model = "anthropic/claude-opus-4.5"
    fake.answer_next("usage:claude_at_gateway")
    line = await _only_line(app)

    assert (line.usage.cached_tokens, line.usage.cache_write_tokens) == (66_360, 32_435)
    assert line.cost_micro_usd == 363_949
    assert line.rate.startswith("claude-opus-4-5: $5/input MTok")


@pytest.mark.parametrize("shape", ["finish_null", "null_choices_last", "null_choices_in_place_of_the_end"])
async def test_a_whole_answer_is_paid_for_once(app: App, fake: FakeOpenAI, shape: str) -> None:
    """An odd end is no reason to ask again."""
    fake.answer_next(shape)
    run = await app.ask(stream=True)

    assert (run.state, run.attempt, run.answer) == (RunState.SUCCEEDED, 1, ANSWER)
    assert len(fake.requests) == 1


async def test_a_stream_that_broke_off_is_repeated_and_charged_what_came(app: App, fake: FakeOpenAI) -> None:
    """The next attempt answers; the first one is unsettled at what was sent and what had come, not at its maximum."""
    await limit(app, "workspace", "tokens", 1_000_000)
    fake.answer_next("no_end")
    run = await app.ask(stream=True)
    broken, answered = await app.lines(run)

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    assert [broken.outcome, answered.outcome] == ["unsettled", "answered"]
    assert broken.usage.output_tokens == count_tokens([ANSWER], MODEL)
    assert broken.usage.input_tokens < 60
    assert broken.cost_micro_usd
    assert run.wasted.output_tokens == broken.usage.output_tokens


async def test_what_can_only_fail_the_same_way_is_asked_once(app: App, fake: FakeOpenAI) -> None:
    """A context that is too long stays so, also where a gateway says it with status 200."""
    fake.answer_next("error_context", times=5)
    await app.submit()
    run = await app.process(app.queue.sent[-1])

    assert (run.state, run.attempt) == (RunState.FAILED, 1)
    assert len(fake.requests) == 1
    assert [line.outcome for line in await app.lines(run)] == ["refused"]


async def test_a_cancelled_stream_costs_what_was_sent_and_what_had_come() -> None:
    """Not the most that it might have answered, which a budget had reserved."""
    app = App(RUN_LOOK_EVERY_S=0.02)
    await app.declare(declared=spec(simulate={"stream_chunk_ms": 300, "reply": "word " * 400}))
    await limit(app, "workspace", "tokens", 100_000)
    accepted = await app.submit(stream=True)
    working = asyncio.create_task(app.process(app.queue.sent[-1]))
    while not any("run.delta" in name for name in await app.event_names(accepted.run)):  # noqa: ASYNC110 - in storage
        await asyncio.sleep(0.02)
    await app.services.runs.queries.cancel("default", accepted.run.id)
    run = await working
    (line,) = await app.lines(run)
    told = (await app.stored(accepted.run))[0]
    await app.aclose()

    assert told.state is RunState.CANCELLED
    assert line.outcome == "unsettled"
    assert 0 < line.usage.output_tokens < 400
    assert line.usage.input_tokens < 60
    assert await spent(app) == (1, line.usage.input_tokens + line.usage.output_tokens, 0)


TEXTS = st.lists(st.text(max_size=200), max_size=8)


@settings(deadline=None)
@given(texts=TEXTS, answer=TEXTS, model=st.sampled_from([MODEL, "gpt-4", "claude-sonnet-4-5", "/models/x.gguf"]))
def test_an_estimate_never_exceeds_what_was_reserved(texts: list[str], answer: list[str], model: str) -> None:
    """Neither of the input nor, of a call that did not end, of the output; and more text is never fewer tokens."""
    what = SentInput(tuple(texts), len(texts), 40)
    bound = Usage(input_tokens=what.at_most(), output_tokens=30)
    ended, left = charge_of_answer(bound, what, answer, model), charge_of_unfinished(bound, what, answer, model)

    assert left.input_tokens == ended.input_tokens <= bound.input_tokens
    assert left.output_tokens <= min(bound.output_tokens, ended.output_tokens)
    assert charge_of_unfinished(bound, what, [], model).output_tokens == 0
    assert charge_of_unfinished(bound, what, None, model) == bound


def test_tokens_are_counted_by_the_models_own_tokenizer_where_it_is_known() -> None:
    """OpenAI's exactly, whatever prefix or date the name has; others by a token for three bytes."""
    text = "The quick brown fox jumps over the lazy dog."

    assert count_tokens([text], "openai/gpt-5-mini-2025-08-07") == count_tokens([text], "gpt-4") == 10
    assert count_tokens([text], "claude-sonnet-4-5") == 15
    assert count_tokens(["漢字"], "weights.gguf") == 2
    assert count_tokens([], "gpt-5") == 0


def test_what_is_sent_is_likely_a_quarter_of_its_bound() -> None:
    """The bound of plain English is its bytes; the likely count is near what the provider would say."""
    what = sent([Message("user", ["word " * 1000])], {"instructions": "Be brief."}, "", held=400)

    assert what.at_most() > 5_000
    assert 1_000 < what.likely(MODEL) < 1_200


@pytest.mark.parametrize("served", ["gpt-5-mini-2025-08-07", "/models/weights.gguf"])
async def test_a_deployments_own_rate_moves_its_budget(fake: FakeOpenAI, served: str) -> None:
    """What is reserved and what is charged go by the name that was configured; the line says so."""
    fake.served_model = served
    app = App(OPENAI_BASE_URL=fake.base_url, OPENAI_API_KEY="key-1")
    await app.declare(declared=spec(provider="openai", model="my-deployment"))
    await app.services.budgets.rates.put("default", Rate("my-deployment", Decimal(100), Decimal(400)), None)
    await limit(app, "workspace", "usd", 10_000_000)
    line = await _only_line(app)
    stored = (await app.services.budgets.counters.counters("default", ["workspace!total"]))["workspace!total"]
    unpriced = await app.services.budgets.rates.unpriced()
    await app.aclose()
    await app.services.aclose()

    assert line.model == served
    assert line.cost_micro_usd == 100 * line.usage.input_tokens + 400 * line.usage.output_tokens
    assert line.rate.startswith("own rate of my-deployment: $100/")
    assert (stored.spent.micro_usd, stored.reserved.micro_usd) == (line.cost_micro_usd, 0)
    assert unpriced == 0
