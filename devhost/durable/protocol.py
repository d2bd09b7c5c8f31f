"""The JSON messages between the Durable extension and the Python SDK 1.x. Pure functions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class ProtocolError(ValueError):
    """An entity function returned an invalid response; the batch is not committed."""


@dataclass(frozen=True)
class EntityId:
    """An entity's id; names are lower-cased as the extension does, keys keep their case."""

    name: str
    key: str

    @classmethod
    def of(cls, name: str, key: str) -> "EntityId":
        """Return an id from a name in any case."""
        return cls(name.lower(), key)

    def __str__(self) -> str:
        return f"@{self.name}@{self.key}"


@dataclass(frozen=True)
class Signal:
    """One operation for an entity; `input` is JSON text, None without input."""

    id: str
    operation: str
    input: str | None


@dataclass(frozen=True)
class EntityState:
    """An entity's committed state; `value` is JSON text."""

    exists: bool
    value: str | None


@dataclass(frozen=True)
class BatchResult:
    """The result of a batch."""

    state: EntityState
    #: Operation and error text of each failed operation.
    errors: tuple[tuple[str, str], ...]
    #: Signals for other entities, to be sent with the commit.
    outbox: tuple[tuple[EntityId, str, str | None], ...]


def signal_input(body: bytes, content_type: str) -> str | None:
    """Return the input of an operation, from the body of a signal request.

    JSON bodies are kept as JSON text, anything else becomes a JSON string. The SDK's client sends JSON of JSON and its
    `get_input` decodes twice: a plain JSON object sent by hand therefore breaks `get_input`, here as in production.

    Raises:
        ValueError: The body is declared as JSON and is not.
    """
    if not body:
        return None
    text = body.decode("utf-8", errors="replace")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return json.dumps(text)
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)


def batch_request(entity: EntityId, state: EntityState, signals: Sequence[Signal]) -> str:
    """Return the trigger value of one batch.

    The SDK passes every unknown top-level key to a constructor that takes none, so there must be no others.
    """
    batch = [{"name": item.operation, "input": item.input, "isSignal": True, "id": item.id} for item in signals]
    value = state.value if state.exists else None
    return json.dumps(
        {"self": {"name": entity.name, "key": entity.key}, "exists": state.exists, "state": value, "batch": batch}
    )


def batch_response(answer: Any, signals: Sequence[Signal]) -> BatchResult:
    """Return the result of a batch from the value that an entity function returned.

    Failed operations do not undo the state: the SDK 1.x has no rollback, and the extension commits what it gets.

    Args:
        answer: The function's return value, a JSON text.
        signals: The batch it was given; results match it by position.

    Raises:
        ProtocolError: It is not a valid response to this batch.
    """
    try:
        response = json.loads(answer)
        results = response["results"]
        state = EntityState(bool(response["entityExists"]), response.get("entityState"))
        failed = [(signal, result) for signal, result in zip(signals, results, strict=False) if result["isError"]]
        errors = tuple((signal.operation, str(result.get("result"))) for signal, result in failed)
        outbox = tuple(
            (EntityId.of(item["target"]["name"], item["target"]["key"]), item["name"], item.get("input"))
            for item in response.get("signals") or ()
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ProtocolError(f"the entity function returned no valid response: {error!r}") from error
    if len(results) < len(signals):
        raise ProtocolError(f"the entity function returned {len(results)} results for {len(signals)} operations")
    return BatchResult(state, errors, outbox)


def client_binding(hub: str, base_url: str, rpc_base_url: str) -> str:
    """Return the value of a `durableClient` binding.

    Args:
        hub: The task hub's name.
        base_url: The webhook address, without a trailing slash.
        rpc_base_url: The RPC address; the SDK appends to it, so it ends with a slash.
    """
    query = f"taskHub={hub}&connection=Storage"
    start = f"{base_url}/orchestrators/{{functionName}}[/{{instanceId}}]"
    wait = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
    instance = f"{base_url}/instances/INSTANCEID"
    return json.dumps(
        {
            "taskHubName": hub,
            "connectionName": None,
            "creationUrls": {
                "createNewInstancePostUri": f"{start}?{query}",
                "createAndWaitOnNewInstancePostUri": f"{start}?{wait}&{query}",
            },
            "managementUrls": {
                "id": "INSTANCEID",
                "statusQueryGetUri": f"{instance}?{query}",
                "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{query}",
                "terminatePostUri": f"{instance}/terminate?reason={{text}}&{query}",
                "rewindPostUri": f"{instance}/rewind?reason={{text}}&{query}",
                "purgeHistoryDeleteUri": f"{instance}?{query}",
                "restartPostUri": f"{instance}/restart?{query}",
                "suspendPostUri": f"{instance}/suspend?reason={{text}}&{query}",
                "resumePostUri": f"{instance}/resume?reason={{text}}&{query}",
            },
            "baseUrl": base_url,
            "requiredQueryStringParameters": query,
            "rpcBaseUrl": rpc_base_url,
        }
    )
