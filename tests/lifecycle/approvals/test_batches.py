"""Several calls of one turn, asked for by a model over the wire: none is made before all are decided."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from lifecycle.approvals.approval import State
from lifecycle.conversations.run import RunState
from lifecycle.specs.spec import AgentSpec
from tests.lifecycle.approvals.kit import ANN, APPROVE, REJECT, PayingApp, drained, records, waiting

CALLS = [("call_1", "pay", {"to": "ann"}), ("call_2", "pay", {"to": "bob"}), ("call_3", "look", {"at": "rates"})]
PAYING = AgentSpec(
    provider="openai",
    model="gpt-4o-mini",
    tools=("pay", "look"),
    approvals=[{"tools": ["pay"]}],  # pyright: ignore[reportArgumentType]
)


@asynccontextmanager
async def model() -> AsyncIterator[tuple[str, list[Any]]]:
    """Serve a model that asks for three calls at once and then says what they returned; yield what it was sent."""
    sent: list[Any] = []

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        sent.append(body["messages"])
        returned = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        message: dict[str, Any] = {"role": "assistant", "content": " | ".join(returned)}
        if not returned:
            made = [
                {"id": ident, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
                for ident, name, arguments in CALLS
            ]
            message = {"role": "assistant", "content": None, "tool_calls": made}
        reason = "stop" if returned else "tool_calls"
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        known = {"id": f"c{len(sent)}", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
        return web.json_response(known | {"choices": [choice], "usage": usage})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", sent
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_turn_s_calls_are_made_once_all_are_decided(order: tuple[int, int]) -> None:
    """One is approved, one rejected, one needs nobody; the model is asked once for them and once with the results."""
    async with model() as (url, sent):
        app = PayingApp(OPENAI_BASE_URL=url, OPENAI_API_KEY="k")
        await app.declare(declared=PAYING)
        run = await waiting(app, "Pay both.")
        held = {record.approval.subject.call_id: record.approval.id for record in await records(app, run)}
        assert (app.payments, app.looks, len(sent)) == ([], [], 1)

        rulings = [("call_1", APPROVE), ("call_2", REJECT)]
        decisions = app.services.approvals.decisions
        first, second = (rulings[n] for n in order)
        await decisions.decide("default", held[first[0]], ANN, first[1], app.queue.send)
        between = await drained(app, run)
        assert (between.state, app.payments, app.looks) == (RunState.WAITING, [], [])
        await decisions.decide("default", held[second[0]], ANN, second[1], app.queue.send)
        done = await drained(app, run)

        assert done.state is RunState.SUCCEEDED
        assert app.payments == [f"{run.id}.call_1"]
        assert app.looks == ["rates"]
        assert done.answer == "paid ann | The call was not made: it was rejected: too much | looked"
        assert len(sent) == 2
        assert [call["id"] for call in sent[1][-4]["tool_calls"]] == ["call_1", "call_2", "call_3"]
        states = {record.approval.subject.call_id: record.approval.state for record in await records(app, run)}
        assert states == {"call_1": State.APPROVED, "call_2": State.REJECTED}
        await app.aclose()
        await app.services.agents.providers["openai"].aclose()
