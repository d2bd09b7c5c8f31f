"""An ASGI application's answer as a handler's reply."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.triggers.conftest import request
from triggers.http.asgi import answered_by

START: Any = {"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"text/x"), (b"x-a", b"1")]}


def piece(text: str, *, more: bool = True) -> Any:
    """Return a message with a piece of the body."""
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


def call(body: bytes = b"") -> Any:
    """Return a call with a body."""
    return SimpleNamespace(request=request(body, headers={"X-B": "2"}))


async def read(reply: Any) -> str:
    """Return a reply's body."""
    return b"".join([part async for part in reply.body]).decode()


async def test_the_request_and_the_whole_answer_pass() -> None:
    """Method, headers and body one way; status, headers and more pieces than are kept ahead the other."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, message=await receive())
        await send(START)
        for number in range(200):
            await send(piece(f"{number},", more=number < 199))
        seen["after"] = (await receive())["type"]

    reply = await answered_by(app, call(b"question"))
    text = await read(reply)

    assert (reply.status, reply.mimetype, reply.headers) == (201, "text/x", {"x-a": "1"})
    assert text == "".join(f"{number}," for number in range(200))
    assert (seen["method"], seen["message"]["body"]) == ("POST", b"question")
    assert (b"x-b", b"2") in seen["headers"]
    assert seen["after"] == "http.disconnect"


async def test_an_application_that_fails_before_it_answers_is_an_error() -> None:
    """It reaches the caller as it was raised."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("defect")

    with pytest.raises(ValueError, match="defect"):
        await answered_by(app, call())


async def test_an_application_that_fails_on_the_way_ends_its_answer_with_the_error() -> None:
    """After what was sent before."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece("begun"))
        raise ValueError("defect")

    reply: Any = await answered_by(app, call())
    got: list[bytes] = []

    async def reading() -> None:
        async for part in reply.body:
            got.append(part)  # noqa: PERF401 - what came before an error counts

    with pytest.raises(ValueError, match="defect"):
        await reading()
    assert got == [b"begun"]


async def test_an_application_whose_reader_leaves_is_ended() -> None:
    """It is cancelled where it is, and nothing of it goes on."""
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
            while True:
                await send(piece("again"))
        finally:
            ended.set()

    reply: Any = await answered_by(app, call())
    async for _ in reply.body:
        break
    await reply.body.aclose()

    assert ended.is_set()
