"""Errors as HTTP answers: RFC 9457 problem details with a stable `code`."""

from __future__ import annotations

import json
import math

import azure.functions as func
from pydantic import ValidationError

from kernel.errors import (
    AppError,
    Conflict,
    EtagMismatch,
    InvalidInput,
    NotFound,
    ProviderRejected,
    TooLarge,
    Unavailable,
)
from kernel.validation import wrong_places

CONTENT_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[AppError], int, str], ...] = (
    (TooLarge, 413, "Too large"),
    (InvalidInput, 400, "Invalid input"),
    (NotFound, 404, "Not found"),
    (EtagMismatch, 412, "Precondition failed"),
    (Conflict, 409, "Conflict"),
    (Unavailable, 503, "Temporarily unavailable"),
    (ProviderRejected, 502, "The model provider refused"),
)


class Unauthorized(AppError):
    """Sign in first."""

    code = "unauthorized"


def problem(error: AppError) -> func.HttpResponse:
    """Return the answer for an error; one that is not in the table is our own fault and says nothing."""
    if isinstance(error, Unauthorized):
        status, title = 401, "Unauthorized"
    else:
        status, title = next(((s, t) for kind, s, t in _STATUS if isinstance(error, kind)), (500, "Internal error"))
    body: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": error.code,
        "detail": error.detail,
    }
    if error.fields:
        body["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in error.fields.items()]
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return func.HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype=CONTENT_TYPE)


def invalid_body(error: ValidationError) -> InvalidInput:
    """Return the error for a body that does not fit its model; it names places, never the values found there."""
    return InvalidInput("The body is not valid; see errors.", fields=wrong_places(error))
