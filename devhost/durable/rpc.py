"""The HTTP routes of the Durable extension that the SDK's client calls for entities."""

import json
from datetime import UTC, datetime

from aiohttp import web

from devhost.durable.mailbox import Mailboxes, UnknownEntityError
from devhost.durable.protocol import EntityId, signal_input
from devhost.durable.store import EntityStore

_NO_ORCHESTRATIONS = "devhost emulates durable entities only; orchestrations need the real Functions host."


class DurableRoutes:
    """Serves the same routes under any prefix: on the RPC port and as the app's webhooks."""

    def __init__(self, store: EntityStore, mailboxes: Mailboxes) -> None:
        self._store = store
        self._mailboxes = mailboxes

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`, such as `/durabletask`."""
        router.add_post(prefix + "/entities/{name}/{key}", self._signal)
        router.add_delete(prefix + "/entities/{name}/{key}", self._delete)
        router.add_get(prefix + "/entities/{name}/{key}", self._read)
        router.add_get(prefix + "/entities", self._list)
        router.add_get(prefix + "/entities/", self._list)
        router.add_get(prefix + "/entities/{name}", self._list)
        router.add_route("*", prefix + "/orchestrators/{rest:.*}", _not_supported)
        router.add_route("*", prefix + "/instances", _not_supported)
        router.add_route("*", prefix + "/instances/{rest:.*}", _not_supported)

    async def _signal(self, request: web.Request) -> web.Response:
        try:
            text = signal_input(await request.read(), request.headers.get("Content-Type", ""))
        except ValueError as error:
            return web.Response(status=400, text=f"Could not parse the JSON content: {error}")
        return self._accept(request, request.query.get("op", ""), text)

    async def _delete(self, request: web.Request) -> web.Response:
        return self._accept(request, "delete", None)

    def _accept(self, request: web.Request, operation: str, text: str | None) -> web.Response:
        try:
            self._mailboxes.signal(_entity(request), operation, text)
        except UnknownEntityError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(status=202)

    async def _read(self, request: web.Request) -> web.Response:
        state = self._store.state(_entity(request))
        if not state.exists:
            return web.Response(status=404)
        return web.Response(text=state.value or "null", content_type="application/json")

    async def _list(self, request: web.Request) -> web.Response:
        try:
            limit = int(request.query.get("top", "100"))
            since, until = (
                _moment(request.query.get(name)) for name in ("lastOperationTimeFrom", "lastOperationTimeTo")
            )
            name, key = json.loads(request.headers.get("x-ms-continuation-token") or '["", ""]')
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        wanted = request.match_info.get("name")
        fetch_state = request.query.get("fetchState", "").lower() == "true"
        rows = self._store.list(
            wanted.lower() if wanted else None, since or "", until or "9999", (name, key), limit + 1
        )
        body = [
            {
                "entityId": {"name": entity.name, "key": entity.key},
                "lastOperationTime": moment.replace("+00:00", "Z"),
                "state": json.loads(state) if fetch_state and state else None,
            }
            for entity, moment, state in rows[:limit]
        ]
        response = web.json_response(body)
        if len(rows) > limit:
            last = rows[limit - 1][0]
            response.headers["x-ms-continuation-token"] = json.dumps([last.name, last.key])
        return response


def _entity(request: web.Request) -> EntityId:
    key = request.match_info["key"]
    # The extension writes an empty key, which a path cannot contain, as "$".
    return EntityId.of(request.match_info["name"], "" if key == "$" else key)


def _moment(text: str | None) -> str | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


async def _not_supported(_request: web.Request) -> web.Response:
    return web.Response(status=501, text=_NO_ORCHESTRATIONS)
