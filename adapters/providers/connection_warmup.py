"""Getting a token and opening a connection before the first model call."""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

from openai import APIStatusError, AsyncOpenAI

from adapters.providers.model_http import KEPT_OPEN_S

_PATIENCE_S = 5.0
_warmed: WeakKeyDictionary[AsyncOpenAI, float] = WeakKeyDictionary()


async def warm(client: AsyncOpenAI, model: str) -> None:
    """Ask the endpoint about the model, so that the client has a token and a connection for its first call.

    Any response will do, because servers need not support the request. It calls no model and costs no tokens. Does
    nothing for a client warmed less than KEPT_OPEN_S ago.

    Raises:
        OpenAIError: The endpoint did not answer.
    """
    now = time.monotonic()
    if now - _warmed.get(client, -KEPT_OPEN_S) < KEPT_OPEN_S:
        return
    _warmed[client] = now
    try:
        await client.models.retrieve(model, timeout=_PATIENCE_S)
    except APIStatusError:
        return
