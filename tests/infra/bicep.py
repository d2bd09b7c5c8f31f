"""Bicep read with the tree-sitter grammar: declarations of a template, and values as far as they are constants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter
import tree_sitter_bicep

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))


class Code(str):
    """An expression that is no constant, as written."""

    __slots__ = ()


@dataclass(frozen=True)
class Parameter:
    """A `param`: its type, its default (None when it must be given) and whether it is described."""

    name: str
    type: str
    default: Any
    described: bool


@dataclass(frozen=True)
class Resource:
    """A `resource`, or a `module` with its file as type.

    Attributes:
        name: Symbol in the template.
        type: Resource type without its version, or the module's file.
        version: API version; empty for a module.
        existing: Whether it is only referred to.
        condition: When it is deployed, as written; empty for always.
        loop: What it is deployed for each of, as written; empty for once.
        body: Its properties.
    """

    name: str
    type: str
    version: str
    existing: bool
    condition: str
    loop: str
    body: dict[str, Any]


@dataclass
class Template:
    """One .bicep file.

    Attributes:
        path: The file.
        errors: What the parser did not understand.
        parameters: Its `param`s.
        variables: Its `var`s.
        choices: For each `var`, every property of the objects that it may be, whatever the condition.
        resources: Its resources, nested ones too, and those it only refers to.
        modules: Its modules.
        outputs: Its outputs.
        identifiers: Names that its expressions use.
        local: Names of loops and lambdas.
        calls: Functions and decorators that it calls.
    """

    path: Path
    errors: list[str] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    modules: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    identifiers: set[str] = field(default_factory=set)
    local: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)

    def resource(self, name: str) -> Resource:
        """Return the resource of this symbol."""
        return next(resource for resource in self.resources if resource.name == name)

    @property
    def declared(self) -> set[str]:
        """Every name that an expression may use."""
        return {
            *self.parameters,
            *self.variables,
            *self.modules,
            *(resource.name for resource in self.resources),
            *self.local,
        }


def templates() -> list[Path]:
    """Return the files of all templates."""
    return sorted(INFRA.rglob("*.bicep"))


def read(path: Path) -> Template:
    """Return the template in the file."""
    return parse(path.read_bytes(), path)


def parse(source: bytes, path: Path = INFRA / "inline.bicep") -> Template:
    """Return the template of this text; when there is something wrong with it, its `errors` and nothing else."""
    template = Template(path)
    root = _PARSER.parse(source).root_node
    template.errors = [
        f"{path.name}:{node.start_point.row + 1}: {node.type} {_text(node)[:60]!r}"
        for node in _walk(root)
        if node.is_error or node.is_missing
    ]
    if template.errors:
        return template
    for node in root.named_children:
        _declare(template, node)
    for node in _walk(root):
        _note(template, node)
    return template


def _declare(template: Template, node: tree_sitter.Node) -> None:
    match node.type:
        case "parameter_declaration":
            name, kind, *default = _parts(node)
            template.parameters[_text(name)] = Parameter(
                _text(name), _text(kind), _value(default[0]) if default else None, _described(node)
            )
        case "variable_declaration":
            name, value = _parts(node)
            template.variables[_text(name)] = _value(value)
            template.choices[_text(name)] = _merged(value)
        case "output_declaration":
            name, _, value = _parts(node)
            template.outputs[_text(name)] = _value(value)
        case "resource_declaration":
            _declare_resource(template, node, "")
        case "module_declaration":
            module = _resource(node, "")
            template.modules[module.name] = module


def _declare_resource(template: Template, node: tree_sitter.Node, parent: str) -> None:
    resource = _resource(node, parent)
    template.resources.append(resource)
    for child in _walk(_block(node)):
        if child.type == "resource_declaration":
            _declare_resource(template, child, f"{resource.type}@{resource.version}")


def _resource(node: tree_sitter.Node, parent: str) -> Resource:
    name, kind, *rest = _parts(node)
    written = _constant(kind)
    if parent:
        parent_type, version = parent.split("@")
        written = f"{parent_type}/{written}@{version}"
    kind_name, _, version = written.partition("@")
    loop = condition = ""
    block = rest[-1]
    if block.type == "for_statement":
        steps = [child for child in block.named_children if child.type != "comment"]
        loop, block = _text(steps[-2]), steps[-1]
    if block.type == "if_statement":
        condition = _text(_parts(block)[0])
    existing = any(child.type == "existing" for child in node.children)
    return Resource(_text(name), kind_name, version, existing, condition, loop, _value(_block(node)))


def _block(node: tree_sitter.Node) -> tree_sitter.Node:
    """Return the object that a declaration, perhaps behind a loop and a condition, is made of."""
    last = _parts(node)[-1]
    return last if last.type == "object" else _block(last)


def _note(template: Template, node: tree_sitter.Node) -> None:
    parent = node.parent
    match node.type:
        case "loop_variable" | "loop_enumerator":
            template.local.add(_text(node))
        case "for_statement":
            template.local.add(_text(_parts(node)[0]))
        case "lambda_expression":
            template.local.add(_text(node.named_children[0]))
        case "call_expression":
            template.calls.add(_text(node.named_children[0]))
        case "identifier" if parent is not None and not _names_something(node, parent):
            template.identifiers.add(_text(node))
        case _:
            pass


def _names_something(node: tree_sitter.Node, parent: tree_sitter.Node) -> bool:
    first = parent.named_children[0] == node
    return first and (parent.type.endswith("_declaration") or parent.type in {"object_property", "call_expression"})


def _value(node: tree_sitter.Node) -> Any:
    match node.type:
        case "object":
            properties = [child for child in _parts(node) if child.type == "object_property"]
            pairs = [_parts(child) for child in properties]
            return {_constant(pair[0]): _value(pair[1]) for pair in pairs if len(pair) == 2}
        case "array":
            return [_value(child) for child in _parts(node)]
        case "string" if not any(child.type == "interpolation" for child in node.named_children):
            return _constant(node)
        case "number":
            return int(_text(node))
        case "boolean":
            return _text(node) == "true"
        case _:
            return Code(_text(node))


def _merged(node: tree_sitter.Node) -> dict[str, Any]:
    """Return the properties of the outermost objects in the expression, those of all branches together."""
    if node.type == "object":
        return _value(node)
    return {key: value for child in node.named_children for key, value in _merged(child).items()}


def _constant(node: tree_sitter.Node) -> str:
    text = _text(node)
    return text[1:-1].replace("\\'", "'") if node.type == "string" else text


def _parts(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    return [child for child in node.named_children if child.type not in {"comment", "decorators", "decorator"}]


def _described(node: tree_sitter.Node) -> bool:
    above = node.prev_named_sibling
    return above is not None and above.type in {"decorators", "decorator"} and "@description(" in _text(above)


def _walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


def host_json() -> dict[str, Any]:
    """Return host.json."""
    return json.loads((ROOT / "host.json").read_text())
