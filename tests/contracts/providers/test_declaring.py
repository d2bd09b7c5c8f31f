"""What a spec may say of hosted tools and structured output, and that older specs are what they were."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lifecycle.specs.spec import AgentSpec, fingerprint
from lifecycle.specs.tools import check_tools

STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def spec(**fields: Any) -> AgentSpec:
    return AgentSpec.model_validate({"provider": "foundry", "model": "m", **fields})


def formatted(schema: Any, **fields: Any) -> AgentSpec:
    return spec(response_format={"name": "r", "json_schema": schema, **fields})


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    return schema


@pytest.mark.parametrize(
    ("fields", "digest"),
    [
        ({"model": "gpt-4o-mini"}, "5944b7bb553443e03b86ffec90d53904ac242798e98edf0e1c4326b1acef4729"),
        (
            {
                "provider": "openai",
                "model": "gpt-5-mini",
                "instructions": "Be brief.",
                "temperature": 0.5,
                "top_p": 0.9,
                "max_output_tokens": 99,
                "tools": ["calculator", "current_time"],
                "labels": {"a": "b"},
                "pinned": True,
            },
            "75931dc8c35095928de0ef8e820d61f7abe7edc14744d34b7b5a73ec37927bf3",
        ),
        (
            {"model": "m", "simulate": {"call_tool": "calculator", "latency_ms": 5}, "tools": ["calculator"]},
            "0fd308b1666d1f706fb582df512c277517867554030034a65cbc014685b34b5c",
        ),
    ],
)
def test_fingerprints_of_older_specs_stay(fields: dict[str, Any], digest: str) -> None:
    """A fingerprint names an agent at a provider for good: a new field must not make all agents again."""
    assert fingerprint(AgentSpec.model_validate(fields)) == digest


def test_hosted_tools_stand_beside_names() -> None:
    """Names stay strings, hosted tools are objects; both survive being stored, and only what is given is stored."""
    tools = ["calculator", {"type": "web_search", "user_location": {"country": "DE"}}, {"type": "code_interpreter"}]
    declared = spec(tools=tools)

    assert declared.tools[0] == "calculator"
    assert [tool.type for tool in declared.hosted_tools] == ["web_search", "code_interpreter"]
    assert declared.model_dump(mode="json")["tools"] == tools
    assert AgentSpec.model_validate_json(declared.model_dump_json()) == declared


def test_hosted_tools_and_formats_are_part_of_the_fingerprint() -> None:
    """Another option is another agent."""
    prints = {
        fingerprint(spec()),
        fingerprint(spec(tools=[{"type": "web_search"}])),
        fingerprint(spec(tools=[{"type": "web_search", "search_context_size": "low"}])),
        fingerprint(formatted(STRICT)),
        fingerprint(formatted(STRICT, description="d")),
    }

    assert len(prints) == 5


def test_only_names_are_looked_up() -> None:
    """Whether a function tool is known is checked by its name and told by its place; a hosted tool needs no entry."""
    with pytest.raises(Exception, match="telepathy") as caught:
        check_tools({}, spec(tools=[{"type": "web_search"}, "telepathy"]).tools)

    assert list(getattr(caught.value, "fields", ())) == ["/tools/1"]


@pytest.mark.parametrize(
    ("tool", "at"),
    [
        ({"type": "web_search", "search_context_size": "huge"}, ("tools", 0, "search_context_size")),
        ({"type": "web_search", "allowed_domains": ["https://x.org"]}, ("tools", 0, "allowed_domains", 0)),
        ({"type": "web_search", "user_location": {"country": "Germany"}}, ("tools", 0, "user_location", "country")),
        ({"type": "web_search", "api_key": "k"}, ("tools", 0, "api_key")),
        ({"type": "file_search"}, ("tools", 0, "vector_store_ids")),
        ({"type": "file_search", "vector_store_ids": []}, ("tools", 0, "vector_store_ids")),
        ({"type": "file_search", "vector_store_ids": ["v"], "max_num_results": 51}, ("tools", 0, "max_num_results")),
        ({"type": "code_interpreter", "memory_limit": "2g"}, ("tools", 0, "memory_limit")),
        ({"type": "mcp", "server_label": "d"}, ("tools", 0)),
        ({"type": "mcp", "server_label": "d", "server_url": "ftp://x.org"}, ("tools", 0, "server_url")),
        ({"type": "mcp", "server_label": "d", "server_url": "https://me:pw@x.org"}, ("tools", 0, "server_url")),
        ({"type": "mcp", "server_label": "d", "server_url": "https://x", "headers": {}}, ("tools", 0, "headers")),
        ({"type": "telepathy"}, ("tools", 0)),
        ({}, ("tools", 0)),
        ("Calculator", ("tools", 0)),
        (7, ("tools", 0)),
        (None, ("tools", 0)),
    ],
)
def test_a_bad_tool_is_pointed_at(tool: Any, at: tuple[str | int, ...]) -> None:
    """Options are checked when the spec is declared, and what is wrong is told by its place."""
    with pytest.raises(ValidationError) as caught:
        spec(tools=[tool])

    assert caught.value.errors()[0]["loc"] == at


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"provider": "openai", "tools": [{"type": "web_search"}]}, "runs no tools itself"),
        ({"provider": "offline", "tools": [{"type": "web_search"}]}, "runs no tools itself"),
        ({"provider": "offline", "response_format": {"name": "r", "json_schema": STRICT}}, "no structured output"),
        ({"tools": [{"type": "web_search"}, {"type": "web_search", "search_context_size": "low"}]}, "repeat"),
        ({"tools": ["web_search", "web_search"]}, "repeat"),
        ({"simulate": {}}, "simulate"),
    ],
)
def test_a_spec_asks_for_what_its_provider_has(fields: dict[str, Any], said: str) -> None:
    """What the provider cannot do is refused when it is declared, before anything is made."""
    with pytest.raises(ValidationError, match=said):
        spec(**fields)


def test_two_mcp_servers_and_a_function_called_like_a_hosted_tool_are_fine() -> None:
    """Labels tell servers apart; a name is no type."""
    servers = [{"type": "mcp", "server_label": label, "server_url": "https://x.org"} for label in ("a", "b")]

    assert len(spec(tools=["web_search", {"type": "web_search"}, *servers]).tools) == 4


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array"}, "'object'"),
        ({"$ref": "#/$defs/a"}, "'object'"),
        ({**STRICT, "properties": {"a": {"type": "text"}}}, "a/type"),
        ({**STRICT, "properties": {"a": 1}}, "a is no schema"),
        ({**STRICT, "required": ["b"]}, "none of the properties"),
        ({**STRICT, "required": []}, "every property"),
        ({**STRICT, "additionalProperties": True}, "additionalProperties"),
        ({**STRICT, "properties": {"a": {"type": "object"}}}, "properties/a/additionalProperties"),
        ({**STRICT, "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"c": {"type": "null"}}}, "ref must"),
        (nested(11), "levels deep"),
        ({**STRICT, "description": "x" * 70_000}, "bytes"),
        ({**STRICT, "default": {1, 2}}, "not JSON"),
        ({**STRICT, "default": float("nan")}, "not JSON"),
    ],
)
def test_a_bad_schema_is_refused(schema: dict[str, Any], said: str) -> None:
    """What no model would obey, or the service would refuse, is told with its place in the schema."""
    with pytest.raises(ValidationError, match=said):
        formatted(schema)


def test_a_schema_that_is_obeyed_is_taken() -> None:
    """Nesting, references, alternatives and recursion are fine; without `strict` properties may be optional."""
    tree = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "items": {"$ref": "#/$defs/list"}},
        "required": ["next", "items"],
        "additionalProperties": False,
        "$defs": {"list": {"type": "array", "items": {"type": ["string", "null"], "enum": ["a", None]}}},
    }

    assert formatted(tree).response_format is not None
    assert formatted(nested(9)).response_format is not None
    assert formatted({"type": "object", "properties": {"a": {"type": "string"}}}, strict=False).response_format


@pytest.mark.parametrize("name", ["", "two words", "x" * 65, "ä"])
def test_a_format_has_a_name_the_service_takes(name: str) -> None:
    """Letters, digits, `_` and `-`, at most 64."""
    with pytest.raises(ValidationError):
        formatted(STRICT, name=name)
