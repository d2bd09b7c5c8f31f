"""HTTP requests and responses as the Functions host passes them.

The Python worker passes `azure.functions.HttpRequest`, and sends a response when it is complete. With the extension
`azurefunctions-extensions-http-fastapi` loaded (setting HTTP_STREAMING), it serves HTTP itself: every HTTP function of
the app gets a Starlette request, and responses can be streamed.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import azure.functions as func

from kernel.lazy_dataclass import dataclass

_EXTENSION = "azurefunctions.extensions.http.fastapi"


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """A response whose body is streamed.

    Attributes:
        body: The chunks of the body.
        status_code: HTTP status.
        headers: Headers.
        mimetype: Content type; empty for none.
    """

    body: AsyncIterator[str] | AsyncIterator[bytes]
    status_code: int
    headers: Mapping[str, str]
    mimetype: str


HttpAnswer = func.HttpResponse | StreamedResponse


def stream_answers() -> None:
    """Have the worker stream responses; importing the extension is all that it takes.

    Raises:
        ImportError: It is not installed.
    """
    importlib.import_module(_EXTENSION)


def is_live(given: Any) -> bool:
    """Return whether the response to this request can be streamed."""
    return not isinstance(given, func.HttpRequest)


async def request_of(given: Any) -> func.HttpRequest:
    """Return the host's request as `azure.functions.HttpRequest`."""
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
    """Return the response in the type that matches the host's request."""
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
    """Yield the body, and close its generator when the client disconnects, which Starlette does not guarantee."""
    try:
        async for piece in body:
            yield piece
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()
