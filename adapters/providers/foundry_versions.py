"""A spec as the version of a prompt agent in Foundry: its definition, and the metadata that identifies the owner."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernel.errors import InvalidInput
from lifecycle.specs.hosted_tools import CodeInterpreter, FileSearch, HostedTool, Mcp, WebSearch

if TYPE_CHECKING:
    from agent_framework import FunctionTool

    from lifecycle.registry.providers import VersionRequest
    from lifecycle.specs.output_format import ResponseFormat
    from lifecycle.specs.spec import AgentSpec

OWNER = "maf-owner"
WORKSPACE = "maf-workspace"
AGENT = "maf-agent"
FINGERPRINT = "maf-hash"
DEFINITION = "maf-definition"
TEMPLATE = "maf-template"
MAX_VALUE = 512

_FORMAT_KEYS = ("type", "name", "schema", "strict", "description")
_TOOL_KEYS: Mapping[str, tuple[str, ...]] = {
    "function": ("name", "description", "parameters", "strict"),
    "web_search": ("search_context_size", "filters", "user_location"),
    "code_interpreter": ("container",),
    "file_search": ("vector_store_ids", "max_num_results"),
    "mcp": (
        "server_label",
        "server_url",
        "project_connection_id",
        "server_description",
        "allowed_tools",
        "require_approval",
    ),
}
_DEFAULTS = {"search_context_size": "medium", "strict": False}


def definition_of(spec: AgentSpec, tools: Sequence[FunctionTool]) -> dict[str, Any]:
    """Return the definition of a prompt agent; `tools` are the spec's function tools, in its order.

    The limit on output tokens is not part of it: Foundry takes that with each call.
    """
    functions = iter(tools)
    callable_tools = [_function(next(functions)) if isinstance(tool, str) else _hosted(tool) for tool in spec.tools]
    definition: dict[str, Any] = {
        "kind": "prompt",
        "model": spec.model,
        "instructions": spec.instructions or None,
        "temperature": spec.temperature,
        "top_p": spec.top_p,
        "reasoning": {"effort": spec.reasoning_effort} if spec.reasoning_effort else None,
        "tools": callable_tools or None,
        "text": {"format": _format(spec.response_format)} if spec.response_format else None,
    }
    return {name: value for name, value in definition.items() if value is not None}


def metadata_of(wanted: VersionRequest, definition: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a version to be created.

    Raises:
        InvalidInput: A value is longer than Foundry stores (code `metadata_too_long`).
    """
    metadata = {
        OWNER: wanted.owner,
        WORKSPACE: wanted.workspace,
        AGENT: wanted.agent,
        FINGERPRINT: wanted.fingerprint,
        DEFINITION: digest(definition),
        TEMPLATE: wanted.spec.labels.get("template", ""),
    }
    for name, value in metadata.items():
        if len(value) > MAX_VALUE:
            msg = f"{name} has {len(value)} characters; Foundry keeps {MAX_VALUE}."
            raise InvalidInput(msg, code="metadata_too_long")
    return {name: value for name, value in metadata.items() if value}


def digest(definition: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a definition, equal for what was sent and what is read back.

    Only fields that a spec can set count, and only where they differ from the default: the service may fill in
    defaults, and write numbers differently.
    """
    content = {name: _bare(definition.get(name)) for name in ("model", "instructions", "temperature", "top_p")}
    content["effort"] = (definition.get("reasoning") or {}).get("effort")
    content["tools"] = [_comparable_tool(tool) for tool in definition.get("tools") or ()]
    output = (definition.get("text") or {}).get("format") or {}
    content["format"] = _bare({key: output.get(key) for key in _FORMAT_KEYS}) if output.get("type") != "text" else None
    text = json.dumps({name: value for name, value in content.items() if value}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _comparable_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(tool.get("type"))
    keys = _TOOL_KEYS.get(kind, tuple(tool))  # a tool kind that specs cannot name is hashed as it is
    values = {key: tool.get(key) for key in keys}
    return {"type": kind, **_bare({key: value for key, value in values.items() if value != _DEFAULTS.get(key)})}


def _bare(value: Any) -> Any:
    """Return the value without empty fields, with numbers in one notation."""
    if isinstance(value, Mapping):
        inner = {str(key): _bare(each) for key, each in value.items()}
        return {key: each for key, each in inner.items() if each not in (None, "", [], {})}
    if isinstance(value, list | tuple):
        return [_bare(each) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(float(value), 6)
    return value


def _function(tool: FunctionTool) -> dict[str, Any]:
    # Not strict: strict functions cannot have optional parameters, which Python functions often have.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description or "",
        "parameters": tool.parameters(),
        "strict": False,
    }


def _hosted(tool: HostedTool) -> dict[str, Any]:
    match tool:
        case WebSearch():
            place = {**tool.user_location.model_dump(), "type": "approximate"} if tool.user_location else None
            filters = {"allowed_domains": list(tool.allowed_domains)} if tool.allowed_domains else None
            values = {"search_context_size": tool.search_context_size, "filters": filters, "user_location": place}
        case CodeInterpreter():
            container = {"type": "auto", "file_ids": list(tool.file_ids) or None, "memory_limit": tool.memory_limit}
            values = {"container": {name: value for name, value in container.items() if value}}
        case FileSearch():
            values = {"vector_store_ids": list(tool.vector_store_ids), "max_num_results": tool.max_num_results}
        case Mcp():
            # The app decides by arguments whether a call needs an approval; the service would ask for each call.
            values = {**tool.model_dump(), "require_approval": "always" if tool.asks else "never"}
            for own in ("approval", "headers_setting"):
                values.pop(own, None)
    return {"type": tool.type, **{name: value for name, value in values.items() if value is not None}}


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    values = {
        "type": "json_schema",
        "name": wanted.name,
        "schema": dict(wanted.json_schema),
        "strict": wanted.strict,
        "description": wanted.description,
    }
    return {name: value for name, value in values.items() if value is not None}
