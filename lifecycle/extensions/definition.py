"""Declaring chat clients in an extension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel.lazy_dataclass import dataclass
from lifecycle.tools.context_providers import named

_RESERVED = frozenset({"offline", "openai", "foundry", "route"})


@dataclass(frozen=True, slots=True)
class ChatClientMaker:
    """Makes the Agent Framework chat clients of a provider.

    Attributes:
        name: The provider's name in specs.
        make: Takes a model's name and a function that returns app settings by name, and returns the client.
    """

    name: str
    make: Callable[..., Any]


def chat_client(name: str) -> Callable[[Callable[..., Any]], ChatClientMaker]:
    """Return a decorator that registers a function as the maker of the provider's chat clients.

    Raises:
        ValueError: The name is not valid, or is that of a built-in provider.
    """
    if named(name) in _RESERVED:
        msg = f"{name!r} is the name of a built-in provider"
        raise ValueError(msg)

    def decorated(given: Callable[..., Any]) -> ChatClientMaker:
        return ChatClientMaker(name, given)

    return decorated
