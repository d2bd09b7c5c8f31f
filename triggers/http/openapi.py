"""The API description (OpenAPI 3.1, spec.openapis.org/oas/v3.1.0), generated from the declared endpoints."""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from triggers.http.endpoint import AGENT_NAME, LONGEST_WAIT_S, TEXT_ID, Endpoint
from triggers.http.error_responses import CONTENT_TYPE
from triggers.http.request_handling import Operation
from triggers.http.system.views import ProblemView

VERSION = "1"
_PARAMETER = re.compile(r"\{(\w+)\}")
_ERRORS = {
    400: "The request is not valid.",
    401: "No valid key or sign-in.",
    403: "The caller may not do this.",
    404: "There is no such resource in the workspace.",
    409: "The current state does not allow it.",
    412: "It has changed since it was read.",
    413: "The request is over a size limit.",
    415: "The body is not sent as JSON.",
    429: "A budget is used up, a pool is full, or the model provider is throttling.",
    500: "Internal error.",
    502: "The model provider refused.",
    503: "A dependency is unavailable; try again.",
    504: "The run did not finish in time; it goes on.",
}
_ANSWERS = {
    200: "Done.",
    201: "Created.",
    202: "Accepted; not completed yet.",
    204: "Done; the response has no content.",
    503: "The same, when unhealthy.",
}
_TEXT = {"type": "string"}
_UUID = {"type": "string", "pattern": "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"}
_YEAR = "(?:19[7-9][0-9]|2[0-9]{3})"
_PLACES: Mapping[str, Mapping[str, Any]] = {
    "agents": AGENT_NAME,
    "alerts": AGENT_NAME,
    "channels": AGENT_NAME,
    "schedules": AGENT_NAME,
    "batches": _UUID,
    "templates": AGENT_NAME,
    "personalities": AGENT_NAME,
    "capabilities": AGENT_NAME,
    "evaluations": AGENT_NAME,
    "performance": AGENT_NAME,
    "runs": _UUID,
    "sessions": TEXT_ID,
    "users": TEXT_ID,
    "dead-letters": {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999_999},
    "prices": {"type": "string", "minLength": 1, "maxLength": 128},
    "reports": {"type": "string", "pattern": f"^{_YEAR}-(?:[0-9]{{2}}-[0-9]{{2}}|W[0-9]{{2}}|[0-9]{{2}})$"},
}
"""Values of path parameters, by the path segment before them."""


def describe(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    models: set[type[BaseModel]] = {ProblemView}
    for operation in operations:
        if operation.endpoint.problems:
            models.add(importlib.import_module(operation.endpoint.problems).error_model())
        named = (operation.endpoint.body, operation.endpoint.returns)
        models |= {operation.model(name) for name in named if name}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(f"/{each.endpoint.path}", {})[each.endpoint.method.lower()] = _operation(each)
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


def _operation(operation: Operation) -> dict[str, Any]:
    endpoint = operation.endpoint
    problems = importlib.import_module(endpoint.problems) if endpoint.problems else None
    error = {problems.CONTENT_TYPE: {"schema": _ref(problems.error_model())}} if problems else _PROBLEM
    always = (400, 500, 503) if endpoint.anonymous else (400, 401, 500, 503)
    of_body = (413, 415) if endpoint.body or endpoint.raw else ()
    responses: dict[str, Any] = {
        str(status): {"description": _ERRORS[status], "content": dict(error)}
        for status in sorted({*always, *of_body, *endpoint.errors})
    }
    for status in filter(None, (endpoint.status, endpoint.also)):
        answer: dict[str, Any] = {"description": _ANSWERS[status]}
        if endpoint.returns:
            kind = endpoint.mimetype or "application/json"
            answer["content"] = {kind: {"schema": _ref(operation.model(endpoint.returns))}}
            answer["content"] |= {mimetype: {"schema": _TEXT} for mimetype in endpoint.formats}
        elif endpoint.mimetype:
            answer["content"] = {mimetype: {} for mimetype in (endpoint.mimetype, *endpoint.formats)}
        if str(status) in responses:  # the operation's own response, or an error in its place
            answer["content"] |= responses[str(status)]["content"]
        responses[str(status)] = answer
    described: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint),
        "responses": responses,
    }
    if endpoint.body:
        schema = _ref(operation.model(endpoint.body))
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if endpoint.raw:
        described["requestBody"] = {"required": True, "content": {endpoint.raw: {"schema": _TEXT}}}
    if endpoint.anonymous:
        described["security"] = []
    if endpoint.deprecated:
        described |= {"deprecated": True, "description": str(endpoint.deprecated)}
    return described


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    def parameter(
        name: str, where: str, schema: Mapping[str, Any], text: str = "", *, required: bool
    ) -> dict[str, Any]:
        described = {"description": text} if text else {}
        return {"name": name, "in": where, "required": required, "schema": dict(schema)} | described

    def header(name: str, schema: Mapping[str, Any], text: str) -> dict[str, Any]:
        return parameter(name, "header", schema, text, required=False)

    words = endpoint.path.split("/")
    found = [
        parameter(name[1:-1], "path", _PLACES.get(before, _TEXT), required=True)
        for before, name in itertools.pairwise(words)
        if _PARAMETER.fullmatch(name)
    ]
    for name, declared in endpoint.query.items():
        described = parameter(name, "query", declared.schema, declared.text, required=declared.required)
        described |= {"allowEmptyValue": not declared.required}  # as if it were left out
        if declared.deprecated:
            described |= {"deprecated": True, "description": f"{declared.text} {declared.deprecated}"}
        found.append(described)
    if endpoint.creates:
        key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        found.append(header("Idempotency-Key", key, "Repeating the request with the same key creates nothing new."))
    if endpoint.waits:
        wait = f"`wait=N` waits up to N seconds (at most {LONGEST_WAIT_S}) for the answer."
        found.append(header("Prefer", {"type": "string", "pattern": "^wait=[0-9]{1,9}$"}, wait))
    if endpoint.mimetype == "text/event-stream":
        found.append(header("Last-Event-ID", _TEXT, "The id of the last event received; later ones follow."))
    if 412 in endpoint.errors:
        found.append(header("If-Match", _TEXT, "The ETag that the resource must have, or `*` for any."))
    return found


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


_PROBLEM = {CONTENT_TYPE: {"schema": _ref(ProblemView)}}
