"""HTTP: health, and the API's own description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence

from bootstrap.services import Services
from kernel.errors import AppError
from kernel.tables import Span
from lifecycle.runs.queue import RunQueue
from triggers.api import Api, Call, Endpoint, Reply
from triggers.views.system import HealthView

_PATIENCE_S = 5


def register(api: Api, services: Services, queue: RunQueue) -> None:
    """Add the endpoints that say how the app is and what it offers."""

    @api.handle(
        Endpoint(
            "GET",
            "health",
            "health",
            "Whether the app and what it stands on can be reached; 503 when not.",
            returns=HealthView,
            also=503,
            anonymous=True,
        )
    )
    async def health(_call: Call) -> Reply:
        tables, messages, warnings = await asyncio.gather(
            _reachable(services.tables.query("agents", Span("_health"), limit=1)),
            _reachable(queue.dead(1)),
            _warnings(services),
        )
        components = {"tables": tables, "queue": messages}
        healthy = all(state == "ok" for state in components.values())
        view = HealthView(status="healthy" if healthy else "unhealthy", components=components, warnings=warnings)
        return Reply(view, 200 if healthy else 503, {"Cache-Control": "no-store"})

    @api.handle(
        Endpoint(
            "GET",
            "openapi.json",
            "openapi",
            "This API as an OpenAPI 3.1 document.",
            mimetype="application/json",
            anonymous=True,
        )
    )
    async def openapi(_call: Call) -> Reply:
        from triggers.openapi import describe  # noqa: PLC0415 - only this one answer needs it

        return Reply(json.dumps(describe(api.endpoints)))


async def _warnings(services: Services) -> Sequence[str]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            unpriced = await services.rates.unpriced()
    except (AppError, TimeoutError):
        return ()  # that the tables cannot be reached is said already
    return (f"{unpriced} models without a known price were called in the last day",) if unpriced else ()


async def _reachable(question: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await question
    except AppError as error:
        return error.code
    except TimeoutError:
        return "timeout"
    return "ok"
