"""Errors as problem details."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ValidationError

from kernel import errors
from triggers.http.error_responses import CONTENT_TYPE, Unauthorized, invalid_body, problem


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
