"""Sessions over HTTP: repeated requests, and who people in them are."""

from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest

from tests.lifecycle.doubles import MemoryQueue, spec
from tests.triggers.conftest import Edge, request
from triggers.http import runs, sessions, teams


@pytest.fixture
async def edge() -> Edge:
    edge = Edge(runs, sessions, teams, queue=MemoryQueue())
    await edge.services.agents.administration.declare("default", "bot", spec(), edge.signals)
    return edge


async def started(edge: Edge, **fields: Any) -> func.HttpResponse:
    sent = request({"agent": "bot"} | fields, headers={"Idempotency-Key": "order-1"})
    return await edge("sessions", sent)


def body(response: func.HttpResponse) -> Any:
    return json.loads(response.get_body())


async def test_a_session_is_started_once_with_an_idempotency_key(edge: Edge) -> None:
    """As a request is repeated whose answer was lost; one for something else is refused, and a run's key is its own."""
    first, again = await started(edge), await started(edge)
    other = await started(edge, limits={"max_turns": 4})
    key = {"Idempotency-Key": "order-1"}
    run = await edge("runs_submit", request({"query": "Hi"}, route={"name": "bot"}, headers=key))
    named = await started(edge, session_id="named")
    wrong = await edge("sessions", request({"agent": "bot"}, headers={"Idempotency-Key": "ü"}))

    assert (first.status_code, again.status_code, body(again)["id"]) == (201, 200, body(first)["id"])
    assert (other.status_code, body(other)["code"]) == (409, "session_differs")
    assert body(run)["session_id"] != body(first)["id"]
    assert (named.status_code, body(named)["id"]) == (201, "named")
    assert (wrong.status_code, body(wrong)["code"]) == (400, "invalid_idempotency_key")


@pytest.mark.parametrize("verb", ["claim", "release", "reply", "return"])
async def test_a_function_key_says_of_nobody_who_they_are(edge: Edge, verb: str) -> None:
    """A request has to; without it, it is said what is missing, and not that somebody may not do this."""
    sent = {"text": "Hello"} if verb == "reply" else {}
    refused = await edge(f"sessions_{verb}", request(sent, route={"id": "talk"}))
    named = await edge(f"sessions_{verb}", request(sent | {"by": "ann@example.com"}, route={"id": "talk"}))

    assert (refused.status_code, body(refused)["code"]) == (400, "person_not_named")
    assert [each["pointer"] for each in body(refused)["errors"]] == ["/by"]
    assert (named.status_code, body(named)["code"]) == (404, "session_not_found")
