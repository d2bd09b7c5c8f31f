"""The API's description, made from its declared endpoints (OpenAPI 3.1, spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from triggers.api import DEFAULT_LIMIT, MAX_LIMIT, Endpoint
from triggers.problems import CONTENT_TYPE
from triggers.views.system import ProblemView

VERSION = "1"
_PARAMETER = re.compile(r"\{(\w+)\}")
_ERRORS = {
    400: "The request is not valid.",
    401: "No valid key or principal.",
    404: "There is no such thing in the workspace.",
    409: "The current state does not allow it.",
    412: "It was changed since it was read.",
    413: "The request is over a size limit.",
    500: "Something went wrong on our side.",
    503: "A dependency is unavailable; try again.",
}
_ANSWERS = {
    200: "Done.",
    201: "Created.",
    202: "Accepted; it is not done yet.",
    204: "Done; there is nothing to say.",
    503: "The same, when something is wrong.",
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "dry_run": {"type": "boolean", "default": True},
    "from": {"type": "string", "format": "date"},
    "to": {"type": "string", "format": "date"},
    "Last-Event-ID": {"type": "integer", "minimum": 0},
}


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    models = {model for endpoint in endpoints for model in (endpoint.body, endpoint.returns) if model} | {ProblemView}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(f"/{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Agent lifecycle and LLMOps", "version": VERSION},
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-functions-key"}},
        },
        "security": [{"key": []}],
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    always = (500, 503) if endpoint.anonymous else (400, 401, 500, 503)
    responses: dict[str, Any] = {
        str(status): {"description": _ERRORS[status], "content": {CONTENT_TYPE: {"schema": _ref(ProblemView)}}}
        for status in sorted({*always, *endpoint.errors})
    }
    for status in filter(None, (endpoint.status, endpoint.also)):
        answer: dict[str, Any] = {"description": _ANSWERS[status]}
        if endpoint.returns:
            answer["content"] = {"application/json": {"schema": _ref(endpoint.returns)}}
            answer["content"] |= {mimetype: {"schema": {"type": "string"}} for mimetype in endpoint.formats}
        elif endpoint.mimetype:
            answer["content"] = {endpoint.mimetype: {}}
        responses[str(status)] = answer
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint),
        "responses": responses,
    }
    if endpoint.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(endpoint.body)}},
        }
    if endpoint.anonymous:
        operation["security"] = []
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    def parameter(name: str, where: str, text: str | None = None) -> dict[str, Any]:
        described = {"description": text} if text else {}
        schema = _SCHEMAS.get(name, {"type": "string"})
        return {"name": name, "in": where, "required": where == "path", "schema": schema} | described

    found = [parameter(name, "path") for name in _PARAMETER.findall(endpoint.path)]
    found += [parameter(name, "query", text) for name, text in endpoint.query.items()]
    if endpoint.creates:
        found.append(parameter("Idempotency-Key", "header", "The same key is the same run."))
        found.append(parameter("Prefer", "header", "`wait=N` waits up to N seconds (at most 25) for the answer."))
    if endpoint.mimetype == "text/event-stream":
        found.append(parameter("Last-Event-ID", "header", "The last event that was seen; those after it follow."))
    if 412 in endpoint.errors:
        found.append(parameter("If-Match", "header", "The ETag the agent must have, or `*` for any."))
    return found


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
