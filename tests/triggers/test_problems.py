"""Errors as problem details."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kernel import errors
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.team import Team
from lifecycle.specs.workflow import WorkflowSpec
from triggers.http.error_responses import CONTENT_TYPE, Unauthorized, invalid_body, problem
from triggers.http.openai.views import ResponseBody


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput(), 400),
        (Unauthorized(), 401),
        (errors.NotFound(), 404),
        (errors.Conflict(), 409),
        (errors.EtagMismatch(), 412),
        (errors.TooLarge(), 413),
        (errors.InternalError(), 500),
        (errors.Cancelled(), 500),
        (errors.ProviderRejected(), 502),
        (errors.Unavailable(), 503),
    ],
)
def test_every_error_has_its_status(error: errors.AppError, status: int) -> None:
    """The most specific status, the error's code, and a body that repeats the status."""
    response = problem(error)
    body = json.loads(response.get_body())

    assert (response.status_code, response.mimetype) == (status, CONTENT_TYPE)
    assert (body["status"], body["code"], body["detail"]) == (status, error.code, error.detail)
    assert set(body) == {"type", "title", "status", "code", "detail"}


_MCP = {"type": "mcp", "server_label": "docs", "server_url": "https://a.example"}
_TRIGGER = {"name": "t", "target": "a", "condition": "on a whim"}


@pytest.mark.parametrize(
    ("model", "body", "pointer"),
    [
        (AgentSpec, {"model": "m", "tools": [_MCP | {"approval": "perhaps"}]}, "/tools/0/approval"),
        (AgentSpec, {"model": "m", "tools": [_MCP | {"approval": {}}]}, "/tools/0/approval/when"),
        (AgentSpec, {"model": "m", "labels": {"": "x"}}, "/labels/"),
        (
            Team,
            {"members": [{"name": "a", "agent": "b", "handoff_triggers": [_TRIGGER]}]},
            "/members/0/handoff_triggers/0/condition",
        ),
        (
            Team,
            {"members": [], "escalation_path": [{"level": 1, "condition": "extension:"}]},
            "/escalation_path/0/condition",
        ),
        (WorkflowSpec, {"steps": [{"name": "g", "group_chat": ["a"]}]}, "/steps/0/group_chat"),
        (ResponseBody, {"model": "m", "input": "x", "conversation": {}}, "/conversation/id"),
    ],
)
def test_what_can_be_of_several_kinds_is_wrong_at_its_place(model: type[BaseModel], body: Any, pointer: str) -> None:
    """Pointers have the names of fields only, and a fault is told once: for the kind that was meant."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)

    assert pointer in (found := invalid_body(caught.value, model).fields)
    assert not [place for place in found if place not in (pointer, "/members", "/escalation_path/0", "/")]


def test_a_wait_is_told_in_whole_seconds() -> None:
    """Retry-After is rounded up, so that nobody comes too early."""
    assert problem(errors.Unavailable(retry_after_s=1.2)).headers["Retry-After"] == "2"
    assert "Retry-After" not in problem(errors.Unavailable()).headers


def test_fields_are_pointed_at() -> None:
    """What is wrong by place is listed under `errors`."""
    body = json.loads(problem(errors.InvalidInput(fields={"/query": "must not be blank"})).get_body())

    assert body["errors"] == [{"pointer": "/query", "detail": "must not be blank"}]


class _Inner(BaseModel):
    model_config = {"extra": "forbid"}

    count: int


class _Outer(BaseModel):
    inner: list[_Inner]


def test_a_wrong_body_names_places_and_no_values() -> None:
    """Pointers lead to what is wrong; the values found there are not repeated."""
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate({"inner": [{"count": "s3cret"}, {"count": 1, "other": "s3cret"}, "s3cret"]})

    error = invalid_body(caught.value, _Outer)

    assert set(error.fields) == {"/inner/0/count", "/inner/1/other", "/inner/2"}
    assert "s3cret" not in json.dumps(error.fields) + error.detail
