"""What is no workflow is refused, saying where and why, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from kernel.errors import AppError, EtagMismatch, InvalidInput, NotFound
from kernel.validation import wrong_places
from lifecycle.conversations.session_priority import Priority
from lifecycle.specs.workflow import WorkflowSpec, parts_of
from lifecycle.workflows.request import WorkflowRequest, parse_workflow_message
from tests.lifecycle.workflows.world import PAIR, WS, World

A = {"name": "a", "agent": "bot"}
B = {"name": "b", "agent": "bot"}


def block(*branches: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "block", "parallel": list(branches), **more}


@pytest.mark.parametrize(
    ("steps", "place", "why"),
    [
        ([], "/steps", "At least 1 needed"),
        ([block()], "/steps/0/parallel", "At least 1 needed"),
        ([{**A, "agent": "No Name"}], "/steps/0/agent", "should match pattern"),
        ([{**A, "name": "two words"}], "/steps/0/name", "should match pattern"),
        ([{**A, "colour": "red"}], "/steps/0/colour", "no such field"),
        ([{"name": "a"}], "/steps/0/agent", "required"),
        ([3], "/steps/0", "should be an object"),
        ([A, A], "/", "two steps are called 'a'"),
        ([A, block({**B, "name": "a"})], "/", "two steps are called 'a'"),
        ([{**A, "prompt": "{steps.nowhere.answer}"}], "/", "which does not exist"),
        ([{**A, "prompt": "{steps.a.answer}"}], "/", "for one another"),
        ([{**A, "prompt": "{steps.b.answer}"}, {**B, "prompt": "{steps.a.answer}"}], "/", "for one another"),
        ([block(A, {**B, "prompt": "{steps.a.answer}"})], "/", "for one another"),
        ([A, {**B, "when": "steps.c.score > 1"}], "/", "which does not exist"),
        ([{**A, "when": "steps.a.score > 1"}], "/", "for one another"),
        ([block(A, when="steps.block.state == 'x'")], "/", "for one another"),
        ([{**A, "when": "score >"}], "/steps/0/when", "expression of CEL over input and steps.NAME.answer, .state"),
        ([{**A, "when": ""}], "/steps/0/when", "1 to 500"),
        ([{**A, "when": "size(steps) > 1"}], "/steps/0/when", "steps.NAME"),
        ([{**A, "when": "'" + "x" * 600 + "' == input"}], "/steps/0/when", "at most 500"),
        ([{**A, "prompt": "{input.__class__}"}], "/steps/0/prompt", "{input}"),
        ([{**A, "prompt": "{0}"}], "/steps/0/prompt", "{input}"),
        ([{**A, "prompt": "a { b"}], "/steps/0/prompt", "{input}"),
        ([{**A, "prompt": "{steps.a.secret}"}], "/steps/0/prompt", "{input}"),
        ([{**A, "prompt": ""}], "/steps/0/prompt", "at least 1"),
        ([{**A, "prompt": "x" * 8001}], "/steps/0/prompt", "at most 8000"),
        ([{**A, "retries": 6}], "/steps/0/retries", "less than or equal to 5"),
        ([{**A, "timeout_s": 0}], "/steps/0/timeout_s", "greater than or equal to 1"),
        ([{**A, "fallback": "bot"}], "/steps/0", "agent itself"),
        ([block(*({**A, "name": f"s{n}"} for n in range(17)))], "/steps/0/parallel", "At most 16"),
        (
            [block(*({**A, "name": f"s{k}_{n}"} for n in range(16)), name=f"b{k}") for k in range(3)],
            "/",
            "at most 32 agents",
        ),
    ],
)
def test_what_is_no_workflow_is_refused_with_the_place(steps: list[Any], place: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        WorkflowSpec.model_validate({"steps": steps})

    found = wrong_places(refused.value)
    assert any(at == place and why in said for at, said in found.items()), found


@pytest.mark.parametrize(
    ("steps", "place", "named"),
    [
        ([{**A, "when": "x"}], "/steps/0/when", "x"),
        ([{**A, "when": "score > 1 && y == input"}], "/steps/0/when", "score, y"),
        ([A, {**B, "when": "steps.a.text == ''"}], "/steps/1/when", "steps.a.text"),
        ([block({**A, "when": "Input != ''"})], "/steps/0/parallel/0/when", "Input"),
        ([block(A, when="input == output")], "/steps/0/when", "output"),
        ([{"name": "a", "group_chat": ["bot", "other"], "when": "round > 1"}], "/steps/0/when", "round"),
    ],
)
async def test_a_condition_that_names_what_there_is_not_is_refused(steps: list[Any], place: str, named: str) -> None:
    """When the workflow is stored: each of its runs would fail at that step."""
    world = await World.begun(PAIR)
    with pytest.raises(InvalidInput) as refused:
        await world.put(steps, "wrong")

    known = "a condition has input and steps.NAME.answer, .state, .score, .cost_micro_usd."
    assert refused.value.code == "unknown_variable"
    assert refused.value.fields == {place: f"There is no {named}; {known}"}


def test_a_condition_can_define_the_variable_of_its_comprehension() -> None:
    spec = WorkflowSpec.model_validate({"steps": [{**A, "when": "['x', 'y'].exists(one, input.contains(one))"}]})
    assert spec.unknown_names == {}


def test_a_prompt_is_text_and_placeholders_and_nothing_else() -> None:
    assert list(parts_of('{{"a": "{input}"}} {steps.x.score}')) == [
        "{",
        '"a": "',
        ("", "input"),
        '"',
        "}",
        " ",
        ("x", "score"),
    ]


async def test_a_workflow_that_names_agents_that_there_are_not_is_refused() -> None:
    """Fallbacks and aggregators too, each with the place that names it."""
    world = await World.begun(PAIR)
    with pytest.raises(InvalidInput) as refused:
        await world.put([{**A, "fallback": "nobody"}, block(B, aggregator={"agent": "noone"})], "other")

    assert refused.value.code == "unknown_agent"
    assert set(refused.value.fields) == {"/steps/0/fallback", "/steps/1/aggregator/agent"}
    with pytest.raises(NotFound):
        await world.app.services.workflows.definitions.get(WS, "other")


async def test_workflows_have_versions_and_etags() -> None:
    world = await World.begun(PAIR)
    workflows = world.app.services.workflows.definitions
    spec = WorkflowSpec.model_validate({"steps": [A]})
    same, new = await workflows.put(WS, "flow", WorkflowSpec.model_validate({"steps": PAIR}))
    assert (same.etag, new) == ('"1"', False)
    for wrong in ('"7"', "nonsense"):
        with pytest.raises(EtagMismatch):
            await workflows.put(WS, "flow", spec, wrong)
        with pytest.raises(EtagMismatch):
            await workflows.delete(WS, "flow", wrong)
    changed, new = await workflows.put(WS, "flow", spec, '"1"')
    await workflows.delete(WS, "flow", changed.etag)
    with pytest.raises(NotFound):
        await workflows.delete(WS, "flow")
    back, again = await workflows.put(WS, "flow", spec)

    assert (changed.version, back.version, new, again) == (2, 4, False, True)
    found, _ = await workflows.versions(WS, "flow", 10)
    assert [(each.version, each.content is None) for each in found] == [(4, False), (3, True), (2, False), (1, False)]
    assert [each.ref.name for each in (await workflows.list(WS, 10))[0]] == ["flow"]
    with pytest.raises(NotFound):
        await workflows.versions(WS, "nothing", 10)


def parsed(body: Any, **more: Any) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    known: dict[str, Any] = {
        "message_id": "m1",
        "session_id": "s",
        "sequence_number": 3,
        "priority": Priority.NORMAL,
    } | more
    return parse_workflow_message(text, max_input_bytes=100, **known)


def test_a_message_that_names_a_workflow_is_a_request_for_it() -> None:
    """Its MessageId makes the workflow run's id, so that the same message is the same one."""
    message = parsed({"workflow": "flow", "input": "tea", "workspace": "ws", "metadata": None})

    assert (message.workflow, message.workspace, message.run_id) == (
        "flow",
        "ws",
        parsed({"workflow": "flow", "input": "tea", "workspace": "ws"}).run_id,
    )
    assert message.request == WorkflowRequest(input="tea")
    assert parsed(message.to_json().encode(), message_id="other") == message
    assert parsed({"workflow": "flow", "input": "tea"}, priority=Priority.HIGH).priority is Priority.HIGH
    assert parsed({"workflow": "flow", "input": "tea"}, message_id=None).run_id != message.run_id


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        {"agent": "bot", "query": 'say "workflow"'},
        {"agent": "bot", "query": "x", "metadata": {"workflow": "y"}},
    ],
)
def test_other_messages_are_left_to_others(body: Any) -> None:
    assert parsed(body) is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"workflow": "flow"}, "/input"),
        ({"workflow": "flow", "input": " "}, "input is empty"),
        ({"workflow": "flow", "input": "x" * 101}, "at most 100"),
        ({"workflow": "flow", "input": "x", "agent": "bot"}, "There is no agent"),
        ({"workflow": "flow", "input": "x", "session_id": "other"}, "SessionId"),
        ({"workflow": "flow", "input": "x", "v": 2}, "/v"),
        ({"workflow": "flow", "input": "x", "workspace": "No!"}, "workspace"),
        ({"workflow": "No!", "input": "x"}, "workflow name"),
        ({"workflow": "flow", "input": "x", "user_id": "a!b"}, "user id"),
    ],
)
def test_a_message_that_is_no_valid_request_says_why(body: Any, why: str) -> None:
    with pytest.raises(AppError) as refused:
        parsed(body)

    assert refused.value.code == "invalid_message"
    assert why in refused.value.detail
