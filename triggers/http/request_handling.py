"""Handling HTTP requests: what all endpoints share, from the route to error responses."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func

from bootstrap.first_run_imports import prepare
from kernel.errors import AppError, InternalError, InvalidInput
from kernel.ids import new_id
from kernel.settings import Settings
from kernel.strict_json import parse_json
from kernel.text import shown
from kernel.tracing import failed, span
from triggers.http.caller_identity import workspace_of
from triggers.http.endpoint import Endpoint, function_name
from triggers.http.error_responses import UnsupportedMediaType, invalid_body, not_allowed, problem
from triggers.http.functions_http import HttpAnswer, StreamedResponse, answer_to, is_live, request_of
from triggers.http.handler_call import Call, Reply
from triggers.tracing import incoming

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bootstrap.services import Services
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.run_queue import RunQueue

log = logging.getLogger(__name__)

_KEYS = frozenset({"code", "clientId"})
"""Query parameters that the Functions host itself uses: a key and its name."""
_JSON = re.compile(r"application/(?:[a-z0-9!#$&^_.-]+\+)?json", re.IGNORECASE)


Handler = Callable[[Call], Awaitable[Reply]]
MakeSignals = Callable[[df.DurableOrchestrationClient], "AgentSignals"]


@dataclass(frozen=True)
class Operation:
    """An endpoint and the package that declares it."""

    endpoint: Endpoint
    package: str

    @cached_property
    def handler(self) -> Handler:
        """The handler function; imported on first use."""
        module = importlib.import_module(f"{self.package}.handlers")
        return getattr(module, self.endpoint.handler or self.endpoint.name)

    def model(self, name: str) -> type[BaseModel]:
        """Return the resource's model of that name."""
        module, _, cls = name.rpartition(":")
        return getattr(importlib.import_module(module or f"{self.package}.views"), cls)

    def problem(self, error: AppError) -> func.HttpResponse:
        """Return the response for an error, in the format that the endpoint's clients expect."""
        named = self.endpoint.problems
        return importlib.import_module(named).answer(error) if named else problem(error)


class Api:
    """Builds the functions of the API: one per path, which accepts every method and answers 405 to unknown ones.

    The Functions host answers 404 where a path exists for other methods only (RFC 9110 §15.5.6 requires 405), so every
    method is routed to this app.
    """

    def __init__(
        self,
        settings: Settings,
        services: Services,
        queue: RunQueue,
        make_signals: MakeSignals,
        packages: Sequence[ModuleType],
    ) -> None:
        """Set the dependencies, and the packages that declare endpoints in `ENDPOINTS`."""
        self.operations = [Operation(endpoint, each.__name__) for each in packages for endpoint in each.ENDPOINTS]
        self._settings = settings
        self._services = services
        self._queue = queue
        self._make_signals = make_signals
        self._preparing: asyncio.Task[None] | None = None

    @cached_property
    def documents(self) -> tuple[str, str]:
        """The description of the API, as OpenAPI in JSON and as a page.

        It takes about a second, and anybody may ask for it: it is made once.
        """
        from triggers.http.openapi import describe  # noqa: PLC0415 - only these answers need it
        from triggers.http.openapi_page import page_of  # noqa: PLC0415 - see above

        described = describe(self.operations)
        return json.dumps(described), page_of(described)

    def blueprint(self) -> df.Blueprint:
        """Return the functions."""
        blueprint = df.Blueprint()
        paths: dict[str, list[Operation]] = {}
        for operation in self.operations:
            paths.setdefault(operation.endpoint.path, []).append(operation)
        for path, operations in paths.items():
            self._add(blueprint, path, operations)
        return blueprint

    def _add(self, blueprint: df.Blueprint, path: str, operations: Sequence[Operation]) -> None:
        endpoints = [operation.endpoint for operation in operations]
        # The host determines the type of `req` (`triggers.http.functions_http`), so it is not annotated.
        if any(endpoint.signals for endpoint in endpoints):

            async def signalling(req, client: df.DurableOrchestrationClient, context: func.Context):
                return await self._traced(path, operations, req, context, self._make_signals(client))

            function: Any = blueprint.durable_client_input(client_name="client")(signalling)
        else:

            async def plain(req, context: func.Context):
                return await self._traced(path, operations, req, context, _NoSignals())

            function = plain
        keys = self._settings.auth_mode == "keys" and not any(endpoint.anonymous for endpoint in endpoints)
        level = func.AuthLevel.FUNCTION if keys else func.AuthLevel.ANONYMOUS
        routed = blueprint.route(route=path, auth_level=level)(function)
        blueprint.function_name(function_name(path, endpoints))(routed)

    async def _traced(
        self,
        path: str,
        operations: Sequence[Operation],
        given: Any,
        context: func.Context,
        signals: AgentSignals,
    ) -> Any:
        # The host records a span for the request; this one is its child.
        req = await request_of(given)
        method = req.method.upper()
        found = next((each for each in operations if each.endpoint.method == method), None)
        known = (
            method if found else "_OTHER"
        )  # opentelemetry.io/docs/specs/semconv/http: an unknown method is not recorded
        attributes = {"http.request.method": known, "http.route": f"/api/{path}"}
        with span(f"{known} {path}", attributes, parent=incoming(req.headers, context)) as current:
            if found is None:
                response = not_allowed(sorted(each.endpoint.method for each in operations))
            else:
                response = await self._answer(found, req, signals, live=is_live(given))
                asyncio.get_running_loop().call_soon(self._preload)  # after the response is sent
            current.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                failed(current, str(response.status_code))
            return await answer_to(given, response)

    def _preload(self) -> None:
        self._services.agents.preloader.wake()

    def _prepare(self) -> None:
        """Do in the background, once, what the first run needs in a worker: it will probably come soon."""
        if self._preparing is None:
            self._preparing = asyncio.create_task(prepare())
            self._queue.open()

    async def _answer(
        self, operation: Operation, req: func.HttpRequest, signals: AgentSignals, *, live: bool
    ) -> HttpAnswer:
        endpoint = operation.endpoint
        try:
            if endpoint.method != "GET":
                self._prepare()
            headers = {name.lower(): value for name, value in req.headers.items()}
            workspace = "" if endpoint.anonymous else workspace_of(headers, self._settings)
            _check_query(endpoint, req.params)
            _check_preconditions(endpoint, headers)
            if endpoint.raw:
                body: Any = _raw(req, headers, endpoint.raw)
            else:
                body = _parsed(req, headers, operation.model(endpoint.body)) if endpoint.body else None
            call = Call(workspace, req, body, signals, self._services, self._queue, endpoint, self, live)
            reply = await operation.handler(call)
            if announced := endpoint.announced(req.params.keys()):
                reply = replace(reply, headers={**reply.headers, **announced})
            return _response(reply, endpoint.name)
        except AppError as error:
            return operation.problem(error)
        except Exception as error:  # noqa: BLE001 - the edge: a defect becomes a 500 that says nothing but where to look it up
            return operation.problem(defect(error, endpoint.name))


def defect(error: Exception, where: str) -> InternalError:
    """Log an error that nobody has foreseen, and return what is answered of it: where to look it up."""
    reference = new_id()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    log.error(
        "%s failed: %s at %s:%d (%s)",  # an exception's own text may contain a prompt
        where,
        type(error).__name__,
        frame.filename,
        frame.lineno or 0,
        reference,
        extra={"event": "http.defect"},
    )
    return InternalError(f"Internal error; reference {reference}.")


class _NoSignals:
    async def send(self, workspace: str, name: str, operation: object) -> None:
        msg = "declare the endpoint with signals=True"
        raise RuntimeError(msg)


def _check_preconditions(endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    """Refuse `If-None-Match` on changes, where it has no meaning and would otherwise be ignored silently."""
    if endpoint.method != "GET" and "if-none-match" in headers:
        msg = "If-None-Match is not supported here; read the resource, and send its ETag in If-Match."
        raise InvalidInput(msg, code="unsupported_precondition")


def _check_query(endpoint: Endpoint, given: Mapping[str, str]) -> None:
    """Check that a request has only declared query parameters, so that a misspelt filter is not silently ignored.

    Raises:
        InvalidInput: It has an unknown one, or a required one is missing.
    """
    unknown = sorted(given.keys() - endpoint.query.keys() - _KEYS)
    if unknown:
        known = ", ".join(endpoint.query) or "none"
        names = [shown(name) for name in unknown[:5]]
        raise InvalidInput(
            f"Unknown query parameters: {', '.join(names)}. Known here: {known}.",
            code="unknown_parameter",
            fields=dict.fromkeys(names, "There is no such parameter"),
        )


def _raw(req: func.HttpRequest, headers: Mapping[str, str], kind: str) -> bytes:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
        raise UnsupportedMediaType(f"Send the body as {kind}.")
    return req.get_body() or b""


def _parsed(req: func.HttpRequest, headers: Mapping[str, str], model: type[BaseModel]) -> BaseModel:
    sent = headers.get("content-type", "")
    if not _JSON.fullmatch(sent.partition(";")[0].strip()):
        # Any web page may send other content types to another site without asking (fetch.spec.whatwg.org, "simple"
        # requests).
        raise UnsupportedMediaType
    try:
        values = parse_json(req.get_body() or b"")
    except ValueError:
        raise InvalidInput("The body is not JSON.", code="malformed_json") from None
    from pydantic import ValidationError  # noqa: PLC0415 - cold start

    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid_body(error, model) from None


def _response(reply: Reply, where: str) -> HttpAnswer:
    body = reply.body
    if isinstance(body, AsyncIterator):
        return StreamedResponse(_written(body, where), reply.status, reply.headers, reply.mimetype)
    if body is not None and not isinstance(body, str):
        body = body.model_dump_json()
    return func.HttpResponse(
        body, status_code=reply.status, headers=dict(reply.headers), mimetype=reply.mimetype if body else None
    )


async def _written(body: AsyncIterator[Any], where: str) -> AsyncGenerator[Any]:
    """Yield a streamed body; an unexpected error ends it, because its status has been sent already."""
    try:
        async for piece in body:
            yield piece
    except Exception as error:  # noqa: BLE001 - the edge
        defect(error, where)
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()
