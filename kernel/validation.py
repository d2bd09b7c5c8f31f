"""What is wrong with input, by place and in words for whoever sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from kernel.text import shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MOST_NAMED = 5
_OBJECTS = frozenset({"dict_type", "model_type", "model_attributes_type", "dataclass_type", "mapping_type"})
_LISTS = frozenset({"list_type", "tuple_type"})


def wrong_places(error: ValidationError) -> dict[str, str]:
    """Return what is wrong by JSON pointer (RFC 6901), never the values found there.

    Of a list that comes out too short because its items are wrong, only the items are told.
    """
    found = error.errors(include_url=False, include_context=True, include_input=False)
    places = [item["loc"] for item in found]
    return {
        _pointer(tuple(shown(step) if isinstance(step, str) else step for step in item["loc"])): in_words(item)
        for item in found
        if item["type"] != "too_short" or not any(_below(place, item["loc"]) for place in places)
    }


def expected(error: ValidationError, model: type[BaseModel]) -> str:
    """Return a sentence that names the unknown fields, five at most, and those that there are; empty without any."""
    places = [item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"]
    if not places:
        return ""
    names = ", ".join(shown(".".join(map(str, place))) for place in places[:_MOST_NAMED])
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    known = f"; known are {', '.join(model.model_fields)}" if any(len(place) == 1 for place in places) else ""
    return f"There is no {names}{more}{known}."


def in_words(item: ErrorDetails) -> str:
    """Return one of a validation's errors in terms of JSON rather than of Python."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    if kind == "extra_forbidden":
        return "There is no such field"
    if kind in _OBJECTS:
        return "Input should be an object"
    if kind in _LISTS:
        return "Input should be a list"
    if kind == "too_short":
        return f"At least {context['min_length']} needed"
    if kind == "too_long":
        return f"At most {context['max_length']} allowed"
    return item["msg"]


def _pointer(place: tuple[int | str, ...]) -> str:
    return "/" + "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in place)


def _below(place: tuple[int | str, ...], above: tuple[int | str, ...]) -> bool:
    return len(place) > len(above) and place[: len(above)] == above
