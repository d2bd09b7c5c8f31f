"""What an endpoint declares of itself: its function, its checks and openapi.json all come from this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
LONGEST_WAIT_S = 25

Method = Literal["GET", "PUT", "POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter.

    Attributes:
        text: What it means.
        schema: The values it takes, as a JSON schema; any text unless given.
        required: Whether a request must have it.
    """

    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


DAY = {"type": "string", "format": "date", "pattern": "^(?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}$"}
"""A day as `triggers.http.days` takes it."""
TEXT_ID = {
    "type": "string",
    "minLength": 1,
    "maxLength": 128,
    "pattern": r"^(?![~ ]|\.{1,2}$)[^!%\u0000-\u001f\u007f-\u00a0]*$",
}
AGENT_NAME = {"type": "string", "pattern": "^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$"}

PAGING = {
    "limit": Parameter(
        f"Items a page, 1-{MAX_LIMIT}; {DEFAULT_LIMIT} unless given.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    "next": Parameter("The `next` of the page before."),
}
FOR_USER = {"user_id": Parameter("The user it is done for: another user's session is not found.", TEXT_ID)}


def days(first: str) -> dict[str, Parameter]:
    """Return the parameters of a range of UTC days; `first` says which day it begins with unless given."""
    return {
        "from": Parameter(f"First UTC day, like 2026-11-01; {first} unless given.", DAY),
        "to": Parameter("Last UTC day, included; today unless given.", DAY),
    }


def choice(text: str, *values: str) -> Parameter:
    """Return a parameter that takes one of the values."""
    return Parameter(text, {"type": "string", "enum": values})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API.

    Its handler is the function `name` (or `handler`) of the module `handlers` in the package that declares it; its
    models are classes of that package's module `views`, or `module:Class`. Both are named rather than imported, so that
    a worker that is started for something else does not load them.

    Attributes:
        method: HTTP method.
        path: Route below the prefix, like `agents/{name}`.
        name: Operation id in openapi.json.
        summary: One sentence for the API's readers.
        body: Model of the request body; None for none.
        raw: Content type of a body that is taken as it is; None for a model's, or none.
        returns: Model of the answer; None when it has no model.
        status: Status of the answer.
        also: Another status that the same answer can have; None for none.
        mimetype: Content type of an answer without a model, or of lines of one; None for no body, or JSON.
        formats: Content types that an answer can have instead.
        query: Query parameters; any other is refused.
        errors: Status codes it can fail with, besides those that every endpoint can.
        anonymous: Whether it can be called without a key.
        creates: Whether it takes an Idempotency-Key.
        waits: Whether it takes `Prefer: wait=N`.
        signals: Whether it sends operations to agents' actors.
        handler: Name of the handler; `name` unless given.
        problems: Module that says how its errors are answered, where its clients know another shape than problem
            details: it has `answer`, `error_model` and `CONTENT_TYPE` as `triggers.http.openai.errors` has them.
    """

    method: Method
    path: str
    name: str
    summary: str
    body: str | None = None
    raw: str | None = None
    returns: str | None = None
    status: int = 200
    also: int | None = None
    mimetype: str | None = None
    formats: Sequence[str] = ()
    query: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    errors: Sequence[int] = ()
    anonymous: bool = False
    creates: bool = False
    waits: bool = False
    signals: bool = False
    handler: str | None = None
    problems: str | None = None


def function_name(path: str, endpoints: Sequence[Endpoint]) -> str:
    """Return the name of the function that serves a path.

    The one operation's own; where there are several, the words that their names begin with, with `_item` if the path
    ends with a parameter.
    """
    if len(endpoints) == 1:
        return endpoints[0].name
    words = zip(*(endpoint.name.split("_") for endpoint in endpoints), strict=False)
    common = "_".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, words))
    return common + ("_item" if path.endswith("}") else "")
