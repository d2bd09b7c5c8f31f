"""Responses of the worker's HTTP extension; a host that streams them is in tests/e2e/test_http_streaming.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from devhost import http_extension
from devhost.http_trigger import to_response


async def test_a_worker_process_sends_a_streamed_response_when_it_is_whole() -> None:
    """With its status, its headers and all its pieces."""

    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number},"

    response = StreamingResponse(pieces(), 201, {"X-A": "1"}, media_type="text/event-stream")
    sent = to_response(await http_extension.collected(response))

    assert (sent.status, sent.body, sent.headers["x-a"]) == (201, b"0,1,2,", "1")
    assert sent.headers["content-type"].startswith("text/event-stream")


def test_the_extension_is_off_where_no_app_has_loaded_it() -> None:
    """Requests are then those of azure.functions."""
    assert not http_extension.loaded()
    assert not http_extension.is_response(object())
