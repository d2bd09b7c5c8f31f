"""What the host gives and takes as an HTTP request and its answer.

The Python worker hands over `azure.functions.HttpRequest` and sends an answer when it is whole. With the extension
`azurefunctions-extensions-http-fastapi` loaded (setting HTTP_STREAMING), it serves HTTP itself instead: every HTTP
function of the app gets a Starlette request, and what it answers is sent while it is written.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import azure.functions as func

_EXTENSION = "azurefunctions.extensions.http.fastapi"


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """An answer whose body is yet to be written.

    Attributes:
        body: The body, piece by piece.
        status_code: Its HTTP status.
        headers: Its headers.
        mimetype: Its content type; empty for none.
    """

    body: AsyncIterator[str] | AsyncIterator[bytes]
    status_code: int
    headers: Mapping[str, str]
    mimetype: str


HttpAnswer = func.HttpResponse | StreamedResponse


def stream_answers() -> None:
    """Have the worker send answers while they are written: it looks for nothing but that the extension is loaded.

    Raises:
        ImportError: It is not installed.
    """
    importlib.import_module(_EXTENSION)


def is_live(given: Any) -> bool:
    """Return whether an answer to this request is sent while it is written."""
    return not isinstance(given, func.HttpRequest)


async def request_of(given: Any) -> func.HttpRequest:
    """Return the request that the host gave."""
    if isinstance(given, func.HttpRequest):
        return given
    return func.HttpRequest(
        method=given.method,
        url=str(given.url),
        headers=dict(given.headers),
        params={name: value for name, value in given.query_params.items() if value},
        route_params=dict(given.path_params),
        body=await given.body(),
    )


async def answer_to(given: Any, answer: HttpAnswer) -> Any:
    """Return the answer as the host that gave the request takes it."""
    if not is_live(given):
        return await _whole(answer) if isinstance(answer, StreamedResponse) else answer
    from starlette.responses import Response, StreamingResponse  # noqa: PLC0415 - only where it is loaded

    if isinstance(answer, StreamedResponse):
        kind = answer.mimetype or None
        return StreamingResponse(_closed(answer.body), answer.status_code, dict(answer.headers), media_type=kind)
    headers, body = dict(answer.headers), answer.get_body() or b""
    if answer.mimetype and body:  # as azure.functions writes it
        charset = f"; charset={answer.charset}" if answer.mimetype.startswith("text/") else ""
        headers["Content-Type"] = f"{answer.mimetype}{charset}"
    return Response(body, answer.status_code, headers)


async def _whole(answer: StreamedResponse) -> func.HttpResponse:
    pieces = [piece if isinstance(piece, bytes) else piece.encode() async for piece in answer.body]
    mimetype = answer.mimetype or None
    return func.HttpResponse(
        b"".join(pieces), status_code=answer.status_code, headers=dict(answer.headers), mimetype=mimetype
    )


async def _closed(body: AsyncIterator[str] | AsyncIterator[bytes]) -> AsyncGenerator[str | bytes]:
    """Yield the body, and end what writes it when nobody reads on: Starlette leaves that to chance."""
    try:
        async for piece in body:
            yield piece
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()
