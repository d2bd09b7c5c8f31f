"""Having a token and an open connection ready before the first model call asks for them."""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

from openai import APIStatusError, AsyncOpenAI

from adapters.providers.model_http import KEPT_OPEN_S

_PATIENCE_S = 5.0
_warmed: WeakKeyDictionary[AsyncOpenAI, float] = WeakKeyDictionary()


async def warm(client: AsyncOpenAI, model: str) -> None:
    """Ask the endpoint about the model: the client then has a token, and a connection that its first call uses.

    Any answer will do, for servers need not know the question. It calls no model and costs no tokens. A client that was
    warmed less than KEPT_OPEN_S ago is left as it is.

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
