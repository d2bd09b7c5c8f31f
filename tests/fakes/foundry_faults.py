"""How the fake Foundry fails on demand, and how it streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from tests.fakes.foundry_model import events

Fault = Literal[
    "throttled", "quota", "server_error", "unavailable", "auth", "forbidden", "not_found", "no_deployment", "conflict",
    "invalid", "content_filter", "preview",  # these: refused with the status below
    "hang",  # never answers
    "reset",  # the connection breaks: before the answer, or in the middle of a stream
    "html",  # 200, a page
    "answer_filtered",  # a response that the content filter cut
    "failed",  # a response of status `failed`
    "truncated",  # the stream ends early and says nothing
    "stream_error",  # an error event in the middle of a stream
]  # fmt: skip
REFUSALS: dict[str, tuple[int, str]] = {
    "throttled": (429, "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota"),
    "server_error": (500, "server_error"),
    "unavailable": (503, "service_unavailable"),
    "auth": (401, "Unauthorized"),
    "forbidden": (403, "PermissionDenied"),
    "not_found": (404, "not_found"),
    "no_deployment": (404, "DeploymentNotFound"),
    "conflict": (409, "conflict"),
    "invalid": (400, "invalid_payload"),
    "content_filter": (400, "content_filter"),
    "preview": (403, "preview_feature_required"),
}


@dataclass(frozen=True)
class Planned:
    """A fault to come: which, for which operation, and whether the request takes effect first."""

    fault: Fault
    on: str | None
    retry_after_s: float | None
    after: bool


async def refuse(planned: Planned, request: web.Request) -> web.Response:
    """Return the refusal; its message quotes the request, as some services do."""
    status, code = REFUSALS[planned.fault]
    said = f"Refused: {request.headers.get('Authorization')}, {await request.text()}"  # what must never be passed on
    error = {"message": said, "type": "invalid_request_error", "code": code, "param": None}
    headers = {} if planned.retry_after_s is None else {"Retry-After": f"{planned.retry_after_s:g}"}
    return web.json_response({"error": error}, status=status, headers=headers)


def abort(request: web.Request) -> None:
    """Break the connection."""
    if request.transport is not None:
        request.transport.abort()


async def stream(
    request: web.Request, body: dict[str, Any], keep: Callable[[], None], fault: Fault | None
) -> web.StreamResponse:
    """Send the response as events; `keep` makes it part of its conversation just before the last one."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    told = list(events(body))
    for number, event in enumerate(told):
        if number >= len(told) // 2:
            if fault == "reset":
                abort(request)
            if fault in ("reset", "truncated"):
                return response
            if fault == "stream_error":
                event = {"type": "error", "code": "server_error", "message": "the engine broke", "param": None}  # noqa: PLW2901
        if number == len(told) - 1:
            keep()
        data = json.dumps({**event, "sequence_number": number})
        await response.write(f"event: {event['type']}\ndata: {data}\n\n".encode())
    return response
