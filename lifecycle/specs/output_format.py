"""Structured output: the JSON Schema of answers, and the subset of JSON Schema that models support.

A schema is checked twice. `ResponseFormat` has the rules of models; stored specs are read with it too.
`check_response_format` has the rules of validating answers, for new declarations: an older schema that breaks them
stays readable, and the score of its answers says why the check was left out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, field_validator, model_validator

from kernel.errors import InvalidInput
from kernel.strict_json import is_list, is_mapping
from llmops.evaluation.json_schema import Problem, pattern_problem, patterns, structural_problem

MAX_BYTES = 65_536
MAX_DEPTH = 10
MAX_PROPERTIES = 5000
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


class ResponseFormat(BaseModel):
    """Format of the agent's answers.

    Attributes:
        name: Name of the format, for the model.
        json_schema: A JSON Schema of type `object`; at most 64 KiB, 10 levels and 5,000 properties.
        description: Purpose of the format; None for none.
        strict: Whether the model must follow the schema exactly. Then each object has all its properties in `required`,
            and `additionalProperties` false.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    json_schema: Mapping[str, Any]
    description: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(default=None)
    strict: StrictBool = True

    @field_validator("json_schema")
    @classmethod
    def _json(cls, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            size = len(json.dumps(schema, allow_nan=False).encode())
        except (TypeError, ValueError, RecursionError):
            msg = "the schema is not JSON"
            raise ValueError(msg) from None
        if size > MAX_BYTES:
            msg = f"the schema has {size:,} bytes; {MAX_BYTES:,} are allowed"
            raise ValueError(msg)
        return schema

    @model_validator(mode="after")
    def _check_rules(self) -> ResponseFormat:
        wrong = next(_errors(self.json_schema, strict=self.strict), None)
        if wrong is not None:
            raise ValueError(wrong)
        return self


async def check_response_format(response_format: ResponseFormat | None) -> None:
    """Check that answers can be validated by the schema in linear time and without network access.

    Yields to other tasks between patterns, each of which can take some milliseconds to compile.

    Raises:
        InvalidInput: They cannot (code `invalid_schema`; `fields` has the place in the spec).
    """
    if response_format is None:
        return
    schema = response_format.json_schema
    if (problem := structural_problem(schema)) is not None:
        raise _refusal(problem)
    for pointer, pattern in patterns(schema):
        await asyncio.sleep(0)
        if (problem := pattern_problem(pointer, pattern)) is not None:
            raise _refusal(problem)


def _refusal(problem: Problem) -> InvalidInput:
    place = f"/response_format/json_schema{problem.pointer}"
    msg = f"{place} {problem.message}."
    return InvalidInput(msg, code="invalid_schema", fields={place: problem.message})


def _errors(schema: Mapping[str, Any], *, strict: bool) -> Iterator[str]:
    """Yield the errors in an answer's schema, each with its place as a JSON pointer."""
    if schema.get("type") != "object":
        yield "json_schema: the type of an answer is 'object'"
        return
    names = 0
    waiting: list[tuple[str, Any, int]] = [("json_schema", schema, 1)]
    while waiting:
        at, node, depth = waiting.pop()
        if not is_mapping(node):
            yield f"{at} is no schema"
            continue
        if depth > MAX_DEPTH:
            yield f"{at} is more than {MAX_DEPTH} levels deep"
            return
        names += len(properties) if is_mapping(properties := node.get("properties")) else 0
        if names > MAX_PROPERTIES:
            yield f"json_schema has more than {MAX_PROPERTIES:,} properties"
            return
        yield from _errors_here(at, node, schema, strict=strict)
        waiting += [(f"{at}/{key}", inner, depth + level) for key, inner, level in _subschemas(node)]


def _errors_here(at: str, node: Mapping[str, Any], root: Mapping[str, Any], *, strict: bool) -> Iterator[str]:
    kinds = node.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not is_list(kinds) or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        yield f"{at}/type is none of JSON Schema's"
        return
    properties, required = node.get("properties", {}), node.get("required", [])
    if not is_mapping(properties) or not is_list(required):
        yield f"{at}: properties is an object and required a list"
    elif any(not isinstance(name, str) or name not in properties for name in required):
        yield f"{at}/required names what is none of the properties"
    elif strict and "object" in kinds and node.get("additionalProperties") is not False:
        yield f"{at}/additionalProperties must be false where strict is true"
    elif strict and "object" in kinds and set(required) != set(properties):
        yield f"{at}/required must name every property where strict is true; allow null for what may be left out"
    if "$ref" in node and not _resolves(node["$ref"], root):
        yield f"{at}/$ref must be '#' or lead into '#/$defs/'"


def _resolves(reference: object, root: Mapping[str, Any]) -> bool:
    if reference == "#":
        return True
    definitions = root.get("$defs")
    if not isinstance(reference, str) or not isinstance(definitions, Mapping):
        return False
    return reference.startswith("#/$defs/") and reference.removeprefix("#/$defs/") in definitions


def _subschemas(node: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """Yield the schemas inside a schema: place, schema, and how many levels deeper it is."""
    for key in ("properties", "$defs"):
        if isinstance(node.get(key), Mapping):
            yield from ((f"{key}/{name}", inner, 1) for name, inner in node[key].items())
    if "items" in node:
        yield "items", node["items"], 1
    if isinstance(node.get("anyOf"), Sequence):
        yield from ((f"anyOf/{at}", inner, 0) for at, inner in enumerate(node["anyOf"]))
