"""The declaration of an endpoint: its function, its checks and openapi.json are all derived from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from datetime import UTC, date, datetime, time
from itertools import takewhile
from typing import Any, Literal

from kernel.lazy_dataclass import dataclass

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
LONGEST_WAIT_S = 25

Method = Literal["GET", "PUT", "POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Deprecation:
    """The announced removal of a part of the API, sent as `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) headers.

    Attributes:
        since: The day from which it is deprecated, 00:00 UTC.
        sunset: The day from which it may be removed; None where not decided.
        instead: What to use instead, as a sentence.
    """

    since: date
    instead: str
    sunset: date | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers."""
        headers = {"Deprecation": f"@{int(_midnight(self.since).timestamp())}"}
        if self.sunset is not None:
            from email.utils import format_datetime  # noqa: PLC0415 - cold start

            headers["Sunset"] = format_datetime(_midnight(self.sunset), usegmt=True)
        return headers

    def __str__(self) -> str:
        """Return it as a sentence or two for the API description."""
        until = f", until {self.sunset.isoformat()} at least" if self.sunset else ""
        return f"Deprecated since {self.since.isoformat()}{until}. {self.instead}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter.

    Attributes:
        text: Its description.
        schema: Its values as a JSON schema; any text by default.
        required: Whether a request must have it.
        deprecated: Its announced removal; None for none.
    """

    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    deprecated: Deprecation | None = None


DAY = {"type": "string", "format": "date", "pattern": "^(?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}$"}
"""A day, as parsed by `triggers.http.days`."""
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
    "next": Parameter("The `next` of the previous page."),
}
FOR_USER = {"user_id": Parameter("The user of the request: sessions of other users are not found.", TEXT_ID)}


def days(first: str) -> dict[str, Parameter]:
    """Return the parameters of a range of UTC days; `first` describes the default of `from`."""
    return {
        "from": Parameter(f"First UTC day, like 2026-11-01; {first} unless given.", DAY),
        "to": Parameter("Last UTC day, included; default today.", DAY),
    }


def choice(text: str, *values: str) -> Parameter:
    """Return a parameter that takes one of the given values."""
    return Parameter(text, {"type": "string", "enum": values})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API.

    Its handler is the function `name` (or `handler`) of the module `handlers` in the declaring package; its models are
    classes of that package's module `views`, or `module:Class`. Both are named rather than imported, so that a worker
    loads only what it uses.

    Attributes:
        method: HTTP method.
        path: Route below the prefix, like `agents/{name}`.
        name: Operation id in openapi.json.
        summary: One sentence for readers of the API description.
        body: Model of the request body; None for none.
        raw: Content type of a body that is not parsed; None for a model, or no body.
        returns: Model of the response; None when it has no model.
        status: Status of the response.
        also: Another status that the same response can have; None for none.
        mimetype: Content type of a response without a model, or of lines of one; None for no body, or JSON.
        formats: Alternative content types of the response.
        query: Query parameters; any other is refused.
        errors: Error status codes, in addition to those of every endpoint.
        anonymous: Whether it can be called without a key.
        creates: Whether it takes an Idempotency-Key.
        waits: Whether it takes `Prefer: wait=N`.
        signals: Whether it sends signals to agents' actors.
        handler: Name of the handler; `name` unless given.
        problems: Module with another error format than problem details, for protocols that have their own; with
            `answer`, `error_model` and `CONTENT_TYPE`, like `triggers.http.openai.errors`.
        deprecated: Its announced removal; None for none. A field of a body or response is marked in its model, by
            `Field(deprecated="Use … instead.")`.
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
    deprecated: Deprecation | None = None

    def announced(self, given: Collection[str]) -> Mapping[str, str]:
        """Return the headers about deprecated parts that a call with these query parameters uses."""
        parameters = [parameter.deprecated for name, parameter in self.query.items() if name in given]
        found = [each for each in (self.deprecated, *parameters) if each is not None]
        return min(found, key=lambda each: each.sunset or date.max).headers if found else {}


def function_name(path: str, endpoints: Sequence[Endpoint]) -> str:
    """Return the name of the function that serves a path.

    For a single operation its own name; for several, the common first words of their names, with `_item` if the path
    ends with a parameter.
    """
    if len(endpoints) == 1:
        return endpoints[0].name
    words = zip(*(endpoint.name.split("_") for endpoint in endpoints), strict=False)
    common = "_".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, words))
    return common + ("_item" if path.endswith("}") else "")
