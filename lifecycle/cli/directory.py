"""Reads a directory of agents, teams and workflows: YAML files, and `.agent.md` files of Microsoft's runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from kernel.lazy_dataclass import dataclass
from kernel.strict_json import is_object
from kernel.validation import in_words
from lifecycle.cli.agent_md import Reading, read_agent_md
from lifecycle.cli.command import BadFile, CommandFailed, where
from lifecycle.configuration.kinds import Kind, item_name
from lifecycle.configuration.layers import AgentConfig
from lifecycle.specs.team import Team
from lifecycle.specs.workflow import WorkflowSpec

MANAGED_BY = "managed_by"
"""Label of agents that a directory manages; its value names the directory."""

_RUNTIME_CONFIG = "agents.config.yaml"


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A file with the agent that it declares."""

    path: Path
    name: str
    config: AgentConfig


OfAgents = Team | WorkflowSpec
"""A declaration that refers to agents."""

KINDS: Mapping[Kind, type[OfAgents]] = {Kind.TEAM: Team, Kind.WORKFLOW: WorkflowSpec}
"""The kinds of these declarations; a file has `name` and one of these keys."""


@dataclass(frozen=True, slots=True)
class KindFile:
    """A file with the team or workflow that it declares."""

    path: Path
    name: str
    kind: Kind
    content: OfAgents


def read_kind(directory: Path, kind: Kind) -> Sequence[KindFile]:
    """Return the teams, or the workflows, of a directory, by name; from YAML files with `name` and the kind as keys.

    Raises:
        BadFile: A file is not valid, or two declare the same name.
    """
    by_name: dict[str, KindFile] = {}
    for path in _yaml_files(directory):
        content = _loaded(path)
        if kind.value not in content:
            continue
        if unknown := sorted(map(str, content.keys() - {"name", kind.value})):
            raise BadFile(path, unknown[0], f"is not known here; a file of a {kind.value} has name and {kind.value}")
        try:
            declared = KINDS[kind].model_validate(content[kind.value])
            file = KindFile(path, item_name(kind, content["name"]), kind, declared)
        except InvalidInput as error:
            raise BadFile(path, "name", error.detail) from None
        except ValidationError as error:
            first = error.errors()[0]
            raise BadFile(path, ".".join(map(str, (kind.value, *first["loc"]))), in_words(first)) from None
        if file.name in by_name:
            raise BadFile(path, "name", f"{by_name[file.name].path} declares {file.name!r}, too")
        by_name[file.name] = file
    return [by_name[name] for name in sorted(by_name)]


def read_directory(directory: Path, reading: Reading, managed_by: str | None = None) -> Sequence[AgentFile]:
    """Return the agents of a directory, by name.

    Args:
        directory: Has `*.yaml` and `*.yml`, and `*.agent.md` there or in `agents/`.
        reading: How to read `.agent.md` files.
        managed_by: Value for the label MANAGED_BY of every agent; None to leave labels unchanged.

    Raises:
        CommandFailed: The directory does not exist or has no agents, or a file is not valid.
    """
    if not directory.is_dir():
        msg = f"{directory} is not a directory"
        raise CommandFailed(msg)
    files = [_read_yaml(path) for path in _yaml_files(directory) if not KINDS.keys() & _loaded(path).keys()]
    files += [
        _agent(path, *read_agent_md(path, replace(reading, root=directory))) for path in _markdown_files(directory)
    ]
    if not files:
        msg = f"{directory} holds no agents: no *.yaml, *.yml or *.agent.md"
        raise CommandFailed(msg)
    by_name: dict[str, AgentFile] = {}
    for file in files:
        if file.name in by_name:
            raise BadFile(file.path, "name", f"{by_name[file.name].path} declares {file.name!r}, too")
        by_name[file.name] = file if managed_by is None else _managed(file, managed_by)
    return [by_name[name] for name in sorted(by_name)]


def _yaml_files(directory: Path) -> Sequence[Path]:
    found = (path for path in directory.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file())
    return sorted(path for path in found if path.name != _RUNTIME_CONFIG)


def _markdown_files(directory: Path) -> Sequence[Path]:
    places = [directory, *(place for place in directory.iterdir() if place.name.lower() == "agents" and place.is_dir())]
    found = (path for place in places for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in found if f".{path.name.lower()}".endswith(".agent.md"))


def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise BadFile(path, "", f"cannot be read: {where(error)}") from None
    if not is_object(content) or not isinstance(content.get("name"), str):
        raise BadFile(path, "name", "is missing; a file has name and spec")
    return cast("Mapping[str, Any]", content)


def _read_yaml(path: Path) -> AgentFile:
    content = _loaded(path)
    if unknown := sorted(map(str, content.keys() - {"name", "spec"})):
        raise BadFile(path, unknown[0], "is not known here; a file has name and spec")
    spec = content.get("spec")
    if not is_object(spec):
        raise BadFile(path, "spec", "is missing; it describes the agent")
    return _agent(path, content["name"], spec)


def _agent(path: Path, name: str, spec: Mapping[str, Any]) -> AgentFile:
    try:
        agent_name(name)
    except InvalidInput as error:
        raise BadFile(path, "name", error.detail) from None
    try:
        return AgentFile(path, name, AgentConfig.model_validate(spec))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadFile(path, ".".join(map(str, ("spec", *first["loc"]))), in_words(first)) from None


def _managed(file: AgentFile, managed_by: str) -> AgentFile:
    labels = dict(file.config.given.get("labels") or {})
    label = labels.setdefault(MANAGED_BY, managed_by)
    if label != managed_by:
        raise BadFile(file.path, f"spec.labels.{MANAGED_BY}", f"is {label!r}, but --managed-by is {managed_by!r}")
    return _agent(file.path, file.name, {**file.config.given, "labels": labels})
