"""Which JSON Schemas are taken for answers, and that validating by them is fast and fetches nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import socketserver
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from llmops.evaluation import json_schema
from llmops.evaluation.json_schema import (
    MAX_PATTERN,
    MAX_PATTERNS,
    follows,
    pattern_problem,
    patterns,
    structural_problem,
    validator,
)

KEYWORDS: dict[str, Any] = {
    "allOf": lambda schema: [schema],
    "anyOf": lambda schema: [schema],
    "oneOf": lambda schema: [schema],
    "prefixItems": lambda schema: [schema],
    "properties": lambda schema: {"a": schema},
    "patternProperties": lambda schema: {"a": schema},
    "$defs": lambda schema: {"a": schema},
    "definitions": lambda schema: {"a": schema},
    "dependentSchemas": lambda schema: {"a": schema},
    **dict.fromkeys(
        (
            "items",
            "contains",
            "additionalProperties",
            "propertyNames",
            "not",
            "if",
            "then",
            "else",
            "unevaluatedItems",
            "unevaluatedProperties",
            "contentSchema",
        ),
        lambda schema: schema,
    ),
}
"""Every keyword that holds schemas, and how it holds one."""


def problem(schema: Any) -> tuple[str, str] | None:
    """Return where a schema is wrong and why, as declaring finds it."""
    found = structural_problem(schema)
    for pointer, pattern in [] if found else patterns(schema):
        found = found or pattern_problem(pointer, pattern)
    return (found.pointer, found.message) if found else None


@contextlib.contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """Listen on the loopback address, and note whoever comes."""
    came: list[str] = []

    class Note(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            came.append(str(self.client_address))

    with socketserver.TCPServer(("127.0.0.1", 0), Note) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", came
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_nothing_is_fetched_whatever_holds_the_reference(keyword: str) -> None:
    """Refused with its place; and one that was declared before that rule is not followed either."""
    with listener() as (address, came):
        for wrong, at in (
            ({"$ref": f"{address}/schema"}, "$ref"),
            ({"$id": f"{address}/base", "$ref": "other"}, "$id"),
            ({"$dynamicRef": f"{address}/schema#node"}, "$dynamicRef"),
            ({"$schema": f"{address}/meta"}, "$schema"),
        ):
            schema = {"type": "object", keyword: KEYWORDS[keyword](wrong)}
            found = problem(schema)
            assert found is not None
            assert found[0].startswith(f"/{keyword}")
            assert found[0].endswith(at)
            with pytest.raises(ValueError, match="usable"):
                follows('{"a": [1]}', json.dumps(schema))
            with contextlib.suppress(ValueError):  # the library by itself: it has no way to fetch
                json_schema._compile(schema).is_valid({"a": [1]})
        assert came == []
        with contextlib.suppress(OSError, http.client.HTTPException):
            urllib.request.urlopen(address, timeout=10)
        assert len(came) == 1, "the listener does notice who comes"


@pytest.mark.parametrize(
    ("schema", "pointer", "said"),
    [
        ({"$id": "http://127.0.0.1:9/a", "$ref": "b"}, "/$ref", "must be"),
        ({"$ref": "#/$defs/a~1b/c"}, "/$ref", "must be"),
        ({"$ref": 7}, "/$ref", "must be"),
        ({"$ref": "file:///etc/passwd"}, "/$ref", "must be"),
        ({"$recursiveRef": "#"}, "/$recursiveRef", "not supported"),
        ({"$schema": "https://example.org/mine"}, "/$schema", "not a JSON Schema dialect"),
        ({"properties": {"a/b": {"minLength": "3"}}}, "/properties/a~1b/minLength", "is not what"),
        ({"allOf": [{"not": {"required": "a"}}]}, "/allOf/0/not/required", "is not what"),
        ({"patternProperties": {"(": {"type": "text"}}}, "/patternProperties/(/type", "is not what"),
        ({"properties": {"a": 3}}, "/properties/a", "no schema"),
        ({"items": [{}]}, "/items", "no schema"),
        ({"if": {"pattern": "("}}, "/if/pattern", "linear time"),
        ({"pattern": r"^(a)\1$"}, "/pattern", "back-references"),
        ({"pattern": "^(?=.*[0-9]).{8,}$"}, "/pattern", "look-around"),
        ({"patternProperties": {"(?<!x)y": {}}}, "/patternProperties/(?<!x)y", "look-around"),
        ({"pattern": r"(?:\p{L}{100}){100}"}, "/pattern", "256 KiB"),
        ({"pattern": "a" * (MAX_PATTERN + 1)}, "/pattern", "512 characters"),
        ({"$ref": "#"}, "", "without end"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, None, "without end"),
        ({"not": {"allOf": [{"$ref": "#"}]}}, None, "without end"),
    ],
)
def test_what_cannot_be_validated_by_is_refused_with_its_place(
    schema: dict[str, Any], pointer: str | None, said: str
) -> None:
    found = problem(schema)

    assert found is not None
    assert said in found[1]
    assert pointer is None or found[0] == pointer


def test_there_are_limits() -> None:
    """Of patterns, of nesting, and of what references come to."""
    many = {"properties": {f"p{number}": {"pattern": "a"} for number in range(MAX_PATTERNS + 1)}}
    deep: dict[str, Any] = {}
    for _ in range(70):
        deep = {"not": deep}
    doubling = {f"a{number}": {"allOf": [{"$ref": f"#/$defs/a{number + 1}"}] * 2} for number in range(20)}
    laughing = {"$defs": {**doubling, "a20": {}}, "$ref": "#/$defs/a0"}

    assert "at most 32 patterns" in str(problem(many))
    assert "64 schemas deep" in str(problem(deep))
    assert "more than 10,000 schemas" in str(problem(laughing))


def test_what_is_usual_is_taken() -> None:
    """Recursion through a property, names of dialects, an `$id` of its own, and patterns as people write them."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.org/invoice.schema.json",
        "type": "object",
        "properties": {
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
            "mail": {"type": "string", "format": "email", "pattern": r"^[\w.+-]{1,64}@[\w-]+(\.[\w-]+)+$"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "uniqueItems": True, "maxItems": 100},
            "$ref": {"const": {"$ref": "http://example.org", "pattern": "("}},
        },
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
        "$defs": {"line": {"type": "object", "required": ["price"], "properties": {"price": {"minimum": 0}}}},
    }

    assert problem(schema) is None
    text = json.dumps(schema)
    assert follows('{"date": "2026-11-30", "lines": [{"price": 1}], "next": {"x-a": 1}}', text) == 100
    assert follows('{"date": "30.11.2026"}', text) == 0
    assert follows('{"lines": [{"price": 1}, {"price": 1}]}', text) == 0
    assert follows('{"next": {"lines": [{}]}}', text) == 0
    assert follows("no JSON", text) == 0
    assert follows("[" * 200_000, text) == 0


def test_a_schema_is_compiled_once() -> None:
    text = json.dumps({"type": "object", "title": "compiled once"})
    before = validator.cache_info().misses
    for _ in range(5):
        follows("{}", text)

    assert validator.cache_info().misses == before + 1


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 33 + "!"}),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 300_000 + "!"}),
        ({"properties": {"a": {"pattern": "(x+x+)+y"}}}, {"a": "x" * 300_000}),
        ({"patternProperties": {"^(a|a)*$": {"type": "null"}}}, {"a" * 10_000 + "!": 1}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"b": number} for number in range(1500)]}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"b": [number]} for number in range(30_000)]}),
    ],
)
def test_hostile_answers_and_patterns_take_linear_time(schema: dict[str, Any], answer: dict[str, Any]) -> None:
    """An engine that backtracks, or compares each with each, would take until the suite's own time limit."""
    assert problem(schema) is None
    assert follows(json.dumps(answer), json.dumps(schema)) in (0, 100)
