"""Errors in the format of OpenAI's API (platform.openai.com/docs/guides/error-codes): `{"error": {…}}`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import azure.functions as func

from kernel.errors import AppError, InvalidInput, NotFound, RunFailed, TooLarge
from triggers.http.error_responses import status_of

if TYPE_CHECKING:
    from pydantic import BaseModel

CONTENT_TYPE = "application/json"

_AS: dict[str, tuple[int, str, str]] = {
    # this app's code: HTTP status, OpenAI's type, OpenAI's code
    "agent_not_found": (404, "invalid_request_error", "model_not_found"),
    "agent_disabled": (403, "invalid_request_error", "model_disabled"),
    "query_too_large": (400, "invalid_request_error", "context_length_exceeded"),
    "context_length_exceeded": (400, "invalid_request_error", "context_length_exceeded"),
    "content_filter": (400, "invalid_request_error", "content_filter"),
    "budget_exceeded": (429, "insufficient_quota", "insufficient_quota"),
    "provider_throttled": (429, "rate_limit_error", "rate_limit_exceeded"),
    "pool_full": (429, "rate_limit_error", "rate_limit_exceeded"),
    "pool_sessions_full": (429, "rate_limit_error", "rate_limit_exceeded"),
    "approval_needed": (409, "invalid_request_error", "approval_needed"),
    "client_tools_not_allowed": (400, "invalid_request_error", "unsupported_tools"),
    "tool_results_unmatched": (400, "invalid_request_error", "tool_results_unmatched"),
    "run_not_finished": (504, "server_error", "timeout"),
    "run_timeout": (504, "server_error", "timeout"),
    "unauthorized": (401, "invalid_request_error", "invalid_api_key"),
    "no_workspace": (401, "invalid_request_error", "invalid_api_key"),
    "cancelled": (409, "invalid_request_error", "cancelled"),
}
_PARAMS = {"agent_not_found": "model", "agent_disabled": "model"}
_SERVER_ERROR = 500


def error_model() -> type[BaseModel]:
    """Return the model of an error response, for openapi.json."""
    from triggers.http.openai.views import ErrorBody  # noqa: PLC0415 - it imports pydantic

    return ErrorBody


def error_object(error: AppError) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the object `error`, for a response or a stream's last event."""
    if error.code in _AS:
        status, kind, code = _AS[error.code]
    else:
        status = 502 if isinstance(error, RunFailed) else status_of(error)
        kind = "server_error" if status >= _SERVER_ERROR else "invalid_request_error"
        code = error.code
    param = next(map(_place, error.fields), None) or _PARAMS.get(error.code)
    message = error.detail
    if isinstance(error, InvalidInput) and error.fields and not isinstance(error, TooLarge):
        wrong = [f"{_place(at)}: {why}" for at, why in list(error.fields.items())[:5] if why != message]
        message = f"{message} {'; '.join(wrong)}".rstrip()
    if isinstance(error, NotFound) and error.code == "agent_not_found":
        message = f"{message} GET v1/models lists what can be asked."
    return status, {"message": message, "type": kind, "param": param, "code": code}


def _place(pointer: str) -> str:
    """Return the name of the field that is wrong, as OpenAI names it: the caller's tools are `tools`."""
    place = pointer.strip("/").replace("/", ".")
    return "tools" if place == "client_tools" else place.removeprefix("client_tools.")


def answer(error: AppError) -> func.HttpResponse:
    """Return the response to an error.

    `x-should-retry`, which OpenAI's SDKs follow, says whether repeating the request can help: by default an SDK repeats
    every 409, 429 and 5xx, and each repetition would be a run of its own.
    """
    status, found = error_object(error)
    retried = error.retriable and not isinstance(error, RunFailed)
    headers = {"x-should-retry": "true" if retried else "false"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return func.HttpResponse(json.dumps({"error": found}), status_code=status, headers=headers, mimetype=CONTENT_TYPE)
