"""Chat clients that an extension brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lifecycle.tools.sources import named

_RESERVED = frozenset({"offline", "openai", "foundry", "route"})


@dataclass(frozen=True, slots=True)
class ChatClientMaker:
    """Makes an Agent Framework chat client, by which agents of this provider call models.

    Attributes:
        name: The provider's name in specs.
        make: Takes a model's name and what returns app settings (`setting(name)`), and returns the client.
    """

    name: str
    make: Callable[..., Any]


def chat_client(name: str) -> Callable[[Callable[..., Any]], ChatClientMaker]:
    """Make the function what makes the chat clients of the provider of that name.

    Raises:
        ValueError: The name is not possible, or is a provider's that every app has.
    """
    if named(name) in _RESERVED:
        msg = f"every app has a provider {name!r}"
        raise ValueError(msg)

    def decorated(given: Callable[..., Any]) -> ChatClientMaker:
        return ChatClientMaker(name, given)

    return decorated
