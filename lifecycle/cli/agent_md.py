"""Reads `.agent.md` files of Microsoft's azurefunctions-agents-runtime (0.1.0b17) as agents' declarations.

Fields with an equivalent here are converted. Any other field is an error, so that no setting is silently lost, unless
`Reading.ignored` names it. Format:
learn.microsoft.com/azure/azure-functions/functions-serverless-agents-runtime-reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml

from kernel.lazy_dataclass import dataclass
from kernel.strict_json import is_list, is_object
from lifecycle.cli.command import BadFile, where

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)(.*)\Z", re.DOTALL | re.MULTILINE)
_VARIABLE = re.compile(
    r"\$\$(?P<dollar>[A-Za-z_]\w*)|%%(?P<percent>[A-Za-z_]\w*)%%|\$(?P<a>[A-Za-z_]\w*)|%(?P<b>[A-Za-z_]\w*)%", re.ASCII
)
_SHARED = {"mcp": "mcp.json", "skills": "skills", "tools": "tools"}
"""What every agent of an app shares unless its own field is false, with its path in the app's directory."""

_NOT_HERE = {
    "timeout": "an agent has no time limit of its own; the setting RUN_TIMEOUT_S holds for all",
    "input_schema": "a query is text and is not checked against a schema",
    "response_example": "an answer is described by response_schema",
    "subagents": "agents do not call one another here",
    "workflows": "there are no dynamic workflows",
    "mcp": "name MCP servers as tools in a YAML file",
    "skills": "there are no skills",
    "tools": "name tools in a YAML file",
    "system_tools": "there are no system tools",
    "logger": "answers are never logged",
    "trigger": "runs come over HTTP and Service Bus; nothing else starts them",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read `.agent.md` files.

    Attributes:
        provider: Provider of the agents.
        model: Model of agents that name none; empty for none.
        ignored: Fields to leave out of every file.
        environ: Values of variables that files refer to.
        root: The directory with what the app's agents share.
    """

    provider: str = "foundry"
    model: str = ""
    ignored: frozenset[str] = frozenset()
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    root: Path = Path()


def read_agent_md(path: Path, reading: Reading) -> tuple[str, Mapping[str, Any]]:
    """Return the agent's name, from the file's name, and its declaration.

    Raises:
        BadFile: The file is not valid, or has a field without an equivalent here.
    """
    matter, body = _parts(path)
    fields = {name: value for name, value in matter.items() if name not in reading.ignored}
    if fields.pop("substitute_variables", True) is not False:
        fields = {name: _substituted(path, name, value, reading.environ) for name, value in fields.items()}
        body = _substituted_text(path, body, reading.environ)
    name = _slug(path.name)
    _check_shared(path, fields, reading)
    spec: dict[str, Any] = {
        "provider": reading.provider,
        "model": fields.pop("model", None) or _default_model(reading),
        "instructions": body.strip(),
        "description": _text(path, "description", fields.pop("description", None)),
        "labels": _labels(path, fields.pop("metadata", None), _text(path, "name", fields.pop("name", None))),
        "response_format": _format(path, name, fields.pop("response_schema", None)),
    }
    if not spec["model"]:
        raise BadFile(path, "model", "is missing; set it here, in agents.config.yaml or with --model")
    for field_name, value in fields.items():
        _check_rest(path, field_name, value)
    return name, {key: value for key, value in spec.items() if value not in (None, {})}


def _parts(path: Path) -> tuple[Mapping[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8")
        found = _FRONT_MATTER.match(text)
        matter = yaml.safe_load(found[1]) if found else None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise BadFile(path, "front matter", f"cannot be read: {where(error)}") from None
    if found is None or not is_object(matter):
        raise BadFile(path, "front matter", "is missing; the file starts with fields between two lines of ---")
    return {str(name): value for name, value in matter.items()}, found[2]


def _slug(filename: str) -> str:
    """Return the runtime's name for the agent, in lower case."""
    stem = filename[: -len(".agent.md")] if filename.lower() != "agent.md" else "main"
    slug = re.sub(r"[^a-z0-9_]", "_", stem.lower()).strip("_")
    return f"fn_{slug}" if slug[:1].isdigit() else slug


def _check_shared(path: Path, fields: dict[str, Any], reading: Reading) -> None:
    for name, place in _SHARED.items():
        value = fields.pop(name, None)
        if name in reading.ignored or value is False:
            continue
        if value not in (None, True):
            raise BadFile(path, name, _refused(name))
        if (reading.root / place).exists():
            problem = f"every agent has what is in {place} unless it says `{name}: false`; {_refused(name)}"
            raise BadFile(path, name, problem)


def _check_rest(path: Path, name: str, value: Any) -> None:
    """Raise BadFile for a field that has no equivalent here."""
    harmless = (
        value is None
        or (name == "trigger" and is_object(value) and value.get("type") == "http_trigger")
        or (name == "builtin_endpoints" and value in (True, False))
        or (name == "logger" and value is False)
        or (name == "workflows" and is_object(value) and value.get("enabled") is False)
        or (name == "system_tools" and is_object(value) and all(each is False for each in value.values()))
    )
    if not harmless:
        raise BadFile(path, name, _refused(name))


def _refused(name: str) -> str:
    reason = _NOT_HERE.get(name, "there is nothing like it here")
    return f"{reason}. Remove it, or leave it out with --ignore {name}"


def _labels(path: Path, metadata: Any, display_name: str | None) -> Mapping[str, str]:
    labels = {} if not display_name else {"display_name": display_name}
    if metadata is not None and not is_object(metadata):
        raise BadFile(path, "metadata", "must be fields and their values")
    for key, value in (metadata or {}).items():
        values: Sequence[Any] = value if is_list(value) else [value]
        if not all(isinstance(each, str | int | float | bool) for each in values):
            raise BadFile(path, f"metadata.{key}", "must be a text, a number or a list of them, to become a label")
        labels[str(key)] = ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in values)
    return labels


def _format(path: Path, name: str, schema: Any) -> Mapping[str, Any] | None:
    if schema is None:
        return None
    if not isinstance(schema, dict):
        raise BadFile(path, "response_schema", "must be a JSON Schema")
    return {"name": name, "json_schema": schema, "strict": False}


def _text(path: Path, name: str, value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise BadFile(path, name, "must be text")
    return value


def _default_model(reading: Reading) -> str:
    path = reading.root / "agents.config.yaml"
    if reading.model or not path.is_file():
        return reading.model
    try:
        config: object = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise BadFile(path, "", f"cannot be read: {where(error)}") from None
    if not is_object(config):
        raise BadFile(path, "", "must be fields and their values")
    for name in sorted(map(str, config.keys() - {"model", *reading.ignored})):
        raise BadFile(path, name, _refused(name))
    model = config.get("model") or ""
    return str(_substituted(path, "model", model, reading.environ))


def _substituted(path: Path, place: str, value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _filled(path, place, value, environ)
    if is_list(value):
        return [_substituted(path, place, each, environ) for each in value]
    if is_object(value):
        return {key: _substituted(path, f"{place}.{key}", each, environ) for key, each in value.items()}
    return value


def _substituted_text(path: Path, text: str, environ: Mapping[str, str]) -> str:
    """Return a text with its variables replaced, except inside fenced code."""
    parts = text.split("```")
    parts[::2] = [_filled(path, "instructions", part, environ) for part in parts[::2]]
    return "```".join(parts)


def _filled(path: Path, place: str, text: str, environ: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return f"${found['dollar']}"
        if found["percent"]:
            return f"%{found['percent']}%"
        name = found["a"] or found["b"]
        if name not in environ:
            problem = (
                f"{found[0]} is not set in the environment; set it, write {found[0][0]}{found[0]}"
                f"{'%' if found['b'] else ''} for the text itself, or say `substitute_variables: false`"
            )
            raise BadFile(path, place, problem)
        return environ[name]

    return _VARIABLE.sub(value, text)
