"""Runs of Foundry agents wait in the provider's conversation, which holds the model's calls."""

from __future__ import annotations

import pytest

from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.conversations.run import RunState
from llmops.spend.usage import Spend
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.app import App
from tests.lifecycle.approvals.kit import APPROVE, REJECT, decide, waiting
from tests.lifecycle.doubles import spec

ASKS = '/tool calculator {"expression": "2 + 3"}'
GUARDED = spec(provider="foundry", tools=("calculator",), approvals=[{"tools": ["calculator"]}])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("ruling", "said"), [(APPROVE, "5"), (REJECT, "too much")])
async def test_the_conversation_is_gone_on_in_with_the_result(ruling: DecisionRequest, said: str, stream: bool) -> None:
    """The model is sent the result, and no more; nothing that was paid for is wasted."""
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint)
        await app.declare(declared=GUARDED)
        run = await waiting(app, ASKS, stream=stream)
        done = await decide(app, run, ruling)
        bodies = fake.bodies("create_response")
        await app.aclose()
        await app.services.aclose()

    assert done.state is RunState.SUCCEEDED
    assert said in (done.answer or "")
    assert (done.spend.calls, done.wasted) == (2, Spend())
    assert [item["type"] for item in bodies[-1]["input"]] == ["function_call_output"]
    assert bodies[-1]["conversation"] == bodies[0]["conversation"]


async def test_what_comes_after_a_cancelled_wait_begins_another_conversation() -> None:
    """The one before holds a call that nobody answers, which the provider would refuse to go on from."""
    async with FakeFoundry() as fake:
        app = App(FOUNDRY_PROJECT_ENDPOINT=fake.endpoint)
        await app.declare(declared=GUARDED)
        run = await waiting(app, ASKS, session_id="s")
        await app.services.runs.queries.cancel("default", run.id)
        await app.services.approvals.decisions.sweep(app.queue.send)
        after = await app.ask("Hi", session_id="s")
        bodies = fake.bodies("create_response")
        await app.aclose()
        await app.services.aclose()

    assert after.state is RunState.SUCCEEDED
    assert bodies[-1]["conversation"] != bodies[0]["conversation"]
