"""A request and its response, as handlers see them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import azure.functions as func

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass
from triggers.http.caller_identity import caller_of, person_of
from triggers.http.endpoint import DEFAULT_LIMIT, MAX_LIMIT, Endpoint

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bootstrap.services import Services
    from lifecycle.approvals.approval import Person
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.run_queue import RunQueue
    from triggers.http.request_handling import Api

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request, as a handler sees it.

    Attributes:
        workspace: The caller's workspace.
        request: The HTTP request.
        body: The parsed body; None when the endpoint takes none.
        signals: Sends signals to agents' actors; only on endpoints declared with `signals`.
        services: The use cases.
        queue: The queue that runs are submitted to.
        endpoint: The endpoint.
        api: All endpoints.
        live: Whether a streamed body reaches the caller chunk by chunk, rather than when it is complete.
    """

    workspace: str
    request: func.HttpRequest
    body: Any
    signals: AgentSignals
    services: Services
    queue: RunQueue
    endpoint: Endpoint
    api: Api
    live: bool = False

    @property
    def caller(self) -> str:
        """The caller's name from the platform's authentication; empty without."""
        return caller_of(self.header("x-ms-client-principal-name"))

    @property
    def person(self) -> Person:
        """The caller, as authenticated by the platform."""
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        return person_of(headers, self.services.core.settings)

    def route(self, name: str) -> str:
        """Return a route parameter. The host decodes it except for slashes (%2F), which would split it."""
        return self.request.route_params[name].replace("%2F", "/").replace("%2f", "/")

    def query(self, name: str) -> str | None:
        """Return a query parameter; None when it is absent or empty, because some hosts drop empty ones."""
        return self.request.params.get(name) or None

    def written(self, name: str) -> str | None:
        """Return a query parameter from the URL itself, also an empty one; None where it is absent.

        For parameters where empty and absent differ: see `query`.
        """
        if (text := self.request.params.get(name)) is not None:
            return text
        return dict(parse_qsl(urlsplit(self.request.url).query, keep_blank_values=True)).get(name)

    def header(self, name: str) -> str | None:
        """Return a header, or None when it is absent or empty."""
        return self.request.headers.get(name) or None

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a query parameter that is `true` or `false`.

        Raises:
            InvalidInput: It is neither.
        """
        text = self.query(name)
        if text not in (None, "true", "false"):
            raise InvalidInput(f"'{name}' is true or false.", code="invalid_flag", fields={name: "true or false"})
        return default if text is None else text == "true"

    def limit(self) -> int:
        """Return the page size asked for.

        Raises:
            InvalidInput: `limit` is not a number from 1 to MAX_LIMIT.
        """
        text = self.query("limit")
        if text is None:
            return DEFAULT_LIMIT
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
            rule = f"a number from 1 to {MAX_LIMIT}"
            raise InvalidInput(f"'limit' is {rule}.", code="invalid_limit", fields={"limit": rule})
        return int(text)

    def cursor(self, parse: Callable[[Any], T]) -> T | None:
        """Return the position to continue a list after, as `page_token` wrote it; None at the start.

        Args:
            parse: Returns the position for a JSON value, or raises if it is not valid for this list.

        Raises:
            InvalidInput: `next` is not a cursor of this list.
        """
        text = self.query("next")
        if text is None:
            return None
        try:
            return parse(json.loads(base64.urlsafe_b64decode(text.encode("ascii"))))
        except (ValueError, TypeError, AttributeError, RecursionError, InvalidInput):
            msg = "'next' is not a cursor of this list."
            raise InvalidInput(msg, code="invalid_next", fields={"next": "unknown"}) from None


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's response: a model, text of another type, or a body that is streamed."""

    body: BaseModel | str | AsyncIterator[str] | AsyncIterator[bytes] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    mimetype: str = "application/json"


def at(*path: str) -> dict[str, str]:
    """Return the `Location` header of a resource, from the parts of its path below the prefix."""
    return {"Location": "/".join(["/api", *(quote(part, safe=":@") for part in path)])}


def index(value: Any) -> int:
    """Return the index in a numbered list, for `Call.cursor`.

    Raises:
        ValueError: The value is not one.
    """
    if type(value) is not int or not 0 <= value < 1 << 53:
        msg = "no position"
        raise ValueError(msg)
    return value


def page_token(value: str | int | None) -> str | None:
    """Return a list's position as the opaque `next` of a page; None at the end."""
    return None if value is None else base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
