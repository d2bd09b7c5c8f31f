"""What is wrong with input is told in words for whoever sent it."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator

from kernel.validation import text_or_object, wrong_places


class _Limit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[float, Field(gt=0)]

    @field_validator("limit")
    @classmethod
    def _not_thirteen(cls, value: float) -> float:
        if value == 13:
            msg = "thirteen brings bad luck"
            raise ValueError(msg)
        return value


class _Budget(BaseModel):
    limits: Annotated[tuple[_Limit, ...], Field(min_length=1, max_length=2)]
    labels: dict[Annotated[str, Field(min_length=1)], int] = {}
    until: Annotated[
        Annotated[str, Field(min_length=2), Tag("(text)")] | Annotated[_Limit, Tag("(object)")],
        Discriminator(text_or_object),
    ] = "never"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], {"/": "Input should be an object"}),
        ({}, {"/limits": "Field required"}),
        ({"limits": 1}, {"/limits": "Input should be a list"}),
        ({"limits": []}, {"/limits": "At least 1 needed"}),
        ({"limits": [{"limit": 1}] * 3}, {"/limits": "At most 2 allowed"}),
        ({"limits": [{"limit": 13}]}, {"/limits/0/limit": "thirteen brings bad luck"}),
        ({"limits": [{"limit": -1}]}, {"/limits/0/limit": "Input should be greater than 0"}),
        ({"limits": [{"limit": 1, "unti": "usd"}]}, {"/limits/0/unti": "There is no such field"}),
        ({"limits": [7]}, {"/limits/0": "Input should be an object"}),
        ({"limits": [{"limit": 1}], "labels": {"a/b~c": "x"}}, ["/labels/a~1b~0c"]),
        ({"limits": [{"limit": 1}], "labels": {"": 1}}, ["/labels/"]),
        ({"limits": [{"limit": 1}], "until": "x"}, ["/until"]),
        ({"limits": [{"limit": 1}], "until": {"limit": 13}}, {"/until/limit": "thirteen brings bad luck"}),
    ],
)
def test_what_is_wrong_is_told_by_place(body: Any, told: Any) -> None:
    """In terms of JSON, each place once, and no second error that only follows from the first."""
    with pytest.raises(ValidationError) as caught:
        _Budget.model_validate(body)

    found = wrong_places(caught.value)

    assert (list(found) if isinstance(told, list) else found) == told
