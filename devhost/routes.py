"""Route templates as ASP.NET matches them: constraints, optional and catch-all parameters, most specific first."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
_Check = Callable[[str], bool]

_INT32, _INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
_GUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?")


def _integer(low: float, high: float) -> _Check:
    return lambda text: re.fullmatch(r"[+-]?\d+", text) is not None and low <= int(text) <= high


def _numbers(arguments: str) -> list[int]:
    return [int(part) for part in arguments.split(",")]


def _length(arguments: str) -> _Check:
    low, high = (_numbers(arguments) * 2)[:2]
    return lambda text: low <= len(text) <= high


_SIMPLE: dict[str, _Check] = {
    "int": _integer(*_INT32),
    "long": _integer(*_INT64),
    "guid": lambda text: _GUID.fullmatch(text) is not None,
    "bool": lambda text: text.lower() in {"true", "false"},
    "alpha": lambda text: re.fullmatch(r"[a-z]*", text, re.IGNORECASE) is not None,
    "decimal": lambda text: _NUMBER.fullmatch(text) is not None,
    "double": lambda text: _NUMBER.fullmatch(text) is not None,
    "float": lambda text: _NUMBER.fullmatch(text) is not None,
    "datetime": lambda text: _DATE.fullmatch(text) is not None,
    "required": lambda text: text != "",
}
_WITH_ARGUMENTS: dict[str, Callable[[str], _Check]] = {
    "length": _length,
    "minlength": lambda arguments: lambda text: len(text) >= int(arguments),
    "maxlength": lambda arguments: lambda text: len(text) <= int(arguments),
    "min": lambda arguments: _integer(int(arguments), float("inf")),
    "max": lambda arguments: _integer(float("-inf"), int(arguments)),
    "range": lambda arguments: _integer(*_numbers(arguments)),
    "regex": lambda arguments: lambda text: re.search(arguments, text, re.IGNORECASE) is not None,
}


@dataclass(frozen=True)
class _Segment:
    """One part between slashes: a pattern with a check per parameter, and its rank (smaller is more specific).

    `literal` is its text in lower case if it has no parameters, else None.
    """

    pattern: re.Pattern[str]
    checks: dict[str, list[_Check]]
    rank: int
    literal: str | None = None
    optional: bool = False
    catch_all: str | None = None
    defaults: tuple[tuple[str, str], ...] = ()

    def match(self, text: str) -> dict[str, str] | None:
        found = self.pattern.fullmatch(text)
        if found is None:
            return None
        values = {name: value for name, value in found.groupdict().items() if value is not None}
        return values if self.accepts(values) else None

    def accepts(self, values: dict[str, str]) -> bool:
        return all(check(value) for name, value in values.items() for check in self.checks.get(name, []))


@dataclass(frozen=True)
class RouteTemplate:
    """A parsed route such as `agents/{name:alpha}/runs/{id:guid?}`."""

    text: str
    segments: tuple[_Segment, ...]

    @classmethod
    def parse(cls, text: str) -> "RouteTemplate":
        """Parse a template.

        Raises:
            ValueError: The template is malformed or names an unknown constraint.
        """
        parts = [part for part in _split(text.strip("/")) if part]
        segments = tuple(_segment(part) for part in parts)
        if any(segment.catch_all or segment.optional for segment in segments[:-1]):
            raise ValueError(f"route {text!r}: only the last segment may be optional or catch all")
        return cls(text, segments)

    @property
    def precedence(self) -> tuple[int, ...]:
        """Sort key: the most specific template comes first."""
        return tuple(segment.rank for segment in self.segments)

    @property
    def literals(self) -> tuple[str, ...]:
        """The segments before the first parameter, in lower case."""
        literals = (segment.literal for segment in self.segments)
        return tuple(literal for literal in takewhile(lambda literal: literal is not None, literals) if literal)

    def match(self, path: Sequence[str]) -> dict[str, str] | None:
        """Match decoded path segments and return the parameters, None if it does not match."""
        values: dict[str, str] = {}
        for position, segment in enumerate(self.segments):
            if segment.catch_all is not None:
                rest = "/".join(path[position:])
                values[segment.catch_all] = rest
                return values if segment.accepts({segment.catch_all: rest}) else None
            if position >= len(path):
                if not segment.optional:
                    return None
                values.update(segment.defaults)
                return values
            found = segment.match(path[position])
            if found is None:
                return None
            values.update(found)
        return values if len(path) <= len(self.segments) else None


class RouteTable(Generic[T]):
    """Routes with their targets, tried in order of specificity: literals before parameters before catch-alls."""

    def __init__(self, routes: Iterable[tuple[str, frozenset[str], T]]) -> None:
        """Set the routes as `(template, methods, target)` triples; no methods means all."""
        parsed = [(RouteTemplate.parse(text), methods, target) for text, methods, target in routes]
        self._routes: dict[tuple[str, ...], list[tuple[RouteTemplate, frozenset[str], T]]] = {}
        for route in sorted(parsed, key=lambda route: route[0].precedence):
            self._routes.setdefault(route[0].literals, []).append(route)

    def match(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """Return the target and parameters of a request; None without a match.

        Args:
            method: The HTTP method in upper case.
            raw_path: The path as sent, still percent-encoded, so that `%2F` is not a separator.
        """
        path = [
            unquote(part.replace("%2F", "%252F").replace("%2f", "%252f"))
            for part in raw_path.strip("/").split("/")
            if part
        ]
        start = tuple(part.lower() for part in path)
        for literals in range(len(path), -1, -1):  # more of them are more specific than any parameter
            for template, methods, target in self._routes.get(start[:literals], ()):
                if not methods or method in methods:
                    values = template.match(path)
                    if values is not None:
                        return target, values
        return None


def _split(text: str) -> list[str]:
    """Split at slashes outside braces: a regex constraint may contain some."""
    parts, depth = [""], 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "/" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _parameters(text: str) -> list[str]:
    """Split a segment into literals and `{…}` parameters; doubled braces inside a constraint mean single ones."""
    pieces: list[str] = []
    position = 0
    for found in re.finditer(r"\{((?:[^{}]|\{\{|\}\})+)\}", text):
        pieces += [text[position : found.start()], found[0]]
        position = found.end()
    return [*pieces, text[position:]]


def _segment(text: str) -> _Segment:
    pattern, checks, defaults = "", {}, []
    constrained = optional = False
    parameters = 0
    for piece in _parameters(text):
        if not piece.startswith("{"):
            if "{" in piece or "}" in piece:
                raise ValueError(f"route segment {text!r} is malformed")
            pattern += re.escape(piece)
            continue
        parameters += 1
        name, default, constraint_texts, star = _parameter(piece[1:-1])
        checks[name] = [_constraint(item) for item in constraint_texts]
        constrained = constrained or bool(constraint_texts)
        if star:
            return _Segment(re.compile(""), checks, 4 if constrained else 5, catch_all=name)
        optional = optional or default is not None
        if default:
            defaults.append((name, default))
        pattern += f"(?P<{name}>.+?)"
    rank = 1 if not parameters else 2 if constrained or pattern.count("(") > 1 or not pattern.startswith("(") else 3
    literal = None if parameters else text.lower()
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return _Segment(compiled, checks, rank, literal, optional, defaults=tuple(defaults))


def _parameter(text: str) -> tuple[str, str | None, list[str], bool]:
    """Return the parts of `*name:constraint(…):constraint=default` or `…?`; the default of an optional one is ""."""
    star = text.startswith("*")
    found = re.fullmatch(r"\**([A-Za-z_]\w*)((?::[A-Za-z]+(?:\((?:[^()]|\([^()]*\))*\))?)*)(\?|=.*)?", text, re.DOTALL)
    if found is None:
        raise ValueError(f"route parameter {{{text}}} is malformed")
    constraints = re.findall(r":([A-Za-z]+(?:\((?:[^()]|\([^()]*\))*\))?)", found[2])
    default = None if found[3] is None else found[3][1:]
    return found[1], default, constraints, star


def _constraint(text: str) -> _Check:
    name, _, arguments = text.partition("(")
    if not arguments and name.lower() in _SIMPLE:
        return _SIMPLE[name.lower()]
    if arguments and name.lower() in _WITH_ARGUMENTS:
        return _WITH_ARGUMENTS[name.lower()](arguments[:-1].replace("{{", "{").replace("}}", "}"))
    raise ValueError(f"unknown route constraint {text!r}")
