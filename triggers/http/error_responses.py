"""Errors as HTTP responses: RFC 9457 problem details with a stable `code`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import azure.functions as func

from kernel.errors import (
    AppError,
    Conflict,
    EtagMismatch,
    Forbidden,
    InvalidInput,
    NotFound,
    ProviderRejected,
    TooLarge,
    TooManyRequests,
    Unavailable,
)

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

CONTENT_TYPE = "application/problem+json"


class Unauthorized(AppError):
    """The caller is not authenticated."""

    code = "unauthorized"


class UnsupportedMediaType(InvalidInput):
    """The body is not sent as JSON, with the header `Content-Type: application/json`."""

    code = "unsupported_media_type"


class MethodNotAllowed(AppError):
    """The path does not support the method; `Allow` lists those it does."""

    code = "method_not_allowed"


_STATUS: tuple[tuple[type[AppError], int, str], ...] = (
    (Unauthorized, 401, "Unauthorized"),
    (MethodNotAllowed, 405, "Method not allowed"),
    (UnsupportedMediaType, 415, "Unsupported media type"),
    (TooLarge, 413, "Too large"),
    (InvalidInput, 400, "Invalid input"),
    (Forbidden, 403, "Forbidden"),
    (NotFound, 404, "Not found"),
    (EtagMismatch, 412, "Precondition failed"),
    (Conflict, 409, "Conflict"),
    (TooManyRequests, 429, "Too many requests"),
    (Unavailable, 503, "Temporarily unavailable"),
    (ProviderRejected, 502, "The model provider refused"),
)


def status_of(error: AppError) -> int:
    """Return the HTTP status of an error; 500 for one that is not in the table."""
    return _described(error)[0]


def _described(error: AppError) -> tuple[int, str]:
    return next(
        ((status, title) for kind, status, title in _STATUS if isinstance(error, kind)), (500, "Internal error")
    )


def problem(error: AppError) -> func.HttpResponse:
    """Return the response to an error; one that is not in the table reveals nothing."""
    status, title = _described(error)
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


def not_allowed(methods: Sequence[str]) -> func.HttpResponse:
    """Return the response to a method that a path does not support (RFC 9110 §15.5.6)."""
    response = problem(MethodNotAllowed())
    response.headers["Allow"] = ", ".join(methods)
    return response


def invalid_body(error: ValidationError, model: type[BaseModel]) -> InvalidInput:
    """Return the error for a body that does not match its model; it names fields, never their values."""
    from kernel.validation import unknown_fields, wrong_places  # noqa: PLC0415 - cold start

    detail = f"The body is not valid; see errors. {unknown_fields(error, model)}".rstrip()
    return InvalidInput(detail, fields=wrong_places(error))
