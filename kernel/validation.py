"""Validation errors by place and in words, for whoever sent the input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, GetJsonSchemaHandler, ValidationError, model_validator

from kernel.text import shown

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, ErrorDetails

NO_SUCH_FIELD = "There is no such field"
_MOST_NAMED = 5
_TAG = re.compile(r"\([a-z_]+\)|\[key\]")
_CLOUD_EVENT = "specversion"
_OBJECTS = frozenset({"dict_type", "model_type", "model_attributes_type", "dataclass_type", "mapping_type"})
_LISTS = frozenset({"list_type", "tuple_type"})


def wrong_places(error: ValidationError) -> dict[str, str]:
    """Return the faults by JSON pointer (RFC 6901), never the values.

    For a list that is too short because items are invalid, only the items are reported.
    """
    found = error.errors(include_url=False, include_context=True, include_input=False)
    places = [item["loc"] for item in found]
    return {
        _pointer(tuple(shown(step) if isinstance(step, str) else step for step in item["loc"])): in_words(item)
        for item in found
        if item["type"] != "too_short" or not any(_below(place, item["loc"]) for place in places)
    }


def unknown_fields(error: ValidationError, model: type[BaseModel]) -> str:
    """Return a sentence with the unknown fields, at most five, and the known ones; empty without unknown ones."""
    places = [item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"]
    if not places:
        return ""
    names = ", ".join(shown(".".join(map(str, place))) for place in places[:_MOST_NAMED])
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    known_fields = f"; known are {', '.join(model.model_fields)}" if any(len(place) == 1 for place in places) else ""
    hint = " What a CloudEvents envelope carries is the body: send its 'data' alone." if _CLOUD_EVENT in names else ""
    return f"There is no {names}{more}{known_fields}.{hint}"


class NullsAsAbsent(BaseModel):
    """A model in which null means the same as leaving a field out, for serializers that write every field."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: value for name, value in cast("Mapping[str, Any]", values).items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema, in which optional fields may be null."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        null = {"type": "null"}
        for name, each in schema.get("properties", {}).items():
            if name in schema.get("required", ()) or null in each.get("anyOf", ()):
                continue
            about = {key: each[key] for key in ("title", "description", "default") if key in each}
            kinds = {key: value for key, value in each.items() if key not in about}
            schema["properties"][name] = about | {"anyOf": [kinds, null]}
        return schema


def text_or_list(value: Any) -> str:
    """Return the tag of the kind in a union that a value is meant as, so that what is wrong is said of that alone."""
    return "(text)" if isinstance(value, str) else "(list)"


def text_or_object(value: Any) -> str:
    """Return the tag of the kind in a union that a value is meant as, so that what is wrong is said of that alone."""
    return "(text)" if isinstance(value, str) else "(object)"


def in_words(item: ErrorDetails) -> str:
    """Return a validation error in terms of JSON instead of Python."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    if kind == "extra_forbidden":
        return NO_SUCH_FIELD
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
    """Return the place as a JSON pointer; a union's tag, like `(step)`, and the mark of a key are not part of it."""
    steps = (str(step) for step in place)
    return "/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps if not _TAG.fullmatch(step))


def _below(place: tuple[int | str, ...], above: tuple[int | str, ...]) -> bool:
    return len(place) > len(above) and place[: len(above)] == above
