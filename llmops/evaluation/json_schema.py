"""JSON Schemas supplied by users: validated and compiled without fetching anything, with linear-time patterns.

Draft 2020-12, by the library jsonschema-rs: `uniqueItems` is checked by hashing, and patterns by Rust's `regex`, which
has no backtracking, so that a match takes time proportional to pattern length times text length. `format` is not
checked, which is the draft's default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kernel.lazy_dataclass import dataclass
from kernel.strict_json import is_list, is_mapping, is_object

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

MAX_NESTING = 64
"""Deepest nesting of schemas."""
MAX_PATTERNS = 32
MAX_PATTERN = 512
"""Longest pattern, in characters."""
MAX_EXPANDED = 10_000
"""Most schemas that may apply to one place of an answer, references resolved."""
_COMPILED_BYTES = 1 << 18
"""Largest size of a compiled pattern, in bytes."""

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "items",
    "additionalProperties",
    "propertyNames",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
)
_SAME_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
"""Keywords whose subschemas apply to the same value as the schema they are in."""
_DYNAMIC = ("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$anchor", "$vocabulary")
_DIALECTS = frozenset(
    f"{scheme}://json-schema.org/{draft}/schema{end}"
    for scheme in ("http", "https")
    for draft in ("draft/2020-12", "draft/2019-09", "draft-07")
    for end in ("", "#")
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in a schema.

    Attributes:
        pointer: JSON pointer into the schema.
        message: What is wrong, as the predicate of a sentence whose subject is the pointer.
    """

    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class _Found:
    """The subschemas of a schema by pointer, and for each those that apply to the same value."""

    nodes: Mapping[str, Mapping[str, Any]]
    same_place: Mapping[str, list[str]]


def patterns(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each pattern of a schema after its pointer; the schema must have passed `structural_problem`."""
    return list(_patterns(_walk(schema)))


def structural_problem(schema: Mapping[str, Any]) -> Problem | None:
    """Return what is wrong with a schema apart from its patterns, or None; fetches nothing, compiles no pattern."""
    found = _walk(schema)
    if isinstance(found, Problem):
        return found
    for pointer, node in found.nodes.items():
        if (problem := _reference_problem(pointer, node, found.nodes)) is not None:
            return problem
    if (problem := _expansion_problem(found)) is not None:
        return problem
    given = list(_patterns(found))
    if len(given) > MAX_PATTERNS:
        return Problem(given[MAX_PATTERNS][0], f"at most {MAX_PATTERNS} patterns are allowed")
    for pointer, pattern in given:
        if len(pattern) > MAX_PATTERN:
            return Problem(pointer, f"a pattern has at most {MAX_PATTERN} characters")
    from jsonschema_rs import ValidationError, meta  # noqa: PLC0415 - cold start

    try:
        meta.validate({key: value for key, value in schema.items() if key != "$schema"})
    except ValidationError as error:
        return Problem(_pointer(error.instance_path), "is not what JSON Schema has there")
    return None


def pattern_problem(pointer: str, pattern: str) -> Problem | None:
    """Return what is wrong with a pattern, or None."""
    try:
        _compile({"pattern": pattern})
    except ValueError:
        return Problem(
            pointer,
            "is no pattern that is checked in linear time: look-around and back-references are not, "
            f"nor is one that takes more than {_COMPILED_BYTES // 1024} KiB when compiled",
        )
    return None


@lru_cache(maxsize=256)
def validator(schema: str) -> Draft202012Validator:
    """Return the validator of a schema given as JSON text; compiled once and cached.

    Raises:
        ValueError: The schema cannot be used; only possible for one stored before a rule was introduced.
    """
    loaded = json.loads(schema)
    if not is_object(loaded) or structural_problem(loaded) is not None:
        msg = "no usable schema"
        raise ValueError(msg)
    return _compile(loaded)


def follows(answer: str, schema: str) -> int:
    """Return 100 for an answer that is JSON and valid by the schema (given as JSON text), else 0.

    Raises:
        ValueError: See `validator`.
    """
    compiled = validator(schema)
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return 0
    return 100 if compiled.is_valid(value) else 0


def _compile(schema: Mapping[str, Any]) -> Draft202012Validator:
    from jsonschema_rs import Draft202012Validator, RegexOptions  # noqa: PLC0415 - cold start

    limits = RegexOptions(size_limit=_COMPILED_BYTES, dfa_size_limit=4 * _COMPILED_BYTES)
    return Draft202012Validator(dict(schema), pattern_options=limits, validate_formats=False, offline=True)


def _walk(root: Mapping[str, Any]) -> _Found | Problem:
    nodes: dict[str, Mapping[str, Any]] = {}
    same_place: dict[str, list[str]] = {}
    waiting: list[tuple[str, Any, int]] = [("", root, 1)]
    while waiting:
        pointer, node, depth = waiting.pop()
        if isinstance(node, bool):
            nodes[pointer], same_place[pointer] = {}, []
            continue
        if not is_mapping(node):
            return Problem(pointer, "is no schema")
        if depth > MAX_NESTING:
            return Problem(pointer, f"is more than {MAX_NESTING} schemas deep")
        nodes[pointer], same_place[pointer] = node, []
        for keyword, inner, schema in _inner(node):
            place = f"{pointer}/{inner}"
            waiting.append((place, schema, depth + 1))
            if keyword in _SAME_PLACE:
                same_place[pointer].append(place)
        if isinstance(reference := node.get("$ref"), str):
            same_place[pointer].append(_target(reference))
    return _Found(nodes, same_place)


def _inner(node: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the direct subschemas of a schema: keyword, pointer relative to the schema, subschema."""
    for keyword in _MAPS:
        if is_mapping(inner := node.get(keyword)):
            yield from ((keyword, f"{keyword}/{_escaped(name)}", schema) for name, schema in inner.items())
    for keyword in _LISTS:
        if is_list(inner := node.get(keyword)):
            yield from ((keyword, f"{keyword}/{at}", schema) for at, schema in enumerate(inner))
    for keyword in _SINGLE:
        if keyword in node:
            yield keyword, keyword, node[keyword]


def _reference_problem(pointer: str, node: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> Problem | None:
    for keyword in _DYNAMIC:
        if keyword in node:
            return Problem(f"{pointer}/{keyword}", "is not supported; use $ref to a place in $defs")
    if "$id" in node and pointer:
        return Problem(f"{pointer}/$id", "is allowed at the root only; nothing is fetched by it")
    if "$schema" in node and node["$schema"] not in _DIALECTS:
        return Problem(f"{pointer}/$schema", "is not a JSON Schema dialect of draft 7 or later")
    if "$ref" in node:
        reference = node["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#") or _target(reference) not in nodes:
            return Problem(f"{pointer}/$ref", "must be '#', or lead to a schema in this one by '#/…'")
    return None


def _expansion_problem(found: _Found) -> Problem | None:
    """Return the problem of a schema that refers to itself without end, or has too many schemas for one value."""
    size: dict[str, int] = {}
    for start in found.nodes:
        opened: set[str] = set()
        stack = [start]
        while stack:
            at = stack[-1]
            if at in size:
                stack.pop()
                continue
            inner = found.same_place[at]
            if at not in opened:
                opened.add(at)
                if any(one in opened and one not in size for one in inner):
                    return Problem(at, "refers to itself without end")
                stack += [one for one in inner if one not in size]
                continue
            size[at] = 1 + sum(size[one] for one in inner)
            if size[at] > MAX_EXPANDED:
                return Problem(at, f"comes to more than {MAX_EXPANDED:,} schemas for one value")
            stack.pop()
    return None


def _patterns(found: _Found | Problem) -> Iterator[tuple[str, str]]:
    for pointer, node in () if isinstance(found, Problem) else found.nodes.items():
        if isinstance(pattern := node.get("pattern"), str):
            yield f"{pointer}/pattern", pattern
        if is_mapping(properties := node.get("patternProperties")):
            yield from ((f"{pointer}/patternProperties/{_escaped(name)}", name) for name in properties)


def _target(reference: str) -> str:
    return unquote(reference.removeprefix("#"))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _pointer(path: list[str | int]) -> str:
    return "".join(f"/{_escaped(str(part))}" for part in path)
