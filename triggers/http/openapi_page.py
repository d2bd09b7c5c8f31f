"""The API's description as one HTML page to read and search, without scripts or external resources."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_Json = Mapping[str, Any]
_REF = "#/components/schemas/"
_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; } summary { cursor: pointer; padding: .2rem 0; }
summary b { display: inline-block; min-width: 4.2rem; } code, b { font-family: ui-monospace, monospace; }
details { border-top: 1px solid var(--line); } details > div { padding: 0 0 .8rem 1.2rem; }
table { border-collapse: collapse; width: 100%; } td:first-child { min-width: 9rem; }
td { padding: .2rem .6rem .2rem 0; vertical-align: top; }
nav a { margin-right: .8rem; display: inline-block; }
"""


def page_of(description: _Json) -> str:
    """Return an OpenAPI document as HTML: its operations by the first part of their path, then its schemas."""
    title = escape(description["info"]["title"])
    operations = [
        (path, method, operation)
        for path, methods in sorted(description["paths"].items(), key=lambda each: (_group(each[0]), each[0]))
        for method, operation in methods.items()
    ]
    groups = [(name, list(each)) for name, each in itertools.groupby(operations, lambda one: _group(one[0]))]
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name, _ in groups)
    schemas = description["components"]["schemas"]
    parts = [
        f"<h1>{title}</h1>",
        '<p>Paths are below <code>/api</code>. For programs: <a href="openapi.json">openapi.json</a>.</p>',
        f'<nav>{links}<a href="#schemas">schemas</a></nav>',
        *itertools.chain.from_iterable(_operations(name, each) for name, each in groups),
        '<h2 id="schemas">Schemas</h2>',
        *(_schema(name, schemas[name]) for name in sorted(schemas)),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{title}</title><style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _group(path: str) -> str:
    return path.strip("/").partition("/")[0]


def _operations(name: str, operations: Sequence[tuple[str, str, _Json]]) -> Iterator[str]:
    yield f'<h2 id="{escape(name)}">{escape(name)}</h2>'
    for path, method, operation in operations:
        old = " (deprecated)" if operation.get("deprecated") else ""
        line = f"<b>{method.upper()}</b> <code>{escape(path)}</code>{old} {_prose(operation['summary'])}"
        rows = [*_parameters(operation), *_body(operation), *_responses(operation)]
        yield _folded(operation["operationId"], line, _table(rows))


def _parameters(operation: _Json) -> Iterator[tuple[str, str]]:
    for each in operation["parameters"]:
        needed = ", required" if each["required"] and each["in"] != "path" else ""
        yield (
            f"{each['in']} <code>{escape(each['name'])}</code>{needed}",
            _text(each.get("description"), each["schema"]),
        )


def _body(operation: _Json) -> Iterator[tuple[str, str]]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"body <code>{escape(kind)}</code>", _type(content["schema"])


def _responses(operation: _Json) -> Iterator[tuple[str, str]]:
    for status, response in sorted(operation["responses"].items()):
        kinds = {_type(each["schema"]) for each in response.get("content", {}).values() if "schema" in each}
        yield status, " ".join([_prose(response["description"]), *sorted(kinds)])


def _schema(name: str, schema: _Json) -> str:
    needed = schema.get("required", ())
    rows = [
        (f"<code>{escape(field)}</code>{', required' if field in needed else ''}", _text(of.get("description"), of))
        for field, of in schema.get("properties", {}).items()
    ]
    text = f"<p>{_prose(schema.get('description', ''))}</p>"
    inner = text + (_table(rows) if rows else f"<p>{_type(schema)}</p>")
    return _folded(f"schema-{name}", f"<code>{escape(name)}</code>", inner)


def _folded(ident: str, summary: str, inner: str) -> str:
    return f'<details id="{escape(ident)}"><summary>{summary}</summary><div>{inner}</div></details>'


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><td>{left}</td><td>{right}</td></tr>' for left, right in rows)}</table>"


def _text(description: str | None, schema: _Json) -> str:
    return " ".join(filter(None, [_type(schema), _prose(description or "")]))


def _prose(text: str) -> str:
    """Return a description as HTML; what is in backquotes is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _type(schema: _Json) -> str:
    """Return what a value may be, as JSON schema with links to the schemas it names."""
    shown = {key: value for key, value in schema.items() if key not in ("title", "description")}
    if set(shown) == {"$ref"}:
        return _linked(escape(shown["$ref"], quote=False))
    if set(shown) == {"type"}:
        return f"<code>{escape(str(shown['type']))}</code>"
    return f"<code>{_linked(escape(json.dumps(shown, ensure_ascii=False), quote=False))}</code>"


def _linked(text: str) -> str:
    return re.sub(re.escape(_REF) + r"(\w+)", r'<a href="#schema-\1">\1</a>', text)
