"""JSON-RPC (jsonrpc.org/specification) as used by several protocols: checking a request, and errors."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import azure.functions as func

from kernel.errors import AppError, InternalError, TooLarge
from kernel.strict_json import is_object
from triggers.http.error_responses import UnsupportedMediaType, status_of
from triggers.http.handler_call import Reply

if TYPE_CHECKING:
    from pydantic import BaseModel

    from triggers.http.handler_call import Call

CONTENT_TYPE = "application/json"
MAX_BODY_BYTES = 4 * 1024 * 1024
PARSE_ERROR = -32700
INVALID_PARAMS = -32602
INVALID_REQUEST = -32600
_INTERNAL_ERROR = -32603


def message_of(call: Call) -> bytes:
    """Return the message of a request.

    Raises:
        UnsupportedMediaType: It is not sent as JSON; web pages can send other types to another site without asking.
        TooLarge: It is over MAX_BODY_BYTES.
    """
    if (call.header("content-type") or "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise UnsupportedMediaType
    body = call.request.get_body() or b""
    if len(body) > MAX_BODY_BYTES:
        msg = f"A message has at most {MAX_BODY_BYTES} bytes."
        raise TooLarge(msg)
    return body


def refusal(code: int, message: str, ident: object = None, status: int = 200) -> Reply:
    """Return the protocol's error response to a refused message; with the message's id where it is valid."""
    known = ident if _names(ident) else None
    body = json.dumps({"jsonrpc": "2.0", "id": known, "error": {"code": code, "message": message}})
    return Reply(body, status=status)


def flaw_of(message: Any) -> str | None:
    """Return why JSON is no message of JSON-RPC, in words of its own; None for what is one."""
    if not is_object(message):
        return "A message is one JSON object; several at once are not taken."
    if message.get("jsonrpc") != "2.0":
        return "A message has jsonrpc: 2.0."
    if not isinstance(message.get("method"), str) and ("method" in message or not {"result", "error"} & set(message)):
        return "A message has a method, which is a text."
    if not (message.get("params") is None or is_object(message["params"])):
        return "The params of a message are an object."
    if not (message.get("id") is None or _names(message["id"])):
        return "The id of a message is a text or an integer."
    return None


def _names(ident: object) -> bool:
    return isinstance(ident, str | int) and not isinstance(ident, bool)


def error_model() -> type[BaseModel]:
    """Return the model of an error, for openapi.json."""
    from triggers.http.mcp.views import JsonRpcErrorView  # noqa: PLC0415 - it imports pydantic

    return JsonRpcErrorView


def answer(error: AppError) -> func.HttpResponse:
    """Return the response to an error before the message is processed; later ones are the protocol's own."""
    status = status_of(error)
    code = _INTERNAL_ERROR if isinstance(error, InternalError) or error.retriable else INVALID_REQUEST
    found = {"code": code, "message": error.detail, "data": {"code": error.code}}
    headers = {} if error.retry_after_s is None else {"Retry-After": str(math.ceil(error.retry_after_s))}
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": found})
    return func.HttpResponse(body, status_code=status, headers=headers, mimetype=CONTENT_TYPE)
