"""Declaring HTTP endpoints: one call says route, body and answer; the function and openapi.json both come from it."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import azure.durable_functions as df
import azure.functions as func
from pydantic import BaseModel, ValidationError

from kernel.errors import AppError, InternalError, InvalidInput
from kernel.foreign_json import parse_json
from kernel.ids import new_id
from kernel.settings import Settings
from kernel.tracing import failed, span
from lifecycle.registry.signals import AgentSignals
from triggers.principal import caller_of, workspace_of
from triggers.problems import invalid_body, problem
from triggers.tracing import incoming

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as a handler sees it.

    Attributes:
        workspace: The caller's workspace.
        request: The request itself.
        body: The parsed body; None when the endpoint takes none.
        signals: The way to agents' actors; only on endpoints declared with `signals`.
    """

    workspace: str
    request: func.HttpRequest
    body: Any
    signals: AgentSignals

    @property
    def caller(self) -> str:
        """Who calls, as the platform's authentication names them; empty where it does not."""
        return caller_of(self.header("x-ms-client-principal-name"))

    def route(self, name: str) -> str:
        """Return a route parameter."""
        return self.request.route_params[name]

    def query(self, name: str) -> str | None:
        """Return a query parameter, or None when it is absent or empty."""
        return self.request.params.get(name) or None

    def header(self, name: str) -> str | None:
        """Return a header, or None when it is absent or empty."""
        return self.request.headers.get(name) or None

    def limit(self) -> int:
        """Return how many items are asked for.

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
        """Return where to continue a list, as `page_token` wrote it; None at the start.

        Args:
            parse: Returns the position that a JSON value stands for, or raises if that is none of this list.

        Raises:
            InvalidInput: `next` is no cursor of this list.
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
    """What a handler answers: a model, or text of another type."""

    body: BaseModel | str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    mimetype: str = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API, as declared.

    Attributes:
        method: HTTP method.
        path: Route below the prefix, like `agents/{name}`.
        name: Function name, and operation id in openapi.json.
        summary: One sentence for the API's readers.
        body: Model of the request body; None for none.
        returns: Model of the answer; None when it has no model.
        status: Status of the answer.
        also: Another status that the same answer can have; None for none.
        mimetype: Content type of an answer without a model; None for an answer without a body.
        formats: Content types that an answer with a model can have instead.
        query: Query parameters with their meaning.
        errors: Status codes it can fail with, besides 400, 401 and 503.
        anonymous: Whether it can be called without a key.
        creates: Whether it takes an Idempotency-Key.
    """

    method: str
    path: str
    name: str
    summary: str
    body: type[BaseModel] | None = None
    returns: type[BaseModel] | None = None
    status: int = 200
    also: int | None = None
    mimetype: str | None = None
    formats: Sequence[str] = ()
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: Sequence[int] = ()
    anonymous: bool = False
    creates: bool = False


Handler = Callable[[Call], Awaitable[Reply]]
MakeSignals = Callable[[df.DurableOrchestrationClient], AgentSignals]


class Api:
    """Collects the app's endpoints."""

    def __init__(self, settings: Settings, make_signals: MakeSignals) -> None:
        self.blueprint = df.Blueprint()
        self.endpoints: list[Endpoint] = []
        self._settings = settings
        self._make_signals = make_signals

    def handle(self, endpoint: Endpoint) -> Callable[[Handler], Handler]:
        """Register a handler that needs no way to agents' actors."""

        def register(handler: Handler) -> Handler:
            async def function(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
                return await self._traced(endpoint, handler, req, context, _NoSignals())

            self._add(endpoint, function)
            return handler

        return register

    def handle_with_signals(self, endpoint: Endpoint) -> Callable[[Handler], Handler]:
        """Register a handler that sends operations to agents' actors."""

        def register(handler: Handler) -> Handler:
            async def function(
                req: func.HttpRequest, client: df.DurableOrchestrationClient, context: func.Context
            ) -> func.HttpResponse:
                return await self._traced(endpoint, handler, req, context, self._make_signals(client))

            self._add(endpoint, self.blueprint.durable_client_input(client_name="client")(function))
            return handler

        return register

    def _add(self, endpoint: Endpoint, function: Any) -> None:
        keys = self._settings.auth_mode == "keys" and not endpoint.anonymous
        level = func.AuthLevel.FUNCTION if keys else func.AuthLevel.ANONYMOUS
        routed = self.blueprint.route(route=endpoint.path, methods=[endpoint.method], auth_level=level)(function)
        self.blueprint.function_name(endpoint.name)(routed)
        self.endpoints.append(endpoint)

    async def _traced(
        self, endpoint: Endpoint, handler: Handler, req: func.HttpRequest, context: func.Context, signals: AgentSignals
    ) -> func.HttpResponse:
        # The host records the request itself; this is what happens inside of it.
        attributes = {"http.request.method": endpoint.method, "http.route": f"/api/{endpoint.path}"}
        with span(f"{endpoint.method} {endpoint.path}", attributes, parent=incoming(req.headers, context)) as current:
            response = await self._answer(endpoint, handler, req, signals)
            current.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                failed(current, str(response.status_code))
            return response

    async def _answer(
        self, endpoint: Endpoint, handler: Handler, req: func.HttpRequest, signals: AgentSignals
    ) -> func.HttpResponse:
        try:
            headers = {name.lower(): value for name, value in req.headers.items()}
            workspace = "" if endpoint.anonymous else workspace_of(headers, self._settings)
            body = _parsed(req, endpoint.body) if endpoint.body else None
            return _response(await handler(Call(workspace, req, body, signals)))
        except AppError as error:
            return problem(error)
        except Exception as error:  # noqa: BLE001 - the edge: a defect becomes a 500 that says nothing but where to look it up
            reference = new_id()
            frame = traceback.extract_tb(error.__traceback__)[-1]
            log.error(  # noqa: TRY400 - an exception's text may quote a prompt
                "%s failed: %s at %s:%d (%s)",
                endpoint.name,
                type(error).__name__,
                frame.filename,
                frame.lineno or 0,
                reference,
                extra={"event": "http.defect"},
            )
            return problem(InternalError(f"Something went wrong on our side; reference {reference}."))


class _NoSignals:
    async def send(self, workspace: str, name: str, operation: object) -> None:
        msg = "declare the endpoint with handle_with_signals"
        raise RuntimeError(msg)


def index(value: Any) -> int:
    """Return a position in a numbered list, for `Call.cursor`.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or not 0 <= value < 1 << 53:
        msg = "no position"
        raise ValueError(msg)
    return value


def page_token(value: str | int | None) -> str | None:
    """Return a list's position as the opaque `next` of its answer."""
    return None if value is None else base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _parsed(req: func.HttpRequest, model: type[BaseModel]) -> BaseModel:
    try:
        values = parse_json(req.get_body() or b"")
    except ValueError:
        raise InvalidInput("The body is not JSON.", code="malformed_json") from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid_body(error) from None


def _response(reply: Reply) -> func.HttpResponse:
    body = reply.body.model_dump_json() if isinstance(reply.body, BaseModel) else reply.body
    return func.HttpResponse(
        body, status_code=reply.status, headers=dict(reply.headers), mimetype=reply.mimetype if body else None
    )
