"""What is wrong with a request in OpenAI's protocol: said as OpenAI says it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lifecycle.specs.spec import AgentSpec
from tests.triggers.conftest import Edge, request
from triggers.http import openai
from triggers.http.openai.views import ChatBody

QUESTIONS = {
    "openai_chat_completions": {"model": "a", "messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses_create": {"model": "a", "input": "Hi"},
}


@pytest.fixture
async def edge() -> Edge:
    """Return the functions of OpenAI's protocol over services in memory, with an agent to ask."""
    edge = Edge(openai)
    await edge.services.agents.catalog.declare("default", "a", AgentSpec(model="gpt-4o"))
    return edge


@pytest.mark.parametrize("function", QUESTIONS)
@pytest.mark.parametrize("value", ["true", "yes", "", 1, 0, 1.0, [], [True], {}, {"a": True}])
async def test_whether_a_stream_ends_with_its_usage_is_true_or_false(edge: Edge, function: str, value: Any) -> None:
    """Anything else is named, and nothing is asked."""
    body = {**QUESTIONS[function], "stream": True, "stream_options": {"include_usage": value}}
    response = await edge(function, request(body))
    error = json.loads(response.get_body())["error"]
    runs, _ = await edge.services.conversations.directory.runs("default", agent=None, user_id=None, limit=9, after=None)

    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == "stream_options.include_usage"
    assert "boolean" in error["message"]
    assert not runs


@pytest.mark.parametrize(
    "options", [{}, {"include_usage": None}, {"include_usage": True, "include_obfuscation": False}]
)
def test_other_options_of_a_stream_are_passed_over(options: dict[str, Any]) -> None:
    """Null is as good as left out."""
    body = ChatBody.model_validate({**QUESTIONS["openai_chat_completions"], "stream_options": options})

    assert body.stream_options.include_usage is (options.get("include_usage") is True)
