"""A chat client: any Agent Framework client becomes a provider that specs can name, here `second_endpoint`."""

from collections.abc import Callable
from typing import Any

from lifecycle.extensions import chat_client


@chat_client("second_endpoint")
def second_endpoint(model: str, setting: Callable[[str], str | None]) -> Any:
    """Return the client for a model; import its package here, so that it is loaded only when used."""
    from agent_framework.openai import OpenAIChatCompletionClient  # noqa: PLC0415 - as the docstring says

    return OpenAIChatCompletionClient(
        model,
        base_url=setting("SECOND_ENDPOINT_URL") or "http://127.0.0.1:11434/v1",
        api_key=setting("SECOND_ENDPOINT_KEY") or "none",
    )
